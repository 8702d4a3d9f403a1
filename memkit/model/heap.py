"""Heap: what call paths and lines allocated and freed, as it was counted in the allocators, and how it adds up."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator
from functools import reduce
from operator import attrgetter, itemgetter
from typing import Any, NamedTuple, TypeVar

from memkit.model.row_values import check
from memkit.system.balance_rows import Balance, BalancePart, BalanceRow

_Of = TypeVar("_Of", bound=Hashable)
_COUNTED = {"python, c": 2, "python, c patched": 1}


class HeapErrors(NamedTuple):
    """How far estimates may be off: one standard error of each field of a :class:`Heap` that has its name.

    The truth lies within two of them about 19 times in 20, where at least about ten samples are in a sum.
    """

    allocated: float
    freed: float
    alive: float
    alive_at_peak: float
    blocks: float
    blocks_freed: float

    def plus(self, other: HeapErrors) -> HeapErrors:
        """Those of the sum of two: samples are drawn independently."""
        return HeapErrors(*map(math.hypot, self, other))

    def minus(self, other: HeapErrors) -> HeapErrors:
        """Those of what is left where something is taken out that was part of it."""
        return HeapErrors(*(math.sqrt(max(0, one**2 - another**2)) for one, another in zip(self, other)))


class Heap(NamedTuple):
    """What some code allocated, in bytes, to the byte as it asked for them. Freed is what it allocated, wherever that is.

    Where blocks were sampled, all are estimates.
    """

    allocated: int
    freed: int
    alive_at_peak: int
    """What of it was alive when most was, of all that the recording counts."""
    temporary: int | None
    """What of it was freed in the call, or in the run of the line, that allocated it; None where blocks were sampled."""
    blocks: int
    """How many blocks it allocated."""
    blocks_freed: int
    errors: HeapErrors | None = None
    """How far the other fields may be off; None where every block was counted."""

    @property
    def alive(self) -> int:
        """What of it is alive at the end."""
        return self.allocated - self.freed

    def plus(self, other: Heap) -> Heap:
        """This and another."""
        mine, others = self.errors, other.errors
        return self._with(other, 1, mine or others if mine is None or others is None else mine.plus(others))

    def minus(self, other: Heap) -> Heap:
        """This without another."""
        mine, others = self.errors, other.errors
        return self._with(other, -1, mine if mine is None or others is None else mine.minus(others))

    def _with(self, other: Heap, sign: int, errors: HeapErrors | None) -> Heap:
        return Heap(
            self.allocated + sign * other.allocated,
            self.freed + sign * other.freed,
            self.alive_at_peak + sign * other.alive_at_peak,
            None if self.temporary is None or other.temporary is None else self.temporary + sign * other.temporary,
            self.blocks + sign * other.blocks,
            self.blocks_freed + sign * other.blocks_freed,
            errors,
        )


NO_HEAP = Heap(0, 0, 0, 0, 0, 0)
NO_SAMPLES = Heap(0, 0, 0, None, 0, 0, HeapErrors(0, 0, 0, 0, 0, 0))


def sum_of_heaps(one: Heap | None, other: Heap | None) -> Heap | None:
    """The sum of two; None where neither was counted."""
    if one is None or other is None:
        return one or other
    return one.plus(other)


class HeapTotal(NamedTuple):
    """What all code together has alive, in bytes that it asked for."""

    counted: str
    """Which allocators were counted: ``"python"`` for Python's own, ``"python, c"`` for those of the C library too, and
    ``"python, c patched"`` for what libraries ask of these by their tables of addresses."""
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
    """Why the C library's allocators were not counted, or only from the beginning of the recording on."""
    elsewhere: Heap = NO_HEAP
    """What no traced call or line allocated, and threads that run no Python."""
    sampled: int | None = None
    """Bytes from one that was sampled to the next, on average; None where every block was counted."""
    alive_error: float = 0
    """One standard error of ``alive``, 0 where every block was counted."""
    peak_error: float = 0
    """The same of ``peak``."""
    as_of: int | None = None
    """When it was last written, of a program that did not end in order; None where it is complete."""
    whole_as_of: int | None = None
    """The same, with the smallest changes of paths and lines."""


