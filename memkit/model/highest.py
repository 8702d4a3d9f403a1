"""The highest memory within any stretch of time, told without going through all samples each time."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable


class Highest:
    """The highest of samples, pairs of time and memory: a tree of maxima, whose leaves these are."""

    def __init__(self, samples: Iterable[tuple[int, int]]) -> None:
        ordered = sorted(samples)
        self._times = [time for time, _ in ordered]
        self._count = len(ordered)
        self._tree = [0] * self._count + [memory for _, memory in ordered]
        for place in range(self._count - 1, 0, -1):
            self._tree[place] = max(self._tree[2 * place], self._tree[2 * place + 1])

    def within(self, start: int, end: int | None) -> int | None:
        """The highest from one moment to another, both included, or to the end; None where there was no sample."""
        left = bisect_left(self._times, start) + self._count
        right = (self._count if end is None else bisect_right(self._times, end)) + self._count
        found: list[int] = []
        while left < right:
            if left % 2:
                found.append(self._tree[left])
                left += 1
            if right % 2:
                right -= 1
                found.append(self._tree[right])
            left //= 2
            right //= 2
        return max(found, default=None)
