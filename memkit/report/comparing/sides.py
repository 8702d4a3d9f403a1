"""One side of a comparison: recordings of the same program, row by row beside each other."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import chain, takewhile
from operator import add
from typing import NamedTuple

from memkit.model.calls import Call, Function
from memkit.model.heap import Heap
from memkit.model.lines import HeapLine, Line
from memkit.model.recording import Recording
from memkit.model.sources import Source
from memkit.model.thread_names import without_numbers
from memkit.report.comparing.changes import HEAP, MEASURES, known
from memkit.report.comparing.statements import Statement, Statements
from memkit.report.transforms import own_weights

Values = dict[str, tuple[int, ...]]
"""By measure: a value for each recording, or none where one of them does not know."""


class Key(NamedTuple):
    """A function of a side, whatever line it begins at."""

    file: str
    name: str
    place: int = 0
    """Which one of those that have the same name in the file, from the top."""


class Sums(NamedTuple):
    """What one recording has of a line, a path or a function, or of several of them together."""

    growth: int | None
    own_growth: int | None
    rise: int | None
    own_rise: int | None
    peak: int | None
    time: int | None
    own_time: int | None
    allocated: int | None
    alive: int | None
    heap_peak: int | None
    """Of the heap, without what it called; the last is what was alive at the heap's peak."""
    hits: int
    errors: tuple[float, ...] = (0,) * len(HEAP)
    """One standard error of each of ``HEAP``; 0 where every block was counted."""


class Node:
    """A path of calls of a side: what each recording has of it, and the paths below it by function."""

    def __init__(self, key: Key | None, count: int):
        self.key = key
        self.sums: list[Sums | None] = [None] * count
        self.below: dict[Key, Node] = {}


class Side:
    """The recordings of a side. Rows that one of several recordings does not have count as 0 in it."""

    def __init__(self, recordings: Sequence[Recording]):
        self.recordings = tuple(recordings)
        self.count = len(self.recordings)
        self.functions: dict[Key, Function] = {}
        """Each as the first recording that has it has it."""
        self._owner: dict[Key, Recording] = {}
        self._texts: dict[object, tuple[Source, Statements]] = {}
        self._text_of: dict[Key, tuple[Source, Statements]] = {}
        self._keys = [self._keys_of(recording) for recording in self.recordings]
        self.has_lines = any(each.tracing is not None or each.heap_lines for each in self.recordings)
        self.distance = max((each.heap.sampled or 0 for each in self.recordings if each.heap is not None), default=0)
        """Bytes from one that was sampled to the next, where heap was sampled; else 0."""
        self.has_calls = bool(self.distance) or any(each.call_tracing is not None for each in self.recordings)
        self.has_heap = all(each.heap is not None for each in self.recordings)
        self.lines = self._lines() if self.has_lines else {}
        self.called: dict[Key, list[Sums | None]] = {}
        """What each recording has of each function over all its paths."""
        self.tree = self._tree() if self.has_calls else Node(None, self.count)

    # -- functions -------------------------------------------------------------------------------------------------

    def _keys_of(self, recording: Recording) -> dict[Function, Key]:
        """The functions of a recording. Roots of threads that only numbers tell apart are one."""
        rows = recording.lines, recording.heap_lines, recording.calls
        found = {row.function for each in rows for row in each}
        alike: dict[tuple[str, str], list[Function]] = {}
        for function in found:
            name = function.name
            if not function.file and name.startswith("<"):
                name = without_numbers(name)
            alike.setdefault((function.file, name), []).append(function)
        keys = {}
        for (file, name), functions in alike.items():
            for place, function in enumerate(sorted(functions, key=lambda each: each.line)):
                key = Key(file, name, place if file else 0)
                keys[function] = key
                if key not in self.functions:
                    self.functions[key] = function
                    self._owner[key] = recording
        return keys

    def source(self, key: Key) -> Source:
        """The text that a function stands in, as far as it can be trusted."""
        return self._text(key)[0]

    def statements(self, key: Key) -> Statements | None:
        """The statements of the text that a function stands in; None where that is not the text that ran, or not known."""
        source, statements = self._text(key)
        return statements if source.lines and source.remark is None else None

    def _text(self, key: Key) -> tuple[Source, Statements]:
        if key not in self._text_of:
            self._text_of[key] = self._read(key)
        return self._text_of[key]

    def _read(self, key: Key) -> tuple[Source, Statements]:
        recording = self._owner[key]
        about, function = recording.about, self.functions[key]
        own = Source(function.file, about.began, function, recording.sources) if function.file else Source("")
        place = function.file if own.remark is None else key
        if place not in self._texts:
            self._texts[place] = own, Statements(own.lines)
        return self._texts[place]

    def statement(self, key: Key, number: int) -> Statement | None:
        """The statement that a line of a function belongs to."""
        statements = self.statements(key)
        return statements.at(number) if statements is not None else None

    def body(self, key: Key) -> tuple[str, ...]:
        """The statements of a function in order, without its head; none where its text is not known."""
        statements, function = self.statements(key), self.functions[key]
        return statements.body(function.name, function.line) if statements is not None else ()

    def text(self, key: Key, number: int) -> str:
        """The text of a line, without what is around it; empty where it is not known."""
        return self.source(key).line(number).strip()

    # -- lines -----------------------------------------------------------------------------------------------------

    def _lines(self) -> dict[Key, dict[int, list[Sums | None]]]:
        """By function and number: what each recording has. Numbers are as in the recording that the function is of.

        A line that was traced, of a heap that was sampled beside, has what both tell.
        """
        found: dict[Key, dict[int, list[Sums | None]]] = {}
        for place, recording in enumerate(self.recordings):
            lines: Iterable[Line | HeapLine] = chain(recording.lines, recording.heap_lines)
            for line in lines:
                key = self._keys[place][line.function]
                moved = self.functions[key].line - line.function.line if line.function.name != "<module>" else 0
                rows = found.setdefault(key, {}).setdefault(line.number + moved, [None] * self.count)
                rows[place] = sums_of_line(line, rows[place])
        return {key: dict(sorted(rows.items())) for key, rows in found.items()}

    # -- calls -----------------------------------------------------------------------------------------------------

    def _tree(self) -> Node:
        root = Node(None, self.count)
        for place, recording in enumerate(self.recordings):
            rises = own_weights(recording.calls, "rise") if recording.calls else {}
            nodes: dict[int | None, Node] = {None: root}
            for call in recording.calls:
                above, key = nodes[call.parent], self._keys[place][call.function]
                if key not in above.below:
                    above.below[key] = Node(key, self.count)
                node = nodes[call.id] = above.below[key]
                node.sums[place] = added(node.sums[place], sums_of_call(call, rises[call.id]))
            self._add_called(place, recording, rises)
        return root

    def _add_called(self, place: int, recording: Recording, rises: dict[int, int]) -> None:
        most: dict[Function, int] = {}
        for call in recording.calls:
            most[call.function] = max(most.get(call.function, 0), rises[call.id])
        for call in recording.called:
            sums = self.called.setdefault(self._keys[place][call.function], [None] * self.count)
            sums[place] = added(sums[place], sums_of_call(call, most[call.function]))


