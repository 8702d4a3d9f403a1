"""memory_time_tracker's names: its files, messages and errors, and its faults mended."""

import inspect
import os
import re
import subprocess
import sys

import pytest

import memkit
from memkit.compat import memory_time_tracker as compat
from memkit.record import tracker

GIB = 1 << 30


@pytest.fixture
def machine(monkeypatch):
    """What is in use on the machine, one reading after the other, and then as at the last."""
    sizes = [2 * GIB]
    monkeypatch.setitem(tracker._SCOPES, "system", lambda: sizes.pop(0) if len(sizes) > 1 else sizes[0])
    return sizes


def test_its_arguments_are_memory_time_trackers_and_wait_for_nothing():
    assert [(each.name, each.default) for each in inspect.signature(compat.Tracker).parameters.values()] == [
        ("file_name", inspect.Parameter.empty),
        ("end_delay", 0),
        ("calibrate", True),
        ("calibration_seconds", 0),
        ("verbose", False),
        ("start_delay", 0),
    ]


def test_the_file_has_seconds_and_gib_above_the_calibration(tmp_path, machine):
    run = compat.Tracker(str(tmp_path / "new" / "folder" / "t.csv"))
    assert run.calibration_offset == 2
    machine[:] = [3 * GIB]
    with run:
        pass
    head, *rows, last = (tmp_path / "new" / "folder" / "t.csv").read_text().splitlines()
    assert (head, last) == ("delta,ram", "0,0")
    assert {float(row.split(",")[1]) for row in rows} == {1}
    assert compat.get_used_ram() == 3
    assert run.start_time <= run.end_time


def test_without_calibration_all_memory_in_use_counts(tmp_path, machine):
    with compat.Tracker(str(tmp_path / "t.csv"), calibrate=False) as run:
        pass
    assert run.calibration_offset == 0
    assert float((tmp_path / "t.csv").read_text().splitlines()[1].split(",")[1]) == 2


def test_verbose_says_what_memory_time_tracker_says(tmp_path, machine, capsys):
    path = str(tmp_path / "t.csv")
    with pytest.raises(ValueError, match="boom"), compat.Tracker(path, verbose=True):
        machine[:] = [5 * GIB]
        raise ValueError("boom")
    *lines, last = capsys.readouterr().out.splitlines()
    assert lines == [
        f"Logging results into: {path}",
        "Starting calibration",
        "Calibration done, the mean ram used by the system is 2.0 ± 0.0 Gb ",
        "The program had an exception boom",
        "The ram used one che process finished is 3.0 ± 0.0 Gb",
    ]
    assert re.fullmatch(r"The process took \d+\.\d+(e-\d+)? seconds", last)


def test_without_verbose_it_prints_nothing(tmp_path, machine, capsys):
    with compat.Tracker(str(tmp_path / "t.csv")):
        pass
    assert capsys.readouterr() == ("", "")


def test_exactly_one_of_the_three_predicates_is_true(tmp_path):
    path = tmp_path / "t.csv"
    ask = (compat.has_completed_successfully, compat.has_crashed_gracefully, compat.has_crashed_ungracefully)
    rows = "delta,ram\n0,0.007990264892578147\n0.00019868300000780437,0.007990264892578147\n"
    for last, expected in (("0,0\n", 0), ("0,0\n-1,-1\n", 1), ("", 2)):
        path.write_text(rows + last)
        assert [each(str(path)) for each in ask] == [number == expected for number in range(3)]


@pytest.mark.parametrize("name", ["has_completed_successfully", "has_crashed_gracefully", "has_crashed_ungracefully"])
def test_a_file_that_is_not_there_is_a_value_error(tmp_path, name):
    with pytest.raises(ValueError, match=r"^The file at the provided path .*no\.csv does not exist\.$"):
        getattr(compat, name)(str(tmp_path / "no.csv"))


def test_the_last_line_of_a_file(tmp_path):
    (tmp_path / "t").write_text("a\nb\n0,0\n")
    assert compat.get_last_line(tmp_path / "t") == "0,0"
    assert compat.get_last_line(tmp_path / "t", 3) == "b\n0,0"
    assert compat.get_last_line(tmp_path / "t", 4) is None


def test_the_plot_is_a_figure_of_pyplot(tmp_path, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "agg")
    pyplot = pytest.importorskip("matplotlib.pyplot")
    for name in ("a", "b"):
        (tmp_path / f"{name}.csv").write_text("delta,ram\n0,0.1\n1,0.2\n0,0\n")
    assert compat.plot_reports([str(tmp_path / "a.csv"), str(tmp_path / "b.csv")]) is None
    figure = pyplot.gcf()
    assert (list(figure.get_size_inches()), figure.dpi) == ([5, 5], 200)
    assert len(figure.axes[0].lines) == 2
    pyplot.close(figure)


README = """
from memkit.compat.memory_time_tracker import (
    Tracker, has_completed_successfully, has_crashed_gracefully, has_crashed_ungracefully, plot_reports
)

def work():
    return [bytes(1_000_000) for _ in range(10)]

def work_and_crash():
    work()
    raise ValueError("crash")

with Tracker("well.csv"):
    work()
try:
    with Tracker("crash.csv", verbose=False):
        work_and_crash()
except Exception:
    pass
for path in ("well.csv", "crash.csv"):
    print(has_completed_successfully(path), has_crashed_gracefully(path), has_crashed_ungracefully(path))
plot_reports(["well.csv", "crash.csv"])
"""


def test_a_program_for_memory_time_tracker_runs(tmp_path):
    settings = {"cwd": tmp_path, "env": {**os.environ, "MPLBACKEND": "agg"}, "timeout": 120}
    done = subprocess.run([sys.executable, "-W", "error", "-c", README], capture_output=True, text=True, **settings)
    assert (done.returncode, done.stdout, done.stderr) == (0, "True False False\nFalse True False\n", "")


def test_it_is_memkits(tmp_path):
    assert issubclass(compat.Tracker, memkit.Tracker)
    with pytest.raises(memkit.FormatError, match="neither a tracker's file nor a recording"):
        (tmp_path / "t.csv").write_text("hello\n")
        compat.has_crashed_ungracefully(str(tmp_path / "t.csv"))
