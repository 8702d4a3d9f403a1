"""Sums of the spans of each label, in bounded memory for ever: a service has millions of requests."""

from __future__ import annotations

import _thread

from memkit.base import clocks
from memkit.model import file_format
from memkit.model.file_format import WHOLE_SPANS, bucket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from memkit.system import engine

MOST_LABELS = 1000
"""Further labels are one."""
MORE_SPANS = "<more spans>"
BLOCK = 25
"""Spans of a label of which the least that was alive of it is kept."""
_BLOCKS = 41  # that are kept
_LOOK = 5  # spans from one look at what is alive to the next: what just ended may still be alive for a moment
_FLUSH = 250_000_000  # nanoseconds between two rows of a label at least, or this share of the time so far
_SHARE = 100


class _Spread:
    """One measure of the spans of a label: its total, its highest value, and how many values are in each bucket."""

    __slots__ = ("buckets", "total", "worst")

    def __init__(self) -> None:
        self.total = 0
        self.worst: int | None = None
        self.buckets: dict[int, int] = {}

    def add(self, value: int) -> bool:
        """Count a value; whether it is the highest so far by 1/16."""
        number = bucket(value)
        self.total += value
        self.buckets[number] = self.buckets.get(number, 0) + 1
        if self.worst is not None and value <= self.worst:
            return False
        record = self.worst is None or value > self.worst + abs(self.worst) // 16
        self.worst = value
        return record

    def as_list(self) -> list[int] | None:
        if self.worst is None:
            return None
        return [self.total, self.worst, *(each for pair in sorted(self.buckets.items()) for each in pair)]


class _Label:
    """The sums of a label, measure by measure as in ``SpanSums.add``, and what was alive of it after each block of spans."""

    __slots__ = ("alive", "count", "due", "label", "least", "overlapped", "spreads", "written")

    def __init__(self, label: str) -> None:
        self.label = label
        self.count = self.overlapped = self.written = self.due = 0
        self.spreads = [_Spread() for _ in range(6)]
        self.alive: list[int] = []
        self.least: int | None = None  # of the block that has not ended

    def look(self, alive: int) -> None:
        """Note what is alive of the spans that are over."""
        self.least = alive if self.least is None else min(self.least, alive)
        if self.count % BLOCK == 0:
            self.alive = [*self.alive[1 - _BLOCKS :], self.least]
            self.least = None


class SpanSums:
    """Sums up the spans of one recording, and writes them; ``alive`` tells what is alive of a label, if the heap is counted.

    They are written when a span ends and the quarter of a second, or the hundredth part of the time so far, is over.
    """

    def __init__(self, journal: engine.Journal, began: int) -> None:
        self._journal, self._began = journal, began
        self.alive: Callable[[str], int] | None = None
        self._labels: dict[str, _Label] = {}
        self._lock = _thread.RLock()  # a signal handler, or a finalizer, may end a span meanwhile

    def are_many(self, label: str) -> bool:
        """Whether so many spans of a label have ended that the next is not written as it begins."""
        known = self._labels.get(label)
        return (known.count if known is not None else len(self._labels) - MOST_LABELS + WHOLE_SPANS) >= WHOLE_SPANS

    def add(
        self, label: str, duration: int, growth: int, rise: int | None, overlapped: bool, heap: tuple[int, int, int] | None
    ) -> bool:
        """Count a span that has ended; whether it is one of the worst so far."""
        now = clocks.monotonic_ns()
        with self._lock:
            sums = self._labels.get(label)
            if sums is None:
                label = label if len(self._labels) < MOST_LABELS else MORE_SPANS
                sums = self._labels.setdefault(label, _Label(label))
            sums.count += 1
            sums.overlapped += overlapped
            allocated, kept, peak = (None, None, None) if heap is None else (heap[0], heap[0] - heap[1], heap[2])
            worst = False
            for spread, value in zip(sums.spreads, (duration, growth, rise, allocated, kept, peak)):
                if value is not None and spread.add(value):
                    worst = True
            if heap is not None and self.alive is not None and sums.count % _LOOK == 0:
                sums.look(self.alive(label))
            if now >= sums.due:
                self._write(sums, now)
        return worst

    def flush(self) -> None:
        """Write what has changed."""
        with self._lock:
            for sums in list(self._labels.values()):
                if sums.count != sums.written:
                    self._write(sums, clocks.monotonic_ns())

    def _write(self, sums: _Label, now: int) -> None:
        sums.written = sums.count
        sums.due = now + max(_FLUSH, (now - self._began) // _SHARE)
        spreads = [spread.as_list() for spread in sums.spreads]
        self._journal.text(
            file_format.row("span_sums", sums.label, sums.count, sums.overlapped, *spreads, [BLOCK, *sums.alive])
        )
