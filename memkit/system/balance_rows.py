"""The rows of a balance: what resident memory was found to be made of, and the same as text."""

from __future__ import annotations

from typing import NamedTuple

from memkit.base.units import show_bytes
from memkit.system.balance_texts import BOOKS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_WIDTH = 110
_MOST_ROWS = 10
_MOST_PARTS = 3


class BalancePart(NamedTuple):
    """A part of a row: a library, a file or a mapping."""

    name: str
    bytes: int


class BalanceRow(NamedTuple):
    """One kind of resident memory."""

    key: str
    """``python``, ``python-free``, ``c``, ``c-free``, ``c-heap``, ``own``, ``stacks``, ``code``, ``files``, ``shared``,
    ``memkit`` or ``unexplained``. They stay the same, as names may not."""
    name: str
    bytes: int
    error: int | None
    """By how many bytes it can be too much or too little; None where that is not known, since whose memory it is follows
    from addresses that were found in it."""
    parts: tuple[BalancePart, ...]
    """The largest first. Together they are the row, or there are none."""
    advice: str | None
    """What can be done about it, in a sentence; None for a row of less than 5 %."""


class Balance(NamedTuple):
    """What the resident memory of a process is made of. ``str`` of it is a table of at most ten rows."""

    pid: int
    rss: int
    """Resident memory in bytes, of each mapping at the moment when it was read."""
    rows: tuple[BalanceRow, ...]
    """The largest first, ``unexplained`` last. Their bytes add up to ``rss``."""
    notes: tuple[str, ...]
    """What could not be told, and why."""
    time: int | None = None
    """When it was taken, in nanoseconds since the recording began; None where it is of no recording."""
    moment: str | None = None
    """At what point of a recording: ``"end"``, or ``"peak"`` for the highest memory at which one was taken."""

    @property
    def unexplained(self) -> int:
        """Bytes of which neither a name nor a mark tells what they are."""
        return self.of("unexplained")

    @property
    def explained(self) -> float:
        """The share of ``rss`` that is not unexplained, from 0 to 1."""
        return 1 - self.unexplained / self.rss if self.rss else 1.0

    @property
    def books(self) -> int:
        """Bytes of memkit's by which it tells blocks of the heap apart: no sample and no peak has them in it."""
        return sum(part.bytes for row in self.rows for part in row.parts if row.key == "memkit" and part.name == BOOKS)

    def of(self, key: str) -> int:
        """The bytes of a row by its key; 0 if there is no such row."""
        return sum(row.bytes for row in self.rows if row.key == key)

    def lines(self, width: int = _WIDTH) -> list[str]:
        """The rows and notes as text, no line longer than so many characters where a space lets it be broken."""
        return [line for entry in _entries(self) for line in _wrapped(*entry, width)]

    def as_dict(self) -> dict[str, object]:
        """All of it with ``explained``, as JSON can hold it; sizes are bytes."""
        rows = [{**row._asdict(), "parts": [part._asdict() for part in row.parts]} for row in self.rows]
        return {**self._asdict(), "explained": self.explained, "rows": rows}

    def __str__(self) -> str:
        of_it = f"{show_bytes(self.rss)} resident, {percent(self.explained)} of it explained"
        return "\n".join((f"process {self.pid}: {of_it}", *self.lines()))


# -- as text -----------------------------------------------------------------------------------------------------------


def percent(share: float) -> str:
    """A share of a whole, as text: never rounded up to all of it."""
    return f"{int(share * 1000) / 10:.1f} %"


def _entries(balance: Balance) -> Iterator[tuple[str, str, str]]:
    """Texts, each with what comes before its first line and before the others."""
    rows, folded = balance.rows, balance.rows[:0]
    if len(rows) > _MOST_ROWS:
        rows, folded = (*rows[: _MOST_ROWS - 2], rows[-1]), rows[_MOST_ROWS - 2 : -1]
    for row in rows[:-1]:
        yield from _of_row(balance.rss, row)
    if folded:
        parts = tuple(BalancePart(row.name, row.bytes) for row in folded)
        yield from _of_row(balance.rss, BalanceRow("", "the rest", sum(row.bytes for row in folded), 0, parts, None))
    for row in rows[-1:]:
        yield from _of_row(balance.rss, row._replace(parts=()))
    for note in balance.notes:
        yield note, "note: ", "      "


def _of_row(rss: int, row: BalanceRow) -> Iterator[tuple[str, str, str]]:
    share = "" if not rss else "<1 %" if 0 < 200 * row.bytes < rss else f"{round(100 * row.bytes / rss)} %"
    shown = ", ".join(f"{part.name} {show_bytes(part.bytes)}" for part in row.parts[:_MOST_PARTS])
    more = f", {len(row.parts) - _MOST_PARTS} more" if len(row.parts) > _MOST_PARTS else ""
    head = f"{show_bytes(row.bytes):>12} {share:>5}  "
    indent = " " * len(head)
    yield f"{row.name}: {shown}{more}" if shown else row.name, head, f"{indent}  "
    if row.advice:
        yield row.advice, f"{indent}- ", f"{indent}  "


def _wrapped(text: str, first: str, others: str, most: int) -> list[str]:
    """Text in lines, in which no size is parted from its unit."""
    import re
    import textwrap

    text = re.sub(r"(\d) ([KMGT]?i?B)\b", "\\1\xa0\\2", text)
    width = textwrap.TextWrapper(most, first, others, break_long_words=False, break_on_hyphens=False)
    return [line.replace("\xa0", " ") for line in width.wrap(text)]
