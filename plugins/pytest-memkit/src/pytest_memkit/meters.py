"""What measures a phase: exact bytes of the heap, or resident memory with its error."""

from __future__ import annotations

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

    def begin(self) -> None:
        """A stretch begins."""

    def end(self, most: int | None = None) -> Bill:
        """The stretch is over. If it keeps more than ``most``, garbage is collected before it is told what it kept."""

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
        self._counter = memkit.HeapCounter()
        self.begin = self._counter.begin
        self.pause = self._counter.close
        self.pause()  # the controller of several workers runs no test

    def end(self, most: int | None = None) -> Bill:
        peak, kept, allocated = self._counter.end(most)
        return Bill(peak, kept, allocated, self.name)

    def places(self) -> None:
        return None


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

    def begin(self) -> None:
        if self._resets:
            memkit.peak_rss(reset=True)
        else:
            self._run = memkit.record()
            self._run.start()
        self._before = memkit.rss()

    def end(self, most: int | None = None) -> Bill:
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

    def begin(self) -> None:
        self._run = memkit.record(children=True)
        self._run.start()

    def end(self, most: int | None = None) -> Bill:
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

    def __init__(self, root: Path, *, pages: bool) -> None:
        """Lines below the folder ``root`` are traced, and all calls. ``pages``: what memory is made of is told, too."""
        self._root, self._pages = os.path.join(root, ""), pages

    def begin(self) -> None:
        gc.collect(YOUNG)
        self._run = memkit.record(lines=self._root, calls=True, heap=True, balance=self._pages)
        self._run.start()

    def end(self, most: int | None = None) -> Bill:
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
