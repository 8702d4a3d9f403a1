"""What ``memkit.native.spans`` is where it was not compiled: which spans are open, and what each of them measures."""

from __future__ import annotations

import _contextvars
import _thread
import itertools

from memkit.base import clocks
from memkit.model import file_format
from memkit.record import active
from memkit.system import engine

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Self

    from memkit.record.span_sums import SpanSums
    from memkit.tracing.session import InsideSpans

_innermost: _contextvars.ContextVar[_Open | None] = _contextvars.ContextVar("memkit span", default=None)


class SpanBase:
    """What ``memkit.span`` does, which says more."""

    growth: int | None = None
    rise: int | None = None
    duration: int | None = None
    overlapped: bool | None = None
    allocated: int | None = None
    freed: int | None = None
    heap_peak: int | None = None
    _everywhere = False

    def __init__(self, label: str, **attributes: str | float | bool | None) -> None:
        if not isinstance(label, str):
            raise TypeError(f"a span's label is text, not {label!r}: write memkit.span('load')")
        self.label = label
        self.attributes = attributes
        self._texts = file_format.attributes(attributes) if attributes else None
        self._open: list[_Open] = []

    def __enter__(self) -> Self:
        recorders = active.recorders
        if not recorders:
            self._open.append(_UNRECORDED)
            return self
        heap, one = active.span_heap, None
        try:
            if heap is not None:  # what this allocates is not the program's
                heap.pause()
            one = _Open(_innermost.get())
            for each in list(recorders):
                each.spans.begin(self, one)
            _mark_overlapping(one)
            _innermost.set(one)
            self._open.append(one)
            if heap is not None:
                one.heap = heap, heap.enter(self.label, self._everywhere)
        except BaseException:  # of a signal handler: nobody will call __exit__
            if one is not None:
                self._abandon(one)
            raise
        finally:
            if heap is not None:
                heap.begin()
        return self

    def __exit__(self, kind: object = None, error: object = None, trace: object = None) -> None:  # a tuple would count
        one = heap = None
        try:
            one = self._open.pop() if len(self._open) == 1 else self._ending()
            if one.heap is not None:
                heap, numbers = one.heap
                heap.pause()
                one.sums = heap.exit(*numbers)
            if one is not _UNRECORDED:
                self._end(one)
        except BaseException:
            if one is not None:
                self._abandon(one)
            raise
        finally:
            if heap is not None:
                heap.begin()

    def _abandon(self, one: _Open) -> None:
        """End one in whose beginning or end something was raised. Each step may have been done."""
        if one in self._open:
            self._open.remove(one)
        if one.heap is not None and one.sums is None:
            one.sums = one.heap[0].exit(*one.heap[1])
        self._end(one)

    def _ending(self) -> _Open:
        """The one that ends where several are inside one span object: that of this context."""
        around = _innermost.get()
        while around is not None and around not in self._open:
            around = around.around
        one = around or next((each for each in self._open[::-1] if each.thread == _thread.get_native_id()), self._open[-1])
        self._open.remove(one)
        return one

    def _end(self, one: _Open) -> None:
        one.over = True
        active.open_spans.pop(one, None)
        if not one.overlapped:
            active.lone_spans.pop(one, None)
        if _innermost.get() is one:  # a generator may end in another context than it began in
            _innermost.set(_open_or_around(one.around))
        self.overlapped = one.overlapped
        if one.sums is not None or self.allocated is not None:
            self.allocated, self.freed, self.heap_peak = one.sums or (None, None, None)
        for begun in one.begun:
            begun.rows.end(begun, self, one)


class _Open:
    """A span that has begun, inside ``around``, with what it began in each recording."""

    __slots__ = ("around", "begun", "depth", "heap", "over", "overlapped", "sums", "thread")

    def __init__(self, around: _Open | None) -> None:
        self.over = self.overlapped = False
        self.around = _open_or_around(around)
        self.depth: int = 0 if self.around is None else self.around.depth + 1
        if self.around is not None:  # tasks that begin one another for ever keep none
            self.around.around = _open_or_around(self.around.around)
        self.thread = _thread.get_native_id()
        self.begun: list[_Begun] = []
        self.heap: tuple[active.SpanHeap, tuple[int, int]] | None = None
        self.sums: tuple[int, int | None, int | None] | None = None


def _open_or_around(one: _Open | None) -> _Open | None:
    """A span, or the innermost around it, that is still open."""
    while one is not None and one.over:
        one = one.around
    return one


_UNRECORDED = _Open(None)


