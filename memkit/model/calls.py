"""Calls: functions, the paths by which they were called, and what each path did to memory.

Calls make a tree. A node of it is a function as it was called by one path from the root of its thread, summed up over all
the times that this happened. Nothing here is recursive: trees are as deep as the programs that they are of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from memkit.model.file_format import GENERATED
from memkit.model.heap import Heap, sum_of_heaps
from memkit.model.thread_names import MOST_THREADS, of_process, of_several, without_numbers

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


class Handed(NamedTuple):
    """Where work was done that was handed over."""

    home: int | None
    """The id of the call, of the thread that did it, that began it; None where the work is the thread itself."""
    root: Function
    """Of a thread the function that is its root, such as ``<thread worker-1>``; else as that of the call."""


class Given(NamedTuple):
    """A function of which a call handed work to other processes."""

    call: int
    """The id of the call."""
    function: Function
    by: Function
    """The function of a pool by which it did, such as ``ProcessPoolExecutor.submit``."""


class Call(NamedTuple):
    """A function as it was called by one path, summed up over all times."""

    id: int
    parent: int | None
    """The caller's id, which is lower; None for the root of a thread."""
    function: Function
    """Of work that was handed over what stands for all of its kind: ``<thread>``, ``<thread pool>``, ``<process pool>`` or
    ``<task>``."""
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
    rise: int | None = None
    """The most by which one call, with all that it called, rose above what there was when it began; None in old files."""
    rises: int | None = None
    """The sum of the rises of all calls; None in old files."""
    about: int = 0
    """Bytes of ``growth`` that are an estimate: nobody knows for certain which thread took them."""
    handed: Handed | None = None
    """Of work that its parent handed over, and another thread or task did: see :meth:`Recording.by_thread`."""
    process: int | None = None
    """The process, where it is another than the recorded one; of calls that are shown as one, one of these."""
    alone: tuple[int | None, int | None] | None = None
    """``rise`` and ``rises`` in its process, where work that was handed to another process makes others of them."""
    heap: Heap | None = None
    """What it allocated, with all that it called; None where heap was not counted."""
    own_heap: Heap | None = None
    """The same without what it called."""

    @property
    def allocated(self) -> int | None:
        """Bytes that it allocated, with all that it called; None where heap was not counted."""
        return None if self.heap is None else self.heap.allocated

    @property
    def freed(self) -> int | None:
        """Bytes of these that were freed, wherever that was."""
        return None if self.heap is None else self.heap.freed

    @property
    def alive(self) -> int | None:
        """Bytes of these that are alive at the end."""
        return None if self.heap is None else self.heap.alive

    @property
    def alive_at_peak(self) -> int | None:
        """Bytes of these that were alive when most was, of all that the recording counts."""
        return None if self.heap is None else self.heap.alive_at_peak

    @property
    def temporary(self) -> int | None:
        """Bytes of these that were freed in the call that allocated them."""
        return None if self.heap is None else self.heap.temporary

    @property
    def blocks(self) -> int | None:
        """How many blocks it allocated."""
        return None if self.heap is None else self.heap.blocks


PROCESSES = Function("", "<process pool>", 0)
"""Stands for the work that a call handed to other processes."""
LOST = Function("", "<lost>", 0)
"""Stands for a function whose row was lost."""

UNKNOWN = -1
"""A rise that is not known, where rises are plain numbers."""


def raise_with_work(callers: list[int], handed: set[int], rise: list[int], rises: list[int], growth: list[int]) -> None:
    """Let those rise that handed work over: by what stayed of it at least, and by the most that a part of it rose."""
    gave: set[int] = set()
    for place in range(len(callers) - 1, -1, -1):
        caller = callers[place]
        if place in gave and rise[place] != UNKNOWN:
            rise[place] = max(rise[place], growth[place])
        if rises[place] != UNKNOWN:
            rises[place] = max(rises[place], rise[place])
        if caller >= 0 and rise[caller] != UNKNOWN:
            if place in handed or place in gave:
                gave.add(caller)
            if caller in gave or caller in handed:
                rise[caller] = max(rise[caller], rise[place])


_FIELD = {name: place for place, name in enumerate(Call._fields)}
_PARENT, _FUNCTION, _TIME, _GROWTH = (_FIELD[name] for name in ("parent", "function", "time", "growth"))
_PEAK, _OWN_PEAK, _RISE, _RISES = (_FIELD[name] for name in ("peak", "own_peak", "rise", "rises"))
_HEAP, _OWN_HEAP = _FIELD["heap"], _FIELD["own_heap"]
_ABOUT, _HANDED, _ALONE = (_FIELD[name] for name in ("about", "handed", "alone"))
_OWN = [_FIELD[name] for name in ("own_time", "own_growth")]
_SUMS = [_FIELD[name] for name in ("calls", "time", "growth", "own_time", "own_growth", "about")]


