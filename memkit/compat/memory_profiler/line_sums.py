"""The sums of each line of code objects over all threads and tracers, and their conversion into a code map."""

from __future__ import annotations

from collections.abc import Iterable
from types import CodeType
from typing import TYPE_CHECKING, NamedTuple

from memkit.record.memory_reader import MIB

if TYPE_CHECKING:
    from memkit.compat.memory_profiler.code_map import CodeMap, Measured

Row = tuple[int, int, int, int, int, int]
"""A line: number, hits, growth, memory, when it first began, when it last ended."""
Entries = tuple[int, int, int, int]
"""When a code object was first entered and memory then, and the same for the last time."""
CodeSums = tuple[CodeType, int, Entries | None, list[Row]]
"""What a tracer reports of a code object: the code object, calls, entries, and lines."""


class LineSums:
    """Sums by code object and line, of what ``memkit.tracing.tracers.LineTracer.sums`` returns."""

    def __init__(self) -> None:
        self._codes: dict[int, _OfCode] = {}

    def copy(self) -> LineSums:
        """An independent copy."""
        found = LineSums()
        for key, each in self._codes.items():
            found._codes[key] = each.copy()
        return found

    def add(self, sums: Iterable[CodeSums]) -> LineSums:
        """Add the sums of a tracer."""
        for code, calls, entries, rows in sums:
            of_code = self._codes.get(id(code))
            if of_code is None:
                of_code = self._codes[id(code)] = _OfCode(code)
            of_code.add(calls, entries, rows)
        return self

    def write(self, code_map: CodeMap) -> None:
        """Fill the dictionaries of a code map. Those of functions without sums stay as they are."""
        tables: dict[int, tuple[dict[int, Measured], list[_OfCode]]] = {}
        for each in self._codes.values():
            if each.code in code_map:
                table = code_map[each.code]
                tables.setdefault(id(table), (table, []))[1].append(each)
        outermost = outermost_codes(code_map)
        for key, (table, parts) in tables.items():
            rows = _table(outermost[key], parts)
            table.clear()
            table.update(rows)


class _OfCode:
    """The sums of one code object."""

    def __init__(self, code: CodeType) -> None:
        self.code = code
        self.calls = 0
        self.entries: Entries | None = None
        self.lines: dict[int, tuple[int, int, int, int, int]] = {}  # by number: the rest of a row

    def copy(self) -> _OfCode:
        found = _OfCode(self.code)
        found.calls, found.entries, found.lines = self.calls, self.entries, dict(self.lines)
        return found

    def add(self, calls: int, entries: Entries | None, rows: Iterable[Row]) -> None:
        if calls and entries is not None:
            begun, memory, last, last_memory = entries
            if self.entries is not None:
                begun, memory = min((begun, memory), self.entries[:2])
                last, last_memory = max((last, last_memory), self.entries[2:])
            self.calls += calls
            self.entries = begun, memory, last, last_memory
        for number, hits, growth, memory, first, ended in rows:
            known = self.lines.get(number)
            if known is not None:
                hits, growth, first = hits + known[0], growth + known[1], min(first, known[3])
                ended, memory = max((ended, memory), (known[4], known[2]))
            self.lines[number] = hits, growth, memory, first, ended

    def rows(self) -> list[Row]:
        return [(number, *values) for number, values in self.lines.items()]


def outermost_codes(code_map: CodeMap) -> dict[int, CodeType]:
    """The outermost code object of each dictionary in a code map, by the identity of the dictionary."""
    found: dict[int, CodeType] = {}
    for code in code_map:
        found.setdefault(id(code_map[code]), code)
    return found


class _TableRow(NamedTuple):
    """A line of a function's table. Rows are shown in the order in which they first ran."""

    first: int
    number: int
    growth: float
    memory: float
    hits: int


def _table(outermost: CodeType, parts: Iterable[_OfCode]) -> dict[int, Measured]:
    """The dictionary of one function, from the sums of its code object and those nested in it."""
    own, nested, together = _OfCode(outermost), _OfCode(outermost), _OfCode(outermost)
    for each in parts:
        (own if each.code == outermost else nested).add(each.calls, each.entries, each.rows())
    for part in (own, nested):
        together.add(0, None, part.rows())
    rows = []
    for number, (hits, growth, memory, first, _) in together.lines.items():
        if number in own.lines:  # a line with a lambda has as many occurrences as the line itself
            hits = own.lines[number][0]
        rows.append(_TableRow(first, number, growth / MIB, memory / MIB, hits))
    if own.calls and own.entries is not None:
        rows = _with_entry(rows, outermost.co_firstlineno, own.calls, own.entries)
    return {row.number: (row.growth, row.memory, row.hits) for row in sorted(rows, key=lambda row: row.first)}


def _with_entry(rows: list[_TableRow], line: int, calls: int, entries: Entries) -> list[_TableRow]:
    """The rows with that of the first line added: its increment is all memory at the first entry of the function."""
    begun, memory, _, last_memory = entries
    same = [row for row in rows if row.number == line]  # of a function in one line
    growth = memory / MIB + sum(row.growth for row in same)
    after = same[0].memory if same else last_memory / MIB
    return [_TableRow(begun, line, growth, after, calls), *(row for row in rows if row.number != line)]