def _mark_overlapping(one: _Open) -> None:
    """Find out whether others are open that are not around one that begins: neither can tell its memory from theirs.

    Those for which that is not so yet are around each other, so that there are few. Each step is atomic: of two that begin
    at the same time, the one that is open second sees the first.
    """
    alone, opened = active.lone_spans, active.open_spans
    alone[one] = opened[one] = None
    if len(opened) == 1:
        return
    around = []
    each = _open_or_around(one.around)
    while each is not None:
        around.append(each)
        each = _open_or_around(each.around)
    if len(opened) > len(around) + 1:
        for other in list(alone):
            if other not in around:
                other.overlapped = True
                alone.pop(other, None)


class _Begun:
    """A span that has begun in one recording. It is known once its memory is, until it ends."""

    __slots__ = ("known", "memory", "number", "rows", "scope", "time", "written")

    def __init__(self, rows: RowsBase) -> None:
        self.rows, self.number = rows, rows.next_number()
        self.scope = engine.Scope() if rows.scoped else None
        self.memory, self.time = rows.meter.read(), clocks.monotonic_ns() - rows.began
        self.known, self.written = self.memory is not None, False


class RowsBase:
    """Writes the spans of one recording as they begin and end.

    ``scoped`` is whether the kernel keeps the peak of what its meter reads, times count from ``began``.
    """

    def __init__(self, journal: engine.Journal, meter: Any, scoped: bool, began: int, sums: SpanSums) -> None:
        self.journal, self.meter, self.scoped, self.began, self.sums = journal, meter, scoped, began, sums
        self.inside: InsideSpans | None = None
        self.at_last: Callable[[], object] | None = None
        self.following: RowsBase | None = None
        self.ended = False
        self._open: set[_Begun] = set()
        self.next_number = itertools.count().__next__

    @property
    def open(self) -> int:
        """Spans that have begun and not ended."""
        return len(self._open)

    def end_if_none(self) -> None:
        """Tell that all have ended."""

    def begin(self, span: SpanBase, one: _Open) -> None:
        """Write that a span begins, unless there are many of its label; ``following`` does so if that is known."""
        begun = _Begun(self)
        if not begun.known:  # a plugin's meter failed: leave the span out
            return
        one.begun.append(begun)
        self._open.add(begun)
        if self.following is not None:  # asked only now: a thread that sets it sees this one open, or this sees it set
            one.begun.remove(begun)
            self._close(begun)
            self.following.begin(span, one)
            return
        if not self.sums.are_many(span.label):
            self.journal.text(_beginning(begun, span, one))
            begun.written = True
        if self.inside is not None:
            self.inside.begin(begun.number)

    def end(self, begun: _Begun, span: SpanBase, one: _Open) -> None:
        """Sum up a span that has ended, and write that it has, if its row is there or it is one of the worst.

        ``span`` gets its growth, rise and duration, if the recording has not ended before.
        """
        if not begun.known:
            return
        begun.known = False
        try:
            if not self.ended:
                self._write_end(begun, span, one)
        finally:
            self._close(begun)

    def _close(self, begun: _Begun) -> None:
        """Have one that is open no more; all that is written of it is."""
        self._open.discard(begun)
        if self.at_last is not None:
            self.end_if_none()

    def _write_end(self, begun: _Begun, span: SpanBase, one: _Open) -> None:
        memory, time = self.meter.read(), clocks.monotonic_ns() - self.began
        peak, worst = begun.scope.close() if begun.scope is not None else None, False
        try:
            if memory is not None:
                span.growth, span.duration = memory - begun.memory, time - begun.time
                higher = peak is not None and peak > max(begun.memory, memory)
                span.rise = None if peak is None else peak - begun.memory if higher else max(span.growth, 0)
                worst = self.sums.add(span.label, span.duration, span.growth, span.rise, one.overlapped, one.sums)
        finally:  # a signal handler may have raised
            if memory is not None and (worst or begun.written):
                more = (int(one.overlapped), *one.sums) if one.sums is not None else (1,) if one.overlapped else ()
                whole = b"" if begun.written else _beginning(begun, span, one)
                self.journal.text(whole + file_format.row("span_end", begun.number, time, memory, peak, *more))
            if self.inside is not None:
                self.journal.text(self.inside.end(begun.number, tell=worst))


def _beginning(begun: _Begun, span: SpanBase, one: _Open) -> bytes:
    """The row of a span that has begun."""
    more = () if span._texts is None else (span._texts,)
    return file_format.row("span", begun.number, begun.time, begun.memory, one.thread, one.depth, span.label, *more)
