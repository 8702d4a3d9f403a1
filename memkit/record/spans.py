"""Spans: named stretches of time, written into every recording that is running.

A span belongs to a context, as ``contextvars`` has them, and not to a thread: it is around what its task, the tasks that
this one begins and ``asyncio.to_thread`` do, however tasks take turns.
"""

from __future__ import annotations

import _contextvars
import _thread
import itertools

from memkit.base import clocks
from memkit.model import file_format
from memkit.record import active
from memkit.record.span_sums import SpanSums
from memkit.system import engine

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, ParamSpec, TypeVar

    from memkit.model import span_sums as model
    from memkit.tracing.session import InsideSpans

    P = ParamSpec("P")
    R = TypeVar("R")
    _Unwritten = tuple[int, int, dict[str, Any] | None]  # thread, depth and attributes of a row that is not written yet

_innermost: _contextvars.ContextVar[_Open | None] = _contextvars.ContextVar("memkit span", default=None)


class span:
    """A named stretch of time: a context manager, and a decorator.

    ::

        with memkit.span("load", table="orders"):
            table = load()

    Each recording that is running gets the label, the attributes, when the span began and ended, memory before and after,
    and the peak in between; an exception or a kill does not lose it. Where nothing is recorded a span costs next to nothing.
    Spans nest, in each context of ``contextvars``: a span is around what its task awaits, around the tasks that are begun in
    it and around ``asyncio.to_thread``. Around what an executor or a thread does it is where that is given
    ``memkit.carry(function)``. Attributes are text, numbers, true or false, or None.

    Once a span has ended, what was measured is known of it: ``growth``, ``rise`` and ``duration``, and with ``heap="spans"``
    ``allocated``, ``freed``, ``kept`` and ``heap_peak``. Each is None where it is not known. Raises ``TypeError`` if
    ``label`` is not a string, or for an attribute of another kind.
    """

    growth: int | None = None
    """Bytes that the process grew by, whoever made it grow."""
    rise: int | None = None
    """Bytes by which the process's peak was above memory when it began; None where only samples tell."""
    duration: int | None = None
    """Nanoseconds."""
    overlapped: bool | None = None
    """Whether other spans were open meanwhile that are neither around it nor inside it: the process grew by theirs, too."""
    allocated: int | None = None
    """Bytes that were allocated under it, and under the spans inside it; with ``heap="spans"``, as all below."""
    freed: int | None = None
    """What of that was freed before it ended, wherever that was."""
    heap_peak: int | None = None
    """The most of it that was alive at once. What others allocate meanwhile does not count, nor what was there before."""

    def __init__(self, label: str, **attributes: str | float | bool | None) -> None:
        if not isinstance(label, str):
            raise TypeError(f"a span's label is text, not {label!r}: write memkit.span('load')")
        self.label = label
        self.attributes = attributes
        self._texts = {name: _text(name, value) for name, value in attributes.items()} if attributes else None
        self._open: list[_Open] = []
        self._everywhere = False

    @classmethod
    def everywhere(cls, label: str, /, **attributes: str | float | bool | None) -> span:
        """A span that is also around all threads and contexts that are in no other, until it ends.

        So its ``allocated``, ``freed``, ``kept`` and ``heap_peak`` are those of the process, but for what other threads and
        tasks allocate in spans of their own. Where several are open, the one that began last has them.
        """
        made = cls(label, **attributes)
        made._everywhere = True
        return made

    @property
    def kept(self) -> int | None:
        """What was allocated under it and was still alive when it ended."""
        return None if self.allocated is None or self.freed is None else self.allocated - self.freed

    def __enter__(self) -> span:
        recorders = active.recorders
        if not recorders:
            self._open.append(_UNRECORDED)
            return self
        heap, one = active.span_heap, None
        try:
            if heap is not None:  # what this allocates is not the program's
                heap.pause()
            one = _Open(_innermost.get())
            label, thread, depth, texts = self.label, one.thread, one.depth, self._texts
            one.begun = [(each.spans, each.spans.begin(label, thread, depth, texts)) for each in list(recorders)]
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
            if one.begun:
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
            around = one.around
            _innermost.set(around if around is None or not around.over else one.open_around())
        self.overlapped = one.overlapped
        if one.sums is not None or self.allocated is not None:
            self.allocated, self.freed, self.heap_peak = one.sums or (None, None, None)
        for spans, number in one.begun:
            found = spans.end(number, one.overlapped, one.sums)
            if found is not None:
                self.growth, self.rise, self.duration = found

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        from memkit.base.decorators import decorated

        make = span.everywhere if self._everywhere else span
        wrapped: Callable[P, R] = decorated(function, lambda: make(self.label, **self.attributes))
        return wrapped