def together(totals: Iterable[HeapTotal | None]) -> HeapTotal | None:
    """What several processes have alive; None where none of them was counted. When it was written is told of the first."""
    first, *others = totals
    found = [total for total in (first, *others) if total is not None]
    if not found:
        return None
    least = min(found, key=lambda total: _COUNTED.get(total.counted, 0))  # what was counted in all of them
    sums = {
        name: sum(getattr(total, name) for total in found) for name in ("alive", "peak", "unbooked", "processes", "mapped")
    }
    alive_error, peak_error = (
        math.hypot(*errors) for errors in zip(*((total.alive_error, total.peak_error) for total in found))
    )
    as_of, whole_as_of = (None, None) if first is None else (first.as_of, first.whole_as_of)  # others have another clock
    least = least._replace(alive_error=alive_error, peak_error=peak_error, as_of=as_of, whole_as_of=whole_as_of)
    return least._replace(**sums, elsewhere=reduce(Heap.plus, (total.elsewhere for total in found)))


class HeapCounts:
    """The rows of a heap as a reader meets them; the last one of a site holds."""

    def __init__(self) -> None:
        self._counted: str | None = None
        self._uncounted: str | None = None
        self._sampled: int | None = None
        self._by_calls = self._by_lines = False
        self._total = {"alive": 0, "peak": 0, "unbooked": 0, "mapped": 0}
        self._total_errors = (0, 0)  # of the first two
        self._sites: dict[tuple[int | None, int | None], tuple[int, ...]] = {}  # by call and line: the sums of its row
        self._balances: dict[str, Balance] = {}  # the last of each moment
        self._errors: dict[tuple[int | None, int | None], tuple[int, ...]] = {}
        self._in_spans: dict[tuple[int, int | None, int | None], tuple[int, ...]] = {}  # by label, too
        self.below: list[tuple[int, int | None, int, int, int]] = []
        """The numbers of lines of a function below a line: the first, that of the line, function, first line, count."""

    def begin(
        self,
        counted: str,
        calls: int,
        lines: int,
        uncounted: str | None = None,
        sampled: int | None = None,
        *_: object,
    ) -> None:
        """It is counted from now on, by calls, by lines or by both."""
        self._sampled = sampled
        self._counted, self._by_calls, self._by_lines, self._uncounted = counted, bool(calls), bool(lines), uncounted

    def take(self, call: int | None, line: int | None, *sums: int) -> None:
        """Keep the sums of a site. TypeError for a row that is damaged."""
        if len(sums) < _SUMS:
            raise TypeError(sums)
        self._sites[call, line] = sums

    def take_errors(self, call: int | None, line: int | None, *errors: int) -> None:
        """Keep how far the sums of a site may be off. TypeError for a row that is damaged."""
        if len(errors) < _ERRORS or min(errors) < 0:
            raise TypeError(errors)
        self._errors[call, line] = errors

    def take_lines(self, base: int, parent: int | None, function: int, first: int, count: int, *_: object) -> None:
        """Keep which numbers the lines of a function have below another line, which has a lower one."""
        self.below.append((base, parent, function, first, count))

    def take_in_span(self, label: int, call: int | None, line: int | None, *sums: int) -> None:
        """Keep the sums of a site in spans of a label. TypeError for a row that is damaged."""
        if len(sums) < _SUMS:
            raise TypeError(sums)
        self._in_spans[label, call, line] = sums

    @property
    def _everywhere(self) -> dict[tuple[int | None, int | None], tuple[int, ...]]:
        """The sums of each site, in whichever spans."""
        if not self._in_spans:
            return self._sites
        found = dict(self._sites)
        for (_, *site), sums in self._in_spans.items():
            call, line = site
            before = found.get((call, line))
            found[call, line] = sums if before is None else tuple((a or 0) + (b or 0) for a, b in zip(before, sums))
        return found

    def take_total(self, alive: int, peak: int, copies: int, unbooked: int, mapped: int = 0, *errors: int) -> None:
        """Keep what there is in all."""
        self._total_errors = errors[0] if errors else 0, errors[1] if errors[1:] else 0
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

    def total(self, as_of: int | None, whole_as_of: int | None) -> HeapTotal | None:
        """What there was in all, and when that was written; None where heap was not counted."""
        if self._counted is None:
            return None
        sites = self._everywhere
        elsewhere = self._heap_of(None, None, sites.get((None, None)), self._by_calls)
        alive_error, peak_error = self._total_errors
        return HeapTotal(
            self._counted,
            **self._total,
            uncounted=self._uncounted,
            elsewhere=elsewhere,
            sampled=self._sampled,
            alive_error=alive_error,
            peak_error=peak_error,
            as_of=as_of,
            whole_as_of=whole_as_of,
        )

    @property
    def _none(self) -> Heap:
        """The heap of what allocated nothing."""
        return NO_HEAP if self._sampled is None else NO_SAMPLES

    def _heap_of(self, call: int | None, line: int | None, sums: tuple[int, ...] | None, by_call: bool) -> Heap:
        """The heap of a site, of its sums: temporary in the call, or in the line."""
        if sums is None:
            return self._none
        allocated, freed, blocks, blocks_freed, at_peak, in_call, in_line = sums[:_SUMS]
        if self._sampled is None:
            return Heap(allocated, freed, at_peak, (in_call if by_call else in_line) or 0, blocks, blocks_freed)
        errors = HeapErrors(*self._errors.get((call, line), (0,) * _ERRORS)[:_ERRORS])
        return Heap(allocated, freed, at_peak, None, blocks, blocks_freed, errors)

    def of_calls(self) -> dict[int, Heap] | None:
        """What each call allocated itself, by its id, nothing for others; None where no heap was counted by calls."""
        found: dict[int, Heap] = defaultdict(lambda: self._none)
        for (call, line), sums in self._everywhere.items():
            if call is not None:
                heap = self._heap_of(call, line, sums, by_call=True)
                found[call] = found[call].plus(heap) if call in found else heap
        return found if self._by_calls else None

    def of_lines(self) -> dict[tuple[int, int], tuple[Heap, Heap]] | None:
        """What each line allocated, with what it called and without, by function and number; None as for calls.

        None, too, where it was sampled: see :meth:`estimates`.
        """
        return None if self._sampled is not None or not self._by_lines else self._lines()

    def estimates(self) -> Iterator[tuple[int, int | None, int, int, int | None, Heap]]:
        """Where it was sampled, the lines of the stacks, callers first; nothing where it was not.

        Of each its number and that of the line that called it, its function and line, its call if it allocated anything
        itself, and what that is.
        """
        own: dict[int, Heap] = {}
        calls: dict[int, int | None] = {}
        for (call, line), sums in self._everywhere.items() if self._sampled is not None else ():
            if line is not None:
                heap = self._heap_of(call, line, sums, by_call=False)
                own[line], calls[line] = own[line].plus(heap) if line in own else heap, call
        known: set[int] = set()
        for base, parent, function, first, _ in sorted(self.below, key=itemgetter(0)) if self._sampled is not None else ():
            if base not in known:
                yield base, parent if parent in known else None, function, first, calls.get(base), own.get(base, NO_SAMPLES)
                known.add(base)

    def _lines(self) -> dict[tuple[int, int], tuple[Heap, Heap]]:
        own: dict[int, Heap] = {}
        for (call, line), sums in self._everywhere.items():
            if line is not None:
                own[line] = own.get(line, NO_HEAP).plus(self._heap_of(call, line, sums, by_call=False))
        whole = dict(own)
        above: dict[int, tuple[int | None, tuple[int, int]]] = {}  # by line: the one above it, and its function and number
        for base, parent, function, first, count in sorted(self.below, reverse=True):
            parent = parent if parent is not None and parent < base else None
            for number in [number for number in range(base, base + count) if number in whole]:
                above[number] = parent, (function, first + number - base)
                if parent is not None:
                    whole[parent] = whole.get(parent, NO_HEAP).plus(whole[number])
        return by_place(whole, own, above, self._none)


