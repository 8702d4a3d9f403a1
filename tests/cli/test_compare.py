"""``memkit compare``: its two ways to name recordings, its gate and exit code, and what it refuses in one line."""

import json

import pytest

from memkit.cli import main
from memkit.report.comparing import comparison as comparing


@pytest.fixture
def recordings(tmp_path, monkeypatch):
    """Small files of recordings with a peak in MiB: a10.memkit, a11.memkit, b50.memkit, b52.memkit."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    about = {"memkit": "0.1.0", "argv": ["job.py"], "pid": 42, "parent": 1, "python": "3.13.1", "host": "elsewhere"}
    about |= {"began": 1.7e9, "clock": 5, "meter": "rss", "interval": None, "engine": "native", "peaks": "reset"}
    about |= {"peaks_reason": None, "mark": 0}
    for name in ("a10", "a11", "b50", "b52"):
        size = int(name[1:]) << 20
        rows = [["memkit", 1, about], ["sample", 0, 5 << 20], ["sample", 900, 6 << 20, size - (6 << 20)]]
        rows += [["end", 950, "ok"], ["exit", 1000, 0, None, None]]
        (tmp_path / f"{name}.memkit").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return tmp_path


def test_what_is_not_known_of_both_sides_cannot_be_ranked_by(recordings, capsys):
    assert main.main(["compare", "--by", "allocated", "a10.memkit", "b50.memkit"]) == 2
    out, err = capsys.readouterr()
    assert out == "" and "--by allocated: that is not known of both sides; record both with --heap" in err


def test_two_recordings_are_compared(recordings, capsys):
    assert main.main(["compare", "a10.memkit", "b50.memkit"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["compare  a10.memkit → b50.memkit", "peak +400 % (10.0 → 50.0 MiB)"]


def test_the_first_is_compared_with_each_of_the_others(recordings, capsys):
    assert main.main(["compare", "a10.memkit", "a11.memkit", "b50.memkit", "--json", "all.json"]) == 0
    heads = [line for line in capsys.readouterr().out.splitlines() if line.startswith("compare")]
    assert heads == ["compare  a10.memkit → a11.memkit", "compare  a10.memkit → b50.memkit"]
    assert len(json.loads((recordings / "all.json").read_text())["comparisons"]) == 2


def test_two_groups_are_compared_by_their_medians(recordings, capsys):
    assert main.main(["compare", "a10.memkit", "a11.memkit", "--", "b50.memkit", "b52.memkit"]) == 0
    assert capsys.readouterr().out.splitlines()[1].endswith("(medians of 2 and 2 recordings)")


def test_a_figure_over_its_bound_exits_with_three(recordings, capsys):
    words = ["compare", "-q", "--fail-over", "peak=10%,growth=20MiB"]
    assert main.main([*words, "a10.memkit", "b50.memkit"]) == 3
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == "memkit compare: b50.memkit: peak +400 % (10.0 → 50.0 MiB) is over the bound of 10 %\n"
    assert main.main([*words, "a10.memkit", "a11.memkit"]) == 0
    assert main.main([*words, "b50.memkit", "a10.memkit"]) == 0


def test_reports_are_written_and_named(recordings, capsys):
    pytest.importorskip("matplotlib")
    assert main.main(["compare", "a10.memkit", "b50.memkit", "--markdown", "a.md", "--json", "a.json"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "wrote    a.json, a.md"
    assert (recordings / "a.md").read_text().startswith("**peak +400 % (10.0 → 50.0 MiB)**\n")


def test_a_document_on_standard_output_is_alone_there(recordings, capsys):
    assert main.main(["compare", "a10.memkit", "b50.memkit", "--json", "-"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["format"] == 1
    assert printed.err.startswith("compare  a10.memkit")


@pytest.mark.parametrize(
    "words, said",
    [
        (["a10.memkit"], "'a10.memkit' alone cannot be compared"),
        ([], "the following arguments are required: FILE"),
        (["--", "a10.memkit"], "there is no recording before the --"),
        (["a10.memkit", "--"], "there is no recording after the --"),
        (["a10.memkit", "--", "a11.memkit", "--", "b50.memkit"], "with one -- between them"),
        (["a10.memkit", "none.memkit"], "cannot read 'none.memkit'"),
        (["a10.memkit", "broken.memkit"], "'broken.memkit' is"),
        (["a10.memkit", "folder"], "cannot read 'folder'"),
        (["a10.memkit", "a11.memkit", "--fail-over", "peek=3"], "did you mean 'peak'?"),
        (["a10.memkit", "a11.memkit", "--fail-over", "alive=3"], "is not known of both sides"),
        (["a10.memkit", "a11.memkit", "--by", "size"], "rows are compared by growth"),
        (["a10.memkit", "a11.memkit", "--json", "a10.memkit"], "is a program or a recording"),
        (["a10.memkit", "a11.memkit", "--json", "x", "--markdown", "x"], "in use already"),
        (["a10.memkit", "a11.memkit", "--flame", "a.png"], "calls were not recorded on both sides"),
        (["a10.memkit", "a11.memkit", "b50.memkit", "--flame", "a.png"], "draws one comparison"),
    ],
)
def test_what_cannot_work_is_refused_in_one_line(recordings, capsys, words, said):
    (recordings / "broken.memkit").write_bytes(b"\0\xff nothing")
    (recordings / "folder").mkdir()
    assert main.main(["compare", *words]) == 2
    printed = capsys.readouterr()
    assert said in printed.err
    assert printed.err.count("\n") == 1


def test_a_recording_that_was_cut_off_is_compared_as_far_as_it_goes(recordings, capsys):
    whole = (recordings / "b50.memkit").read_text()
    (recordings / "cut.memkit").write_text(whole[: whole.index('["end"') - 9])
    assert main.main(["compare", "a10.memkit", "cut.memkit"]) == 0
    assert "the run after did not finish" in capsys.readouterr().out


def test_each_file_is_read_once(recordings, monkeypatch, capsys):
    read = []
    from memkit.cli import compare

    monkeypatch.setattr(compare, "read_now", lambda file: read.append(file) or comparing.read(file))
    assert main.main(["compare", "-q", "a10.memkit", "a11.memkit", "a10.memkit"]) == 0
    assert read == ["a10.memkit", "a11.memkit"]
