"""Which line of a function is which in the other side's: by the text of its statement, else by its place in the function."""

from __future__ import annotations

from difflib import SequenceMatcher
from typing import NamedTuple

from memkit.report.comparing.matching import ALIKE, Matched
from memkit.report.comparing.sides import Key, Side

_LONG_TEXT = 10
"""A text of fewer characters, such as ``return x``, is not looked for in other functions."""

_SAME_TARGET = 0.3
_MANY = 2000
"""In a function of more statements those that are there again and again are matched last."""
_MOST_PAIRS = 2500
"""Of so many pairs of statements in a gap the letters are compared; in a longer gap all is new and gone."""


class Unit(NamedTuple):
    """A statement with the lines of it that were recorded, or one line whose statement is not known."""

    key: Key
    numbers: tuple[int, ...]
    text: str | None
    """None where the text is not known."""
    raw: tuple[str, ...]
    """The lines as they are."""


class Aligned(NamedTuple):
    """A line, or a statement of several, on one side and on the other; None where there is none."""

    before: Unit | None
    after: Unit | None
    edited: bool = False
    """Whether the text is another."""
    moved: bool = False
    """Whether it stands in another function, or in another order."""


def align(one: Side, other: Side, matched: Matched) -> list[Aligned]:
    """All recorded lines of two sides, matched where they can be."""
    found: list[Aligned] = []
    lone: list[Unit] = []
    lone_there: list[Unit] = []
    sampled = bool(one.distance or other.distance)
    keys = dict.fromkeys(one.lines)
    keys |= {key: None for key, its in matched.pairs.items() if sampled and its in other.lines}
    for key in keys:
        its = matched.pairs.get(key)
        units = _units(one, key)
        if its is None or not (sampled or its in other.lines):
            lone += units
            continue
        units_there = _units(other, its)
        if sampled:
            units, units_there = _with_unseen(one, key, units, units_there), _with_unseen(other, its, units_there, units)
        mine, theirs = _in_function(one, other, units, units_there, found)
        lone += mine
        lone_there += theirs
    paired = set(matched.pairs[key] for key in keys if key in matched.pairs)
    lone_there += [unit for key in other.lines if key not in paired for unit in _units(other, key)]
    mine, theirs = _in_other_functions(lone, lone_there, found)
    found += [Aligned(unit, None) for unit in mine] + [Aligned(None, unit) for unit in theirs]
    return [each for pair in found for each in _line_by_line(pair)]


def _units(side: Side, key: Key) -> list[Unit]:
    """The statements of a function of which lines were recorded, in order."""
    units: list[Unit] = []
    last = 0
    for number in side.lines.get(key, ()):
        statement = side.statement(key, number)
        if statement is None:
            raw = (side.text(key, number),)
            units.append(Unit(key, (number,), raw[0] if side.statements(key) is not None else None, raw))
        elif units and last == statement.first:
            units[-1] = units[-1]._replace(numbers=(*units[-1].numbers, number))
        else:
            lines = side.source(key).lines[statement.first - 1 : statement.last]
            units.append(Unit(key, (number,), statement.text, tuple(line.strip() for line in lines)))
        last = statement.first if statement is not None else 0
    return units


def _with_unseen(side: Side, key: Key, units: list[Unit], others: list[Unit]) -> list[Unit]:
    """The statements of a function, and those of the other side's that stand in it, though no sample was of them."""
    unseen = {unit.text for unit in others if unit.text} - {unit.text for unit in units}
    statements, function = side.statements(key), side.functions[key]
    if not unseen or statements is None:
        return units
    found = [*units]
    standing = statements.of_module() if function.name == "<module>" else statements.within(function.name, function.line)
    for each in standing:
        if each.text in unseen:
            found.append(Unit(key, (each.first,), each.text, statements.raw(each.first, each.last)))
            unseen.remove(each.text)
    return sorted(found, key=lambda unit: unit.numbers)