def fold(calls: tuple[Call, ...], hidden: Callable[[str], bool]) -> tuple[tuple[Call, ...], dict[int, int]]:
    """The calls without those of hidden files: what these did themselves is counted with the nearest caller that is left.

    A function in C goes with its caller. Roots stay, and so does what stands for work that was handed over; many roots that
    only numbers tell apart become one. So do nodes that become the same path. How far a caller rose has in it what these did
    already. With them comes which of them each call is counted with, by id.
    """
    homes: dict[int | None, list[Any]] = {}
    nodes: dict[object, list[Any]] = {}
    folded: set[int | None] = set()
    gathered = _gathered(calls) | _processes_gathered(calls)
    for call in calls:
        home = homes.get(call.parent)
        file = call.function.file
        if home is not None and call.handed is None and (hidden(file) if file else call.parent in folded):
            folded.add(call.id)
            _add_own(home, call)
        else:
            parent = None if home is None else home[0]
            function = gathered.get(call.id, call.function)
            apart = (call.thread, call.process) if parent is None and function is call.function else None
            home = _add(nodes, (parent, function, apart), call)
            home[_PARENT], home[_FUNCTION] = parent, function
        homes[call.id] = home
    return tuple(map(Call._make, nodes.values())), {id: home[0] for id, home in homes.items() if id is not None}


def _gathered(calls: tuple[Call, ...]) -> dict[int, Function]:
    """What stands for threads of which there are many: the id of a root -> a function with stars for the numbers."""
    alike: dict[tuple[Function, int | None], list[int]] = {}
    for call in calls:
        if call.parent is None:
            function = call.function._replace(name=without_numbers(call.function.name))
            alike.setdefault((function, call.process), []).append(call.id)
    return {id: kind[0] for kind, ids in alike.items() if len(ids) > MOST_THREADS for id in ids}


def _processes_gathered(calls: tuple[Call, ...]) -> dict[int, Function]:
    """What stands for processes that do the same work: the id of a root -> a function with their number."""
    alike: dict[Function, list[Call]] = {}
    for call in calls:
        if call.parent is None and call.process is not None:
            alike.setdefault(call.function, []).append(call)
    counts = {function: len({call.process for call in roots}) for function, roots in alike.items()}
    return {
        call.id: function._replace(name=of_several(function.name, counts[function]))
        for function, roots in alike.items()
        for call in roots
        if counts[function] > 1
    }


def by_thread(calls: tuple[Call, ...]) -> tuple[Call, ...]:
    """The calls as their threads made them: work that was handed over is below what began it in the thread that did it."""
    homes: dict[int | None, list[Any]] = {}
    nodes: dict[object, list[Any]] = {}
    back: set[int] = set()  # the calls that work came back to
    about = {call.id: call.about for call in calls}
    for call in calls:
        if call.parent in about:
            about[call.parent] -= call.about
    for call in calls:
        rise, rises = call.alone or (call.rise, call.rises)
        call = call._replace(about=about[call.id], rise=rise, rises=rises, alone=None)
        at_home = homes.get(call.handed.home) if call.handed and call.handed.home is not None else None
        if at_home is not None:  # what stands for work of a kind is nothing that a thread calls
            _add_own(at_home, call)
            at_home[_ABOUT] += call.about
            at_home[_RISE] = highest_of(at_home[_RISE], rise)
            homes[call.id] = at_home
            back.add(at_home[0])
            continue
        caller = None if call.handed else homes.get(call.parent)
        function = call.handed.root if call.handed else call.function
        parent = None if caller is None else caller[0]
        apart = (call.thread, call.process) if parent is None else None
        if parent is None and call.process is not None and not function.file:
            function = function._replace(name=of_process(function.name, call.process))
        home = homes[call.id] = _add(nodes, (parent, function, apart), call)
        home[_PARENT], home[_FUNCTION], home[_HANDED] = parent, function, None
    return _raised(summed_up(nodes.values()), back)


def _raised(calls: tuple[Call, ...], back: set[int]) -> tuple[Call, ...]:
    """The calls, where those around work that came back to its thread rise with it: their rows are without it."""
    places = {call.id: place for place, call in enumerate(calls)}
    callers = [-1 if call.parent is None else places[call.parent] for call in calls]
    rose = [UNKNOWN if call.rise is None else call.rise for call in calls]
    sums = [UNKNOWN if call.rises is None else call.rises for call in calls]
    raise_with_work(callers, {places[id] for id in back}, rose, sums, [call.growth for call in calls])
    known = [[None if rise == UNKNOWN else rise for rise in each] for each in (rose, sums)]
    return tuple(call._replace(rise=rise, rises=rises) for call, rise, rises in zip(calls, *known))


