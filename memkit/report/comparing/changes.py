"""A figure of one side of a comparison and of the other, and whether the difference is more than chance."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from statistics import median
from typing import NamedTuple

MEASURES = {
    "growth": "bytes",
    "rise": "bytes",
    "peak": "bytes",
    "allocated": "bytes",
    "alive": "bytes",
    "heap-peak": "bytes",
    "time": "ns",
}
"""What functions, lines and paths are compared by, and the unit of each."""
MEMORY = ("growth", "rise", "alive")
"""What rows are ranked by unless something else is wished: what stays, what comes and goes, and what is alive."""
MEMORY_SAMPLED = ("alive", "heap-peak")
"""The same where nothing but a sampled heap tells of rows."""
HEAP = ("allocated", "alive", "heap-peak")
"""What rows are compared by where the heap was counted: of each without what it called."""
RUN_FLOOR, RUN_SHARE = 2 << 20, 0.01
"""Memory of two runs of one program differs by that much without a reason: pages of files that the kernel happens to map,
and whether the last arena of an allocator was just enough."""
ROW_FLOOR = 1 << 20
"""The same for what is credited to one line or call: which of them needs a new arena of 1 MiB is chance."""
HEAP_FLOOR, HEAP_SHARE = 64 << 10, 0.005
"""What allocators are asked for is counted to the byte, but sets, caches and text that holds times differ between runs."""
TIME_FLOOR, TIME_FACTOR = 250_000_000, 2.0
"""A time of a single recording is no change before it is three times what it was: all else that a machine does is in it."""
STANDARD_ERRORS = 3
"""Of what was sampled: so far two estimates of the same may be apart."""
UNSEEN = 9
"""A block of so many times the distance between two samples is missed once in 8,000 times, and when it is seen its error
is near 0: that is uncertain, whatever the errors are. One of a third of it is missed once in 20 times."""
EXACT = 256 << 10
"""Two sums of growth or rise are off by 128 KiB each: resident memory is counted in batches of pages."""


class Change(NamedTuple):
    """A figure before and after: one value for each recording of a side."""

    measure: str
    """``growth``, ``rise``, ``peak``, ``allocated``, ``alive``, ``heap-peak``, ``time``, or the name of a fact."""
    before: tuple[int, ...]
    """Of the first side; empty where it is not known there. Bytes, or nanoseconds."""
    after: tuple[int, ...]
    noise: int
    """By how much the two can differ though nothing changed."""

    @property
    def known(self) -> bool:
        """Whether both sides have the figure."""
        return bool(self.before and self.after)

    @property
    def old(self) -> int | None:
        """The median of the first side; None where it is not known."""
        return middle(self.before)

    @property
    def new(self) -> int | None:
        """The median of the second side; None where it is not known."""
        return middle(self.after)

    @property
    def difference(self) -> int | None:
        """``new`` less ``old``; None where one of them is not known."""
        return None if self.old is None or self.new is None else self.new - self.old

    @property
    def share(self) -> float | None:
        """The difference as a share of ``old``; None where that is not above 0, or not known."""
        return None if self.difference is None or not self.old or self.old < 0 else self.difference / self.old

    @property
    def spread(self) -> int:
        """The wider of the ranges that the two sides have; 0 of single recordings."""
        return max((max(side) - min(side) for side in (self.before, self.after) if side), default=0)

    @property
    def is_change(self) -> bool:
        """Whether it is called a change: it is more than noise and spread, and the ranges of the sides do not overlap."""
        if not self.known:
            return False
        apart = min(self.after) > max(self.before) or max(self.after) < min(self.before)
        return apart and abs(self.difference or 0) > max(self.noise, self.spread)

    @property
    def real(self) -> int:
        """The difference where it is called a change, else 0."""
        return (self.difference or 0) if self.is_change else 0


def middle(values: Sequence[int]) -> int | None:
    """The median in whole numbers; None of nothing."""
    if len(values) == 1:
        return values[0]
    return round(median(values)) if values else None


def noise_of_row(measure: str, before: Sequence[int], after: Sequence[int], churn: int = 0) -> int:
    """How far a figure of a line, a call or a function differs from run to run.

    ``churn`` is the most that one of several runs of it rose: whether an allocator gives that back at once is chance.
    """
    single = min(len(before), len(after)) < 2
    if measure == "time":
        return time_noise(before, after)
    if measure in HEAP:
        largest = max(map(abs, (*before, *after)), default=0)
        return max(HEAP_FLOOR, round(HEAP_SHARE * largest)) if single else 0
    if measure == "peak":  # it has in it all that was there before
        return RUN_FLOOR if single else EXACT
    if not single:
        return EXACT
    return ROW_FLOOR + (churn if measure == "growth" else 0)


def time_noise(before: Sequence[int], after: Sequence[int]) -> int:
    """How far a time differs from run to run; of several recordings a side their spread tells."""
    if min(len(before), len(after)) > 1:
        return TIME_FLOOR // 250
    lower = min((middle(side) or 0 for side in (before, after) if side), default=0)
    return max(TIME_FLOOR, round(TIME_FACTOR * lower))


def noise_of_samples(distance: int, before: float, after: float) -> int:
    """How far sums of sampled bytes differ, of which each has a standard error; one byte in ``distance`` was sampled."""
    return round(math.hypot(STANDARD_ERRORS * before, STANDARD_ERRORS * after, UNSEEN * distance))


def known(values: Iterable[int | None]) -> tuple[int, ...]:
    """The values, or nothing where one of them is not known."""
    found = []
    for value in values:
        if value is None:
            return ()
        found.append(value)
    return tuple(found)
