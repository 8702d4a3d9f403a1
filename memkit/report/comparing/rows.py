"""The rows of a comparison: lines, functions and paths, what each changed itself, and their order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from memkit.model.calls import Function
from memkit.report.comparing.changes import MEMORY, MEMORY_SAMPLED, Change
from memkit.report.transforms import NOISE, TIE


class ComparedPlace(NamedTuple):
    """Where a row of a comparison is, on one side."""

    function: Function
    number: int | None = None
    """Of a line; None for a function or a path."""
    text: str = ""
    """Of a line, without what is around it; empty where it is not known."""


class ComparedRow(NamedTuple):
    """A function, a line or a path on both sides of a comparison."""

    kind: str
    """``function``, ``line`` or ``path``."""
    state: str
    """``both``, ``new`` or ``gone``; ``unmatched`` where the other side may not have traced it."""
    before: ComparedPlace | None
    """None where it is not on the first side."""
    after: ComparedPlace | None
    changes: tuple[Change, ...]
    """By growth, rise, peak, allocated, alive and time, with all that it called; allocated and alive without."""
    own: tuple[tuple[str, int], ...]
    """By how much it changed itself, without what it called, by measure: 0 where that is not called a change."""
    notes: tuple[str, ...] = ()
    """``renamed``, ``moved`` or ``edited``, where it was matched though it is not the same."""
    id: int | None = None
    """Of a path; callers have lower ones."""
    parent: int | None = None
    """The ``id`` of the path that called it; None for the root of a thread, and for what is no path."""

    @property
    def place(self) -> ComparedPlace:
        """Where it is, on the second side if it is there."""
        found = self.after or self.before
        assert found is not None, "a row is on one side at least"
        return found

    def change(self, measure: str) -> Change:
        """The change of a measure."""
        return next(change for change in self.changes if change.measure == measure)

    def weight(self, by: str | None = None) -> int:
        """What it is ranked by: its own change of a measure, or that of ``memory`` that is largest."""
        own = dict(self.own)
        return own[by] if by is not None else max((own[measure] for measure in self.memory), key=abs)

    @property
    def memory(self) -> tuple[str, ...]:
        """The measures that it is ranked by unless another is wished."""
        return MEMORY if self.change("growth").known else MEMORY_SAMPLED


# -- ranking -------------------------------------------------------------------------------------------------------


def in_order(rows: Sequence[ComparedRow], by: str | None = None, falls_first: bool = False) -> list[ComparedRow]:
    """All rows: those that are ``ranked``, then those that did not change."""
    found = ranked(rows, by, falls_first)
    there = set(map(id, found))
    return [*found, *(row for row in rows if id(row) not in there)]


def ranked(rows: Iterable[ComparedRow], by: str | None = None, falls_first: bool = False) -> list[ComparedRow]:
    """Rows in order: those first that rose most, then those that fell most; of rows that tie, what took least time.

    ``falls_first``: the other way round. Rows that did not change are left out.
    """
    sign = -1 if falls_first else 1
    weights = [(sign * row.weight(by), row) for row in rows if row.weight(by)]
    rose = sorted((pair for pair in weights if pair[0] > 0), key=lambda pair: -pair[0])
    fell = sorted((pair for pair in weights if pair[0] < 0), key=lambda pair: pair[0])
    return [row for group in (*_ties(rose), *_ties(fell)) for row in group]


def _ties(pairs: list[tuple[int, ComparedRow]]) -> Iterator[list[ComparedRow]]:
    """Rows in groups that tie, the innermost, which took least time, first."""
    group: list[ComparedRow] = []
    first = 0
    for weight, row in pairs:
        if group and abs(first) - abs(weight) > max(NOISE, TIE * abs(first)):
            yield sorted(group, key=_time)
            group = []
        if not group:
            first = weight
        group.append(row)
    yield sorted(group, key=_time)


def _time(row: ComparedRow) -> int:
    change = row.change("time")
    return change.new or change.old or 0
