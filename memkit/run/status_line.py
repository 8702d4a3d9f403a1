"""The status line of a program that runs: memory now, its peak, what is left, a small curve, the line that runs."""

from __future__ import annotations

import os
import sys
import time
import unicodedata

from memkit.base.errors import UsageError
from memkit.base.units import SECOND, printable, show_bytes
from memkit.system import limits

EVERY = 0.25
"""Seconds from drawing to drawing."""
_LIMIT_EVERY = 1.0
_MOST_BINS = 20
_FIRST_BIN = SECOND // 4
_BLOCKS, _PLAIN_BLOCKS = "▁▂▃▄▅▆▇█", "_.,-~=*#"
_LONGEST_PLACE = 40
_NEARLY = 0.9


class Status:
    """What a recording that is being made says of the program now."""

    def __init__(self, unicode: bool = True):
        self._blocks = _BLOCKS if unicode else _PLAIN_BLOCKS
        self._rows = None
        self._curve = Bins()
        self._place = Place()
        self._left = None
        self._left_due = 0.0

    def look(self, rows) -> bool:
        """Take in what is new among the ``Rows`` of a recording; False where nothing is known yet."""
        self._rows = rows
        if not rows.heights:
            return False
        self._curve.take(rows.heights)
        self._place.take(rows.line_times())
        if time.monotonic() >= self._left_due:
            try:
                self._left = limits.limit(rows.about.pid)
            except UsageError:  # it has just ended
                self._left = None
            self._left_due = time.monotonic() + _LIMIT_EVERY
        return True

    def text(self, columns: int) -> str:
        """The line, in at most so many columns: what matters least is left out first."""
        alive = self._rows.living
        peak, place = self._curve.highest, self._place.running
        parts = [  # in their order on the line, each with how little it matters
            (6, "memkit"),
            (0, show_bytes(self._rows.heights[-1].memory)),
            (1, f"peak {show_bytes(peak)}"),
            (2, self._left and f"left {show_bytes(self._left.left)}"),
            (5, self._curve.drawn(self._blocks)),
            (4, alive and f"{alive} process{'es' * (alive > 1)}"),
            (3, place and shown(place, _LONGEST_PLACE)),
        ]
        kept = [part for part in parts if part[1]]
        while len(kept) > 1 and _width("  ".join(text for _, text in kept)) > columns:
            kept.remove(max(kept))
        return shown("  ".join(text for _, text in kept), columns)


class Bins:
    """A curve in a few equal stretches of time, each with its highest memory; they are joined as it gets longer."""

    def __init__(self):
        self._taken = 0
        self._length = _FIRST_BIN
        self._highest = []

    @property
    def highest(self) -> int:
        """The highest of all."""
        return max(height for height in self._highest if height is not None)

    def take(self, rows) -> None:
        """Take in the rows that were appended to a list of samples or totals since the last call."""
        for row in rows[self._taken :]:
            self._put(row.time, max(row.memory, getattr(row, "peak", 0)))
        self._taken = len(rows)

    def _put(self, moment: int, height: int) -> None:
        while moment // self._length >= _MOST_BINS:
            pairs = [self._highest[place : place + 2] for place in range(0, len(self._highest), 2)]
            self._highest = [max((height for height in pair if height is not None), default=None) for pair in pairs]
            self._length *= 2
        place = moment // self._length
        self._highest += [None] * (place + 1 - len(self._highest))
        self._highest[place] = max(self._highest[place] or 0, height)

    def drawn(self, blocks: str) -> str:
        """One of the blocks for each stretch, from none of the highest to all of it."""
        top, known, text = max(self.highest, 1), 0, ""
        for height in self._highest:
            known = known if height is None else height
            text += blocks[min(len(blocks) - 1, known * len(blocks) // top)]
        return text


class Place:
    """Where a program is, as far as traced lines tell."""

    def __init__(self):
        self._times = {}
        self.running = None
        """The line that ran between the last two writings of sums, as text."""

    def take(self, times: dict) -> None:
        """Take in how long each line has run.

        The time of a line is with all that it called: of those that ran nearly all the while the one that has run least
        before was called last.
        """
        ran = {line: time - self._times.get(line, 0) for line, time in times.items() if time != self._times.get(line)}
        if not ran:
            return
        self._times = times
        longest = max(ran.values())
        function, number = min((line for line in ran if ran[line] >= longest * _NEARLY), key=times.get)
        self.running = f"{os.path.basename(function.file)}:{number} {function.name}"


def shown(text: str, columns: int) -> str:
    """Text for a terminal, in at most so many columns: what would command the terminal is a question mark."""
    found, width = "", 0
    for letter in printable(text).replace("\t", "?"):
        width += _width(letter)
        if width > columns:
            break
        found += letter
    return found


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def can_show_blocks() -> bool:
    """Whether the terminal is likely to show what is not ASCII."""
    try:
        _BLOCKS.encode(getattr(sys.stderr, "encoding", None) or "ascii")
    except (UnicodeError, LookupError):
        return False
    return True
