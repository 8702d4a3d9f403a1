"""``memkit merge`` and ``memkit report FOLDER``: many recordings as one, read one after the other."""

import json

import pytest

import memkit
from memkit.cli import main, merge

MIB = 1 << 20


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Recordings in ``all``: two workers on host a, one on host b with the PID of the first, each with a line and a call."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    (tmp_path / "all").mkdir()
    about = {"memkit": "0.1.0", "parent": 1, "python": "3.13.1", "clock": 5, "meter": "rss", "interval": None}
    about |= {"engine": "native", "peaks": "reset", "peaks_reason": None, "mark": 0}
    for number, (host, pid) in enumerate([("a", 42), ("a", 43), ("b", 42)]):
        head = {**about, "argv": ["work.py", str(number)], "host": host, "pid": pid, "began": 1.7e9 + number}
        rows = [["memkit", 1, head], ["function", 0, "/job/work.py", "load", 3]]
        rows += [["sample", moment * 1000, (5 + moment % 7) * MIB, number * MIB] for moment in range(5000)]
        rows += [["sample", 6_000_000, 5 * MIB, (50 + number) * MIB]]
        rows += [["line", 0, 4, 10, 99, 3 * MIB, 5 * MIB, 60 * MIB, 3 * MIB, 3 * MIB, 0, 3 * MIB]]
        rows += [["call", 0, None, 0, 1, 5, 3 * MIB, 4096, 3 * MIB, 3 * MIB, 0], ["end", 6_000_001, "ok"]]
        (tmp_path / "all" / f"{number}.memkit").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return tmp_path / "all"


def test_many_recordings_are_one_document_that_is_read_again(folder, capsys):
    assert main.main(["merge", "all", "-o", "one.json"]) == 0
    assert capsys.readouterr().err.startswith(
        "3 recordings of 3 processes on 2 machines, the highest peak of one is 57.0 MiB"
    )
    found = memkit.read("one.json")
    assert [process.command for process in found.processes] == [
        *("work.py 0 on machine a", "work.py 1 on machine a", "work.py 2 on machine b")
    ]
    [line] = found.lines
    assert (line.hits, line.growth, line.peak) == (30, 9 * MIB, 60 * MIB)
    assert sum(call.own_growth for call in found.calls if call.function.name == "load") >= 0 and len(found.calls) == 3


def test_each_process_keeps_its_peak_and_no_more_points_than_its_share(folder):
    found = merge.merged([str(path) for path in sorted(folder.iterdir())], pytest.fail)
    assert [max(sample.peak for sample in lane) for _, lane in found.lanes] == [(55 + number) * MIB for number in range(3)]
    assert all(len(lane) <= 4000 for _, lane in found.lanes)


def test_processes_of_two_machines_with_the_same_number_stay_apart(folder):
    found = merge.merged([str(path) for path in sorted(folder.iterdir())], pytest.fail)
    assert [process.pid for process in found.processes] == [42, 43, 42 + (1 << 22)]
    assert {sample.pid for sample in found.others} == {43, 42 + (1 << 22)}


def test_what_cannot_be_read_is_left_out_and_named(folder, capsys):
    (folder / "3.memkit").write_text('["memkit", 1, {"argv"')
    assert main.main(["merge", "-q", "all", "-o", "one.json"]) == 1
    assert "left out: 'all/3.memkit' breaks off in its first row" in capsys.readouterr().err
    assert len(memkit.read("one.json").processes) == 3


def test_many_files_are_read_by_several_processes_with_the_same_result(folder, monkeypatch):
    files = [str(path) for path in sorted(folder.iterdir())]
    one = merge.merged(files, pytest.fail)
    monkeypatch.setattr(merge, "_MANY", 2)
    assert merge.merged(files, pytest.fail) == one


def test_the_recordings_in_a_folder_are_reported_on_as_one(folder, capsys):
    assert main.main(["report", "all"]) == 0
    out = capsys.readouterr().out
    for process in ("work.py 0 on machine a", "work.py 1 on machine a", "work.py 2 on machine b"):
        assert process in out


@pytest.mark.parametrize(
    "words, said",
    [
        (["merge"], "the following arguments are required: FILE"),
        (["merge", "nowhere.memkit"], "none of these files is a recording"),
        (["merge", "empty"], "there is no recording in 'empty'"),
        (["report", "empty"], "there is no recording in 'empty'"),
        (["merge", "all", "-o", "all/0.memkit"], "'all/0.memkit' is a program or a recording"),
    ],
)
def test_what_cannot_be_joined_is_refused_in_one_line(folder, capsys, words, said):
    (folder.parent / "empty").mkdir()
    assert main.main(words) == 2
    assert said in capsys.readouterr().err
    assert not (folder.parent / "merged.json").exists()


def test_what_a_process_is_for_and_its_rank_are_told_with_its_machine(folder, capsys):
    last = folder / "2.memkit"
    last.write_text(last.read_text().replace('["work.py", "2"]', '["-m", "pyspark.worker"], "name": "rank 3"'))
    assert main.main(["report", "all"]) == 0
    assert "rank 3: PySpark worker on machine b" in capsys.readouterr().out
