"""What the status line says, on made-up recordings."""

import json

import pytest

from memkit.model.calls import Function
from memkit.model.from_rows import Rows
from memkit.model.recording import Limit, Sample
from memkit.run import status_line
from memkit.run.status_line import Curve, RunningLine, StatusLine, shortened
from memkit.system import limits

MIB = 1 << 20
SECOND = 1_000_000_000


@pytest.fixture
def rows(about, monkeypatch):
    """The rows of a recording that is being made, of a process that has 3 GiB left."""
    monkeypatch.setattr(limits, "limit", lambda pid: Limit("cgroup /", 8 << 30, 5 << 30, "cgroup"))
    return Rows(about)


def taken(rows, *values):
    rows.take(json.loads(json.dumps(values)))
    status = StatusLine(unicode=False)
    assert status.update(rows)
    return status


def test_nothing_is_said_before_anything_is_known(rows):
    assert not StatusLine().update(rows)


def test_the_line_says_how_it_stands(rows):
    status = taken(rows, ["sample", 0, 8 * MIB], ["sample", SECOND // 2, 16 * MIB, 16 * MIB], ["sample", SECOND, 24 * MIB])
    assert status.text(80) == "memkit  24.0 MiB  peak 32.0 MiB  left 3.0 GiB  ,,##*"


def test_of_a_tree_the_total_is_told(rows):
    tree = [["sample", 0, MIB], ["tree", "pss", None], ["total", 0, 9 * MIB, 10 * MIB, 0], ["process", 7, 1, 0, "x"]]
    assert taken(rows, *tree).text(80) == "memkit  9.0 MiB  peak 9.0 MiB  left 3.0 GiB  #  2 processes"
    assert taken(rows, ["process_end", 7, 1, 0, None]).text(80).endswith("  1 process")


def test_what_matters_least_is_left_out_first(rows):
    traced = [["sample", 0, 24 * MIB], ["function", 0, "/src/load.py", "load", 1], ["line", 0, 3, 1, 5, 0, 0, 0]]
    status = taken(rows, ["tree", "rss", "why"], ["total", 0, 24 * MIB, 0, 0], *traced)
    seen = {status.text(columns) for columns in range(1, 100)}
    assert sorted((text for text in seen if text.endswith(("MiB", "GiB", "load", "process"))), key=len) == [
        "24.0 MiB",
        "24.0 MiB  peak 24.0 MiB",
        "24.0 MiB  peak 24.0 MiB  left 3.0 GiB",
        "24.0 MiB  peak 24.0 MiB  left 3.0 GiB  load.py:3 load",
        "24.0 MiB  peak 24.0 MiB  left 3.0 GiB  1 process  load.py:3 load",
        "24.0 MiB  peak 24.0 MiB  left 3.0 GiB  #  1 process  load.py:3 load",
        "memkit  24.0 MiB  peak 24.0 MiB  left 3.0 GiB  #  1 process  load.py:3 load",
    ]
    assert all(len(status.text(columns)) <= columns for columns in range(1, 100))


def test_text_for_a_terminal_cannot_command_it():
    assert shortened("a\x1b[2Jb\nc\x9b", 80) == "a?[2Jb?c?"
    assert shortened("abc", 2) == "ab"
    assert shortened("大文字", 5) == "大文"


def test_the_curve_is_as_short_however_long_the_run():
    bins, samples = Curve(), []
    for second in range(0, 4000, 3):
        samples.append(Sample(second * SECOND, 1, second * MIB, second * MIB))
        bins.take(samples)
    assert bins.highest == 3999 * MIB
    drawn = bins.drawn(status_line._BLOCKS)
    assert 10 <= len(drawn) <= 20
    assert list(drawn) == sorted(drawn)
    assert drawn[-1] == "█"


def test_a_stretch_without_a_sample_is_as_high_as_that_before():
    bins = Curve()
    bins.take([Sample(0, 1, 8, 8), Sample(SECOND, 1, 4, 4)])
    assert bins.drawn("12345678") == "88885"


def test_the_running_line_is_the_innermost_that_ran_all_the_time():
    main, load = Function("/src/app.py", "main", 1), Function("/src/load.py", "load", 1)
    line = RunningLine()
    line.take({(main, 3): 100, (main, 4): 5})
    assert line.text == "app.py:3 main"
    line.take({(main, 3): 100, (main, 4): 1005, (load, 7): 980, (load, 8): 20})
    assert line.text == "load.py:7 load"
    line.take({(main, 3): 100, (main, 4): 1005, (load, 7): 980, (load, 8): 20})
    assert line.text == "load.py:7 load"
