"""Samples in equal stretches of time, as a picture shows them."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Protocol

    class Sample(Protocol):
        """A reading of memory."""

        @property
        def time(self) -> int: ...
        @property
        def memory(self) -> int: ...
        @property
        def peak(self) -> int: ...


def columns(samples: Sequence[Sample], count: int, duration: int, ended: int | None) -> tuple[list[int], list[int]]:
    """The highest memory that was read, and the highest peak, in each of so many equal stretches of the ``duration``.

    After the process had ``ended`` there is nothing; None: it lived to the end.
    """
    memory: list[int | None] = [None] * count
    peak, before, duration = [0] * count, 0, max(1, duration)
    for sample in samples:
        column = min(count - 1, sample.time * count // duration)
        memory[column] = max(memory[column] or 0, sample.memory)
        peak[column] = max(peak[column], sample.peak)
        if sample.peak > sample.memory:
            for between in range(before, column):
                peak[between] = max(peak[between], sample.peak)
        before = column
    known = samples[0].memory if samples else 0
    last = max(before, count - 1 if ended is None else ended * count // duration)
    for column, value in enumerate(memory[: last + 1]):
        known = memory[column] = known if value is None else value
        peak[column] = max(peak[column], known)
    return [value or 0 for value in memory], peak
