"""From two matched sides to the rows of their comparison."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from memkit.report.comparing.aligning import Aligned, Unit, align
from memkit.report.comparing.changes import HEAP, MEASURES, Change, noise_of_row, noise_of_samples
from memkit.report.comparing.matching import Matched
from memkit.report.comparing.rows import ComparedPlace, ComparedRow
from memkit.report.comparing.sides import OWN, Key, Side, Sums, Values, added, values_of
from memkit.report.comparing.trees import joined

Sided = Sequence[Sums | None] | None
"""What the recordings of a side have of a row; None where it is not there."""
_BOTH_TELL = ("growth", "peak", "time")
"""What lines and calls both tell of a function, in the same sense."""


class Builder:
    """Makes the rows of two sides. ``lines_told`` and ``calls_told``: whether a row of one side only is new or gone."""

    def __init__(self, one: Side, other: Side, matched: Matched, lines_told: bool = True, calls_told: bool = True):
        self._one, self._other, self._matched = one, other, matched
        self._back = {its: key for key, its in matched.pairs.items()}
        self._by_calls = one.has_calls and other.has_calls
        functions_told = calls_told if self._by_calls else lines_told
        self._told = {"line": lines_told, "path": calls_told, "function": functions_told}
        self._own: dict[Key, dict[str, int]] = {}
        self.lines = self._told_by_both(self._of_lines() if one.has_lines and other.has_lines else [])
        self.paths = self._told_by_both(list(self._of_paths()) if self._by_calls else [])
        self.functions = self._told_by_both(list(self._of_functions()))

    # -- any row ---------------------------------------------------------------------------------------------------

    def _told_by_both(self, rows: list[ComparedRow]) -> list[ComparedRow]:
        """The rows; none where a sampled heap is all that one side knows of them, and the other side knows no heap."""
        sampled = self._one.distance or self._other.distance
        return [] if sampled and not any(change.known for row in rows for change in row.changes) else rows

    def _row(
        self,
        kind: str,
        places: tuple[ComparedPlace | None, ComparedPlace | None],
        sums: tuple[Sided, Sided],
        notes: Iterable[str] = (),
    ) -> ComparedRow:
        """A row with its changes, and with what it changed itself as far as its sums tell."""
        state = "both" if None not in places else "new" if places[0] is None else "gone"
        if state != "both" and not self._told[kind]:
            state = "unmatched"
        churn = max((row.rise or 0 for side in sums for row in side or () if row is not None and row.hits > 1), default=0)
        values, own = self._values(sums, state), self._values(sums, state, OWN)
        changes = tuple(self._change(measure, values, churn, sums) for measure in MEASURES)
        weights = (
            (change.measure, (self._change(change.measure, own, churn, sums) if change.measure in OWN else change).real)
            for change in changes
        )
        return ComparedRow(kind, state, *places, changes, tuple(weights), tuple(notes))

    def _change(self, measure: str, values: tuple[Values, Values], churn: int, sums: tuple[Sided, Sided]) -> Change:
        before, after = values[0].get(measure, ()), values[1].get(measure, ())
        noise = noise_of_row(measure, before, after, churn)
        if measure in HEAP and (distance := max(self._one.distance, self._other.distance)):
            noise = max(noise, noise_of_samples(distance, *(_error(measure, side) for side in sums)))
        return Change(measure, before, after, noise)

    def _values(self, sums: tuple[Sided, Sided], state: str, fields: dict[str, str] | None = None) -> tuple[Values, Values]:
        before, after = (
            _of_none(side, state) if each is None else values_of(each, fields) if fields else values_of(each)
            for side, each in zip((self._one, self._other), sums)
        )
        if sums[0] is None:  # nothing is 0 that was not measured
            before = {measure: values for measure, values in before.items() if after.get(measure)}
        elif sums[1] is None:
            after = {measure: values for measure, values in after.items() if before.get(measure)}
        return before, after

    def _notes(self, before: Key | None, after: Key | None) -> list[str]:
        if before is None or after is None:
            return []
        found = {"renamed": before in self._matched.renamed, "moved": before in self._matched.moved}
        return [note for note, holds in found.items() if holds]

    def _id(self, side: Side, key: Key) -> Key:
        """The same for a function of both sides: its key on the first side, if it is there."""
        return self._back.get(key, key) if side is self._other else key

    # -- lines -----------------------------------------------------------------------------------------------------

    def _of_lines(self) -> list[ComparedRow]:
        aligned = align(self._one, self._other, self._matched)
        rows = [self._line(pair) for pair in aligned]
        called, changed = self._called_by_name(), self._changed(aligned, rows)
        found = []
        for pair, row in zip(aligned, rows):
            row = self._without_called(pair, row, called, changed)
            found.append(row)
            side, unit = (self._other, pair.after) if pair.after is not None else (self._one, pair.before)
            assert unit is not None, "a row is on one side at least"
            sums = self._own.setdefault(self._id(side, unit.key), {"growth": 0, "time": 0})
            for measure in sums:
                sums[measure] += dict(row.own)[measure]
        return found

    def _line(self, pair: Aligned) -> ComparedRow:
        keys = pair.before and pair.before.key, pair.after and pair.after.key
        notes = self._notes(*keys)
        if pair.moved and "moved" not in notes:
            notes.append("moved")
        if pair.edited:
            notes.append("edited")
        places = _place_of_unit(self._one, pair.before), _place_of_unit(self._other, pair.after)
        return self._row("line", places, (_sums(self._one, pair.before), _sums(self._other, pair.after)), notes)

    def _called_by_name(self) -> dict[str, set[Key]]:
        """The functions whose lines are known, by the names that they are called by."""
        found: dict[str, set[Key]] = {}
        for side in (self._one, self._other):
            for key in side.lines:
                for name in _called_by(key):
                    found.setdefault(name, set()).add(self._id(side, key))
        return found

    def _changed(self, aligned: list[Aligned], rows: list[ComparedRow]) -> dict[Key, dict[str, int]]:
        """By how much each function changed by growth and time, with all that it called: what its lines did together."""
        found: dict[Key, dict[str, int]] = {}
        for pair, row in zip(aligned, rows):
            for measure in ("growth", "time"):
                change = row.change(measure)
                for side, unit, size in (
                    (self._one, pair.before, -(change.old or 0)),
                    (self._other, pair.after, change.new),
                ):
                    if unit is not None:
                        sums = found.setdefault(self._id(side, unit.key), {"growth": 0, "time": 0})
                        sums[measure] += size or 0
        return found

    def _without_called(
        self, pair: Aligned, row: ComparedRow, called: dict[str, set[Key]], changed: dict[Key, dict[str, int]]
    ) -> ComparedRow:
        """The row without what the functions changed whose names its text has."""
        functions: set[Key] = set()
        for side, unit in ((self._one, pair.before), (self._other, pair.after)):
            statement = side.statement(unit.key, unit.numbers[0]) if unit is not None else None
            for name in statement.names if statement is not None else ():
                functions |= called.get(name, set())
        for side, unit in ((self._one, pair.before), (self._other, pair.after)):
            functions -= {self._id(side, unit.key)} if unit is not None else set()
        own = dict(row.own)
        for measure in ("growth", "time"):
            below = sum(changed.get(key, {}).get(measure, 0) for key in functions)
            change, left = row.change(measure), own[measure]
            if below * left > 0:
                left = left - below if abs(below) < abs(left) else 0
            own[measure] = left if abs(left) > max(change.noise, change.spread) else 0
        return row._replace(own=tuple(own.items()))

    # -- functions and paths ---------------------------------------------------------------------------------------

    def _of_functions(self) -> Iterator[ComparedRow]:
        """By calls where both sides have them, else by lines, else what lines and calls can both tell."""
        mixed = not self._by_calls and not (self._one.has_lines and self._other.has_lines)
        ones, others = (_functions(side, self._by_calls or not side.has_lines) for side in (self._one, self._other))
        for key, sums in ones.items():
            its = self._matched.pairs.get(key)
            there = others.get(its) if its is not None else None
            if there is None:
                its = None
            if not (mixed and there is None):
                yield self._function(key, its, sums, there, mixed)
        for its, sums in others.items():
            back = self._back.get(its)
            if not mixed and (back is None or back not in ones):
                yield self._function(None, its, None, sums, mixed)

    def _function(self, key: Key | None, its: Key | None, sums: Sided, there: Sided, mixed: bool) -> ComparedRow:
        row = self._row("function", (_place(self._one, key), _place(self._other, its)), (sums, there), self._notes(key, its))
        if mixed:
            changes = [
                change if change.measure in _BOTH_TELL else change._replace(before=(), after=()) for change in row.changes
            ]
            own = ((change.measure, change.real) for change in changes)  # lines do not tell what they did themselves
            return row._replace(changes=tuple(changes), own=tuple(own))
        if not self._by_calls:
            id = key if key is not None else its
            return row._replace(own=tuple({**dict(row.own), **self._own.get(id, {})}.items())) if id else row
        return row

    def _of_paths(self) -> Iterator[ComparedRow]:
        for each in joined(self._one, self._other, self._matched.pairs):
            keys = (each.before.key if each.before else None), (each.after.key if each.after else None)
            places = _place(self._one, keys[0]), _place(self._other, keys[1])
            sums = (each.before.sums if each.before else None), (each.after.sums if each.after else None)
            row = self._row("path", places, sums, self._notes(*keys))
            yield row._replace(id=each.id, parent=each.parent)


def _error(measure: str, sums: Sided) -> float:
    """The largest standard error of a measure that a recording of a side has."""
    return max((row.errors[HEAP.index(measure)] for row in sums or () if row is not None), default=0)


def _of_none(side: Side, state: str) -> Values:
    """The values of a row that a side does not have: 0, unless the side may not have traced it."""
    if state == "unmatched":
        return {}
    nothing = (0,) * side.count
    known = ("growth", "rise", "time", *(HEAP if side.has_heap else ()))
    return {measure: nothing for measure in known}


def _functions(side: Side, by_calls: bool) -> dict[Key, Sequence[Sums | None]]:
    """What the recordings of a side have of each function, by calls or by lines; nothing where they have neither."""
    if by_calls:
        return {key: sums for key, sums in side.called.items() if not key.name.startswith("<thread")}
    found: dict[Key, Sequence[Sums | None]] = {}
    for key, rows in side.lines.items():
        sums: list[Sums | None] = [None] * side.count
        for lines in rows.values():
            for place, line in enumerate(lines):
                sums[place] = sums[place] if line is None else added(sums[place], line)
        found[key] = sums
    return found


def _called_by(key: Key) -> list[str]:
    """The names that a function is called by: of ``__init__`` that of its class, too."""
    *above, name = key.name.split(".")
    return [name, above[-1]] if above and name in ("__init__", "__new__", "__call__") else [name]


def _place(side: Side, key: Key | None) -> ComparedPlace | None:
    return None if key is None else ComparedPlace(side.functions[key])


def _place_of_unit(side: Side, unit: Unit | None) -> ComparedPlace | None:
    if unit is None:
        return None
    return ComparedPlace(side.functions[unit.key], unit.numbers[0], side.text(unit.key, unit.numbers[0]))


def _sums(side: Side, unit: Unit | None) -> Sided:
    """What the recordings of a side have of a statement."""
    rows = side.lines.get(unit.key, {}) if unit is not None else {}
    if unit is None or not any(number in rows for number in unit.numbers):  # or no sample was of it
        return None
    sums: list[Sums | None] = [None] * side.count
    for number in unit.numbers:
        for place, line in enumerate(rows[number]):
            sums[place] = sums[place] if line is None else added(sums[place], line)
    return sums
