"""Several recordings as one: of processes that ran side by side, or one after the other."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import chain

from memkit.base.errors import UsageError
from memkit.base.units import SECOND
from memkit.model.calls import Call
from memkit.model.ending import Ending
from memkit.model.overhead import Cost, Tracing
from memkit.model.recording import Line, Process, Recording, Sample

_ONE_BOOT = 60  # seconds by which the clock of a machine may have been set between two recordings on it


def merge(recordings: Iterable[Recording]) -> Recording:
    """Several recordings as one, on the clock of that which began first.

    The processes of all of them are its ``processes``; what that first one sampled are its ``samples``, and what the
    others did are its ``others``. Lines add up over all processes, as they do over threads: hits, time and growth are
    sums, ``peak`` is the highest of any process. Trees of calls stand side by side. There are no totals: of processes
    that were recorded each for itself, nobody knows what they shared. On one machine times are told by its monotonic
    clock, else by the time of day. Raises ``UsageError`` where there is nothing to merge.
    """
    if isinstance(recordings, (str, bytes, Recording)) or not isinstance(recordings, Iterable):
        given = "one" if isinstance(recordings, Recording) else repr(recordings)
        raise UsageError(f"merge() takes several recordings, not {given}: merge([memkit.read(path), ...])")
    recordings = list(recordings)
    for each in recordings:
        if not isinstance(each, Recording):
            raise UsageError(f"merge() takes recordings, and {each!r} is none: read it with memkit.read(path)")
    if not recordings:
        raise UsageError("merge() was given no recordings: give it at least one")
    first, *rest = sorted(recordings, key=lambda each: each.about.began)
    return joined(replace(first, totals=(), summed=None, summed_reason=None) if rest else first, rest)


def joined(main: Recording, parts: list[Recording]) -> Recording:
    """A recording with those of other processes in it. What a process recorded itself counts, not what others saw of it.

    One that became another program (exec) has recorded itself twice, and is one process still.
    """
    if not parts:
        return main
    moved = [_moved(part, _later(main, part)) for part in parts]
    own = [process for part in moved for process in part.processes[:1] if part.samples]
    seen = (sample for sample in main.others if not any(_is_of(process, sample) for process in own))
    more = [part for part in moved if _goes_on(main, part)]
    others = chain(seen, *(part.others if part in more else chain(part.samples, part.others) for part in moved))
    everybody = [main, *moved]
    processes = _processes(everybody)
    return replace(
        main,
        samples=_by_time(chain(main.samples, *(part.samples for part in more))) if more else main.samples,
        others=_by_time(others),
        processes=processes,
        ending=processes[0].ending,
        lines=_lines(everybody),
        spans=tuple(span for each in everybody for span in each.spans),
        calls=_calls(everybody),
        crossings=tuple(sorted((c for each in everybody for c in each.crossings), key=lambda crossing: crossing.time)),
        cost=_cost(everybody),
        tracing=_tracing([each.tracing for each in everybody]),
        call_tracing=_tracing([each.call_tracing for each in everybody]),
        unread=sum(each.unread for each in everybody),
    )


def _by_time(samples: Iterable[Sample]) -> tuple[Sample, ...]:
    return tuple(sorted(samples, key=lambda sample: sample.time))


def _goes_on(main: Recording, part: Recording) -> bool:
    """Whether a part is of the very process that the recording is of."""
    return part.about.host == main.about.host and _is_same(main.processes[0], part.processes[0])


def _later(main: Recording, part: Recording) -> int:
    """Nanoseconds by which one recording began after the other."""
    by_day = part.about.began - main.about.began
    by_clock = (part.about.clock or 0) - (main.about.clock or 0)
    same_clock = part.about.host == main.about.host and abs(by_day - by_clock / SECOND) < _ONE_BOOT
    return by_clock if same_clock else round(by_day * SECOND)


def _moved(recording: Recording, by: int) -> Recording:
    """The same recording on a clock that began so much earlier."""

    def late(time: int | None) -> int | None:
        return None if time is None else time + by

    return replace(
        recording,
        samples=tuple(sample._replace(time=sample.time + by) for sample in recording.samples),
        others=tuple(sample._replace(time=sample.time + by) for sample in recording.others),
        spans=tuple(span._replace(start=span.start + by, end=late(span.end)) for span in recording.spans),
        processes=tuple(
            process._replace(started=process.started + by, ended=late(process.ended)) for process in recording.processes
        ),
        crossings=tuple(crossing._replace(time=crossing.time + by) for crossing in recording.crossings),
    )


def _is_of(process: Process, sample: Sample) -> bool:
    return sample.pid == process.pid and _lived(process, sample.time)


def _lived(process: Process, time: int) -> bool:
    return process.started <= time and (process.ended is None or time <= process.ended)


def _processes(everybody: list[Recording]) -> tuple[Process, ...]:
    """Each process once: what its parent saw of it, and what it told of itself, are of the same one."""
    seen = [(process, everybody[0].about.host) for process in everybody[0].processes]
    for part in everybody[1:]:
        host = part.about.host
        own, *children = part.processes
        same = (place for place, (process, where) in enumerate(seen) if where == host and _is_same(process, own))
        place = next(same, None)
        if place is None:
            seen.append((own, host))
        else:
            seen[place] = _both(seen[place][0], own), host
        seen += [(child, host) for child in children]
    first, *rest = (process for process, _ in seen)
    return (first, *sorted(rest, key=lambda process: process.started))


def _is_same(seen: Process, own: Process) -> bool:
    """A process is seen before it begins to record itself, in the same life."""
    return seen.pid == own.pid and (_lived(seen, own.started) or _lived(own, seen.started))


def _both(seen: Process, own: Process) -> Process:
    """Its parent saw the whole of it, from outside; how it ended it knows best, where it lived to tell."""
    unseen = seen.ending.kind in ("unknown", "ended", "detached")
    ending = own.ending if unseen and own.ending.kind != "unknown" else seen.ending
    if seen.ending.kind == "exited" and own.ending.kind == "error":  # the same end, told in more words
        ending = own.ending._replace(code=seen.ending.code)
    elif seen.ending.kind == "exited" and own.ending.kind in ("ok", "ended", "exited"):  # and how it came to it
        ending = Ending("exited", code=seen.ending.code) if seen.ending.code else Ending("ok")
    return seen._replace(
        started=min(seen.started, own.started), ended=own.ended if seen.ended is None else seen.ended, ending=ending
    )


def _lines(everybody: list[Recording]) -> tuple[Line, ...]:
    sums: dict[tuple[object, ...], Line] = {}
    for line in chain.from_iterable(each.lines for each in everybody):
        before = sums.get(line[:2])
        if before is None:
            sums[line[:2]] = line
            continue
        sums[line[:2]] = before._replace(
            hits=before.hits + line.hits,
            time=before.time + line.time,
            growth=before.growth + line.growth,
            memory=line.memory,
            peak=max(before.peak, line.peak),
        )
    return tuple(sorted(sums.values(), key=_place))


def _place(line: Line) -> tuple[str, int, str, int]:
    function = line.function
    return function.file, function.line, function.name, line.number


def _calls(everybody: list[Recording]) -> tuple[Call, ...]:
    """The trees side by side, the roots of all but the first with the process that they are of."""
    found: list[Call] = []
    for place, each in enumerate(everybody):
        base = found[-1].id + 1 if found else 0
        first = each.calls[0].id if each.calls else 0
        for call in each.calls:
            parent, function = call.parent, call.function
            if parent is not None:
                parent += base - first
            elif place and not function.file:
                function = function._replace(name=f"{function.name.removesuffix('>')} of process {each.about.pid}>")
            found.append(call._replace(id=call.id + base - first, parent=parent, function=function))
    return tuple(found)


def _cost(everybody: list[Recording]) -> Cost:
    beats, late, cpu = zip(*(each.cost for each in everybody))
    return Cost(sum(beats), sum(late), None if None in cpu else sum(cpu))


def _tracing(everybody: list[Tracing | None]) -> Tracing | None:
    known = [each for each in everybody if each is not None]
    if not known:
        return None
    return known[0]._replace(events=sum(each.events for each in known), reads=sum(each.reads for each in known))
