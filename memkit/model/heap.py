"""Heap: what call paths and lines allocated and freed, as it was counted in the allocators, and how it adds up."""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from operator import attrgetter, sub
from typing import Any, NamedTuple

from memkit.model.row_values import check
from memkit.system.balance_rows import Balance, BalancePart, BalanceRow


class Heap(NamedTuple):
    """What some code allocated, in bytes, to the byte as it asked for them. Freed is what it allocated, wherever that is."""

    allocated: int
    freed: int
    alive_at_peak: int
    """What of it was alive when most was, of all that the recording counts."""
    temporary: int
    """What of it was freed in the call, or in the run of the line, that allocated it."""
    blocks: int
    """How many blocks it allocated."""
    blocks_freed: int

    @property
    def alive(self) -> int:
        """What of it is alive at the end."""
        return self.allocated - self.freed

    def plus(self, other: Heap) -> Heap:
        """This and another."""
        return Heap(*map(sum, zip(self, other)))

    def minus(self, other: Heap) -> Heap:
        """This without another."""
        return Heap(*map(sub, self, other))


NO_HEAP = Heap(0, 0, 0, 0, 0, 0)


def sum_of_heaps(one: Heap | None, other: Heap | None) -> Heap | None:
    """The sum of two; None where neither was counted."""
    if one is None or other is None:
        return one or other
    return one.plus(other)


class HeapTotal(NamedTuple):
    """What all code together has alive, in bytes that it asked for."""

    counted: str
    """Which allocators were counted: ``"python"`` for Python's own, ``"python, c"`` for those of the C library too."""
    alive: int
    """At the end, of what was allocated since the recording began."""
    peak: int
    """The most that was alive. It can be up to 2.5 % too low (32 KiB below 1 MiB): it is looked at about every 1 %."""
    unbooked: int
    """Blocks that are in no sum, because there was no memory to keep them in mind."""
    processes: int = 1
    """In how many processes. The peak of several is the sum of theirs, which need not have been at the same time."""
    mapped: int = 0
    """What of ``alive`` is anonymous maps: they count as long as they are, whether they were touched or not."""
    uncounted: str | None = None
    """Why the C library's allocators were not counted, where they were not."""
    elsewhere: Heap = NO_HEAP
    """What no traced call or line allocated, and threads that run no Python."""


def together(totals: Iterable[HeapTotal | None]) -> HeapTotal | None:
    """What several processes have alive; None where none of them was counted."""
    found = [total for total in totals if total is not None]
    if not found:
        return None
    least = min(found, key=lambda total: len(total.counted))  # what was counted in all of them
    sums = {
        name: sum(getattr(total, name) for total in found) for name in ("alive", "peak", "unbooked", "processes", "mapped")
    }
    return least._replace(**sums, elsewhere=reduce(Heap.plus, (total.elsewhere for total in found)))


