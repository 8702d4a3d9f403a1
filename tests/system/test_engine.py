"""What is known of the machinery in use: how far the high-water mark can be off."""

import itertools
import mmap
import os
import sys
import sysconfig

import pytest

import memkit
from memkit.base.errors import MeterError
from memkit.cli import info
from memkit.system import engine

PAGES = 3000


@pytest.mark.parametrize(
    ("kernel", "cpus", "pages"),
    [
        ("6.2.0", 1, 62),  # two kinds of memory, and a batch of 32 less one
        ("6.18.44-generic", 2, 124),
        ("6.8.0-45-generic", 16, 992),
        ("6.12.0", 64, 16256),  # a batch of 128
        ("7.0.1", 8, 496),
        ("10.1", 8, 496),
        ("6.1.0-28-amd64", 64, 64),
        ("5.15.153.1-microsoft-standard-WSL2", 8, 64),
        ("6.next", 8, None),
        ("", 8, None),
    ],
)
def test_what_the_mark_can_lack_follows_from_the_kernel_and_the_cpus(kernel, cpus, pages):
    assert engine._uncounted(kernel, cpus) == pages


def test_where_there_is_no_mark_its_error_is_not_known(monkeypatch):
    monkeypatch.setattr(engine, "peaks", lambda: ("samples", "why not"))
    assert engine.peaks_error() is None


def test_a_recording_says_how_far_its_peaks_can_be_off():
    with memkit.record() as run:
        pass
    assert run.recording.about.peaks_error == engine.peaks_error()
    with memkit.record(meter="vms") as run:
        pass
    assert run.recording.about.peaks_error is None


def test_a_peak_is_off_by_no_more_than_is_said(exact_peaks):
    # What each CPU has not added yet is lacking, so the thread goes from one to another while memory rises.
    if engine.peaks_error() is None:
        pytest.skip(f"nothing is known of this kernel: {os.uname().release}")
    allowed = os.sched_getaffinity(0)
    cpus = itertools.cycle(allowed)
    try:
        for turn in range(100):
            scope = engine.Scope()
            with mmap.mmap(-1, PAGES * mmap.PAGESIZE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
                for page in range(PAGES):
                    if page % 300 == turn:
                        os.sched_setaffinity(0, {next(cpus)})
                    memory[page * mmap.PAGESIZE] = 1
                top = memkit.rss()
            assert abs(scope.close() - top) <= engine.peaks_error()
    finally:
        os.sched_setaffinity(0, allowed)


@pytest.mark.parametrize(
    ("free", "name", "on", "told"),
    [
        (0, "native", True, None),
        (1, "native", True, "on: memkit's compiled modules switch it on"),
        (1, "native", False, "off, by PYTHON_GIL or -X gil: memkit's compiled modules need it"),
        (1, "portable", False, "off"),
        (1, "portable", True, "on"),
    ],
)
def test_info_says_what_becomes_of_the_lock_where_python_can_do_without(monkeypatch, free, name, on, told):
    monkeypatch.setattr(sysconfig, "get_config_var", lambda name: free if name == "Py_GIL_DISABLED" else None)
    monkeypatch.setattr(sys, "_is_gil_enabled", lambda: on, raising=False)
    monkeypatch.setattr(engine, "NAME", name)
    monkeypatch.setattr(engine, "unreadable_because", lambda: None, raising=False)  # the native engine's
    found = dict(info.facts()).get("GIL")
    assert found is None if told is None else found.startswith(told)


def test_rss_that_cannot_be_read_is_a_meter_error(monkeypatch):
    class Gone:
        def read(self):
            return None

    monkeypatch.setattr(engine, "_rss", Gone())
    with pytest.raises(MeterError, match="cannot be read now"):
        engine.rss()