class _Open:
    """A span that has begun, inside ``around``, with its number in each recording."""

    __slots__ = ("around", "begun", "depth", "heap", "over", "overlapped", "sums", "thread")

    def __init__(self, around: _Open | None) -> None:
        self.over = self.overlapped = False
        self.around = around if around is None or not around.over else around.open_around()
        self.depth: int = 0 if self.around is None else self.around.depth + 1
        self.thread = _thread.get_native_id()
        self.begun: list[tuple[active.Spans, int]] = []
        self.heap: tuple[active.SpanHeap, tuple[int, int]] | None = None
        self.sums: tuple[int, int | None, int | None] | None = None

    def open_around(self) -> _Open | None:
        """The innermost that is still open around it."""
        around = self.around
        while around is not None and around.over:
            around = around.around
        return around


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
    each = one.open_around()
    while each is not None:
        around.append(each)
        each = each.open_around()
    if len(opened) > len(around) + 1:
        for other in list(alone):
            if other not in around:
                other.overlapped = True
                alone.pop(other, None)


def _text(name: str, value: object) -> str | int | float | bytes | None:
    """The value of an attribute, as a row has it. Raises ``TypeError`` for one that no row can have."""
    if isinstance(value, bool):
        return b"true" if value else b"false"
    if value is None or isinstance(value, (str, int)) or (isinstance(value, float) and value - value == 0):
        return value
    if isinstance(value, float):  # none that JSON has
        return repr(value)
    raise TypeError(f"a span's attributes are text or numbers, not {name}={value!r}: write {name}=str(...)")


def carry(function: Callable[P, R]) -> Callable[P, R]:
    """A function that runs in the context of this moment, and so in the spans that are open now, in whichever thread.

    ::

        with memkit.span("request"):
            executor.submit(memkit.carry(parse), text)

    Threads and executors begin with no context of who gave them their work; ``asyncio.to_thread`` does. Each call has a copy
    of the context, as ``contextvars.copy_context`` makes it. Raises ``TypeError`` for what cannot be called.
    """
    if not callable(function):
        raise TypeError(f"{function!r} cannot be called: write memkit.carry(function), without arguments")
    context = _contextvars.copy_context()

    def carried(*args: P.args, **kwargs: P.kwargs) -> R:
        return context.copy().run(function, *args, **kwargs)

    return carried


def _begun(
    number: int, time: int, memory: int, label: str, thread: int, depth: int, attributes: dict[str, Any] | None
) -> bytes:
    """The row of a span that has begun."""
    more = () if attributes is None else (attributes,)
    return file_format.row("span", number, time, memory, thread, depth, label, *more)


