"""``--folded``: a line for each stack, as flamegraph.pl and inferno read it."""

import os
import re

import pytest

import memkit
from memkit.report.reporters.folded import lines
from memkit.report.transforms import MOST_LEVELS

MIB = 1 << 20
MAIN = "<thread MainThread>"


def test_each_stack_that_grew_is_a_line_with_its_own_growth(called):
    recording = called((0, MAIN, 0), (1, "main", 2), (2, "numpy.ones", 3), (1, "free", -5), (2, "keep", 1))
    assert list(lines(recording)) == [
        f"{MAIN};main (load.py:10) {2 * MIB}\n",
        f"{MAIN};main (load.py:10);numpy.ones {3 * MIB}\n",
        f"{MAIN};free (load.py:10);keep (load.py:10) {MIB}\n",
    ]


def test_names_cannot_break_a_line_or_a_stack(called):
    recording = called((0, MAIN, 0), (1, "a;b\nc\td 7", 1), (2, "/x;y/é.py:<lambda>", 1))
    first, second = lines(recording)
    assert first == f"{MAIN};a:b c d 7 {MIB}\n"
    assert second == f"{MAIN};a:b c d 7;<lambda> (é.py:10) {MIB}\n"
    for line in (first, second):
        assert re.fullmatch(r"(.*) (\d+)", line.rstrip("\n"))[2] == str(MIB)


def test_the_lines_are_by_time_where_that_is_the_order(called, tmp_path):
    recording = called((0, MAIN, 0, 1, 0), (1, "main", 2, 1, 5))
    memkit.report(recording, folded=tmp_path / "a.txt", sort="time", quiet=True)
    assert (tmp_path / "a.txt").read_text() == f"{MAIN};main (load.py:10) 5000000\n"
    memkit.report(recording, folded=tmp_path / "a.txt", sort="peak", quiet=True)
    assert (tmp_path / "a.txt").read_text() == f"{MAIN};main (load.py:10) {2 * MIB}\n"


def test_the_lines_are_by_what_is_asked_for_and_by_rise_where_nothing_grew(called, tmp_path):
    recording = called((0, MAIN, 0, 1, 0), (1, "main", 2, 1, 5, 30, 20, 20))
    for by, weight in (("growth", 2 * MIB), ("rise", 20 * MIB), ("peak", 20 * MIB), ("time", 5_000_000)):
        memkit.report(recording, folded=tmp_path / "a.txt", by=by, quiet=True)
        assert (tmp_path / "a.txt").read_text() == f"{MAIN};main (load.py:10) {weight}\n"
    flat = called((0, MAIN, 0, 1, 0), (1, "main", 0, 1, 5, 30, 20, 20))
    assert list(lines(flat)) == [f"{MAIN};main (load.py:10) {20 * MIB}\n"]
    with pytest.raises(memkit.UsageError, match="--by 'size': a picture of calls can be by growth, peak, rise, time"):
        memkit.report(recording, folded=tmp_path / "a.txt", by="size", quiet=True)


def test_libraries_are_counted_with_their_callers_unless_all_is_asked_for(called, capsys):
    recording = called((0, MAIN, 0), (1, "main", 1), (2, "/usr/lib/python3.13/json/__init__.py:loads", 2))
    memkit.report(recording, folded="-", quiet=True)
    assert capsys.readouterr().out == f"{MAIN};main (load.py:10) {3 * MIB}\n"
    memkit.report(recording, folded="-", show_all=True, quiet=True)
    assert capsys.readouterr().out.endswith(f";loads (__init__.py:10) {2 * MIB}\n")


def test_what_is_very_deep_counts_as_the_call_at_the_greatest_depth(called):
    walks = [(1 + k, "walk", 0) for k in range(5000)]
    kept, deep = lines(called((0, MAIN, 0), *walks[:5], (6, "keep", 1), *walks[5:], (5001, "deep", 2)))
    assert kept == f"{MAIN}{';walk (load.py:10)' * 5};keep (load.py:10) {MIB}\n"
    assert deep == f"{MAIN}{';walk (load.py:10)' * (MOST_LEVELS - 1)} {2 * MIB}\n"


def test_nothing_to_write_is_one_clear_error(made_up, called, tmp_path):
    with pytest.raises(memkit.UsageError, match="--folded has nothing to write: no calls were traced; record with --calls"):
        memkit.report(made_up((0, 10)), folded=tmp_path / "a.txt", quiet=True)
    with pytest.raises(memkit.MemkitError, match="--folded takes one recording, not 2"):
        memkit.report([called(), called()], folded=tmp_path / "a.txt", quiet=True)
    assert os.listdir(tmp_path) == []