def _in_function(
    one: Side, other: Side, units: list[Unit], theirs: list[Unit], found: list[Aligned]
) -> tuple[list[Unit], list[Unit]]:
    """Match the statements of one function; returns those that are left over on each side."""
    if any(unit.text is None for unit in (*units, *theirs)):
        return _by_place(one, other, units, theirs, found)
    texts, texts_there = [unit.text or "" for unit in units], [unit.text or "" for unit in theirs]
    mine, others = dict(enumerate(units)), dict(enumerate(theirs))
    gaps: list[tuple[range, range]] = []
    repetitive = max(len(units), len(theirs)) > _MANY
    for kind, first, last, start, end in SequenceMatcher(None, texts, texts_there, autojunk=repetitive).get_opcodes():
        if kind == "equal":
            found += [Aligned(mine.pop(first + each), others.pop(start + each)) for each in range(last - first)]
        elif kind == "replace":
            gaps.append((range(first, last), range(start, end)))
    places: dict[str, list[int]] = {}
    for place in sorted(others, reverse=True):
        places.setdefault(texts_there[place], []).append(place)
    for place in list(mine):  # in another order
        if places.get(texts[place]):
            found.append(Aligned(mine.pop(place), others.pop(places[texts[place]].pop()), moved=True))
    for ones, its in gaps:
        _edited([place for place in ones if place in mine], [place for place in its if place in others], mine, others, found)
    return list(mine.values()), list(others.values())


def _edited(
    ones: list[int], theirs: list[int], mine: dict[int, Unit], others: dict[int, Unit], found: list[Aligned]
) -> None:
    """Match the statements in the same place whose texts are alike, those first that are most alike."""
    if len(ones) * len(theirs) > _MOST_PAIRS:
        return
    alike = sorted(
        (-_likeness(mine[place].text or "", others[number].text or ""), place, number) for place in ones for number in theirs
    )
    for ratio, place, number in alike:
        if -ratio >= ALIKE and place in mine and number in others:
            found.append(Aligned(mine.pop(place), others.pop(number), edited=True))


def _likeness(one: str, other: str) -> float:
    """How much two statements are alike; those that assign to the same name more than others."""
    ratio = SequenceMatcher(None, one, other, autojunk=False).ratio()
    targets = [text.partition(" = ")[0] if " = " in text else None for text in (one, other)]
    return ratio + _SAME_TARGET if targets[0] is not None and targets[0] == targets[1] else ratio


def _by_place(
    one: Side, other: Side, units: list[Unit], theirs: list[Unit], found: list[Aligned]
) -> tuple[list[Unit], list[Unit]]:
    """Match lines by how far they are below the beginning of their function."""
    offsets = {_offset(other, unit): unit for unit in theirs}
    mine = []
    for unit in units:
        its = offsets.pop(_offset(one, unit), None)
        if its is None:
            mine.append(unit)
        else:
            found.append(Aligned(unit, its))
    return mine, list(offsets.values())


def _offset(side: Side, unit: Unit) -> int:
    """How far a line is below the beginning of its function; of a module its number."""
    first = 0 if unit.key.name == "<module>" else side.functions[unit.key].line
    return unit.numbers[0] - first


def _in_other_functions(lone: list[Unit], lone_there: list[Unit], found: list[Aligned]) -> tuple[list[Unit], list[Unit]]:
    """Match what went from one function to another: statements of a text that is there once on each side."""
    mine, theirs = _by_text(lone), _by_text(lone_there)
    pairs = [(units[0], theirs[text][0]) for text, units in mine.items() if len(units) == len(theirs.get(text, ())) == 1]
    pairs = [(unit, its) for unit, its in pairs if len(unit.text or "") >= _LONG_TEXT]
    found += [Aligned(unit, its, moved=True) for unit, its in pairs]
    gone, come = list(lone), list(lone_there)
    _remove(gone, [unit for unit, _ in pairs])
    _remove(come, [its for _, its in pairs])
    return gone, come


def _by_text(units: list[Unit]) -> dict[str, list[Unit]]:
    found: dict[str, list[Unit]] = {}
    for unit in units:
        if unit.text:
            found.setdefault(unit.text, []).append(unit)
    return found


def _line_by_line(pair: Aligned) -> list[Aligned]:
    """The lines of a statement one by one, where it has the same lines on both sides; else the statement as a whole."""
    before, after = pair.before, pair.after
    whole = (
        before is not None and after is not None and (before.raw != after.raw or len(before.numbers) != len(after.numbers))
    )
    numbers = len((before or after).numbers)  # type: ignore[union-attr]  # one of them is there
    if whole or numbers == 1:
        return [pair]
    return [
        pair._replace(
            before=before and before._replace(numbers=before.numbers[place : place + 1]),
            after=after and after._replace(numbers=after.numbers[place : place + 1]),
        )
        for place in range(numbers)
    ]


def _remove(units: list[Unit], some: list[Unit]) -> None:
    gone = {(unit.key, unit.numbers) for unit in some}
    units[:] = [unit for unit in units if (unit.key, unit.numbers) not in gone]