def summed_up(nodes: Iterable[list[Any]]) -> tuple[Call, ...]:
    """Calls with the sums that their own ones add up to. Callers come before what they call."""
    found = {node[0]: node for node in nodes}
    for node in found.values():
        node[_TIME], node[_GROWTH] = (node[field] for field in _OWN)
        node[_PEAK], node[_HEAP] = node[_OWN_PEAK], node[_OWN_HEAP]
    for node in reversed(found.values()):
        caller = found.get(node[_PARENT])
        if caller is not None:
            caller[_TIME] += node[_TIME]
            caller[_GROWTH] += node[_GROWTH]
            caller[_ABOUT] += node[_ABOUT]
            caller[_HEAP] = sum_of_heaps(caller[_HEAP], node[_HEAP])
            caller[_PEAK] = max(caller[_PEAK], node[_PEAK])
    return tuple(map(Call._make, found.values()))


def those_that_hand_over(calls: Sequence[Call]) -> set[int]:
    """The ids of the calls below which there is work that was handed over."""
    parents = {call.id: call.parent for call in calls}
    found: set[int] = set()
    for call in calls:
        above = call.parent if call.handed else None
        while above is not None and above not in found:
            found.add(above)
            above = parents[above]
    return found


def by_function(calls: Iterable[Call]) -> tuple[Call, ...]:
    """The calls of each function in one, over all paths and threads; a recursion counts once.

    ``id`` and ``thread`` are those of its first path, ``parent`` is None.
    """
    sums: dict[object, list[Any]] = {}
    path: list[Function] = []
    outermost: dict[Function, int] = {}
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
            node[_ABOUT] -= call.about
            if call.heap is not None:
                node[_HEAP] = node[_HEAP].minus(call.heap)
            if node[_RISES] is not None:
                node[_RISES] -= call.rises or 0
    return tuple(map(Call._make, sums.values()))


def walk(calls: Iterable[Call]) -> Iterator[tuple[int, Call]]:
    """Each call and its depth, 0 for a root: a call, then all that it called, before its neighbour."""
    below: dict[int | None, list[Call]] = {}
    for call in calls:
        below.setdefault(call.parent, []).append(call)
    ahead = [(0, call) for call in reversed(below.get(None, ()))]
    while ahead:
        depth, call = ahead.pop()
        yield depth, call
        ahead += [(depth + 1, following) for following in reversed(below.get(call.id, ()))]


def _add_own(node: list[Any], call: Call) -> None:
    """Count what a call did itself with another."""
    for field in _OWN:
        node[field] += call[field]
    node[_OWN_HEAP] = sum_of_heaps(node[_OWN_HEAP], call.own_heap)
    node[_OWN_PEAK] = max(node[_OWN_PEAK], call.own_peak)


def _add(nodes: dict[object, list[Any]], key: object, call: Call) -> list[Any]:
    """Add a call to the node of a key, and return the node."""
    node = nodes.get(key)
    if node is None:
        node = nodes[key] = list(call)
        return node
    for field in _SUMS:
        node[field] += call[field]
    node[_HEAP], node[_OWN_HEAP] = sum_of_heaps(node[_HEAP], call.heap), sum_of_heaps(node[_OWN_HEAP], call.own_heap)
    for field in (_PEAK, _OWN_PEAK):
        node[field] = max(node[field], call[field])
    if node[_ALONE] or call.alone:
        own, other = node[_ALONE] or (node[_RISE], node[_RISES]), call.alone or (call.rise, call.rises)
        node[_ALONE] = highest_of(own[0], other[0]), sum_of(own[1], other[1])
    node[_RISE], node[_RISES] = highest_of(node[_RISE], call.rise), sum_of(node[_RISES], call.rises)
    return node


def highest_of(one: int | None, other: int | None) -> int | None:
    """The greater of two; None where one is not known."""
    return None if one is None or other is None else max(one, other)


def sum_of(one: int | None, other: int | None) -> int | None:
    """The sum of two; None where one is not known."""
    return None if one is None or other is None else one + other


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
    known: dict[str, bool] = {}

    def matches(file: str) -> bool:
        if file not in known:
            known[file] = match(file.removesuffix(GENERATED).replace("\\", "/")) is not None
        return known[file]

    return matches
