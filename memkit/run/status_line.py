"""The status line of a running program: memory now, its peak, what is left, a small curve, the line that runs."""

from __future__ import annotations

import os
import sys
import time
import unicodedata

from memkit.base.errors import UsageError
from memkit.base.units import SECOND, printable, show_bytes
from memkit.system import limits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from memkit.model.calls import Function
    from memkit.model.from_rows import Rows
    from memkit.model.recording import Sample, Total
    from memkit.system.limit import Limit

    LineKey = tuple[Function, int]  # and the number of the line

EVERY = SECOND // 4
"""Nanoseconds from drawing to drawing."""
_LIMIT_EVERY = 1.0  # seconds
_MOST_BINS = 20
_FIRST_BIN = SECOND // 4
_BLOCKS, _PLAIN_BLOCKS = "▁▂▃▄▅▆▇█", "_.,-~=*#"
_LONGEST_LINE_NAME = 40
_NEARLY_ALL = 0.9


class StatusLine:
    """The text of the status line, from the rows of a recording that is being made."""

    def __init__(self, unicode: bool = True) -> None:
        self._blocks = _BLOCKS if unicode else _PLAIN_BLOCKS
        self._memory = 0
        self._processes: int | None = None
        self._curve = Curve()
        self._running_line = RunningLine()
        self._left: Limit | None = None
        self._left_due = 0.0

    def update(self, rows: Rows) -> bool:
        """Read the rows that are new; False if there is no sample yet."""
        if not rows.heights:
            return False
        self._memory, self._processes = rows.heights[-1].memory, rows.living
        self._curve.take(rows.heights)
        self._running_line.take(rows.line_times())
        if time.monotonic() >= self._left_due:
            try:
                self._left = limits.limit(rows.about.pid)
            except UsageError:  # it has just ended
                self._left = None
            self._left_due = time.monotonic() + _LIMIT_EVERY
        return True

    def text(self, columns: int) -> str:
        """The line, in at most so many columns: the least important parts are left out first."""
        parts = [  # in their order on the line; the higher the number, the sooner it is left out
            (6, "memkit"),
            (0, show_bytes(self._memory)),
            (1, f"peak {show_bytes(self._curve.highest)}"),
            (2, f"left {show_bytes(self._left.left)}" if self._left is not None else ""),
            (5, self._curve.drawn(self._blocks)),
            (4, f"{self._processes} process{'es' * (self._processes > 1)}" if self._processes else ""),
            (3, shortened(self._running_line.text, _LONGEST_LINE_NAME)),
        ]
        kept = [part for part in parts if part[1]]
        while len(kept) > 1 and _width("  ".join(text for _, text in kept)) > columns:
            kept.remove(max(kept))
        return shortened("  ".join(text for _, text in kept), columns)


class Curve:
    """A curve of at most 20 bins of equal length, each with its highest memory; pairs are joined as the curve grows."""

    def __init__(self) -> None:
        self._taken = 0
        self._length = _FIRST_BIN
        self._highest: list[int | None] = []

    @property
    def highest(self) -> int:
        """The highest memory of all."""
        return max(height for height in self._highest if height is not None)

    def take(self, rows: Sequence[Sample] | Sequence[Total]) -> None:
        """Add the rows that were appended to a list of samples or totals since the last call."""
        for row in rows[self._taken :]:
            self._put(row.time, max(row.memory, getattr(row, "peak", 0)))
        self._taken = len(rows)

    def _put(self, moment: int, height: int) -> None:
        while moment // self._length >= _MOST_BINS:
            pairs = [self._highest[at : at + 2] for at in range(0, len(self._highest), 2)]
            self._highest = [max((height for height in pair if height is not None), default=None) for pair in pairs]
            self._length *= 2
        index = moment // self._length
        self._highest += [None] * (index + 1 - len(self._highest))
        self._highest[index] = max(self._highest[index] or 0, height)

    def drawn(self, blocks: str) -> str:
        """One of the blocks for each bin: the first for no memory, the last for the highest."""
        top, known, text = max(self.highest, 1), 0, ""
        for height in self._highest:
            known = known if height is None else height
            text += blocks[min(len(blocks) - 1, known * len(blocks) // top)]
        return text


class RunningLine:
    """The traced line that the program runs, by the time that each line has run."""

    def __init__(self) -> None:
        self._times: dict[LineKey, int] = {}
        self.text = ""
        """The line that ran between the last two flushes."""

    def take(self, times: dict[LineKey, int]) -> None:
        """Read how long each line has run so far.

        The time of a line includes what it calls. Among the lines that ran nearly all of the time since the last flush, the
        innermost is the one with the least time before.
        """
        ran = {line: time - self._times.get(line, 0) for line, time in times.items() if time != self._times.get(line)}
        if not ran:
            return
        self._times = times
        longest = max(ran.values())
        function, number = min((line for line in ran if ran[line] >= longest * _NEARLY_ALL), key=lambda line: times[line])
        self.text = f"{os.path.basename(function.file)}:{number} {function.name}"


def shortened(text: str, columns: int) -> str:
    """Text cut to at most so many columns of a terminal, with a question mark for each control character."""
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
    """Whether the encoding of stderr has the block characters."""
    try:
        _BLOCKS.encode(getattr(sys.stderr, "encoding", None) or "ascii")
    except (UnicodeError, LookupError):
        return False
    return True
