"""What spans of each label allocated, and where heap is counted by lines or calls, which of these did it."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import NamedTuple

from memkit.model.calls import LOST, Function
from memkit.model.heap import NO_HEAP, Heap

_MOST = 10
"""Lines, and paths, that are kept for each measure."""
_MARKS = 5
"""Moments of a label that are kept in mind: the spans grow by a quarter from one to the next, so one was about half-way."""


class HeapInside(NamedTuple):
    """What a line, or a call path, allocated in spans: itself, without what it called."""

    path: tuple[Function, ...]
    """The functions of a path, the outermost first, at most the last 64; of a line the function that it is in."""
    line: int | None
    """The number of the line; None for a path."""
    heap: Heap
    """To the byte. What is freed once a span is over counts as freed here, too."""
    grown: int | None = None
    """By how much more of it is alive than when about half of the outermost spans had ended: what was kept once is left out.
    None where that moment is not known, as in a recording of less than a second, or not of all that was added up."""

    @property
    def stays(self) -> int:
        """By how much it grew; what is alive of it where that is not known."""
        return self.heap.alive if self.grown is None else self.grown

    def plus(self, other: HeapInside) -> HeapInside:
        """This and that of another process."""
        return self._replace(heap=self.heap.plus(other.heap), grown=_sum(self.grown, other.grown))


class SpanHeap(NamedTuple):
    """What spans of one label allocated that were inside the same others, without what spans inside them did."""

    labels: tuple[str, ...]
    """The label, and those of the spans around it, the outermost first."""
    heap: Heap
    """``temporary`` is what was freed in the span that allocated it; None where heap is counted by lines or calls. What is
    freed once a span is over counts here, too."""
    grown: int | None = None
    """By how much more is alive than when about half of the outermost spans had ended; None where that is not known, be it
    of one of the processes that were added up."""
    inside: tuple[HeapInside, ...] = ()
    """Lines and paths that allocated it: of each the ten that have most alive, grew most, allocated most, or had most alive
    at the peak. What code allocated that is not traced is in none."""

    def plus(self, other: SpanHeap) -> SpanHeap:
        """This and that of another process."""
        inside, grown = together((*self.inside, *other.inside)), _sum(self.grown, other.grown)
        return self._replace(heap=self.heap.plus(other.heap), grown=grown, inside=inside)


def _sum(one: int | None, other: int | None) -> int | None:
    """The sum of both; None where one is not known."""
    return None if one is None or other is None else one + other


def inside(heaps: Iterable[SpanHeap], label: str) -> tuple[HeapInside, ...]:
    """The lines and paths that allocated in spans of a label, and in spans inside these: those first of which most stays.

    That is what they grew by since about half of the spans had ended; what is alive of them where that is not known of all.
    """
    under = [heap for heap in heaps if label in heap.labels]
    found = together(each for heap in under for each in heap.inside)
    if any(heap.grown is None for heap in under):
        found = tuple(each._replace(grown=None) for each in found)
    return tuple(sorted(found, key=lambda each: (-each.stays, -each.heap.allocated)))


def together(inside: Iterable[HeapInside]) -> tuple[HeapInside, ...]:
    """The sums of each line and each path."""
    found: dict[tuple[tuple[Function, ...], int | None], HeapInside] = {}
    for each in inside:
        key = each.path, each.line
        found[key] = found[key].plus(each) if key in found else each
    return tuple(found.values())


_Sites = dict[tuple[int | None, int | None], tuple[int, ...]]  # by call and line: the sums of its row


class SpanHeaps:
    """The rows of the heap of spans as a reader meets them; the last of a label, or of a site in it, holds."""

    def __init__(self) -> None:
        self._labels: dict[int, tuple[str, ...]] = {}  # by number
        self._whole: dict[int, tuple[int, ...]] = {}  # by number of the label: the sums of its row
        self._sites: dict[int, _Sites] = defaultdict(dict)  # by number of the label
        self._marks: dict[str, list[tuple[int, dict[int, dict[tuple[int | None, int | None], int]]]]] = defaultdict(list)
        self._ended: dict[str, int] = {}  # how many spans of a label

    def label(self, number: int, parent: int | None, label: str, *_: object) -> None:
        """Keep the number of a label of spans inside those of another. KeyError where that is not known."""
        self._labels[number] = (*(() if parent is None else self._labels[parent]), label)

    def whole(self, number: int, *sums: int) -> None:
        """Keep the sums of spans. TypeError for a row that is damaged."""
        if len(sums) < _SPAN_SUMS:
            raise TypeError(sums)
        self._whole[number] = sums

    def site(self, number: int, call: int | None, line: int | None, *sums: int) -> None:
        """Keep those of a call and a line in them."""
        self._sites[number][call, line] = sums

    def ended(self, label: str, number: int) -> None:
        """So many spans of a label have ended: keep in mind what is alive of each site in them, and in those inside them."""
        self._ended[label], marks = number, self._marks[label]
        if not self._sites or (marks and 4 * number < 5 * marks[-1][0]):
            return
        now = {
            each: {site: sums[0] - sums[1] for site, sums in self._sites[each].items()}
            for each, labels in self._labels.items()
            if labels[0] == label and each in self._sites
        }
        marks.append((number, now))
        del marks[:-_MARKS]

    def _half_way(self, label: str) -> dict[int, dict[tuple[int | None, int | None], int]] | None:
        """What was alive of each site when about half of the spans of a label had ended."""
        number = self._ended.get(label, 0)
        return next((alive for ended, alive in reversed(self._marks[label]) if 2 * ended <= number), None)

    def found(
        self,
        path_of: Callable[[int], tuple[Function, ...]],
        functions: dict[int, Function],
        below: list[tuple[int, int | None, int, int, int]],
    ) -> tuple[SpanHeap, ...]:
        """What spans allocated, by their labels. ``below`` is which numbers lines have, see ``HeapCounts``."""
        lines = sorted((base, function, first, count) for base, _, function, first, count in below)
        bases = [base for base, *_ in lines]

        def line_of(number: int) -> tuple[tuple[Function, ...], int] | None:
            base, function, first, count = lines[max(0, bisect_right(bases, number) - 1)] if lines else (0, -1, 0, 0)
            known = base <= number < base + count and function in functions
            return ((functions[function],), first + number - base) if known else None

        def call_of(number: int) -> tuple[tuple[Function, ...], None] | None:
            path = path_of(number)
            return (path, None) if path and path[-1] != LOST else None

        found = [
            SpanHeap(self._labels[number], _heap(sums)) for number, sums in self._whole.items() if number in self._labels
        ]
        for number, sites in self._sites.items():
            if number not in self._labels:  # its row was lost
                continue
            before = self._half_way(self._labels[number][0])
            alive = None if before is None else before.get(number, {})
            inside: list[HeapInside] = []
            for (call, line), sums in sites.items():
                grown = None if alive is None else sums[0] - sums[1] - alive.get((call, line), 0)
                of_line, of_call = None if line is None else line_of(line), None if call is None else call_of(call)
                inside += [
                    HeapInside(each[0], each[1], _heap(sums, place), grown)
                    for place, each in ((6, of_line), (5, of_call))
                    if each
                ]
            whole = NO_HEAP
            for sums in sites.values():
                whole = whole.plus(_heap(sums, None))
            more = None if alive is None else whole.alive - sum(alive.values())
            found.append(SpanHeap(self._labels[number], whole, more, _largest(together(inside))))
        return tuple(sorted(found, key=attrgetter("labels")))


_SPAN_SUMS = 6
"""Of a ``span_heap`` row: allocated, freed, blocks, blocks freed, alive at the peak, freed inside."""


def _heap(sums: tuple[int, ...], temporary: int | None = 5) -> Heap:
    """A heap of the sums of a row; what is temporary is in a place of them, or not known."""
    allocated, freed, blocks, blocks_freed, at_peak = sums[:5]
    return Heap(allocated, freed, at_peak, None if temporary is None else sums[temporary] or 0, blocks, blocks_freed)


def _largest(inside: tuple[HeapInside, ...]) -> tuple[HeapInside, ...]:
    """The lines, and the paths, that are among the highest by any measure; those first that have most alive."""
    chosen: dict[HeapInside, None] = {}
    measures: tuple[Callable[[HeapInside], int], ...] = (
        attrgetter("heap.alive"),
        lambda each: each.grown or 0,
        attrgetter("heap.allocated"),
        attrgetter("heap.alive_at_peak"),
    )
    for measure in measures:
        for of_lines in (True, False):
            some = [each for each in inside if (each.line is not None) == of_lines and measure(each) > 0]
            chosen.update(dict.fromkeys(sorted(some, key=lambda each: -measure(each))[:_MOST]))
    return tuple(sorted(chosen, key=lambda each: -each.heap.alive))
