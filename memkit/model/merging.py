"""Several recordings as one: of processes that ran side by side, or one after the other."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import chain
from operator import itemgetter
from typing import Any, TypeVar

from memkit.base.errors import UsageError
from memkit.base.units import SECOND
from memkit.model.calls import Call, Function, Given, Handed
from memkit.model.ending import Ending
from memkit.model.handed_out import hang
from memkit.model.heap import together
from memkit.model.heap_paths import HeapPath, paths_moved
from memkit.model.limit_events import Crossing
from memkit.model.lines import added_up, heap_lines_added_up
from memkit.model.machines import Machines
from memkit.model.overhead import Cost, Tracing
from memkit.model.recording import Process, Recording, Sample, Span
from memkit.model.thread_names import of_kind
from memkit.model.workers import kind_of

_Row = TypeVar("_Row", Span, Crossing)
_FOREVER = 1 << 70
_MOST_ALIKE = 8
"""How many processes that had the same number are looked at: a number is given out anew only after thousands of others."""
_ONE_BOOT = 60  # seconds by which the clock of a machine may have been set between two recordings on it


def merge(recordings: Iterable[Recording]) -> Recording:
    """Several recordings as one, on the clock of that which began first.

    The processes of all of them are its ``processes``; what that first one sampled are its ``samples``, and what the
    others did are its ``others``. Lines add up over all processes, as they do over threads: hits, time, growth and rises are
    sums, ``peak`` and ``rise`` are the highest of any process. Trees of calls stand side by side. There are no totals: of
    processes that were recorded each for itself, nobody knows what they shared. To a PID that was given out on an earlier
    machine, too, a multiple of 4,194,304 is added. On one machine times are told by its monotonic clock, else by the time of
    day. Raises ``UsageError`` where there is nothing to merge.
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
    machines = Machines()
    recordings = [machines.apart(each) for each in recordings]
    begun = min(recordings, key=lambda each: each.about.began)
    first, *rest = sorted(recordings, key=lambda each: (_later(begun, each), each.about.began))
    return joined(replace(first, totals=(), summed=None, summed_reason=None) if rest else first, rest)


def joined(main: Recording, parts: list[Recording]) -> Recording:
    """A recording with those of other processes in it. What a process recorded itself counts, not what others saw of it.

    One that became another program (exec) has recorded itself twice, and is one process still.
    """
    if not parts:
        return main
    moved = [_moved(part, max(0, _later(main, part))) for part in parts]
    lives = _lives(process for part in moved for process in part.processes[:1] if part.samples)
    seen = (sample for sample in main.others if not _is_of(lives.get(sample.pid, ()), sample.time))
    more, apart, became = _sorted_out(main, moved)
    others = chain(seen, *(part.others for part in more), *(chain(part.samples, part.others) for part in apart))
    everybody = _heaps_once([main, *moved])
    processes = _processes(everybody)
    calls, paths = _calls(everybody)
    known = {process.pid for process in processes}
    return replace(
        main,
        samples=_by_time(chain(main.samples, *(part.samples for part in more))) if more else main.samples,
        others=_by_time(others),
        processes=processes,
        ending=processes[0].ending,
        size=next((each.size for each in everybody if each.size is not None), None),
        executed=_executed(main, became),
        sources=tuple(dict(chain.from_iterable(each.sources for each in everybody)).items()),
        lines=added_up(chain.from_iterable(each.lines for each in everybody)),
        heap_lines=heap_lines_added_up(chain.from_iterable(each.heap_lines for each in everybody)),
        spans=tuple(
            _still_open(span, each, moved) for each in [main, *moved] for span in _of_process(each.spans, each, apart)
        ),
        span_sums=tuple(_added((sums.label, sums) for each in everybody for sums in each.span_sums).values()),
        span_heaps=tuple(_added((heap.labels, heap) for each in everybody for heap in each.span_heaps).values()),
        calls=calls,
        heap_paths=paths,
        heap=together(each.heap for each in everybody),
        balances=tuple(sorted(chain.from_iterable(each.balances for each in everybody), key=lambda each: each.time or 0)),
        given=(),
        crossings=_crossings([main, *moved], apart),
        cost=_cost(everybody),
        tracing=_tracing([each.tracing for each in everybody]),
        call_tracing=_tracing([each.call_tracing for each in everybody]),
        unrecorded=tuple(each for each in main.unrecorded if each.pid not in known),
        greenlets=next((each.greenlets for each in everybody if each.greenlets), None),
        unread=sum(each.unread for each in everybody),
        snapshot=next((each.snapshot for each in reversed([main, *more]) if each.snapshot is not None), None),
    )


def _crossings(everybody: list[Recording], apart: list[Recording]) -> tuple[Crossing, ...]:
    found = chain.from_iterable(_of_process(each.crossings, each, apart) for each in everybody)
    return tuple(sorted(found, key=lambda crossing: crossing.time))


