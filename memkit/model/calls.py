"""Calls: functions, the paths by which they were called, and what each path did to memory.

Calls make a tree. A node of it is a function as it was called by one path from the root of its thread, summed up over all
the times that this happened. Nothing here is recursive: trees are as deep as the programs that they are of.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from memkit.model.thread_names import MOST_THREADS, without_numbers

LIBRARIES = (
    *("<frozen *", "*/site-packages/*", "*/dist-packages/*"),
    *("*/lib/python[23]*/*", "*/lib64/python[23]*/*", "*/lib/pypy[23]*/*", "*/python[23][0-9]*.zip/*"),
    *("*/python[23][0-9]*/lib/*", "*/python/3.*/lib/*", "*/cpython-3*/lib/*", "*conda3/lib/*"),  # Windows
)
"""Files of the standard library and of installed packages, wherever a recording was made; case does not matter."""


class Function(NamedTuple):
    """A function, or other code with lines of its own."""

    file: str
    """Empty for what has no source: a function in C, or the root of a thread."""
    name: str
    """The qualified name."""
    line: int
    """Where it begins."""


class Call(NamedTuple):
    """A function as it was called by one path, summed up over all times."""

    id: int
    parent: int | None
    """The caller's id, which is lower; None for the root of a thread."""
    function: Function
    thread: int
    calls: int
    """How often it was entered."""
    time: int
    """Nanoseconds, with all that it called."""
    growth: int
    """Bytes, with all that it called."""
    own_time: int
    """Nanoseconds, without what it called."""
    own_growth: int
    """Bytes, without what it called."""
    peak: int
    """The highest memory while it ran, with all that it called."""
    own_peak: int
    """The highest memory while it ran itself, and nothing that it called."""


LOST = Function("", "<lost>", 0)
"""Stands for a function whose row was lost."""

_FIELDS = 8


class Tally:
    """The rows of calls as a reader meets them. They are kept packed: there can be a million."""

    def __init__(self):
        self._places = {}
        self._rows = array("q")

    def take(self, id, parent, function, thread, calls, time, growth, peak, *_) -> None:
        """Keep a row; a later one of the same node takes its place. TypeError or OverflowError for one that is damaged."""
        if id < 0:
            raise TypeError(id)
        row = array("q", (id, -1 if parent is None else parent, function, thread, calls, time, growth, peak))
        place = self._places.setdefault(id, len(self._rows))
        self._rows[place : place + _FIELDS] = row

    @property
    def entered(self) -> int:
        """How often functions were called."""
        return sum(self._rows[4::_FIELDS])

    def calls(self, functions: dict[int, Function]) -> tuple[Call, ...]:
        """The calls in order, with what they add up to. One whose caller's row was lost becomes a root."""
        columns = [self._rows[field::_FIELDS] for field in range(_FIELDS)]
        order = sorted(range(len(columns[0])), key=columns[0].__getitem__)
        ids, parents, numbers, threads, entered, own_time, own_growth, own_peak = (
            list(map(column.__getitem__, order)) for column in columns
        )
        place_of = {id: place for place, id in enumerate(ids)}
        callers = [place_of.get(parent, -1) for parent in parents]
        time, growth, peak = own_time[:], own_growth[:], own_peak[:]
        for place in range(len(ids) - 1, -1, -1):
            caller = callers[place]
            if 0 <= caller < place:
                time[caller] += time[place]
                growth[caller] += growth[place]
                peak[caller] = max(peak[caller], peak[place])
            else:
                callers[place] = -1
        parents = [None if caller < 0 else ids[caller] for caller in callers]
        called = [functions.get(number, LOST) for number in numbers]
        rows = zip(ids, parents, called, threads, entered, time, growth, own_time, own_growth, peak, own_peak)
        return tuple(map(Call._make, rows))


