"""The rows of a recording, taken in one by one, and what they add up to."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from functools import partial
from operator import attrgetter, itemgetter
from typing import Any

from memkit.model import heap, old_rows
from memkit.model.at_once import samples_of, sums_of_lines, whole_line
from memkit.model.call_tally import Tally
from memkit.model.calls import Function
from memkit.model.ending import End, Ending, Exit, child_ending, ending_of
from memkit.model.heap_paths import heap_lines, heap_paths
from memkit.model.inside import Insides
from memkit.model.limit_events import Crossing, Frame, GroupUse, Stack, StackSnapshot, the_programs
from memkit.model.lines import Line, added_up
from memkit.model.metadata import About
from memkit.model.oom_evidence import OutOfMemory, evidence_of, set_limit_of
from memkit.model.overhead import MIXED, Cost, Tracing
from memkit.model.recording import Process, Recording, Sample, Total, Unrecorded
from memkit.model.row_values import SHAPES, check
from memkit.model.span_heaps import SpanHeaps
from memkit.model.span_sums import LabelSums
from memkit.model.spans import Span, Spans
from memkit.system.limit import Limit

_Sums = tuple[int, int, int, int, int, int | None, int | None, int, int | None]
"""The fields of a ``Line`` after its place."""
_Process = list[Any]
"""The pid, parent, start and command of a process, and when and how it ended, or None."""


class Rows:
    """What has been read of a recording so far."""

    def __init__(self, about: About) -> None:
        self.about = about
        self._samples: list[Sample] = []
        self._others: list[Sample] = []
        self._totals: list[Total] = []
        self._summed: tuple[str | None, str | None] | None = None
        self._seen: tuple[str | None, str | None] = (None, None)
        self._processes: list[_Process] = []  # those that the recorded one started, in order
        self._alive: dict[int, list[_Process]] = {}  # those of them that have not ended, by pid
        self._unrecorded: dict[int, Unrecorded] = {}
        self._waited_for: int | None = None
        self._limits: list[Limit] = []
        self._group: list[GroupUse] = []
        self._mapped: list[tuple[int, int]] = []
        self._crossings: list[Crossing] = []
        self._stacks: list[tuple[int, Stack]] = []
        self._snapshot: int | None = None  # when stacks were read as memory rose, or as somebody asked
        self._asked, self._names = False, dict[int, str]()
        self._last_seen: list[Stack] = []
        self._spans, self._insides, self._span_sums, self._span_heaps = Spans(), Insides(), LabelSums(), SpanHeaps()
        self._functions: dict[int, Function] = {}
        self._sources, self._size = dict[str, str](), None
        self._lines: dict[tuple[int, int], _Sums] = {}
        self._tracing: tuple[str, str, str | None, float, float, tuple[str, ...]] | None = None
        self._reads = self._call_reads = 0
        self._calls = Tally()
        self._call_tracing: tuple[str, str, str | None, float, float, tuple[str, ...]] | None = None
        self._heap = heap.HeapCounts()
        self._greenlets: str | None = None
        self._sums: tuple[int | None, int | None] = (None, None)  # when they were written, and with small changes too
        self._cost = (0, 0, 0)
        self._end: End | None = None
        self._exit: Exit | None = None
        self._unread = 0

    def take(self, rows: list[Any]) -> None:
        """Take in decoded rows; those that are damaged or of an unknown kind are counted."""
        many: dict[Any, list[Any]] = {"sample": [], "line": [], "call": []}  # as nearly every row is
        rest: list[Any] = []
        try:
            for row in rows:
                many.get(row[0], rest).append(row)
        except (TypeError, LookupError):  # one is damaged: go through them singly
            many, rest = {}, rows
        for kind, alike in many.items():
            try:
                AT_ONCE[kind](self, alike)
            except (TypeError, LookupError, OverflowError, ValueError):
                rest = [*alike, *rest]
        for row in rest:
            self._take_one(row)

    def _samples_at_once(self, rows: list[Any]) -> None:
        plain = [row for row in rows if len(row) < _OF_ANOTHER]
        self._samples += samples_of(plain, self.about.pid)
        for row in (row for row in rows if len(row) >= _OF_ANOTHER):
            self._take_one(row)

    def _take_one(self, row: Any) -> None:
        kind: Any = row[0] if isinstance(row, list) and row else None
        try:
            kind = old_rows.TAGS.get(kind, kind)
            check(row[1:], SHAPES.get(kind, ""))
            TAKE[kind](self, *row[1:])
        except (TypeError, ValueError, KeyError, OverflowError):  # damaged, or of an unknown kind
            self._unread += 1

    def _sampled(self, time: Any, memory: Any, rise: Any = 0, pid: Any = None) -> None:
        sample = Sample(time, pid or self.about.pid, memory, memory + max(rise, 0))
        (self._samples if sample.pid == self.about.pid else self._others).append(sample)

    def _function(self, number: Any, file: Any, name: Any, line: Any, *_: Any) -> None:
        self._functions[number] = Function(file, name, line)

    def _traced(self, tracer: Any, gate: Any, reason: Any, cost: Any, read: Any, targets: Any = (), *_: Any) -> None:
        self._tracing = (tracer, gate, reason, cost, read, tuple(targets))

    def _was_read(self, reads: Any, *_: Any) -> None:
        self._reads += reads

    def _calls_traced(self, tracer: Any, gate: Any, reason: Any, cost: Any, read: Any, targets: Any = (), *_: Any) -> None:
        self._call_tracing = (tracer, gate, reason, cost, read, tuple(targets))

    def _was_read_at_calls(self, reads: Any, *_: Any) -> None:
        self._call_reads += reads

    def _greenlets_mixed(self, why: Any, *_: Any) -> None:
        self._greenlets = MIXED.get(why, "for a reason that this memkit does not know")

    def _summed_up(self, time: Any, left: Any = 0, *_: Any) -> None:
        self._sums = (time, self._sums[1] if left else time)

    def _age(self) -> tuple[int | None, int | None]:
        return self._sums if self._end is None else (None, None)

    def _spent(self, beats: Any, late: Any, cpu: Any, *_: Any) -> None:
        so_far = self._cost
        self._cost = (so_far[0] + beats, so_far[1] + late, so_far[2] + cpu)

    def _ended(
        self,
        time: Any,
        kind: Any,
        error: Any = None,
        code: Any = None,
        out_of_memory: Any = None,
        exception: Any = None,
        limit: Any = None,
        *_: Any,
    ) -> None:
        limit = None if limit is None else set_limit_of(limit)
        exception = exception or old_rows.exception_of(error, kind)
        self._end = End(time, kind, error, code, self._evidence(out_of_memory), exception, limit)

    def _exited(self, time: Any, code: Any, signal: Any, out_of_memory: Any, *_: Any) -> None:
        self._exit = Exit(time, code, signal, self._evidence(out_of_memory))

    def _evidence(self, value: Any) -> OutOfMemory | None:
        if isinstance(value, str):
            return old_rows.evidence(value, self._limits)
        return None if value is None else evidence_of(value)

    def _marked(self, kind: Any, reason: Any = None, *_: Any) -> None:
        self.about = self.about._replace(peaks=kind, peaks_reason=reason)

    def _limit(self, name: Any, size: Any, used: Any, kind: Any = None, *_: Any) -> None:
        kind = old_rows.kind_of(name) if kind is None else kind
        self._limits.append(Limit(name, size, used, kind))

    def _snapshot_begins(self, time: Any, asked: Any = 0, *_: Any) -> None:
        self._snapshot, self._asked = time, bool(asked)
        self._last_seen = []

    def _stack(self, time: Any, thread: Any, name: Any, frames: Any, *_: Any) -> None:
        frames = tuple(Frame(file, line, function) for file, line, function in frames)
        for frame in frames:
            check(frame, "sls")
        shown = the_programs(frames, self.about.package) if self.about.package else old_rows.the_programs(frames)
        stack = Stack(thread, name, shown)
        if frames and not shown:
            return  # it is a thread of memkit's own
        if time == self._snapshot:
            self._last_seen.append(stack)
        else:
            self._stacks.append((time, stack))

    def _thread(self, thread: Any, name: Any, *_: Any) -> None:
        self._names[thread] = name

    def _process_began(self, pid: Any, parent: Any, started: Any, command: Any, *_: Any) -> None:
        self._processes.append([pid, parent, started, command, None])
        self._alive.setdefault(pid, []).append(self._processes[-1])

    def _executed(self, pid: Any, time: Any, command: Any, *_: Any) -> None:
        self._alive[pid][-1][3] = command

    def _process_ended(
        self, pid: Any, time: Any, code: Any = None, signal: Any = None, out_of_memory: Any = None, *_: Any
    ) -> None:
        self._gone(pid, (time, child_ending(code, signal, self._evidence(out_of_memory))))

    def _gone(self, pid: int, end: tuple[int | None, Ending]) -> None:
        alike = self._alive[pid]
        alike.pop()[4] = end
        if not alike:
            del self._alive[pid]

    def _tree(self, kind: Any, reason: Any = None, seen: Any = None, seen_reason: Any = None, *_: Any) -> None:
        self._summed = (kind, reason)
        self._seen = (seen, seen_reason)

    def _not_recorded(self, pid: Any, memory: Any, command: Any, *_: Any) -> None:
        before = self._unrecorded.get(pid)
        self._unrecorded[pid] = Unrecorded(pid, command, max(memory, before.memory if before else 0))

    def _total(
        self, time: Any, memory: Any, rss: Any, estimated: Any = 0, below: Any = None, above: Any = None, *_: Any
    ) -> None:
        bounds = () if above is None or below is None else (below, above)
        self._totals.append(Total(time, memory, rss, estimated, *bounds))

    # -- how it stands now: without a copy of everything -----------------------------------------------------------------

    @property
    def heights(self) -> list[Total] | list[Sample]:
        """The samples, or where a tree is recorded the totals; it grows."""
        return self._totals or self._samples

    def line_times(self) -> dict[tuple[Function, int], int]:
        """For each traced line how long it ran, so far."""
        times = {}
        for (number, line), (_, time, *_) in self._lines.items():
            if number in self._functions:
                times[self._functions[number], line] = time
        return times

    @property
    def living(self) -> int | None:
        """How many processes of the tree are alive; None where no tree is recorded."""
        return None if self._summed is None else 1 + sum(process[-1] is None for process in self._processes)

    # -- what they add up to -------------------------------------------------------------------------------------------

    def recording(self, source: str | None = None, unread: int = 0) -> Recording:
        """What these rows are the recording of."""
        about, spans = self.about, self._all_spans()
        (beats, late, cpu), ended = self._cost, self._exit or self._end
        ending = ending_of(self._end, self._exit, about.recorder is not None)
        process = Process(about.pid, about.parent, about.command, 0, ended and ended.time, ending, about.name)
        processes = (process, *self._children())
        recorded = {each.pid for each in processes}
        calls = self._calls.calls(self._functions, self._heap.of_calls())
        callers = {call.id: call.parent for call in calls}
        paths = heap_paths(self._heap.estimates(), self._functions, callers)
        return Recording(
            about=about,
            samples=tuple(self._samples),
            others=tuple(sorted(self._others, key=_time_of)),
            totals=tuple(self._totals),
            summed=self._summed and self._summed[0],
            summed_reason=self._summed and self._summed[1],
            seen=self._seen[0],
            seen_reason=self._seen[1],
            unrecorded=tuple(each for each in self._unrecorded.values() if each.pid not in recorded),
            waited_for=self._waited_for,
            lines=self._all_lines(),
            heap_lines=heap_lines(paths),
            heap_paths=paths,
            spans=spans,
            processes=processes,
            size=self._size,
            mapped=tuple(self._mapped),
            group=tuple(self._group),
            limits=tuple(sorted(self._limits, key=lambda limit: limit.left)),
            crossings=self._crossings_with_stacks(),
            oom_kills=self._exit and self._exit.out_of_memory,
            snapshot=self._last_snapshot(),
            ending=ending,
            cost=Cost(beats, late, cpu if about.engine == "native" else None),
            tracing=self._how_traced(),
            sources=tuple(self._sources.items()),
            calls=calls,
            heap=self._heap.total(*self._age()),
            balances=self._heap.balances,
            span_sums=self._span_sums.found(spans),
            span_heaps=self._span_heaps.found(self._path_of, self._functions, self._heap.below),
            given=self._calls.given(self._functions),
            call_tracing=self._how_calls_were_traced(),
            greenlets=self._greenlets,
            unread=self._unread + unread,
            source=source,
        )

    def _all_spans(self) -> tuple[Span, ...]:
        return self._spans.found(self._samples, self._insides.found(self._path_of, self._functions))

    def _path_of(self, call: int) -> tuple[Function, ...]:
        return self._calls.path(call, self._functions)

    def _all_lines(self) -> tuple[Line, ...]:
        """The lines, function by function in the order of their files; the same function under two numbers is one."""
        heaps, none = self._heap.of_lines(), (heap.NO_HEAP, heap.NO_HEAP)
        found = (
            Line(self._functions[number], line, *sums, *(heaps.get((number, line), none) if heaps is not None else ()))
            for (number, line), sums in self._lines.items()
            if number in self._functions  # else its row was lost
        )
        return added_up(found)

    def _how_traced(self) -> Tracing | None:
        if self._tracing is None:
            return None
        events = sum(hits for hits, *_ in self._lines.values())
        return Tracing(*self._tracing[:-1], events, self._reads, *self._age(), self._tracing[-1])

    def _how_calls_were_traced(self) -> Tracing | None:
        if self._call_tracing is None:
            return None
        return Tracing(*self._call_tracing[:-1], self._calls.entered, self._call_reads, *self._age(), self._call_tracing[-1])

    def _named(self, stack: Stack) -> Stack:
        return stack._replace(name=stack.name or self._names.get(stack.thread))

    def _last_snapshot(self) -> StackSnapshot | None:
        stacks = tuple(map(self._named, self._last_seen))
        return None if self._snapshot is None else StackSnapshot(self._snapshot, stacks, self._asked)

    def _crossings_with_stacks(self) -> tuple[Crossing, ...]:
        """Each crossing with the stacks that were read for it: after it, and before the next."""
        stacks = sorted(self._stacks, key=itemgetter(0))
        times = [time for time, _ in stacks]
        crossings = sorted(self._crossings, key=_time_of)
        places = [bisect_left(times, crossing.time) for crossing in crossings] + [len(times)]
        return tuple(
            crossing._replace(stacks=tuple(self._named(stack) for _, stack in stacks[first:until]))
            for crossing, first, until in zip(crossings, places, places[1:])
        )

    def _children(self) -> list[Process]:
        processes = []
        left = self._end is not None and self._end.kind == "detached"  # the recording was stopped while they ran
        for pid, parent, started, command, end in self._processes:
            ended, ending = end or (None, _LEFT if left else Ending("unknown", finished=False))
            processes.append(Process(pid, parent, command, started, ended, ending))
        return processes


_time_of = attrgetter("time")
_LEFT = Ending("detached", finished=False)
_OF_ANOTHER = 5
"""The length of a ``sample`` row with a pid."""

AT_ONCE: dict[str, Callable[[Rows, list[Any]], None]] = {
    "sample": Rows._samples_at_once,
    "line": lambda rows, lines: rows._lines.update(sums_of_lines(lines)),
    "call": lambda rows, calls: rows._calls.take_all(calls),
}
"""What takes in many rows of a kind, for those of which there are many."""
TAKE: dict[str, Callable[..., object]] = {
    "sample": Rows._sampled,
    "function": Rows._function,
    "source": lambda rows, file, text, *_: rows._sources.update({file: text}),
    "line": lambda rows, function, number, *sums: rows._lines.update({(function, number): whole_line(*sums)}),
    **{tag: partial(lambda take, rows, *values: take(rows._heap, *values), take) for tag, take in heap.TAKE.items()},
    "tracing": Rows._traced,
    "reads": Rows._was_read,
    "call": lambda rows, *values: rows._calls.take(*values),
    "handed": lambda rows, *values: rows._calls.hand(*values[:3]),
    "given": lambda rows, *values: rows._calls.give(*values),
    "call_tracing": Rows._calls_traced,
    "call_reads": Rows._was_read_at_calls,
    "greenlets": Rows._greenlets_mixed,
    "sums": Rows._summed_up,
    "span": lambda rows, *values: rows._spans.begin(*values),
    "span_call": lambda rows, *values: rows._insides.call(*values),
    "span_line": lambda rows, *values: rows._insides.line(*values),
    "span_sums": lambda rows, *values: (rows._span_sums.take(*values), rows._span_heaps.ended(*values[:2])),
    "span_label": lambda rows, *values: rows._span_heaps.label(*values),
    "span_heap": lambda rows, *values: rows._span_heaps.whole(*values),
    "heap_in_span": lambda rows, *values: (rows._heap.take_in_span(*values), rows._span_heaps.site(*values)),
    "span_end": lambda rows, *values: rows._spans.end(*values),
    "size": lambda rows, time, size, *_: vars(rows).update(_size=float(size)),
    "mapped": lambda rows, time, size, *_: rows._mapped.append((time, size)),
    "group": lambda rows, *values: rows._group.append(GroupUse(*values[:7])),
    "limit": Rows._limit,
    "peaks": Rows._marked,
    "crossing": lambda rows, *values: rows._crossings.append(Crossing(*values[:5])),
    "snapshot": Rows._snapshot_begins,
    "stack": Rows._stack,
    "thread": Rows._thread,
    "process": Rows._process_began,
    "command": Rows._executed,
    "process_end": Rows._process_ended,
    "process_left": lambda rows, pid, *_: rows._gone(pid, (None, _LEFT)),
    "tree": Rows._tree,
    "total": Rows._total,
    "unrecorded": Rows._not_recorded,
    "waited_for": lambda rows, memory, *_: vars(rows).update(_waited_for=memory),
    "cost": Rows._spent,
    "end": Rows._ended,
    "exit": Rows._exited,
}
