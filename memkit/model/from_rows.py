"""The rows of a recording, taken in one by one, and what they add up to."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any

from memkit.model import old_rows
from memkit.model.calls import Function, Tally
from memkit.model.ending import End, Ending, Exit, ending_of
from memkit.model.limit_events import Crossing, Frame, Stack, StackSnapshot
from memkit.model.metadata import About
from memkit.model.oom_evidence import OutOfMemory, evidence_of, set_limit_of
from memkit.model.overhead import Cost, Tracing
from memkit.model.recording import Line, Process, Recording, Sample, Span, Total
from memkit.system.limit import Limit

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
        self._limits: list[Limit] = []
        self._crossings: list[Crossing] = []
        self._stacks: list[tuple[int, Stack]] = []
        self._snapshot: int | None = None  # when stacks were read as memory rose
        self._last_seen: list[Stack] = []
        self._names: dict[int, str] = {}
        self._spans: dict[int, tuple[int, int, int, int, str]] = {}
        self._ends: dict[int, tuple[int, int, int | None]] = {}
        self._functions: dict[int, Function] = {}
        self._lines: dict[tuple[int, int], tuple[int, int, int, int, int]] = {}
        self._tracing: tuple[str, str, str | None, float, float] | None = None
        self._reads = 0
        self._calls = Tally()
        self._call_tracing: tuple[str, str, str | None, float, float] | None = None
        self._call_reads = 0
        self._cost = (0, 0, 0)
        self._end: End | None = None
        self._exit: Exit | None = None
        self._unread = 0

    def take(self, rows: list[Any]) -> None:
        """Take in decoded rows; those that are damaged or of an unknown kind are counted."""
        new, pid = tuple.__new__, self.about.pid
        try:
            samples = [  # nearly every row is a short one of these; adding 0 refuses what is no number
                new(Sample, (row[1] + 0, pid, row[2] + 0, row[2])) if len(row) == 3 else self._sample(*row[1:])
                for row in rows
                if row[0] == "sample" and len(row) < _OF_ANOTHER
            ]
        except (TypeError, LookupError):
            samples = None  # one is damaged: go through them singly
        if samples is not None:
            self._samples += samples
            rows = [row for row in rows if row[0] != "sample" or len(row) >= _OF_ANOTHER]
        for row in rows:
            self._take_one(row)

    def _take_one(self, row: Any) -> None:
        kind: Any = row[0] if isinstance(row, list) and row else None
        try:
            TAKE[old_rows.TAGS.get(kind, kind)](self, *row[1:])
        except (TypeError, ValueError, KeyError, OverflowError):  # without its values, or of an unknown kind
            self._unread += 1

    # Adding 0 or "" refuses what is no number or no text.

    def _sample(self, time: Any, memory: Any, rise: Any = 0, pid: Any = None) -> Sample:
        return Sample(time + 0, pid or self.about.pid, memory + 0, memory + max(rise, 0))

    def _sampled(self, time: Any, memory: Any, rise: Any = 0, pid: Any = None) -> None:
        sample = self._sample(time, memory, rise, pid)
        (self._samples if sample.pid == self.about.pid else self._others).append(sample)

    def _span_begin(self, id: Any, time: Any, memory: Any, thread: Any, depth: Any, label: Any, *_: Any) -> None:
        self._spans[id + 0] = (time + 0, memory + 0, thread, depth + 0, "" + label)

    def _span_end(self, id: Any, time: Any, memory: Any, peak: Any, *_: Any) -> None:
        self._ends[id + 0] = (time + 0, memory + 0, peak if peak is None else peak + 0)

    def _function(self, number: Any, file: Any, name: Any, line: Any, *_: Any) -> None:
        self._functions[number + 0] = Function("" + file, "" + name, line + 0)

    def _line(self, function: Any, number: Any, hits: Any, time: Any, growth: Any, memory: Any, peak: Any, *_: Any) -> None:
        self._lines[function + 0, number + 0] = (hits + 0, time + 0, growth + 0, memory + 0, peak + 0)

    def _traced(self, tracer: Any, gate: Any, reason: Any, event_cost: Any, read_cost: Any, *_: Any) -> None:
        self._tracing = ("" + tracer, "" + gate, reason, event_cost + 0, read_cost + 0)

    def _was_read(self, reads: Any, *_: Any) -> None:
        self._reads += reads

    def _call(self, *values: Any) -> None:
        self._calls.take(*values)

    def _calls_traced(self, tracer: Any, gate: Any, reason: Any, event_cost: Any, read_cost: Any, *_: Any) -> None:
        self._call_tracing = ("" + tracer, "" + gate, reason, event_cost + 0, read_cost + 0)

    def _was_read_at_calls(self, reads: Any, *_: Any) -> None:
        self._call_reads += reads

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
        self._end = End(time + 0, "" + kind, error, code, self._evidence(out_of_memory), exception, limit)

    def _exited(self, time: Any, code: Any, signal: Any, out_of_memory: Any, *_: Any) -> None:
        self._exit = Exit(time + 0, code, signal, self._evidence(out_of_memory))

    def _evidence(self, value: Any) -> OutOfMemory | None:
        if isinstance(value, str):
            return old_rows.evidence(value, self._limits)
        return None if value is None else evidence_of(value)

    def _marked(self, kind: Any, reason: Any = None, *_: Any) -> None:
        self.about = self.about._replace(peaks="" + kind, peaks_reason=reason)

    def _limit(self, name: Any, size: Any, used: Any, kind: Any = None, *_: Any) -> None:
        kind = old_rows.kind_of(name) if kind is None else "" + kind
        self._limits.append(Limit("" + name, size + 0, used + 0, kind))

    def _crossed(self, time: Any, memory: Any, limit: Any, name: Any, action: Any, *_: Any) -> None:
        self._crossings.append(Crossing(time + 0, memory + 0, limit + 0, "" + name, "" + action))

    def _snapshot_begins(self, time: Any, *_: Any) -> None:
        self._snapshot = time + 0
        self._last_seen = []

    def _stack(self, time: Any, thread: Any, name: Any, frames: Any, *_: Any) -> None:
        frames = tuple(Frame("" + file, line + 0, "" + function) for file, line, function in frames)
        stack = Stack(thread, name, _the_programs(frames, self.about.package))
        if time == self._snapshot:
            self._last_seen.append(stack)
        else:
            self._stacks.append((time + 0, stack))

    def _thread(self, thread: Any, name: Any, *_: Any) -> None:
        self._names[thread + 0] = "" + name

    def _process_began(self, pid: Any, parent: Any, started: Any, command: Any, *_: Any) -> None:
        self._processes.append([pid + 0, parent, started + 0, "" + command, None])

    def _executed(self, pid: Any, time: Any, command: Any, *_: Any) -> None:
        process = self._living(pid)
        process[3] = "" + command

    def _process_ended(
        self, pid: Any, time: Any, code: Any = None, signal: Any = None, out_of_memory: Any = None, *_: Any
    ) -> None:
        self._living(pid)[4] = (time + 0, _child_ending(code, signal, self._evidence(out_of_memory)))

    def _process_left(self, pid: Any, time: Any, *_: Any) -> None:
        self._living(pid)[4] = (None, _LEFT)

    def _living(self, pid: Any) -> _Process:
        for process in reversed(self._processes):
            if process[0] == pid and process[4] is None:
                return process
        raise ValueError(pid)

    def _tree(self, kind: Any, reason: Any = None, seen: Any = None, seen_reason: Any = None, *_: Any) -> None:
        self._summed = ("" + kind, reason)
        self._seen = (seen, seen_reason)

    def _total(
        self, time: Any, memory: Any, rss: Any, estimated: Any = 0, below: Any = None, above: Any = None, *_: Any
    ) -> None:
        bounds = () if above is None else (below + 0, above + 0)
        self._totals.append(Total(time + 0, memory + 0, rss + 0, estimated + 0, *bounds))

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
        about = self.about
        beats, late, cpu = self._cost
        last = self._exit or self._end
        ending = ending_of(self._end, self._exit, about.recorder is not None)
        process = Process(about.pid, about.parent, about.command, 0, last and last.time, ending)
        return Recording(
            about=about,
            samples=tuple(self._samples),
            others=tuple(sorted(self._others, key=_time_of)),
            totals=tuple(self._totals),
            summed=self._summed and self._summed[0],
            summed_reason=self._summed and self._summed[1],
            seen=self._seen[0],
            seen_reason=self._seen[1],
            lines=self._all_lines(),
            spans=tuple(self._span(id, begin) for id, begin in self._spans.items()),
            processes=(process, *self._children()),
            limits=tuple(sorted(self._limits, key=lambda limit: limit.left)),
            crossings=self._crossings_with_stacks(),
            oom_kills=self._exit and self._exit.out_of_memory,
            snapshot=self._last_snapshot(),
            ending=ending,
            cost=Cost(beats, late, cpu if about.engine == "native" else None),
            tracing=self._how_traced(),
            calls=self._calls.calls(self._functions),
            call_tracing=self._how_calls_were_traced(),
            unread=self._unread + unread,
            source=source,
        )

    def _all_lines(self) -> tuple[Line, ...]:
        """The lines, function by function in the order of their files; the same function under two numbers is one."""
        sums: dict[tuple[Function, int], tuple[int, int, int, int, int]] = {}
        for (number, line), (hits, time, growth, memory, peak) in self._lines.items():
            function = self._functions.get(number)
            if function is None:  # its row was lost
                continue
            before = sums.get((function, line), (0, 0, 0, 0, 0))
            sums[function, line] = (
                before[0] + hits,
                before[1] + time,
                before[2] + growth,
                memory,
                max(before[4], peak),
            )
        order = sorted(sums, key=lambda place: (place[0].file, place[0].line, place[0].name, place[1]))
        return tuple(Line(*place, *sums[place]) for place in order)

    def _how_traced(self) -> Tracing | None:
        if self._tracing is None:
            return None
        events = sum(hits for hits, *_ in self._lines.values())
        return Tracing(*self._tracing, events, self._reads)

    def _how_calls_were_traced(self) -> Tracing | None:
        if self._call_tracing is None:
            return None
        return Tracing(*self._call_tracing, self._calls.entered, self._call_reads)

    def _span(self, id: Any, begin: Any) -> Span:
        start, before, thread, depth, label = begin
        end, after, peak = self._ends.get(id, (None, None, None))
        if peak is None:
            within = [s.memory for s in self._samples if s.time >= start and (end is None or s.time <= end)]
            peak = max(within, default=before)
        return Span(label, thread, depth, start, end, before, after, max(peak, before, after or 0))

    def _named(self, stack: Stack) -> Stack:
        return stack._replace(name=stack.name or self._names.get(stack.thread))

    def _last_snapshot(self) -> StackSnapshot | None:
        stacks = tuple(map(self._named, self._last_seen))
        return None if self._snapshot is None else StackSnapshot(self._snapshot, stacks)

    def _crossings_with_stacks(self) -> tuple[Crossing, ...]:
        """Each crossing with the stacks that were read for it: after it, and before the next."""
        stacks = [(time, self._named(stack)) for time, stack in self._stacks]
        nexts = [crossing.time for crossing in self._crossings[1:]] + [float("inf")]
        return tuple(
            crossing._replace(stacks=tuple(stack for time, stack in stacks if crossing.time <= time < until))
            for crossing, until in zip(self._crossings, nexts)
        )

    def _children(self) -> list[Process]:
        processes = []
        left = self._end is not None and self._end.kind == "detached"  # the recording was stopped while they ran
        for pid, parent, started, command, end in self._processes:
            ended, ending = end or (None, _LEFT if left else Ending("unknown", finished=False))
            processes.append(Process(pid, parent, command, started, ended, ending))
        return processes


def _the_programs(frames: tuple[Frame, ...], package: str | None) -> tuple[Frame, ...]:
    """Frames without those of ``memkit-run`` around the program. ``package`` is the folder of the memkit that made them."""
    if package is None:
        return old_rows.the_programs(frames)
    count = len(frames)
    while count and frames[count - 1].file.startswith(package):
        count -= 1
    return frames[:count] or frames


def _child_ending(code: int | None, signal: int | None, out_of_memory: OutOfMemory | None) -> Ending:
    if signal is not None:
        return Ending("killed", signal=signal, out_of_memory=out_of_memory, finished=False)
    if code is None:
        return Ending("ended", finished=False)
    return Ending("exited", code=code) if code else Ending("ok")


_time_of = attrgetter("time")
_LEFT = Ending("detached", finished=False)
_OF_ANOTHER = 5
"""The length of a ``sample`` row with a pid."""

TAKE: dict[str, Callable[..., None]] = {
    "sample": Rows._sampled,
    "function": Rows._function,
    "line": Rows._line,
    "tracing": Rows._traced,
    "reads": Rows._was_read,
    "call": Rows._call,
    "call_tracing": Rows._calls_traced,
    "call_reads": Rows._was_read_at_calls,
    "span": Rows._span_begin,
    "span_end": Rows._span_end,
    "limit": Rows._limit,
    "peaks": Rows._marked,
    "crossing": Rows._crossed,
    "snapshot": Rows._snapshot_begins,
    "stack": Rows._stack,
    "thread": Rows._thread,
    "process": Rows._process_began,
    "command": Rows._executed,
    "process_end": Rows._process_ended,
    "process_left": Rows._process_left,
    "tree": Rows._tree,
    "total": Rows._total,
    "cost": Rows._spent,
    "end": Rows._ended,
    "exit": Rows._exited,
}
