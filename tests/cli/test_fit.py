"""``memkit fit`` and ``memkit-run --sizes``: files in and out, and what they refuse in one line."""

import json
import sys
from pathlib import Path

import pytest

import memkit
from memkit.cli import main


@pytest.fixture
def recordings(tmp_path, monkeypatch):
    """Small files of runs that need 1 KiB for each of 1,000, 3,000, 10,000 and 25,000, called after these."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    about = {"memkit": "0.1.0", "pid": 42, "parent": 1, "python": "3.13.1", "host": "elsewhere"}
    about |= {"began": 1.7e9, "clock": 5, "meter": "rss", "interval": None, "engine": "native", "peaks": "reset"}
    about |= {"peaks_reason": None, "mark": 0}
    for size in (1000, 3000, 10_000, 25_000):
        rows = [["memkit", 1, {**about, "argv": ["job.py", str(size)]}], ["sample", 0, 5 << 20]]
        rows += [["sample", 900, 6 << 20, (size << 10) - (1 << 20)], ["end", 950, "ok"], ["exit", 1000, 0, None, None]]
        (tmp_path / f"{size}.memkit").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return [f"{size}.memkit" for size in (1000, 3000, 10_000, 25_000)]


def test_the_prediction_is_printed_and_written(recordings, capsys):
    assert main.main(["fit", *recordings, "--at", "1e6", "--json", "f.json", "--yaml", "f.yaml"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "fit      4 runs of job.py {size}"
    assert lines[1] == "model    linear: 5.0 MiB + 1.0 KiB × size"
    assert lines[2].startswith("size     1e6: peak 981.6 MiB, 95 % between ")
    assert lines[-1] == "wrote    f.json, f.yaml"
    found = json.loads(Path("f.json").read_text())
    assert found["peak"] == pytest.approx(1e6 * 1024 + (5 << 20), rel=1e-3)
    assert found["low"] < found["peak"] < found["high"]


def test_ten_times_the_largest_is_asked_for_by_default(recordings, capsys):
    assert main.main(["fit", "-q", *recordings, "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["size"] == 250_000


def test_sizes_are_given_in_the_order_of_the_files(recordings, capsys):
    assert main.main(["fit", *recordings, "--size", "1", "3", "10", "25"]) == 0
    assert "model    linear: 5.0 MiB + 1.0 MiB × size" in capsys.readouterr().out.replace("1000.0 KiB", "1.0 MiB")


@pytest.mark.parametrize(
    "words, said",
    [
        ([], "the following arguments are required: FILE"),
        (["1000.memkit"], "no argument is a number that differs"),
        (["1000.memkit", "3000.memkit", "--size", "5"], "there are 2 recordings and 1 sizes"),
        (["1000.memkit", "3000.memkit", "--size", "5", "5"], "all runs that finished are of size 5"),
        (["1000.memkit", "3000.memkit", "--size", "5", "x"], "'x' is no size of an input"),
        (["1000.memkit", "3000.memkit", "--at", "0"], "'0' is no size of an input"),
        (["1000.memkit", "3000.memkit", "--limit", "much"], "'much' is not a size"),
        (["1000.memkit", "3000.memkit", "--limit", "0"], "no program needs less than that"),
        (["1000.memkit", "nowhere.memkit"], "nowhere.memkit"),
        (["1000.memkit", "3000.memkit", "--json", "1000.memkit"], "'1000.memkit' is a program or a recording"),
    ],
)
def test_what_cannot_be_fitted_is_refused_in_one_line(recordings, capsys, words, said):
    assert main.main(["fit", *words]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.startswith("memkit: ") and said in printed.err
    assert len(printed.err.splitlines()) == 1


def test_a_fit_is_no_recording(recordings, capsys):
    assert main.main(["fit", "-q", *recordings, "--json", "f.json"]) == 0
    assert main.main(["report", "f.json"]) == 2
    assert "'f.json' is a fit, not a recording" in capsys.readouterr().err


def test_a_program_is_run_for_each_size(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "job.py").write_text("import sys\nkept = b'x' * (int(sys.argv[1]) << 10)\n")
    assert main.main(["run", "--sizes", "4e3,1e4,3e4", "-o", "out.memkit", "--", "job.py", "{size}"]) == 0
    err = capsys.readouterr().err
    assert "fit      3 runs of job.py {size}" in err
    assert "recorded out-4000.memkit out-10000.memkit out-30000.memkit" in err
    assert memkit.read("out-4000.memkit").size == 4000
    found = memkit.fit([f"out-{size}.memkit" for size in (4000, 10_000, 30_000)])
    assert found.at(1e5).peak - found.start == pytest.approx(1e5 * 1024, rel=0.1)


def test_the_first_run_that_fails_ends_it_with_its_exit_code(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code = "import sys; sys.exit({size} == 20 and 7)"
    assert main.main(["run", "-q", "--sizes", "10,20,30", "-c", code]) == 7
    assert "the run of size 20 ended with exit code 7: no more were made" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["code-10.memkit", "code-20.memkit"]


@pytest.mark.parametrize(
    "words, said",
    [
        (["--sizes", "10", "-c", "{size}"], "give two sizes at least"),
        (["--sizes", "10,ten", "-c", "{size}"], "'ten' is no size of an input"),
        (["--sizes", "10,20", "-c", "0"], "write {size} where the program takes it"),
        (["--sizes", "10,20", "--csv", "a.csv", "-c", "{size}"], "--csv is of one run"),
    ],
)
def test_sizes_that_make_no_runs_are_refused(tmp_path, monkeypatch, capsys, words, said):
    monkeypatch.chdir(tmp_path)
    assert main.main(["run", *words]) == 2
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [] and sys.stdout is not None
