"""A measurement over a period: growth, peak, time and samples."""

import os

import pytest

from memkit.ipython.measurement import Measured, Measurement
from memkit.model.file_format import samples_in
from memkit.record import files
from memkit.system import engine

MIB = 1 << 20


def test_growth_and_rise_follow_from_what_was_measured():
    measured = Measured(10, 30, 70, True, 5, ())
    assert (measured.growth, measured.rise) == (20, 40)


def test_a_measurement_has_growth_and_peak(exact_peaks, touched, spike):
    measurement = Measurement()
    kept = touched(30)
    spike(50)
    measured = measurement.end()
    assert measured.growth == pytest.approx(30 * MIB, abs=MIB)
    assert measured.rise == pytest.approx(50 * MIB, abs=MIB)
    assert measured.exact
    assert measured.time > 0
    assert measured.samples == ()
    kept.close()


def test_measurements_nest(exact_peaks, spike):
    outer = Measurement()
    spike(60)
    inner = Measurement()
    spike(20)
    assert inner.end().rise == pytest.approx(20 * MIB, abs=MIB)
    assert outer.end().rise == pytest.approx(60 * MIB, abs=MIB)


def test_a_curve_begins_and_ends_with_its_measurement(touched):
    measurement = Measurement(curve=True)
    kept = touched(30)
    measured = measurement.end()
    first, *_, last = measured.samples
    assert last[1] - first[1] == pytest.approx(30 * MIB, abs=2 * MIB)
    assert all(peak >= memory for _, memory, peak in measured.samples)
    assert [time for time, _, _ in measured.samples] == sorted(time for time, _, _ in measured.samples)
    kept.close()


def test_a_curve_leaves_no_descriptor(tmp_path):
    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("needs /proc")
    Measurement(curve=True).end()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        Measurement(curve=True).end()
        Measurement(curve=True).cancel()
    assert len(os.listdir("/proc/self/fd")) == before


def test_without_a_file_or_a_thread_there_is_no_curve(monkeypatch):
    def refuse(*_):
        raise OSError("no")

    monkeypatch.setattr(files, "opened_unnamed", refuse)
    measured = Measurement(curve=True).end()
    assert measured.samples == ()
    assert measured.peak >= measured.after


def test_without_a_reset_of_the_mark_the_peak_is_the_highest_sample(monkeypatch):
    monkeypatch.setattr(engine, "peaks", lambda: ("samples", "for a test"))
    monkeypatch.setattr(engine, "Scope", lambda: type("Nothing", (), {"close": lambda self: None})())
    measured = Measurement().end()
    assert not measured.exact
    assert measured.samples
    assert measured.peak == max(measured.before, measured.after, *(peak for *_, peak in measured.samples))


def test_samples_are_read_without_a_first_row():
    rows = b'["sample",5,100]\n["cost",1,0,5]\n["sample",9,100,30]\n'
    assert samples_in(rows) == ((5, 100, 100), (9, 100, 130))
    assert samples_in(b"") == ()


def test_incomplete_samples_are_ignored():
    rows = b'["sample",5,100]\n["sample",6,1\n["sample",9,100,30]\n["sam'
    assert samples_in(rows) == ((5, 100, 100), (9, 100, 130))
