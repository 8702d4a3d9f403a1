"""Lines: what each line of a traced function did to memory, over all its runs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from memkit.model.calls import Function, highest_of, sum_of
from memkit.model.heap import Heap, sum_of_heaps


class Line(NamedTuple):
    """What a line did, summed up over all its runs and all threads."""

    function: Function
    number: int
    hits: int
    time: int
    """Nanoseconds, with all that it called; of a recursion each counts once."""
    growth: int
    """Bytes, with all that it called; of a recursion each counts once, on the line that really grew."""
    memory: int
    """Memory after it last ran."""
    peak: int
    """The highest while it ran, transients included."""
    rise: int | None = None
    """The most by which one run, with all that it called, rose above what there was when it began; None in old files."""
    rises: int | None = None
    """The sum of the rises of all runs; None in old files."""
    about: int = 0
    """Bytes of ``growth`` that are an estimate: nobody knows for certain which thread took them."""
    own_rise: int | None = None
    """The most by which one run rose above what traced code that it called had reached; None in old files."""
    heap: Heap | None = None
    """What it allocated, with all that it called; None where heap was not counted."""
    own_heap: Heap | None = None
    """The same without what traced lines below it did."""

    @property
    def allocated(self) -> int | None:
        """Bytes that it allocated, with all that it called; None where heap was not counted."""
        return None if self.heap is None else self.heap.allocated

    @property
    def freed(self) -> int | None:
        """Bytes of these that were freed, wherever that was."""
        return None if self.heap is None else self.heap.freed

    @property
    def alive(self) -> int | None:
        """Bytes of these that are alive at the end."""
        return None if self.heap is None else self.heap.alive

    @property
    def alive_at_peak(self) -> int | None:
        """Bytes of these that were alive when most was, of all that the recording counts."""
        return None if self.heap is None else self.heap.alive_at_peak

    @property
    def temporary(self) -> int | None:
        """Bytes of these that were freed in the run of a line that allocated them."""
        return None if self.heap is None else self.heap.temporary

    @property
    def blocks(self) -> int | None:
        """How many blocks it allocated."""
        return None if self.heap is None else self.heap.blocks


class HeapLine(NamedTuple):
    """What a line allocated by estimate, where the heap was sampled: by stacks that were read, without tracing."""

    function: Function
    number: int
    heap: Heap
    """With all that it called; of a recursion each byte counts once, on the line of the innermost call."""
    own_heap: Heap
    """Without what other lines did that it called."""


def heap_lines_added_up(lines: Iterable[HeapLine]) -> tuple[HeapLine, ...]:
    """Lines in the order of their files; the same line of several processes, or of a function with two numbers, is one."""
    sums: dict[tuple[Function, int], HeapLine] = {}
    for line in lines:
        if (before := sums.get(line[:2])) is not None:
            line = HeapLine(*line[:2], before.heap.plus(line.heap), before.own_heap.plus(line.own_heap))
        sums[line[:2]] = line
    return tuple(sums[place] for place in sorted(sums, key=_place))


def _place(at: tuple[Function, int]) -> tuple[str, int, str, int]:
    return at[0].file, at[0].line, at[0].name, at[1]


def added_up(lines: Iterable[Line]) -> tuple[Line, ...]:
    """Lines in the order of their files; the same line of several processes, or of a function with two numbers, is one."""
    sums: dict[tuple[Function, int], Line] = {}
    for line in lines:
        before = sums.get(line[:2])
        if before is not None:
            line = Line(
                *line[:2],
                hits=before.hits + line.hits,
                time=before.time + line.time,
                growth=before.growth + line.growth,
                memory=line.memory,
                peak=max(before.peak, line.peak),
                rise=highest_of(before.rise, line.rise),
                rises=sum_of(before.rises, line.rises),
                about=before.about + line.about,
                own_rise=highest_of(before.own_rise, line.own_rise),
                heap=sum_of_heaps(before.heap, line.heap),
                own_heap=sum_of_heaps(before.own_heap, line.own_heap),
            )
        sums[line[:2]] = line
    return tuple(sums[place] for place in sorted(sums, key=_place))
