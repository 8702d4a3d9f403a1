"""The rows of calls as they are read, and the tree of calls that they add up to."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from itertools import chain
from operator import itemgetter
from typing import Any

from memkit.model.calls import LOST, UNKNOWN, Call, Function, Given, Handed, raise_with_work
from memkit.model.heap import Heap
from memkit.model.row_values import check_whole

_FIELDS = 11


class Tally:
    """The rows of calls as a reader meets them. They are kept packed: there can be a million."""

    def __init__(self) -> None:
        self._places: dict[int, int] = {}
        self._rows = array("q")
        self._given: dict[tuple[int, int, int], None] = {}
        self._handed: dict[int, tuple[int | None, int]] = {}  # the id of a call -> its home, and what stands for its kind

    def take(
        self,
        id: int,
        parent: int | None,
        function: int,
        thread: int,
        calls: int,
        time: int,
        growth: int,
        peak: int,
        rise: int | None = None,
        rises: int | None = None,
        about: int = 0,
        *_: object,
    ) -> None:
        """Keep a row; a later one of the same node takes its place. TypeError or OverflowError for one that is damaged."""
        if id < 0:
            raise TypeError(id)
        rose = UNKNOWN if rise is None else rise, UNKNOWN if rises is None else rises, about
        row = array("q", (id, -1 if parent is None else parent, function, thread, calls, time, growth, peak, *rose))
        place = self._places.setdefault(id, len(self._rows))
        self._rows[place : place + _FIELDS] = row

    def take_all(self, rows: list[list[Any]]) -> None:
        """Keep many rows, of each call that has a caller the last. Raises if one of them has to be looked at by itself."""
        below = [row for row in rows if row[2] is not None]
        check_whole(chain.from_iterable(map(itemgetter(slice(1, None)), below)))
        if below and (min(map(len, below)) <= _FIELDS or min(map(itemgetter(1), below)) < 0):
            raise TypeError
        for row in {row[1]: row for row in below}.values():
            place = self._places.setdefault(row[1], len(self._rows))
            self._rows[place : place + _FIELDS] = array("q", row[1 : _FIELDS + 1])
        for row in rows if len(below) < len(rows) else ():
            if row[2] is None:
                self.take(*row[1:])

    def hand(self, id: int, home: int | None, kind: int) -> None:
        """Keep that a call is of work that its parent handed over. TypeError for a row that is damaged."""
        self._handed[id + 0] = None if home is None else home + 0, kind + 0

    def give(self, id: int, function: int, by: int, *_: object) -> None:
        """Keep that a call handed work of a function to other processes. TypeError for a row that is damaged."""
        self._given[id + 0, function + 0, by + 0] = None

    def given(self, functions: dict[int, Function]) -> tuple[Given, ...]:
        """Which calls handed out work, of which functions."""
        return tuple(Given(id, functions.get(of, LOST), functions.get(by, LOST)) for id, of, by in self._given)

    def path(self, id: int, functions: dict[int, Function], most: int = 64) -> tuple[Function, ...]:
        """The functions by which a call was reached, its own last; empty where its row was lost."""
        found: list[Function] = []
        place = self._places.get(id, -1)
        while place >= 0 and len(found) < most:
            found.append(functions.get(self._rows[place + 2], LOST))
            place = self._places.get(self._rows[place + 1], -1)
        return tuple(reversed(found))

    @property
    def entered(self) -> int:
        """How often functions were called."""
        return sum(self._rows[4::_FIELDS])

    def calls(self, functions: dict[int, Function], heaps: dict[int, Heap] | None = None) -> tuple[Call, ...]:
        """The calls in order, with what they add up to. One whose caller's row was lost becomes a root.

        ``heaps`` is what each allocated itself, by its id.
        """
        columns = [self._rows[field::_FIELDS] for field in range(_FIELDS)]
        order = sorted(range(len(columns[0])), key=columns[0].__getitem__)
        ids, parents, numbers, threads, entered, own_time, own_growth, own_peak, rise, rises, about = (
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
                about[caller] += about[place]
                peak[caller] = max(peak[caller], peak[place])
            else:
                callers[place] = -1
        raise_with_work(callers, {place_of[id] for id in self._handed if id in place_of}, rise, rises, growth)
        named = [None if caller < 0 else ids[caller] for caller in callers]
        called = [functions.get(number, LOST) for number in numbers]
        known = [[None if value == UNKNOWN else value for value in values] for values in (rise, rises)]
        own = own_time, own_growth, peak, own_peak
        rows = zip(ids, named, called, threads, entered, time, growth, *own, *known, about)
        calls = [Call(*row) for row in rows]
        if heaps is not None:
            calls = list(with_heaps(calls, callers, heaps))
        for id, (home, kind) in self._handed.items():
            place = place_of.get(id, -1)
            if place >= 0 and callers[place] >= 0:  # else its caller's row was lost, so that it is a root
                handed = Handed(home, called[place])
                calls[place] = calls[place]._replace(function=functions.get(kind, LOST), handed=handed)
        return tuple(calls)


def with_heaps(calls: list[Call], callers: list[int], heaps: dict[int, Heap]) -> Iterator[Call]:
    """Calls with what they allocated; ``callers`` are the places of their callers, which come first, or -1."""
    own = [heaps[call.id] for call in calls]
    whole = own[:]
    for place in range(len(calls) - 1, -1, -1):
        if callers[place] >= 0:
            whole[callers[place]] = whole[callers[place]].plus(whole[place])
    return (call._replace(heap=heap, own_heap=mine) for call, heap, mine in zip(calls, whole, own))
