"""The tracers of one recording, from their start to their last rows."""

from __future__ import annotations

import os

from memkit.base import clocks, own_code
from memkit.model import file_format
from memkit.system import engine as engines
from memkit.system import preload
from memkit.tracing import functions, last_calls, new_threads, tracers
from memkit.tracing.calibration import call_costs, line_costs
from memkit.tracing.choice import gate_in_use
from memkit.tracing.functions import Functions
from memkit.tracing.tracers import CallTracer, LineTracer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from memkit.base.protocols import Sampler
    from memkit.native.heap.counted_heap import CountedHeap
    from memkit.native.heap.span_heap import HeapOfSpans
    from memkit.system.engine import Journal, Meter
    from memkit.tracing.balances import Balances
    from memkit.tracing.targets import Targets
    from memkit.tracing.tracers import Tracer

_MOST_TARGETS = 100  # that a recording tells
_MOST_MARKS = 4096  # spans at the same time of which it can be told what happened inside

own_code.uninterruptible |= {__file__, functions.__file__, last_calls.__file__, new_threads.__file__, tracers.__file__}


class InsideSpans:
    """Rows of what happened inside spans. ``tracers`` is a list that may get more of them."""

    def __init__(self, tracers: list[Tracer]) -> None:
        self._tracers = tracers
        self._marks: dict[int, list[tuple[Tracer, int]]] = {}

    def begin(self, span: int) -> None:
        """A span with this number begins."""
        if len(self._marks) >= _MOST_MARKS:  # the oldest may be open for ever
            self._marks.pop(next(iter(self._marks)), None)
        self._marks[span] = [(tracer, tracer.mark()) for tracer in self._tracers]

    def end(self, span: int, *, tell: bool) -> bytes:
        """The span has ended: the rows of it if they are to be told."""
        marks = self._marks.pop(span, ())
        return (
            b"".join(row for tracer, mark in marks for row in tracer.rows_inside(span, tracer.since(mark))) if tell else b""
        )


