"""Counting what is allocated from one moment to another, without a recording."""

from __future__ import annotations

from typing import NamedTuple

from memkit.base.errors import MeterError
from memkit.record import resolve
from memkit.system import engine

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self


class HeapCount(NamedTuple):
    """What was allocated in a stretch of time, in bytes."""

    peak: int
    """The most of it that was alive at once."""
    kept: int
    """What of it was still alive at the end."""
    allocated: int
    """All of it."""


class HeapCounter:
    """Counts what the process allocates, one stretch of time after the other, to the byte.

    ::

        with memkit.HeapCounter() as counter:
            counter.begin()
            table = load()
            print(counter.end().kept)  # bytes

    Nothing is recorded and nothing traced. All threads count from ``begin`` to ``end``, which any thread may call; each
    costs about a microsecond. Between two stretches nothing counts for either, and Python allocates as fast as ever. It goes
    on in a forked process, where a stretch begins anew. Raises ``MeterError`` where the heap cannot be counted, or a
    recording counts it already.
    """

    def __init__(self) -> None:
        resolve.refuse_second_heap()
        with engine.compiled("counting of allocations"):
            from memkit.native.heap.stretches import Stretches

        self._stretches = Stretches()
        self._stretches.open()

    def begin(self) -> None:
        """A stretch begins."""
        if not self._stretches.is_open:
            resolve.refuse_second_heap()
            self._stretches.open()
        self._stretches.begin()

    def end(self, collect_above: int | None = None) -> HeapCount:
        """The stretch is over: what it allocated, and what of that is alive.

        If that is more than ``collect_above`` bytes, garbage is collected before it is told. Raises ``MeterError`` if the
        process was forked since it began, or the counter closed.
        """
        found = self._stretches.end(collect_above)
        if found is None:
            raise MeterError("the heap was not counted from the beginning: begin and end belong into one process")
        return HeapCount(*found)

    def close(self) -> None:
        """Count no more, so that a recording can; ``begin`` counts again."""
        self._stretches.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