def by_place(
    whole: dict[int, Heap], own: dict[int, Heap], above: dict[int, tuple[int | None, tuple[_Of, int]]], none: Heap
) -> dict[tuple[_Of, int], tuple[Heap, Heap]]:
    """Those of each function and number. What a recursion did is not counted again for the calls of it further out.

    ``above`` has of each line the one that called it, its function and number, those first that are called.
    """
    found: dict[tuple[_Of, int], tuple[Heap, Heap]] = {}
    for number, (outer, place) in reversed(above.items()):  # what is further out first, from which the inner is taken
        with_called, alone = found.get(place, (none, none))
        found[place] = with_called.plus(whole[number]), alone.plus(own.get(number, none))
        while outer in above and above[outer][1][0] != place[0]:
            outer = above[outer][0]
        if outer in above:
            place = above[outer][1]
            with_called, alone = found.get(place, (none, none))
            found[place] = with_called.minus(whole[number]), alone
    return found


_SUMS = 7
"""Of a ``heap`` row: allocated, freed, blocks, blocks freed, alive at the peak, temporary in the call and in the line."""
_ERRORS = len(HeapErrors._fields)

TAKE = {
    "heap_counting": HeapCounts.begin,
    "heap": HeapCounts.take,
    "heap_errors": HeapCounts.take_errors,
    "heap_lines": HeapCounts.take_lines,
    "heap_total": HeapCounts.take_total,
    "balance": HeapCounts.take_balance,
}