class TracingSession:
    """The tracers of one recording, with its native journal and a native meter; ``sampler`` has them write their sums.

    ``began`` is when the recording began, on ``time.monotonic_ns``; ``follows`` is whether another process began it. If it
    ``is_brief``, many of its kind may follow.
    """

    def __init__(
        self,
        journal: Journal,
        sampler: Sampler,
        meter: Meter,
        began: int,
        follows: bool = False,
        is_brief: bool = False,
    ) -> None:
        self._journal = journal
        self._sampler = sampler
        self._meter = meter
        self._began = began
        self._follows = follows
        self._is_brief = is_brief
        self._functions = Functions(journal)
        self._tracers: list[Tracer] = []
        self.lines: LineTracer | None = None
        self._heap: CountedHeap | None = None
        self.span_heap: HeapOfSpans | None = None
        """What counts the heap by spans, or by lines and calls in them, if that is so."""
        self._by_tracers = False  # whether these say where each thread is for what is counted
        self._sampled: int | None = None
        self.takes_balances = True
        self._balances: Balances | None = None
        self.inside = InsideSpans(self._tracers)

    def go_on_with_heap(self, earlier: TracingSession) -> None:
        """Write what an earlier session sampled and goes on sampling, which gets a sampler of its own for it no more."""
        earlier._sampler.flush_also([])
        self._heap, self._sampled, earlier._heap = earlier._heap, earlier._sampled, None
        assert self._heap is not None
        earlier_sums = self._heap
        earlier_sums.flush(earlier._journal)
        earlier_sums.write_anew()  # type: ignore[attr-defined]  # of samples, which a watch has and no other
        self._write_what_counts(True, True)
        self._sampler.flush_also(self._writers())

    def trace(self, lines: Targets | None, calls: Targets | bool | None, builtins: bool, heap: bool | int | str) -> None:
        """Trace lines and calls of what is wanted, and count by these what is allocated and freed if ``heap`` is True.

        A number is the mean distance in bytes of what is sampled instead, by stacks that are read and not traced. Text is
        for what is counted by spans.
        """
        if isinstance(heap, str):
            self._count_by_spans()
        elif heap:
            self._sampled = None if heap is True else heap
            self._count(bool(calls), bool(lines))
        try:
            if lines:
                self.trace_lines(lines)
            if calls:
                self.trace_calls(calls, builtins)
        finally:
            self.resume()
            if self._heap is not None:  # what this thread allocates from now on is the program's
                self._heap.begin()

    def _count(self, calls: bool, lines: bool) -> None:
        """Begin to count what is allocated, but for this thread."""
        with engines.compiled("counting of allocations"):
            from memkit.native.heap.heap_sums import HeapSums
            from memkit.native.sampling.sampled_heap import SampledHeap
        if self._sampled is None:
            self._heap = self.span_heap = HeapSums(calls, lines, self._name_label)
            self._by_tracers = True
            if self.takes_balances:
                from memkit.tracing.balances import Balances

                self._balances = Balances(self._journal, self._heap, self._began, self._follows)
        else:
            calls = lines = True
            self._heap = SampledHeap(self._sampled, _seed(), file_format.quote(own_code.PACKAGE)[:-1])
        self._heap.start()
        self._write_what_counts(calls, lines)
        if self._sampled is not None:
            self._sampler.flush_also(self._writers())

    def _count_by_spans(self) -> None:
        """Begin to count what is allocated, by spans, but for this thread."""
        with engines.compiled("counting of allocations"):
            from memkit.native.heap.span_heap import SpanHeap
        self._heap = self.span_heap = SpanHeap(self._name_label)
        self._heap.start()
        self._write_what_counts(False, False)
        self._sampler.flush_also(self._writers())

    @property
    def _name_label(self) -> Callable[[int, int | None, str], object]:
        journal = self._journal  # of this session it would make a cycle
        return lambda *names: journal.text(file_format.row("span_label", *names))

    def _write_what_counts(self, calls: bool, lines: bool) -> None:
        assert self._heap is not None
        whose = self._heap.counted
        why_not = preload.why_absent(whose)
        self._journal.text(file_format.row("heap_counting", whose, int(calls), int(lines), why_not, self._sampled))

    def trace_lines(self, wanted: Targets) -> None:
        """Trace the lines of what is wanted."""
        costs = line_costs(self._meter)
        self.lines = LineTracer(
            self._functions,
            self._meter,
            wanted.wants,
            with_heap=self._by_tracers,
            rules_out=wanted.rules_out,
            is_brief=self._is_brief,
        )
        self._start("tracing", self.lines, costs, wanted)

    def trace_calls(self, wanted: Targets | bool, builtins: bool) -> None:
        """Trace calls under what is wanted, all of them for True.

        ``builtins`` is whether functions in C are calls of their own.
        """
        costs = call_costs(self._meter)
        wants = getattr(wanted, "wants", None)
        tracer = CallTracer(self._functions, self._meter, wants, builtins, self._by_tracers)
        self._start("call_tracing", tracer, costs, wanted)

    def _start(self, tag: str, tracer: Tracer, costs: tuple[float, float], wanted: Targets | bool) -> None:
        name, reason = gate_in_use()
        targets = [] if isinstance(wanted, bool) else wanted.texts()[:_MOST_TARGETS]
        self._journal.text(file_format.row(tag, tracer.engine, name, reason, *costs, targets))
        tracer.last_calls.before = self._sampler.flush_with_sample
        journal, began = self._journal, self._began
        tracer.last_calls.at_end = lambda: _ends(journal, began)  # of this session it would make a cycle
        self._tracers.append(tracer)
        self._sampler.flush_also(self._writers())
        tracer.start()

    def _writers(self) -> list[object]:
        """What writes sums at each flush: those of the heap last, which name what the others write."""
        found = [each.writer(self._sampler) for each in self._tracers]
        return found if self._heap is None else [*found, self._heap.writer()]

    def pause(self) -> None:
        """End the thread that takes balances, if there is one, as before a fork."""
        if self._balances is not None:
            self._balances.pause()

    def resume(self) -> None:
        """Start it, or start it again."""
        if self._balances is not None:
            self._balances.resume()

    def stop(self) -> None:
        """Trace no more, and tell what resident memory is made of now. The sums are kept."""
        self.pause()
        if self._heap is not None:
            self._heap.stop()
        for tracer in reversed(self._tracers):
            tracer.stop()
        if self._balances is not None:
            self._balances.take_last()
        if self._heap is not None:
            self._heap.forget()

    def flush(self) -> None:
        """Write all sums, once the sampler has stopped."""
        self._sampler.flush_also([])
        for tracer in self._tracers:
            tracer.flush(self._journal)
        if self._heap is not None:
            self._heap.flush(self._journal)

    def close(self) -> None:
        """Release the tracers, once the sampler has stopped. Raises what a signal raised during the last balance."""
        self._sampler.flush_also([])
        for tracer in self._tracers:
            tracer.close()
        self._tracers.clear()
        raised = self._balances and self._balances.raised
        self._heap = self._balances = self.span_heap = None
        if raised:
            raise raised


def _seed() -> int:
    """What random numbers begin with: another one in each recording, unless ``MEMKIT_HEAP_SEED`` says which."""
    given = os.environ.get("MEMKIT_HEAP_SEED", "")
    return int(given) if given.isdecimal() else int.from_bytes(os.urandom(7), "little")


def _ends(journal: Journal, began: int) -> None:
    """The program ends itself now, and everything has been written."""
    journal.text(file_format.row("end", clocks.monotonic_ns() - began, "ended"))
    journal.flush()
