"""The rows of a recording, taken in one by one, and what they add up to."""

from __future__ import annotations

from operator import attrgetter

from memkit.model import old_rows
from memkit.model.calls import Function, Tally
from memkit.model.ending import Ending
from memkit.model.limit_events import Crossing, Frame, Glance, Stack
from memkit.model.recording import About, Cost, Line, Process, Recording, Sample, Span, Total, Tracing
from memkit.system.limit import Limit


class Rows:
    """What has been read of a recording so far."""

    def __init__(self, about: About):
        self.about = about
        self._samples = []
        self._others = []
        self._totals = []
        self._summed = None
        self._seen = (None, None)
        self._processes = []  # those that the recorded one started, in order: [pid, parent, started, command, ending row]
        self._limits = []
        self._crossings = []
        self._stacks = []
        self._glance = None  # when stacks were read as memory rose
        self._last_seen = []
        self._names = {}
        self._spans = {}
        self._ends = {}
        self._functions = {}
        self._lines = {}
        self._tracing = None
        self._reads = 0
        self._calls = Tally()
        self._call_tracing = None
        self._call_reads = 0
        self._cost = (0, 0, 0)
        self._end = None
        self._exit = None
        self._unread = 0

    def take(self, rows: list) -> None:
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

    def _take_one(self, row) -> None:
        kind = row[0] if isinstance(row, list) and row else None
        try:
            TAKE[kind](self, *row[1:])
        except (TypeError, ValueError, KeyError, OverflowError):  # without its values, or of an unknown kind
            self._unread += 1

    # Adding 0 or "" refuses what is no number or no text.

    def _sample(self, time, memory, rise=0, pid=None):
        return Sample(time + 0, pid or self.about.pid, memory + 0, memory + max(rise, 0))

    def _sampled(self, time, memory, rise=0, pid=None):
        sample = self._sample(time, memory, rise, pid)
        (self._samples if sample.pid == self.about.pid else self._others).append(sample)

    def _span_begin(self, id, time, memory, thread, depth, label, *_):
        self._spans[id + 0] = (time + 0, memory + 0, thread, depth + 0, "" + label)

    def _span_end(self, id, time, memory, peak, *_):
        self._ends[id + 0] = (time + 0, memory + 0, peak if peak is None else peak + 0)

    def _function(self, number, file, name, line, *_):
        self._functions[number + 0] = Function("" + file, "" + name, line + 0)

    def _line(self, function, number, hits, time, growth, memory, peak, *_):
        self._lines[function + 0, number + 0] = (hits + 0, time + 0, growth + 0, memory + 0, peak + 0)

    def _traced(self, tracer, gate, reason, event_cost, read_cost, *_):
        self._tracing = ("" + tracer, "" + gate, reason, event_cost + 0, read_cost + 0)

    def _was_read(self, reads, *_):
        self._reads += reads

    def _call(self, *values):
        self._calls.take(*values)

    def _calls_traced(self, tracer, gate, reason, event_cost, read_cost, *_):
        self._call_tracing = ("" + tracer, "" + gate, reason, event_cost + 0, read_cost + 0)

    def _was_read_at_calls(self, reads, *_):
        self._call_reads += reads

    def _spent(self, beats, late, cpu, *_):
        so_far = self._cost
        self._cost = (so_far[0] + beats, so_far[1] + late, so_far[2] + cpu)

    def _ended(self, time, kind, error=None, code=None, out_of_memory=None, *_):
        self._end = (time + 0, "" + kind, error, code, out_of_memory)

    def _exited(self, time, code, signal, out_of_memory, *_):
        self._exit = (time + 0, code, signal, out_of_memory)

    def _marked(self, kind, reason=None, *_):
        self.about = self.about._replace(peaks="" + kind, peaks_reason=reason)

    def _limit(self, name, size, used, *_):
        self._limits.append(Limit("" + name, size + 0, used + 0))

    def _crossed(self, time, memory, limit, name, action, *_):
        self._crossings.append(Crossing(time + 0, memory + 0, limit + 0, "" + name, "" + action))

    def _glanced(self, time, *_):
        self._glance = time + 0
        self._last_seen = []

    def _stack(self, time, thread, name, frames, *_):
        frames = tuple(Frame("" + file, line + 0, "" + function) for file, line, function in frames)
        stack = Stack(thread, name, _the_programs(frames, self.about.package))
        if time == self._glance:
            self._last_seen.append(stack)
        else:
            self._stacks.append((time + 0, stack))

    def _thread(self, thread, name, *_):
        self._names[thread + 0] = "" + name

    def _process_began(self, pid, parent, started, command, *_):
        self._processes.append([pid + 0, parent, started + 0, "" + command, None])

    def _executed(self, pid, time, command, *_):
        process = self._living(pid)
        process[3] = "" + command

    def _process_ended(self, pid, time, code=None, signal=None, out_of_memory=None, *_):
        self._living(pid)[4] = (time + 0, _child_ending(code, signal, out_of_memory))

    def _process_left(self, pid, time, *_):
        self._living(pid)[4] = (None, _LEFT)

    def _living(self, pid):
        for process in reversed(self._processes):
            if process[0] == pid and process[4] is None:
                return process
        raise ValueError(pid)

    def _tree(self, kind, reason=None, seen=None, seen_reason=None, *_):
        self._summed = ("" + kind, reason)
        self._seen = (seen, seen_reason)

    def _total(self, time, memory, rss, estimated=0, below=None, above=None, *_):
        bounds = () if above is None else (below + 0, above + 0)
        self._totals.append(Total(time + 0, memory + 0, rss + 0, estimated + 0, *bounds))

    # -- how it stands now: without a copy of everything -----------------------------------------------------------------

    @property
    def heights(self) -> list:
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
        ended = self._exit[0] if self._exit else self._end[0] if self._end else None
        ending = self._ending()
        process = Process(about.pid, about.parent, about.command, 0, ended, ending)
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
            oom_kills=self._exit and self._exit[3],
            glance=None if self._glance is None else Glance(self._glance, tuple(map(self._named, self._last_seen))),
            ending=ending,
            cost=Cost(beats, late, cpu if about.engine == "native" else None),
            tracing=self._how_traced(),
            calls=self._calls.calls(self._functions),
            call_tracing=self._how_calls_were_traced(),
            unread=self._unread + unread,
            source=source,
        )

    def _all_lines(self):
        """The lines, function by function in the order of their files; the same function under two numbers is one."""
        sums = {}
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

    def _how_traced(self):
        if self._tracing is None:
            return None
        events = sum(hits for hits, *_ in self._lines.values())
        return Tracing(*self._tracing, events, self._reads)

    def _how_calls_were_traced(self):
        if self._call_tracing is None:
            return None
        return Tracing(*self._call_tracing, self._calls.entered, self._call_reads)

    def _span(self, id, begin):
        start, before, thread, depth, label = begin
        end, after, peak = self._ends.get(id, (None, None, None))
        if peak is None:
            within = [s.memory for s in self._samples if s.time >= start and (end is None or s.time <= end)]
            peak = max(within, default=before)
        return Span(label, thread, depth, start, end, before, after, max(peak, before, after or 0))

    def _ending(self):
        _, kind, error, code, shortage = self._end or (None, None, None, None, None)
        if self._exit:
            _, exit_code, signal, exit_shortage = self._exit
            if signal is not None:
                evidence = exit_shortage if signal == _SIGKILL else None
                return Ending("killed", error=error, signal=signal, out_of_memory=evidence or shortage, finished=False)
            if exit_code is None:
                return Ending("ended", finished=False)
            if self._end is None and self.about.recorder is not None:
                return Ending("exited", code=exit_code) if exit_code else Ending("ok")
            if self._end is None:
                return Ending("exited", code=exit_code, finished=False)
            if kind in ("ok", "ended"):
                return Ending("exited", code=exit_code) if exit_code else Ending("ok")
        if self._end is None:
            return Ending("unknown", finished=False)
        return Ending(kind, error=error, code=code, out_of_memory=shortage, finished=kind != "stopped")

    def _named(self, stack: Stack) -> Stack:
        return stack._replace(name=stack.name or self._names.get(stack.thread))

    def _crossings_with_stacks(self):
        """Each crossing with the stacks that were read for it: after it, and before the next."""
        stacks = [(time, self._named(stack)) for time, stack in self._stacks]
        nexts = [crossing.time for crossing in self._crossings[1:]] + [float("inf")]
        return tuple(
            crossing._replace(stacks=tuple(stack for time, stack in stacks if crossing.time <= time < until))
            for crossing, until in zip(self._crossings, nexts)
        )

    def _children(self):
        processes = []
        left = self._end is not None and self._end[1] == "detached"  # the recording was stopped while they ran
        for pid, parent, started, command, end in self._processes:
            ended, ending = end or (None, _LEFT if left else Ending("unknown", finished=False))
            processes.append(Process(pid, parent, command, started, ended, ending))
        return processes


def _the_programs(frames, package):
    """Frames without those of ``memkit-run`` around the program. ``package`` is the folder of the memkit that made them."""
    if package is None:
        return old_rows.the_programs(frames)
    count = len(frames)
    while count and frames[count - 1].file.startswith(package):
        count -= 1
    return frames[:count] or frames


def _child_ending(code, signal, out_of_memory):
    if signal is not None:
        return Ending("killed", signal=signal, out_of_memory=out_of_memory, finished=False)
    if code is None:
        return Ending("ended", finished=False)
    return Ending("exited", code=code) if code else Ending("ok")


_time_of = attrgetter("time")
_SIGKILL = 9
_LEFT = Ending("detached", finished=False)
_OF_ANOTHER = 5
"""The length of a ``sample`` row with a pid."""

TAKE = {
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
    "glance": Rows._glanced,
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
