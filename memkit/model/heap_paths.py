"""Lines by path, where the heap was sampled: the stacks that allocated, with the line that each call was at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from memkit.model.calls import LOST, Function
from memkit.model.heap import NO_SAMPLES, Heap, by_place
from memkit.model.lines import HeapLine, heap_lines_added_up


class HeapPath(NamedTuple):
    """A line by one path of calls and their lines, where the heap was sampled."""

    id: int
    parent: int | None
    """The id of the line that called its function, which is lower; None where no other is known."""
    function: Function
    number: int
    call: int | None
    """The id of the :class:`Call` that it is a line of; None where that is not known."""
    own_heap: Heap
    """What it allocated itself."""


def heap_paths(
    found: Iterable[tuple[int, int | None, int, int, int | None, Heap]],
    functions: dict[int, Function],
    callers: dict[int, int | None],
) -> tuple[HeapPath, ...]:
    """The lines that were read, callers first. ``callers`` has the id of each call's caller."""
    rows = [HeapPath(id, parent, functions.get(of, LOST), line, call, own) for id, parent, of, line, call, own in found]
    calls = {path.id: path.call for path in rows}
    for path in reversed(rows):
        call = calls[path.id]
        if path.parent is not None and call is not None:
            calls[path.parent] = callers.get(call)
    return tuple(path._replace(call=call if (call := calls[path.id]) in callers else None) for path in rows)


def heap_lines(paths: tuple[HeapPath, ...]) -> tuple[HeapLine, ...]:
    """What lines allocated, with and without what they called, over all paths. Those that allocated nothing are left out."""
    own = {path.id: path.own_heap for path in paths if path.own_heap.blocks}
    whole = dict(own)
    above: dict[int, tuple[int | None, tuple[Function, int]]] = {}
    for path in reversed(paths):
        if path.id in whole:
            above[path.id] = path.parent, (path.function, path.number)
            if path.parent is not None:
                mine = whole[path.id]
                whole[path.parent] = whole[path.parent].plus(mine) if path.parent in whole else mine
    found = by_place(whole, own, above, NO_SAMPLES).items()
    return heap_lines_added_up(HeapLine(*place, *heaps) for place, heaps in found if place[0] != LOST)


def fold_paths(paths: tuple[HeapPath, ...], hidden: Callable[[str], bool], homes: dict[int, int]) -> tuple[HeapPath, ...]:
    """The lines without those of hidden files, whose heap counts for the nearest line that called them and is left.

    ``homes`` has the call that each is counted with, as :func:`fold` tells.
    """
    found: dict[int, HeapPath] = {}
    same: dict[object, int] = {}
    places: dict[int | None, int | None] = {}  # of each line the one that it counts for
    folded: set[int | None] = set()
    for path in paths:
        above, call = places.get(path.parent), None if path.call is None else homes.get(path.call)
        if hidden(path.function.file) if path.function.file else path.parent in folded:
            folded.add(path.id)
            place = above
        else:
            apart = path.id if call is None else call
            place = same.setdefault((above, path.function, path.number, apart), path.id)
            if place == path.id:
                found[path.id] = path._replace(parent=above, call=call, own_heap=NO_SAMPLES)
        places[path.id] = place
        if place is not None and path.own_heap.blocks:
            found[place] = found[place]._replace(own_heap=found[place].own_heap.plus(path.own_heap))
    return tuple(found.values())


def paths_moved(paths: tuple[HeapPath, ...], by: int, calls_by: int) -> Iterator[HeapPath]:
    """The same lines with higher ids, of themselves and of calls."""
    for path in paths:
        parent = None if path.parent is None else path.parent + by
        yield path._replace(id=path.id + by, parent=parent, call=None if path.call is None else path.call + calls_by)


def without(
    hidden: Callable[[str], bool], paths: tuple[HeapPath, ...], lines: tuple[HeapLine, ...], homes: dict[int, int]
) -> tuple[tuple[HeapPath, ...], tuple[HeapLine, ...]]:
    """Paths and lines without those of hidden files; if the paths are known, what these did counts for who called them."""
    if paths:
        paths = fold_paths(paths, hidden, homes)
        return paths, heap_lines(paths)
    return (), tuple(line for line in lines if not hidden(line.function.file))