class SpanRows:
    """Writes the spans of one recording.

    ``scoped`` is whether the kernel keeps the peak of what its meter reads, times count from ``began``.
    """

    def __init__(self, journal: engine.Journal, meter: Any, scoped: bool, began: int) -> None:
        self._journal = journal
        self._meter, self._scoped = meter, scoped
        self._began = began
        self._numbers = itertools.count()
        self._open: dict[int, tuple[engine.Scope | None, int, int, str, _Unwritten | None]] = {}
        self._sums = SpanSums(journal, began)
        self._ended = False
        self._inside: InsideSpans | None = None
        self._at_last: Callable[[], object] | None = None

    def count(self, heap: active.SpanHeap | None, inside: InsideSpans) -> None:
        """Spans count the heap from now on, if anything does, and tell what the tracers found inside them."""
        self._inside = inside
        if heap is not None:
            active.span_heap, self._sums.alive = heap, heap.alive

    @property
    def counts_heap(self) -> bool:
        """Whether spans count the heap."""
        return self._sums.alive is not None

    def sums_so_far(self) -> tuple[model.SpanSums, ...]:
        """The sums of all labels, as they are now."""
        return self._sums.so_far()

    def flush(self, *, due: bool = False) -> None:
        """Write the sums as they are now, or those that are due: of spans after which none of their label has ended."""
        self._sums.flush(due=due)

    def end_all(self, *, write: bool) -> None:
        """Write no more, but for the sums if they are to be: the recording has ended."""
        if write:
            self._sums.flush()
        self._ended = True
        self._open.clear()

    def end_later(self, at_last: Callable[[], object]) -> None:
        """No more will begin: call ``at_last`` as soon as those that are open have ended."""
        self._at_last = at_last
        self._end_if_none()

    def _end_if_none(self) -> None:
        if self._at_last is None:
            return
        if self._open:
            self._journal.flush()  # nobody else does any more
            return
        self._sums.flush()
        at_last, self._at_last, self._ended = self._at_last, None, True
        at_last()

    def begin(self, label: str, thread: int, depth: int, attributes: dict[str, Any] | None = None) -> int:
        """Write that a span begins, unless there are many of its label; returns the number to give to ``end``."""
        number = next(self._numbers)
        if self._scoped:
            scope = engine.Scope(self._meter)
            memory, now = scope.memory, scope.time - self._began
        else:
            scope, memory, now = None, self._meter.read(), self._elapsed()
        if memory is None:  # a plugin's meter failed: leave the span out
            return number
        if self._sums.are_many(label):
            self._open[number] = scope, memory, now, label, (thread, depth, attributes)
        else:
            self._journal.text(_begun(number, now, memory, label, thread, depth, attributes))
            self._open[number] = scope, memory, now, label, None
        if self._inside is not None:
            self._inside.begin(number)
        return number

    def end(
        self, number: int, overlapped: bool = False, heap: tuple[int, int | None, int | None] | None = None
    ) -> tuple[int, int | None, int] | None:
        """Sum up a span that has ended, and write that it has, if its row is there or it is one of the worst.

        Returns its growth, rise and duration; None if its recording has ended before. ``heap`` is what was allocated under
        it, what was freed of that, and the most of it that was alive.
        """
        begun = self._open.pop(number, None)
        if begun is None or self._ended:
            return None
        scope, before, began, label, unwritten = begun
        if scope is not None:
            peak, memory, now = scope.close(), scope.memory, scope.time - self._began
        else:
            peak, memory, now = None, self._meter.read(), self._elapsed()
        if memory is None:
            if self._inside is not None:
                self._inside.end(number, tell=False)
            self._end_if_none()
            return None
        growth = memory - before
        rise = None if peak is None else peak - before if peak > before and peak > memory else max(growth, 0)
        worst = self._sums.add(label, now - began, growth, rise, overlapped, heap)
        if worst or unwritten is None:
            more = (int(overlapped), *heap) if heap is not None else (1,) if overlapped else ()
            whole = _begun(number, began, before, label, *unwritten) if unwritten is not None else b""
            self._journal.text(whole + file_format.row("span_end", number, now, memory, peak, *more))
        if self._inside is not None:
            self._journal.text(self._inside.end(number, tell=worst))
        if self._at_last is not None:
            self._end_if_none()
        return growth, rise, now - began

    def size(self, value: float) -> None:
        """Write how large the input is; see ``memkit.size``."""
        if not self._ended:
            self._journal.text(file_format.row("size", self._elapsed(), value))

    def begin_call(self) -> tuple[engine.Scope | None, int | None, int]:
        """The state at the beginning of a call, to give to ``end_call``: scope, memory and time."""
        scope = engine.Scope() if self._scoped else None
        return scope, self._meter.read(), self._elapsed()

    def end_call(self, label: str, begun: tuple[engine.Scope | None, int | None, int], *, even_if_unchanged: bool) -> None:
        """Write the span of a call if memory has changed, or ``even_if_unchanged``; nothing once the recording has ended."""
        scope, before, start = begun
        after, now = self._meter.read(), self._elapsed()
        peak = scope.close() if scope is not None else None
        known = before is not None and after is not None
        if known and not self._ended and (before != after or even_if_unchanged):
            number = next(self._numbers)
            self._journal.text(
                file_format.row("span", number, start, before, _thread.get_native_id(), 0, label)
                + file_format.row("span_end", number, now, after, peak)
            )

    def _elapsed(self) -> int:
        return clocks.monotonic_ns() - self._began
