"""A stretch of time: growth, peak, time and samples of it."""

import os

import pytest

from memkit.ipython.measurement import Measured, Stretch
from memkit.model.file_format import samples_in
from memkit.record import files
from memkit.system import engine

MIB = 1 << 20


def test_growth_and_rise_follow_from_what_was_measured():
    measured = Measured(10, 30, 70, True, 5, ())
    assert (measured.growth, measured.rise) == (20, 40)


def test_a_stretch_knows_its_growth_and_its_peak(exact_peaks, touched, spike):
    stretch = Stretch()
    kept = touched(30)
    spike(50)
    measured = stretch.end()
    assert measured.growth == pytest.approx(30 * MIB, abs=MIB)
    assert measured.rise == pytest.approx(50 * MIB, abs=MIB)
    assert measured.exact
    assert measured.time > 0
    assert measured.samples == ()
    kept.close()


def test_stretches_nest(exact_peaks, spike):
    outer = Stretch()
    spike(60)
    inner = Stretch()
    spike(20)
    assert inner.end().rise == pytest.approx(20 * MIB, abs=MIB)
    assert outer.end().rise == pytest.approx(60 * MIB, abs=MIB)


def test_a_curve_begins_and_ends_with_the_stretch(touched):
    stretch = Stretch(curve=True)
    kept = touched(30)
    measured = stretch.end()
    first, *_, last = measured.samples
    assert last[1] - first[1] == pytest.approx(30 * MIB, abs=2 * MIB)
    assert all(peak >= memory for _, memory, peak in measured.samples)
    assert [time for time, _, _ in measured.samples] == sorted(time for time, _, _ in measured.samples)
    kept.close()


def test_a_curve_leaves_no_descriptor(tmp_path):
    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("needs /proc")
    Stretch(curve=True).end()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        Stretch(curve=True).end()
        Stretch(curve=True).drop()
    assert len(os.listdir("/proc/self/fd")) == before


def test_without_a_file_or_a_thread_there_is_no_curve(monkeypatch):
    def refuse(*_):
        raise OSError("no")

    monkeypatch.setattr(files, "opened_unnamed", refuse)
    measured = Stretch(curve=True).end()
    assert measured.samples == ()
    assert measured.peak >= measured.after


def test_where_the_mark_stays_the_peak_is_the_highest_that_was_seen(monkeypatch):
    monkeypatch.setattr(engine, "peaks", lambda: ("samples", "for a test"))
    monkeypatch.setattr(engine, "Scope", lambda: type("Nothing", (), {"close": lambda self: None})())
    measured = Stretch().end()
    assert not measured.exact
    assert measured.samples
    assert measured.peak == max(measured.before, measured.after, *(peak for *_, peak in measured.samples))


def test_samples_are_read_without_a_first_row():
    rows = b'["sample",5,100]\n["cost",1,0,5]\n["sample",9,100,30]\n'
    assert samples_in(rows) == ((5, 100, 100), (9, 100, 130))
    assert samples_in(b"") == ()


def test_samples_that_were_broken_off_are_passed_over():
    rows = b'["sample",5,100]\n["sample",6,1\n["sample",9,100,30]\n["sam'
    assert samples_in(rows) == ((5, 100, 100), (9, 100, 130))
