"""What measures a phase: exact bytes of the heap, or resident memory with its error."""

from __future__ import annotations

import contextlib
import gc
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

import memkit
from pytest_memkit.bills import Bill, Places, size

MOST_PLACES = 5
YOUNG = 1
"""The generation to collect before a test with a budget, so that the next collection does not depend on what others left."""
MOST_STRETCHES = 30_000
"""As many go into one recording, which has a file: some 300 bytes each."""
SELDOM = "1 h"
"""How often resident memory is read while the heap is counted: nobody asks for it."""
SAMPLED_ERROR = 1 << 20
"""What is said of peaks that only samples tell; memory that is freed before the next one can be missed altogether."""
FRAMES = ("*/_pytest/*", "*/pluggy/*", "*/pytest_memkit/*")
"""Files whose calls are nobody's memory in a path: their callers stand for them."""


class Meter(Protocol):
    """Measures one stretch after another, none inside another."""

    name: str
    error: int
    """How far its sizes can be off, in bytes."""
    why: str
    """What it measures, and why no better one is used."""

    def begin(self, most: int | None = None) -> None:
        """A stretch begins. If it keeps more than ``most``, garbage is collected before it is told what it kept."""

    def end(self) -> Bill: ...

    def places(self) -> Places | None:
        """Which lines and paths the last stretch is of; None where that is not known."""

    def pause(self) -> None:
        """Leave the allocators to another meter, until ``begin``."""


class Counted:
    """Exact bytes of the heap: all that is allocated in the process meanwhile, without tracing."""

    name = "heap"
    error = 0
    why = "bytes that are allocated"

    def __init__(self) -> None:
        """Raises ``memkit.MeterError`` where the heap cannot be counted here."""
        self._start()
        self.pause()  # the controller of several workers runs no test

    def _start(self) -> None:
        self._run = memkit.record(heap="spans", interval=SELDOM, peak_reset=False)
        self._run.start()
        self._pid, self._left = os.getpid(), MOST_STRETCHES

    def begin(self, most: int | None = None) -> None:
        self._left -= 1
        if self._left < 0:
            self.pause()
        if self._pid != os.getpid():  # after a pause, or in a fork for a test, as pytest-forked makes it
            self._start()
        self._most = most
        self._span = memkit.span.everywhere("test")
        if most is not None:  # what is freed between the ends of the two is not kept
            self._around = memkit.span.everywhere("test and collection")
            self._around.__enter__()
        self._span.__enter__()

    def end(self) -> Bill:
        self._span.__exit__()
        peak, kept, allocated = self._span.heap_peak, self._span.kept, self._span.allocated
        if peak is None or kept is None or allocated is None:
            raise memkit.MeterError("the heap was not counted during this test: run it with --memkit-meter=rss")
        if self._most is not None:
            if kept > self._most:
                gc.collect()
            self._around.__exit__()
            kept = min(kept, self._around.kept or 0)
        return Bill(peak, kept, allocated, self.name)

    def places(self) -> None:
        return None

    def pause(self) -> None:
        if self._pid == os.getpid():
            with contextlib.suppress(memkit.JournalError):  # a full disk: nobody reads the rows
                self._run.stop()
        self._pid = 0


class Resident:
    """Resident memory of this process, whose peak the kernel keeps; samples tell it where that cannot be reset."""

    name = "rss"

    def __init__(self, why: str) -> None:
        """``why`` is why the heap is not counted."""
        with memkit.record() as run:
            pass
        assert run.recording is not None
        error = run.recording.about.peaks_error
        try:
            memkit.peak_rss(reset=True)
            self._resets, self.error = True, error or 0
            self.why = f"resident memory, {why}"
        except memkit.MeterError:
            self._resets, self.error = False, SAMPLED_ERROR
            self.why = f"resident memory by samples, which miss short peaks, {why}"

    def begin(self, most: int | None = None) -> None:
        if self._resets:
            memkit.peak_rss(reset=True)
        else:
            self._run = memkit.record()
            self._run.start()
        self._before = memkit.rss()

    def end(self) -> Bill:
        after = memkit.rss()
        return Bill(max(self._peak(), after, self._before) - self._before, after - self._before, None, self.name, self.error)

    def _peak(self) -> int:
        if self._resets:
            return memkit.peak_rss() or 0
        self._run.stop()
        return (self._run.recording and self._run.recording.peak) or 0

    def places(self) -> None:
        return None

    def pause(self) -> None:
        pass


