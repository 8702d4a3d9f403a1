"""A comparison for the terminal: its sentence, the facts side by side, and tables of what changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from memkit.base.units import show_bytes, show_on_a_line, show_time
from memkit.model.recording import Recording
from memkit.report.comparing.comparison import KINDS, Comparison
from memkit.report.comparing.rows import ComparedRow
from memkit.report.comparing.words import difference, place, was
from memkit.report.output import cut, styled

if TYPE_CHECKING:
    from rich.text import Text

MOST_ROWS = 10
MOST_CALLERS = 4
OWN_WIDTH = 11
WIDTHS = {"growth": 11, "rise": 11, "peak": 11, "allocated": 11, "alive": 11, "heap-peak": 11, "time": 10}
_NAMES = {"functions": "function", "lines": "line", "paths": "path"}


def name_of(recordings: Sequence[Recording]) -> str:
    """What a side is called: its files, or its commands."""
    names = [recording.source or recording.about.command for recording in recordings]
    return names[0] if len(names) == 1 else f"{len(names)} recordings ({names[0]}, ...)"


def page(comparison: Comparison, by: str | None = None, width: int | None = None) -> Iterator[Text]:
    """All as rich Text, a line each. ``by`` is a measure that rows are ranked by, ``width`` that of a terminal."""
    yield styled(("compare  ", "dim"), f"{name_of(comparison.before)} → {name_of(comparison.after)}")
    yield styled((comparison.sentence, "bold"))
    for remark in comparison.remarks:
        yield styled(("note     ", "dim"), (remark, "memkit.remark"))
    yield styled()
    yield from cut(_facts(comparison), width)
    for kind in KINDS:
        yield from cut(_table(comparison, kind, by), width)


def _facts(comparison: Comparison) -> Iterator[Text]:
    cells = [
        (fact.label, fact.before, fact.after, difference(fact.change) if fact.change is not None else "")
        for fact in comparison.facts
    ]
    table = [("", "before", "after", "change"), *cells]
    widths = [max(len(row[column]) for row in table) for column in range(4)]
    for number, row in enumerate(table):
        label, *rest = (
            f"{cell:<{wide}}" if column == 0 else f"{cell:>{wide}}" for column, (cell, wide) in enumerate(zip(row, widths))
        )
        change = comparison.facts[number - 1].change if number else None
        style = "memkit.mark" if change is not None and change.is_change else "" if number else "dim"
        yield styled((label, "dim"), "  ", ("  ".join(rest).rstrip(), style))


def columns_of(rows: Sequence[ComparedRow]) -> list[str]:
    """The measures that the rows know."""
    return [measure for measure in WIDTHS if any(row.change(measure).known for row in rows)]


def _table(comparison: Comparison, kind: str, by: str | None) -> Iterator[Text]:
    rows = comparison.changed(kind, by)
    everything: tuple[ComparedRow, ...] = getattr(comparison, kind)
    if not everything:
        return
    yield styled()
    if not rows:
        yield styled((f"no {_NAMES[kind]} changed by more than two runs of the same program can differ by", "dim"))
        return
    yield styled((title(kind, by, rows), "bold"))
    columns = columns_of(rows)
    heads = " ".join(f"{name:>{WIDTHS[name]}}" for name in columns)
    yield styled((f"{'own':>{OWN_WIDTH}} {heads}  {_NAMES[kind]}", "dim"))
    callers = {row.id: row for row in everything}
    for row in rows[:MOST_ROWS]:
        changes = " ".join(f"{difference(row.change(name)):>{WIDTHS[name]}}" for name in columns)
        cells = f"{own(row, by):>{OWN_WIDTH}} {changes}"
        name, *rest = said(row, callers)
        yield styled(
            (cells, "memkit.mark" if row.weight(by) > 0 else ""), "  ", (name, "bold"), *((each, "dim") for each in rest)
        )
    if len(rows) > MOST_ROWS:
        yield styled((f"and {len(rows) - MOST_ROWS:,} more that changed; --json has them all", "dim"))


def own(row: ComparedRow, by: str | None) -> str:
    """By how much a row changed itself, in words."""
    size = row.weight(by)
    return f"{'+' if size > 0 else ''}{show_time(size)}" if by == "time" else show_bytes(size, sign=True)


def title(kind: str, by: str | None, rows: Sequence[ComparedRow]) -> str:
    """What a table shows."""
    *others, last = rows[0].memory
    measures = by or f"{', '.join(others)} or {last}"
    return f"{kind} by change in their own {measures}; what is in brackets is no change"


def said(row: ComparedRow, callers: dict[int | None, ComparedRow]) -> list[str]:
    """Which function, line or path a row is: its name, where it is, where it was, its text and its callers."""
    name = show_on_a_line(row.place.function.name)
    where, before = place(row), was(row)
    text = show_on_a_line(row.place.text)
    above: list[str] = []
    caller = callers.get(row.parent) if row.parent is not None else None
    while caller is not None and caller.parent is not None and len(above) < MOST_CALLERS:
        above.append(show_on_a_line(caller.place.function.name))
        caller = callers.get(caller.parent)
    more = caller is not None and caller.parent is not None
    path = "".join(f" < {each}" for each in above) + (" < ..." if more else "")
    return [name, *(f"  {each}" for each in (where, f"({before})" if before else "", text) if each), path]