def _of_process(rows: tuple[_Row, ...], of: Recording, apart: list[Recording]) -> Iterable[_Row]:
    """Rows of a recording; if it is of another process than the one that they come to, they say of which."""
    if not rows or all(of is not each for each in apart):
        return rows
    return (row if row.process is not None else row._replace(process=of.about.pid) for row in rows)


def _added(pairs: Iterable[tuple[Any, Any]]) -> dict[Any, Any]:
    """The sum of the values of each key, in the order of the keys."""
    found: dict[Any, Any] = {}
    for key, value in pairs:
        found[key] = found[key].plus(value) if key in found else value
    return dict(sorted(found.items()))


def _still_open(span: Span, began_in: Recording, parts: list[Recording]) -> Span:
    """A span; one without an end goes on in the files after the one that it began in, and so does its peak."""
    if span.end is not None or began_in.ending.kind != "continued":
        return span
    own = began_in.about
    files = [part for part in parts if (part.about.host, part.about.pid) == (own.host, own.pid)]
    later = (sample.peak for file in files for sample in file.samples if sample.time > span.start)
    return span._replace(peak=max(span.peak, max(later, default=0)))


def _heaps_once(everybody: list[Recording]) -> list[Recording]:
    """The heap of a process only in the last of the files that it went on in: there are its sums since the first."""
    found = []
    for place, each in enumerate(everybody):
        own = each.processes[0]
        goes_on = each.heap is not None and own.ending.kind == "continued"
        if goes_on and any(
            later.heap is not None and _goes_on(each, later) and later.processes[0].started > own.started
            for later in everybody[place + 1 :]
        ):
            each = replace(each, heap=None, calls=(), heap_lines=(), heap_paths=())
        found.append(each)
    return found


def _by_time(samples: Iterable[Sample]) -> tuple[Sample, ...]:
    return tuple(sorted(samples, key=lambda sample: sample.time))


def _executed(main: Recording, more: list[Recording]) -> tuple[tuple[int, str], ...]:
    """What the recorded process became, of which there may be a recording from outside beside its own."""
    began = main.processes[0].started
    found = [(part.processes[0].started, part.about.command) for part in more if part.processes[0].started > began]
    return (*main.executed, *sorted(found))


def _sorted_out(main: Recording, parts: list[Recording]) -> tuple[list[Recording], list[Recording], list[Recording]]:
    """The parts that are of the very process that the recording is of, the others, and of the first what it became.

    That is not what went on in another file: each is of the process as those before it have left it.
    """
    more: list[Recording] = []
    apart: list[Recording] = []
    became: list[Recording] = []
    life = main.processes[0]
    for part in parts:
        own = part.processes[0]
        if part.about.host != main.about.host or not _is_same(life, own):
            apart.append(part)
            continue
        more.append(part)
        if life.ending.kind != "continued":
            became.append(part)
        life = _both(life, own)
    return more, apart, became


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
        balances=tuple(each._replace(time=late(each.time)) for each in recording.balances),
        snapshot=recording.snapshot and recording.snapshot._replace(time=recording.snapshot.time + by),
    )


def _lives(processes: Iterable[Process]) -> dict[int, list[tuple[int, int]]]:
    """From when to when there was a process of each number, in order and apart from each other."""
    found: dict[int, list[tuple[int, int]]] = {}
    for process in sorted(processes, key=lambda process: process.started):
        lives = found.setdefault(process.pid, [])
        start, end = process.started, _FOREVER if process.ended is None else process.ended
        if lives and start <= lives[-1][1]:
            start, end = lives[-1][0], max(end, lives.pop()[1])
        lives.append((start, end))
    return found


def _is_of(lives: Sequence[tuple[int, int]], time: int) -> bool:
    place = bisect_right(lives, time, key=itemgetter(0)) - 1
    return place >= 0 and time <= lives[place][1]


def _lived(process: Process, time: int) -> bool:
    return process.started <= time and (process.ended is None or time <= process.ended)


def _processes(everybody: list[Recording]) -> tuple[Process, ...]:
    """Each process once: what its parent saw of it, and what it told of itself, are of the same one."""
    seen: list[Process] = []
    alike: dict[tuple[str | None, int], list[int]] = {}  # the host and number of a process -> its places in ``seen``

    def add(process: Process, host: str | None) -> None:
        alike.setdefault((host, process.pid), []).append(len(seen))
        seen.append(process)

    for number, part in enumerate(everybody):
        own, *children = part.processes
        places = alike.get((part.about.host, own.pid), [])[-_MOST_ALIKE:]
        place = next((place for place in places if _is_same(seen[place], own)), None) if number else None
        if place is None:
            add(own, part.about.host)
        else:
            seen[place] = _both(seen[place], own)
        for child in children:
            add(child, part.about.host)
    first, *rest = seen
    return (first, *sorted(rest, key=lambda process: process.started))