def sums_of_call(call: Call, own_rise: int) -> Sums:
    """What a call did; ``own_rise`` is what it rose more than those together that it called."""
    if call.own_heap is not None and call.own_heap.errors is not None:
        return _with_heap(_UNTRACED, call.own_heap)
    sums = Sums(
        call.growth,
        call.own_growth,
        call.rise,
        None if call.rise is None else own_rise,
        call.peak,
        call.time,
        call.own_time,
        None,
        None,
        None,
        call.calls,
    )
    return _with_heap(sums, call.own_heap)


def sums_of_line(line: Line | HeapLine, traced: Sums | None = None) -> Sums:
    """What a line did. What traced code that it called grew by is not known to a line: that is taken off later.

    ``traced`` is what is known of a line of a sampled heap beside.
    """
    if isinstance(line, HeapLine):
        return _with_heap(traced or _UNTRACED, line.own_heap)
    sums = Sums(
        line.growth,
        line.growth,
        line.rise,
        line.rise if line.own_rise is None else line.own_rise,
        line.peak,
        line.time,
        line.time,
        None,
        None,
        None,
        line.hits,
    )
    return _with_heap(sums, line.own_heap)


_UNTRACED = Sums(None, None, None, None, None, None, None, None, None, None, 0)


def _with_heap(sums: Sums, heap: Heap | None) -> Sums:
    """Sums with what was allocated, where that is known."""
    if heap is None:
        return sums
    found = sums._replace(allocated=heap.allocated, alive=heap.alive, heap_peak=heap.alive_at_peak)
    errors = heap.errors
    return found if errors is None else found._replace(errors=(errors.allocated, errors.alive, errors.alive_at_peak))


def added(one: Sums | None, other: Sums) -> Sums:
    """Two together: growth, time and heap add up, of peaks and rises the higher counts."""
    if one is None:
        return other
    return Sums(
        _of_known(add, one.growth, other.growth),
        _of_known(add, one.own_growth, other.own_growth),
        _of_known(max, one.rise, other.rise),
        _of_known(max, one.own_rise, other.own_rise),
        _of_known(max, one.peak, other.peak),
        _of_known(add, one.time, other.time),
        _of_known(add, one.own_time, other.own_time),
        _of_known(add, one.allocated, other.allocated),
        _of_known(add, one.alive, other.alive),
        _of_known(add, one.heap_peak, other.heap_peak),
        max(one.hits, other.hits),
        tuple(map(math.hypot, one.errors, other.errors)),
    )


def _of_known(how: Callable[[int, int], int], one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else how(one, other)


OWN = {"growth": "own_growth", "rise": "own_rise", "time": "own_time"}
"""The fields without what was called, where there are such."""
_PLAIN = {measure: measure.replace("-", "_") for measure in MEASURES}


def values_of(rows: Sequence[Sums | None], fields: dict[str, str] = _PLAIN) -> Values:
    """The values by measure, from the ``fields``, of what the recordings of a side have; without the row they count as 0."""
    present = [row for row in rows if row is not None]
    found: Values = {}
    for measure, field in fields.items():
        values = known(getattr(row, field) for row in present)
        if len(present) < len(rows) and values and measure != "peak":
            values = tuple(0 if row is None else getattr(row, field) for row in rows)
        found[measure] = values
    return found


def tail(path: str) -> list[str]:
    """The parts of a path, from its end."""
    return path.replace("\\", "/").split("/")[::-1] if path else []


def common_tail(one: str, other: str) -> int:
    """How many parts two paths have in common at their ends."""
    return len(list(takewhile(lambda parts: parts[0] == parts[1], zip(tail(one), tail(other)))))