_FIELD = {name: place for place, name in enumerate(Call._fields)}
_PARENT, _FUNCTION, _TIME, _GROWTH = (_FIELD[name] for name in ("parent", "function", "time", "growth"))
_PEAK, _OWN_PEAK = (_FIELD[name] for name in ("peak", "own_peak"))
_OWN = [_FIELD[name] for name in ("own_time", "own_growth")]
_SUMS = [_FIELD[name] for name in ("calls", "time", "growth", "own_time", "own_growth")]


def fold(calls: tuple[Call, ...], hidden: Callable[[str], bool]) -> tuple[Call, ...]:
    """The calls without those of hidden files: what these did themselves is counted with the nearest caller that is left.

    A function in C goes with its caller. Roots stay; many that only numbers tell apart become one. So do nodes that become
    the same path.
    """
    homes, nodes, folded, gathered = {}, {}, set(), _gathered(calls)
    for call in calls:
        home = homes.get(call.parent)
        file = call.function.file
        if home is not None and (hidden(file) if file else call.parent in folded):
            folded.add(call.id)
            for field in _OWN:
                home[field] += call[field]
            home[_OWN_PEAK] = max(home[_OWN_PEAK], call.own_peak)
        else:
            parent = None if home is None else home[0]
            function = gathered.get(call.id, call.function)
            apart = call.thread if parent is None and function is call.function else None
            home = _add(nodes, (parent, function, apart), call)
            home[_PARENT], home[_FUNCTION] = parent, function
        homes[call.id] = home
    return tuple(map(Call._make, nodes.values()))


def _gathered(calls):
    """What stands for threads of which there are many: the id of a root -> a function with stars for the numbers."""
    alike = {}
    for call in calls:
        if call.parent is None:
            alike.setdefault(call.function._replace(name=without_numbers(call.function.name)), []).append(call.id)
    return {id: function for function, ids in alike.items() if len(ids) > MOST_THREADS for id in ids}


def by_function(calls: Iterable[Call]) -> tuple[Call, ...]:
    """The calls of each function in one, over all paths and threads; a recursion counts once.

    ``id`` and ``thread`` are those of its first path, ``parent`` is None.
    """
    sums, path, outermost = {}, [], {}
    for depth, call in walk(calls):
        while len(path) > depth:
            function = path.pop()
            if outermost[function] == len(path):
                del outermost[function]
        path.append(call.function)
        node = _add(sums, call.function, call)
        node[_PARENT] = None
        if outermost.setdefault(call.function, depth) < depth:  # its growth and time are in those of the outer call
            node[_TIME] -= call.time
            node[_GROWTH] -= call.growth
    return tuple(map(Call._make, sums.values()))


def walk(calls: Iterable[Call]) -> Iterator[tuple[int, Call]]:
    """Each call and its depth, 0 for a root: a call, then all that it called, before its neighbour."""
    below = {}
    for call in calls:
        below.setdefault(call.parent, []).append(call)
    ahead = [(0, call) for call in reversed(below.get(None, ()))]
    while ahead:
        depth, call = ahead.pop()
        yield depth, call
        ahead += [(depth + 1, following) for following in reversed(below.get(call.id, ()))]


def _add(nodes: dict, key, call: Call) -> list:
    """Add a call to the node of a key, and return the node."""
    node = nodes.get(key)
    if node is None:
        node = nodes[key] = list(call)
        return node
    for field in _SUMS:
        node[field] += call[field]
    for field in (_PEAK, _OWN_PEAK):
        node[field] = max(node[field], call[field])
    return node


def matcher(globs: Iterable[str]) -> Callable[[str], bool]:
    """A function that tells whether a file matches one of the globs.

    ``*`` is any text, folders included. A glob matches the end of a path too: ``vendor/*`` is every file of a folder of
    that name. Case does not matter, and a backslash is a slash.
    """
    import fnmatch
    import re

    globs = [glob.replace("\\", "/") for glob in globs]
    patterns = [fnmatch.translate(each) for glob in globs for each in (glob, f"*/{glob}")]
    match = re.compile("|".join(patterns) or r"(?!)", re.IGNORECASE).match
    known = {}

    def matches(file):
        if file not in known:
            known[file] = match(file.replace("\\", "/")) is not None
        return known[file]

    return matches
