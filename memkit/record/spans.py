"""Spans: named stretches of time, written into every recording that is running.

A span belongs to a context, as ``contextvars`` has them, and not to a thread: it is around what its task, the tasks that
this one begins and ``asyncio.to_thread`` do, however tasks take turns.
"""

from __future__ import annotations

import _contextvars
import _thread

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

if TYPE_CHECKING or engine.NAME != "native":
    from memkit.record.portable_spans import RowsBase, SpanBase
else:
    try:
        from memkit.native.spans import RowsBase, SpanBase, bind
    except ImportError:  # it only takes longer
        from memkit.record.portable_spans import RowsBase, SpanBase
    else:
        bind(active, file_format.spelled, file_format.attributes, file_format.WHOLE_SPANS)


class span(SpanBase):
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

    growth: int | None
    """Bytes that the process grew by, whoever made it grow."""
    rise: int | None
    """Bytes by which the process's peak was above memory when it began; None where only samples tell."""
    duration: int | None
    """Nanoseconds."""
    overlapped: bool | None
    """Whether other spans were open meanwhile that are neither around it nor inside it: the process grew by theirs, too."""
    allocated: int | None
    """Bytes that were allocated under it, and under the spans inside it; with ``heap="spans"``, as all below."""
    freed: int | None
    """What of that was freed before it ended, wherever that was."""
    heap_peak: int | None
    """The most of it that was alive at once. What others allocate meanwhile does not count, nor what was there before."""

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

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        from memkit.base.decorators import decorated

        make = span.everywhere if self._everywhere else span
        wrapped: Callable[P, R] = decorated(function, lambda: make(self.label, **self.attributes))
        return wrapped


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


class SpanRows(RowsBase):
    """Writes the spans of one recording.

    ``scoped`` is whether the kernel keeps the peak of what its meter reads, times count from ``began``.
    """

    def __init__(self, journal: engine.Journal, meter: Any, scoped: bool, began: int) -> None:
        super().__init__(journal, meter, scoped, began, SpanSums(journal, began))

    def count(self, heap: active.SpanHeap | None, inside: InsideSpans) -> None:
        """Spans count the heap from now on, if anything does, and tell what the tracers found inside them."""
        self.inside = inside
        if heap is not None:
            active.span_heap, self.sums.alive = heap, heap.alive

    @property
    def counts_heap(self) -> bool:
        """Whether spans count the heap."""
        return self.sums.alive is not None

    def sums_so_far(self) -> tuple[model.SpanSums, ...]:
        """The sums of all labels, as they are now."""
        return self.sums.so_far()

    def flush(self, *, due: bool = False) -> None:
        """Write the sums as they are now, or those that are due: of spans after which none of their label has ended."""
        self.sums.flush(due=due)

    def end_all(self, *, write: bool) -> None:
        """Write no more, but for the sums if they are to be: the recording has ended."""
        if write:
            self.sums.flush()
        self.ended = True

    def end_later(self, following: SpanRows, at_last: Callable[[], object]) -> None:
        """Have ``following`` write those that begin from now on; call ``at_last`` once those that are open have ended."""
        self.at_last = at_last
        self.following = following
        self.end_if_none()

    def end_if_none(self) -> None:
        """Tell who waits for it that none is open, if that is so."""
        if self.at_last is None:
            return
        if self.open:
            self.journal.flush()  # nobody else does any more
            return
        self.sums.flush()
        at_last, self.at_last, self.ended = self.at_last, None, True
        if at_last is not None:  # or another thread came first
            at_last()

    def size(self, value: float) -> None:
        """Write how large the input is; see ``memkit.size``."""
        if not self.ended:
            self.journal.text(file_format.row("size", self._elapsed(), value))

    def begin_call(self) -> tuple[engine.Scope | None, int | None, int]:
        """The state at the beginning of a call, to give to ``end_call``: scope, memory and time."""
        scope = engine.Scope() if self.scoped else None
        return scope, self.meter.read(), self._elapsed()

    def end_call(self, label: str, begun: tuple[engine.Scope | None, int | None, int], *, even_if_unchanged: bool) -> None:
        """Write the span of a call if memory has changed, or ``even_if_unchanged``; nothing once the recording has ended."""
        scope, before, start = begun
        after, now = self.meter.read(), self._elapsed()
        peak = scope.close() if scope is not None else None
        known = before is not None and after is not None
        if known and not self.ended and (before != after or even_if_unchanged):
            number = self.next_number()
            self.journal.text(
                file_format.row("span", number, start, before, _thread.get_native_id(), 0, label)
                + file_format.row("span_end", number, now, after, peak)
            )

    def _elapsed(self) -> int:
        return clocks.monotonic_ns() - self.began