def _is_same(seen: Process, own: Process) -> bool:
    """A process is seen before it begins to record itself, in the same life."""
    return seen.pid == own.pid and (_lived(seen, own.started) or _lived(own, seen.started))


def _both(seen: Process, own: Process) -> Process:
    """Its parent saw the whole of it, from outside; how it ended it knows best, where it lived to tell.

    Where its recording went on in another file, that one tells.
    """
    seen = seen._replace(name=own.name or seen.name, limit=own.limit or seen.limit)
    if seen.ending.kind == "continued":
        return seen._replace(started=min(seen.started, own.started), ended=own.ended, ending=own.ending)
    unseen = seen.ending.kind in ("unknown", "ended", "detached")
    ending = own.ending if unseen and own.ending.kind != "unknown" else seen.ending
    if seen.ending.kind == "exited" and own.ending.kind == "error":  # the same end, told in more words
        ending = own.ending._replace(code=seen.ending.code)
    elif seen.ending.kind == "exited" and own.ending.kind in ("ok", "ended", "exited"):  # and how it came to it
        ending = Ending("exited", code=seen.ending.code) if seen.ending.code else Ending("ok")
    return seen._replace(
        started=min(seen.started, own.started), ended=own.ended if seen.ended is None else seen.ended, ending=ending
    )


def _calls(everybody: list[Recording]) -> tuple[tuple[Call, ...], tuple[HeapPath, ...]]:
    """The trees side by side, those of all but the first with their process; the roots say of which kind that is.

    What was handed to processes hangs below who handed it out. With them come the lines of a heap that was sampled.
    """
    found: list[Call] = []
    paths: list[HeapPath] = []
    given: list[Given] = []
    runs = {(each.about.pid, each.about.argv) for each in everybody}
    started = _started(everybody)
    depths = _depths(started)
    by_depth = sorted(everybody[1:], key=lambda each: depths.get(each.about.pid, 0))
    for place, each in enumerate([everybody[0], *by_depth]):
        kind = kind_of(each.about, each.calls, runs) if place and each.calls else ""
        base = found[-1].id + 1 if found else 0
        first = each.calls[0].id if each.calls else 0
        for call in each.calls:
            parent, function, handed = call.parent, call.function, call.handed
            new = place and call.process is None
            if handed is not None:
                home = None if handed.home is None else handed.home + base - first
                handed = Handed(home, _of_kind(handed.root, kind) if new else handed.root)
            if parent is not None:
                parent += base - first
            elif new:
                function = _of_kind(function, kind)
            process = call.process or (each.about.pid if place else None)
            id = call.id + base - first
            found.append(call._replace(id=id, parent=parent, function=function, handed=handed, process=process))
        given += (one._replace(call=one.call + base - first) for one in each.given)
        paths += paths_moved(each.heap_paths, paths[-1].id + 1 if paths else 0, base - first)
    whole = all(each.heap_paths or not each.heap_lines for each in everybody)  # else lines would be lost with the rest
    return hang(tuple(found), given, started), tuple(paths) if whole else ()


def _started(everybody: list[Recording]) -> dict[int | None, int | None]:
    """By whom each process was started, on the machine of the recorded one; that one is None."""
    main = everybody[0].about
    seen = [(process.pid, process.parent) for process in everybody[0].processes]
    own = [(each.about.pid, each.about.parent) for each in everybody if each.about.host == main.host]
    return {pid: None if parent == main.pid else parent for pid, parent in (*seen, *own) if pid != main.pid}


def _depths(started: dict[int | None, int | None]) -> dict[int | None, int]:
    """How many processes there are from each one up to that which nobody here has started."""
    found: dict[int | None, int] = {}
    for process in started:
        path: dict[int | None, None] = {}
        while process in started and process not in found and process not in path:
            path[process] = None
            process = started[process]
        depth = found.get(process, 0)
        for each in reversed(path):
            depth += 1
            found[each] = depth
    return found


def _of_kind(root: Function, kind: str) -> Function:
    """The root of a thread of a process of some kind; another function as it is."""
    return root if root.file else root._replace(name=of_kind(root.name, kind))


def _cost(everybody: list[Recording]) -> Cost:
    beats, late, cpu = zip(*(each.cost for each in everybody))
    return Cost(sum(beats), sum(late), None if None in cpu else sum(cpu))


def _tracing(everybody: list[Tracing | None]) -> Tracing | None:
    known = [each for each in everybody if each is not None]
    if not known:
        return None
    sums = known[0]._replace(events=sum(each.events for each in known), reads=sum(each.reads for each in known))
    return sums if everybody[0] is not None else sums._replace(as_of=None, whole_as_of=None)  # on another clock