class HeapCounts:
    """The rows of a heap as a reader meets them; the last one of a site holds."""

    def __init__(self) -> None:
        self._counted: str | None = None
        self._uncounted: str | None = None
        self._by_calls = self._by_lines = False
        self._total = {"alive": 0, "peak": 0, "unbooked": 0, "mapped": 0}
        self._sites: dict[tuple[int | None, int | None], tuple[int, ...]] = {}  # by call and line: the sums of its row
        self._balances: dict[str, Balance] = {}  # the last of each moment
        self._below: list[tuple[int, int | None, int, int, int]] = []  # lines of a function below a line

    def begin(self, counted: str, calls: int, lines: int, uncounted: str | None = None, *_: object) -> None:
        """It is counted from now on, by calls, by lines or by both."""
        self._counted, self._by_calls, self._by_lines, self._uncounted = counted, bool(calls), bool(lines), uncounted

    def take(self, call: int | None, line: int | None, *sums: int) -> None:
        """Keep the sums of a site. TypeError for a row that is damaged."""
        if len(sums) < _SUMS:
            raise TypeError(sums)
        self._sites[call, line] = sums

    def take_lines(self, base: int, parent: int | None, function: int, first: int, count: int, *_: object) -> None:
        """Keep which numbers the lines of a function have below another line, which has a lower one."""
        self._below.append((base, parent, function, first, count))

    def take_total(self, alive: int, peak: int, copies: int, unbooked: int, mapped: int = 0, *_: object) -> None:
        """Keep what there is in all."""
        peak = max(peak, alive)  # it is looked at every 1 % only
        self._total = {"alive": alive, "peak": peak, "unbooked": unbooked, "mapped": mapped}

    def take_balance(self, time: int, moment: str, pid: int, rss: int, rows: Any, notes: Any, *_: object) -> None:
        """Keep what resident memory was made of. TypeError or ValueError for a row that is damaged."""
        check((notes,), "a")
        found = []
        for key, name, size, error, parts, advice, *_ in rows:
            check((key, name, size, error, advice), "ssiIS")
            for part in parts:
                check(part, "si")
            of_it = tuple(BalancePart(*part[:2]) for part in parts)
            found.append(BalanceRow(key, name, size, error, of_it, advice))
        self._balances[moment] = Balance(pid, rss, tuple(found), tuple(notes), time, moment)

    @property
    def balances(self) -> tuple[Balance, ...]:
        """What resident memory was made of, at the last of each kind of moment, in order of time."""
        return tuple(sorted(self._balances.values(), key=attrgetter("time")))

    @property
    def total(self) -> HeapTotal | None:
        """What there was in all; None where heap was not counted."""
        if self._counted is None:
            return None
        elsewhere = _heap_of(self._sites.get((None, None), (0,) * _SUMS), self._by_calls)
        return HeapTotal(self._counted, **self._total, uncounted=self._uncounted, elsewhere=elsewhere)

    def of_calls(self) -> dict[int, Heap] | None:
        """What each call allocated itself, by its id; None where heap was not counted by calls."""
        found: dict[int, Heap] = {}
        for (call, _), sums in self._sites.items():
            if call is not None:
                heap = _heap_of(sums, by_call=True)
                found[call] = found[call].plus(heap) if call in found else heap
        return found if self._by_calls else None

    def of_lines(self) -> dict[tuple[int, int], tuple[Heap, Heap]] | None:
        """What each line allocated, with what it called and without, by function and number; None as for calls."""
        own: dict[int, Heap] = {}
        for (_, line), sums in self._sites.items():
            if line is not None:
                own[line] = own.get(line, NO_HEAP).plus(_heap_of(sums, by_call=False))
        if not self._by_lines:
            return None
        whole = dict(own)
        found: dict[tuple[int, int], tuple[Heap, Heap]] = {}
        for base, parent, function, first, count in sorted(self._below, reverse=True):
            for number in [number for number in range(base, base + count) if number in whole]:
                if parent is not None and parent < base:
                    whole[parent] = whole.get(parent, NO_HEAP).plus(whole[number])
                place = function, first + number - base
                before = found.get(place, (NO_HEAP, NO_HEAP))
                found[place] = before[0].plus(whole[number]), before[1].plus(own.get(number, NO_HEAP))
        return found


_SUMS = 7


def _heap_of(sums: tuple[int, ...], by_call: bool) -> Heap:
    """The heap of such a row: temporary in the call, or in the line."""
    allocated, freed, blocks, blocks_freed, at_peak, in_call, in_line = sums[:_SUMS]
    return Heap(allocated, freed, at_peak, in_call if by_call else in_line, blocks, blocks_freed)


"""Of a ``heap`` row: allocated, freed, blocks, blocks freed, alive at the peak, temporary in the call and in the line."""

TAKE = {
    "heap_counting": HeapCounts.begin,
    "heap": HeapCounts.take,
    "heap_lines": HeapCounts.take_lines,
    "heap_total": HeapCounts.take_total,
    "balance": HeapCounts.take_balance,
}
