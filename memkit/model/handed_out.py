"""Work that was handed to other processes: below who handed it out, in a recording of these processes too.

A process writes of which functions its calls gave work to others. A call in another one is such work if it is of such a
function, the loop of a worker of such a pool has called it, by way of libraries only, and the process descends from the one
that gave it. If several calls gave work of one function to such pools, the work is below what has called them all.
"""

from __future__ import annotations

from collections.abc import Iterable

from memkit.model.calls import (
    LIBRARIES,
    PROCESSES,
    UNKNOWN,
    Call,
    Function,
    Given,
    Handed,
    highest_of,
    matcher,
    raise_with_work,
    sum_of,
    summed_up,
)
from memkit.model.file_format import PICKLED
from memkit.model.heap import NO_HEAP
from memkit.model.workers import is_loop

_MOST_ABOVE = 100
"""How many processes are looked at from one up, for who gave it its work."""
Key = tuple[str, int]
"""What code that was pickled by value keeps: name and first line."""


def hang(calls: tuple[Call, ...], given: Iterable[Given], started: dict[int | None, int | None]) -> tuple[Call, ...]:
    """The calls of several processes, with the work that was given to others below who gave it.

    ``started`` is by whom each process was started, where that one is among them; None is the recorded process. Calls of a
    process come after those of the one that has started it.
    """
    given = tuple(given)
    if not given:
        return calls
    by_function: dict[tuple[int | None, Key], list[Given]] = {}
    process_of = {call.id: call.process for call in calls}
    for each in given:
        if each.call in process_of:
            key = process_of[each.call], (each.function.name, each.function.line)
            by_function.setdefault(key, []).append(each)
    submitters = _submitters(calls, by_function, started)
    return _hung(calls, submitters) if submitters else calls


def _submitters(
    calls: tuple[Call, ...],
    given: dict[tuple[int | None, Key], list[Given]],
    started: dict[int | None, int | None],
) -> dict[int, int]:
    """The id of each call that is work given by another process -> the id of the call that gave it."""
    library = matcher(LIBRARIES)
    parents = {call.id: call.parent for call in calls}
    looped: dict[int | None, str] = {}  # calls of libraries only -> the file of the loop of a worker among them, or ""
    found: dict[int, int] = {}
    known: dict[tuple[int | None, Function, str], int | None] = {}  # who gave work of a function to the worker of a loop
    for call in calls:
        function = call.function
        if call.parent is not None and call.parent not in looped:
            continue
        below = "" if call.parent is None else looped[call.parent]
        if below and function.file and call.handed is None:
            key = call.process, function, below
            if key not in known:
                known[key] = _common(parents, _givers(call, below, given, started))
            by = known[key]
            if by is not None and by < call.id:
                found[call.id] = by
                continue
        if not function.file or library(function.file) or function.file == "<string>":
            looped[call.id] = function.file if is_loop(function) else below
    return found


def _givers(
    call: Call, loop: str, given: dict[tuple[int | None, Key], list[Given]], started: dict[int | None, int | None]
) -> list[int]:
    """Who gave work of this function, of the nearest process above that did."""
    process = call.process
    for _ in range(_MOST_ABOVE):
        if process not in started:
            break
        process = started[process]
        alike = given.get((process, call.function[1:]), ())
        same = [each.call for each in alike if each.by.file == loop and _is_same(each.function, call.function)]
        if same:
            return same
    return []


def _is_same(given: Function, called: Function) -> bool:
    return given.file == called.file or PICKLED in (given.file, called.file)


def _common(parents: dict[int, int | None], ids: list[int]) -> int | None:
    """The innermost call that is one of these or above it, for all of them; roots count only if nothing else is known."""
    if not ids:
        return None
    above: int | None
    above, *others = [id for id in ids if parents[id] is not None] or ids
    path: list[int] = []
    while above is not None:
        path.append(above)
        above = parents[above]
    place_of = {id: place for place, id in enumerate(path)}
    place, seen = 0, set[int]()
    for above in others:
        while above is not None and above not in place_of and above not in seen:
            seen.add(above)
            above = parents[above]
        if above is None:
            return None
        place = max(place, place_of.get(above, 0))  # of one that was seen before, it is known
    return path[place]


def _hung(calls: tuple[Call, ...], submitters: dict[int, int]) -> tuple[Call, ...]:
    """The calls with those of ``submitters`` below these, by way of a call that stands for them; all numbered anew."""
    new: dict[int | None, int | None] = {None: None}
    between: dict[tuple[int, int | None], int] = {}
    found: list[Call] = []
    left: dict[int, int] = {}  # the id of a call that had such work below it -> by how much it rose in all
    parents = {call.id: call.parent for call in calls}
    about = {call.id: call.about for call in calls}
    for call in calls:
        if call.parent is not None:
            about[call.parent] -= call.about
    for call in calls:
        parent = new[call.parent]
        if call.id in submitters:
            above = call.parent
            while above is not None:
                left[above] = left.get(above, 0) + (call.rises or 0)
                above = parents[above]
            key = submitters[call.id], call.parent
            if key not in between:
                between[key] = len(found)
                found.append(_stand_in(call, len(found), new[submitters[call.id]], parent))
            parent = between[key]
            stand_in = found[parent]
            found[parent] = stand_in._replace(
                calls=stand_in.calls + call.calls,
                rise=highest_of(stand_in.rise, call.rise),
                rises=sum_of(stand_in.rises, call.rises),
            )
        new[call.id] = len(found)
        handed = call.handed and call.handed._replace(home=new.get(call.handed.home))
        found.append(call._replace(id=len(found), parent=parent, handed=handed, about=about[call.id]))
    summed = summed_up(map(list, found))
    return _risen(summed, {new[id]: rises for id, rises in left.items()})


def _stand_in(work: Call, id: int, parent: int | None, home: int | None) -> Call:
    """What stands for work between who handed it out and the work itself."""
    return work._replace(
        id=id,
        parent=parent,
        function=PROCESSES,
        handed=Handed(home, PROCESSES),
        calls=0,
        own_time=0,
        own_growth=0,
        own_peak=0,
        rise=None if work.rise is None else 0,
        rises=None if work.rises is None else 0,
        about=0,
        own_heap=None if work.own_heap is None else NO_HEAP,
    )


def _risen(calls: tuple[Call, ...], left: dict[int | None, int]) -> tuple[Call, ...]:
    """The calls, with rises of those that handed work out, and of those whose work hangs elsewhere now.

    The latter rise by no more than what is known of the rest of them. ``left`` is by how much their work rose in all.
    """
    rose = [UNKNOWN if call.rise is None else call.rise for call in calls]
    sums = [UNKNOWN if call.rises is None else call.rises for call in calls]
    highest = [0] * len(calls)
    for call in reversed(calls):
        if call.id in left and call.rise is not None and call.rises is not None:
            rise = rose[call.id] = min(call.rise, max(0, call.growth, highest[call.id]))
            sums[call.id] = max(rise, call.rises - left[call.id])
        if call.parent is not None:
            highest[call.parent] = max(highest[call.parent], rose[call.id])
    callers = [-1 if call.parent is None else call.parent for call in calls]
    raise_with_work(callers, {call.id for call in calls if call.handed}, rose, sums, [call.growth for call in calls])
    found = []
    for call, rise, rises in zip(calls, rose, sums):
        known = None if rise == UNKNOWN else rise, None if rises == UNKNOWN else rises
        same = known == (call.rise, call.rises)
        alone = call.alone or (call.rise, call.rises)
        found.append(call if same else call._replace(rise=known[0], rises=known[1], alone=alone))
    return tuple(found)