class Processes:
    """Resident memory of this process and of all that it starts, shared pages counted once."""

    name = "processes"

    def __init__(self) -> None:
        self.error = SAMPLED_ERROR
        self.why = "resident memory of several processes by samples"

    def begin(self, most: int | None = None) -> None:
        self._run = memkit.record(children=True)
        self._run.start()

    def end(self) -> Bill:
        self._run.stop()
        recording = self._run.recording
        assert recording is not None
        totals = [total.memory for total in recording.totals] or [sample.memory for sample in recording.samples]
        first, last = totals[0], totals[-1]
        error = max(self.error, recording.about.peaks_error or 0)
        return Bill(max(totals) - first, last - first, None, self.name, error)

    def places(self) -> None:
        return None

    def pause(self) -> None:
        pass


class Traced:
    """Exact bytes of the heap, with the lines and the paths of calls that allocated them; tracing costs time."""

    name = "heap"
    error = 0
    why = "bytes that are allocated"

    def __init__(self, root: str) -> None:
        """Lines below the folder ``root`` are traced, and all calls."""
        self._root = os.path.join(root, "")

    def begin(self, most: int | None = None) -> None:
        gc.collect(YOUNG)
        self._run = memkit.record(lines=self._root, calls=True, heap=True)
        self._run.start()

    def end(self) -> Bill:
        gc.collect()  # to read what is alive would count itself
        self._run.stop()
        recording = self._recording
        heap = recording.heap
        assert heap is not None
        own = [call.own_heap.allocated for call in recording.calls if call.own_heap is not None]
        return Bill(heap.peak, heap.alive, sum(own) + heap.elsewhere.allocated, self.name)

    @property
    def _recording(self) -> memkit.Recording:
        assert self._run.recording is not None
        return self._run.recording

    def places(self) -> Places:
        recording = self._recording.hiding(FRAMES)
        callers = {call.id: call for call in recording.calls}
        found: Places = {}
        for name, field in {"peak": "alive_at_peak", "kept": "alive", "allocated": "allocated"}.items():
            of_lines = [(getattr(line.own_heap, field), _line(line)) for line in recording.lines if line.own_heap]
            of_calls = [(getattr(call.own_heap, field), _path(call, callers)) for call in recording.calls if call.own_heap]
            found[name] = [("lines", _largest(of_lines)), ("paths", _largest(of_calls))]
        return found

    def write_page(self, path: Path) -> None:
        """Write the page of the last stretch."""
        self._recording.page(path)

    def pause(self) -> None:
        pass


def _largest(places: Iterable[tuple[int, str]]) -> list[tuple[int, str]]:
    return sorted((place for place in places if place[0] > 0 and place[1]), reverse=True)[:MOST_PLACES]


def _line(line: memkit.Line) -> str:
    """Where a line is, and its text."""
    import linecache

    text = linecache.getline(line.function.file, line.number).strip()
    return f"{os.path.relpath(line.function.file)}:{line.number}  {text}".rstrip()


def _path(call: memkit.Call, callers: dict[int, memkit.Call]) -> str:
    """A call and what called it, without the root of its thread; nothing for that root."""
    if not call.function.file:
        return ""
    names = [f"{call.function.name}  {memkit.place_of(call.function)}"]
    parent = call.parent
    while parent is not None and (caller := callers[parent]).function.file:
        names.append(caller.function.name)
        parent = caller.parent
    return " < ".join(names)


def chosen(name: str) -> Meter:
    """The meter that an option names. Raises ``memkit.MeterError`` where that cannot be had."""
    if name == "rss":
        return Resident("as --memkit-meter=rss asks for")
    try:
        return Counted()
    except memkit.MeterError as error:
        if name == "heap":
            raise
        return Resident(f"because the heap cannot be counted: {error}")


def shown_error(meter: Meter) -> str:
    return f", ± {size(meter.error)}" if meter.error else ""
