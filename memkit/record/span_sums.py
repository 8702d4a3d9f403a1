"""Sums of the spans of each label, in bounded memory for ever: a service has millions of requests."""

from __future__ import annotations

import _thread

from memkit.base import clocks
from memkit.model import file_format
from memkit.model.file_format import WHOLE_SPANS, bucket
from memkit.record import active
from memkit.system import engine

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from memkit.model import span_sums as model

MOST_LABELS = 1000
"""Further labels are one."""
MORE_SPANS = "<more spans>"
BLOCK = 25
"""Spans of a label of which the least that was alive of it is kept."""
_BLOCKS = 41  # that are kept
_LOOK = 5  # spans from one look at what is alive to the next: what just ended may still be alive for a moment
_FLUSH = 250_000_000  # nanoseconds between two rows of a label at least, or this share of the time so far
_SHARE = 100


class PythonSpreads:
    """How many spans there were, how many others overlapped, and how six measures of them are spread."""

    def __init__(self) -> None:
        self.number = self.overlapped = self.due = 0
        self._measures: list[tuple[list[int], dict[int, int]]] = [([], {}) for _ in range(6)]
        self._lock = _thread.RLock()

    def add(
        self, overlapped: bool, duration: int, growth: int, rise: int | None, heap: tuple[int, int | None, int | None] | None
    ) -> bool:
        """Count a span; whether one of its measures is the highest so far by 1/16."""
        record = False
        allocated, freed, peak = heap or (None, None, None)
        kept = None if allocated is None or freed is None else allocated - freed
        values = duration, growth, rise, allocated, kept, peak
        with self._lock:
            self.number += 1
            self.overlapped += overlapped
            for (sums, buckets), value in zip(self._measures, values):
                if value is None:
                    continue
                number = bucket(value)
                buckets[number] = buckets.get(number, 0) + 1
                total, worst = sums or (0, None)
                record = record or worst is None or value > worst + abs(worst) // 16
                sums[:] = total + value, value if worst is None else max(worst, value)
        return record

    def as_lists(self) -> list[list[int] | None]:
        """Each measure as a row has it: the total, the highest, the buckets; None where nothing is known of one."""
        with self._lock:
            return [
                [*sums, *(each for pair in sorted(buckets.copy().items()) for each in pair)] if sums else None
                for sums, buckets in self._measures
            ]


Spreads = PythonSpreads
if not TYPE_CHECKING and engine.NAME == "native":
    try:
        from memkit.native.spans_of_label import Spreads
    except ImportError:
        Spreads = PythonSpreads  # it only takes longer


class Label(Spreads):
    """The sums of a label, and what was alive of it after each block of spans."""

    __slots__ = ("alive", "blocks", "label", "least", "look_at", "sure", "written")

    def __init__(self, label: str) -> None:
        super().__init__()
        self.label = label
        self.written = self.blocks = 0
        self.look_at = _LOOK
        self.alive: list[int] = []
        self.sure: list[int] = []  # the same of blocks of sizes that no free list has
        self.least: tuple[int, int] | None = None  # of both, of the block that has not ended

    def look(self, number: int, alive: int, sure: int) -> None:
        """Note what is alive of the spans that are over, of which there are so many."""
        self.look_at = number + _LOOK
        if self.least is not None:
            alive, sure = min(self.least[0], alive), min(self.least[1], sure)
        self.least = alive, sure
        if number >= (self.blocks + 1) * BLOCK:
            self.blocks, self.least = number // BLOCK, None
            self.alive = [*self.alive[1 - _BLOCKS :], alive]
            self.sure = [*self.sure[1 - _BLOCKS :], sure]


class SpanSums:
    """Sums up the spans of one recording, and writes them; ``alive`` tells what is alive of a label, if the heap is counted.

    They are written when a span ends and the quarter of a second, or the hundredth part of the time so far, is over.
    """

    def __init__(self, journal: engine.Journal, began: int) -> None:
        self._journal, self._began = journal, began
        self.alive: Callable[[str], tuple[int, int]] | None = None
        self.labels: dict[str, Label] = {}
        self._lock = _thread.RLock()  # a signal handler, or a finalizer, may end a span meanwhile

    def are_many(self, label: str) -> bool:
        """Whether so many spans of a label have ended that the next is not written as it begins."""
        known = self.labels.get(label)
        return known.number >= WHOLE_SPANS if known is not None else len(self.labels) >= MOST_LABELS

    def add(
        self,
        label: str,
        duration: int,
        growth: int,
        rise: int | None,
        overlapped: bool,
        heap: tuple[int, int | None, int | None] | None,
    ) -> bool:
        """Count a span that has ended; whether it is one of the worst so far."""
        sums = self.labels.get(label)
        if sums is None:
            label = label if len(self.labels) < MOST_LABELS else MORE_SPANS
            sums = self.labels.setdefault(label, Label(label))
        worst = sums.add(overlapped, duration, growth, rise, heap)
        if heap is not None and self.alive is not None and label != MORE_SPANS and sums.number >= sums.look_at:
            with self._lock:
                sums.look(sums.number, *self.alive(label))
        now = clocks.monotonic_ns()
        if now >= sums.due:
            self.write(sums, now)
        return worst

    def flush(self, *, due: bool = False) -> None:
        """Write what has changed, or what of that is due."""
        now = clocks.monotonic_ns()
        for sums in list(self.labels.values()):
            if sums.number != sums.written and (now >= sums.due or not due):
                self.write(sums, now)

    def so_far(self) -> tuple[model.SpanSums, ...]:
        """What a reader of all rows would find by now."""
        from memkit.model.span_sums import LabelSums

        found = LabelSums()
        with self._lock:
            for sums in list(self.labels.values()):
                found.take(*_values(sums))
        return found.found(())

    def write(self, sums: Label, now: int) -> None:
        """Write the row of a label."""
        with self._lock:
            sums.due = now + max(_FLUSH, (now - self._began) // _SHARE)
            values = _values(sums)
            sums.written = values[1]
            self._journal.text(file_format.row("span_sums", *values))


def _values(sums: Label) -> list[Any]:
    """Those of a row."""
    number = sums.number
    return [sums.label, number, sums.overlapped, *sums.as_lists(), [BLOCK, *sums.alive], sums.sure]


def span_sums() -> tuple[model.SpanSums, ...]:
    """The sums of the spans of each label that have ended in this process, as far as it is being recorded, by label.

    ::

        for sums in memkit.span_sums():
            print(sums.label, sums.number, sums.kept and sums.kept.total)

    Of several recordings those of the one that began first; what was allocated and kept is that of the first that counts the
    heap by spans. They begin anew with each recording, and with each file of a watch. Empty where nothing is recorded. Any
    thread may ask, and as often as a scraper does: it takes less than a millisecond a label.
    """
    running = [each.spans for each in list(active.recorders)]
    if not running:
        return ()
    sums = running[0].sums_so_far()
    counting = next((each for each in running if each.counts_heap), running[0])
    if counting is running[0]:
        return sums
    heaps = {each.label: each for each in counting.sums_so_far()}
    return tuple(_with_heap(each, heaps[each.label]) if each.label in heaps else each for each in sums)


def _with_heap(sums: model.SpanSums, heap: model.SpanSums) -> model.SpanSums:
    """Sums with those of the heap that another recording has counted."""
    names = ("allocated", "kept", "heap_peak", "block", "alive", "sure")
    return sums._replace(**{name: getattr(heap, name) for name in names})
