"""What the control group uses that limits a program: all its processes and files in memory, while the program runs."""

from __future__ import annotations

import time

from memkit.model.file_format import row
from memkit.system import cgroup

_MOST = 1000  # readings that are kept
_STEP = 200  # a change by 1/200 of the limit is kept


class GroupWatch:
    """Readings of the group with the tightest limit that a process is in; none where no group limits it."""

    def __init__(self, pid: int, root: str = "/") -> None:
        self._group: cgroup.Group | None
        groups = [(group.limit() or cgroup.MUCH, group) for group in cgroup.memory_groups(pid, root)]
        self._size, self._group = min(groups, key=lambda each: each[0], default=(cgroup.MUCH, None))
        self._readings: list[tuple[int, int, tuple[int | None, ...]]] = []  # time, what is used, what of

    def look(self, last: bool = False) -> None:
        """Read it, and keep that if it has changed, or if it is the ``last`` time."""
        used = self._group.used() if self._group is not None and self._size < cgroup.MUCH else None
        if used is None or self._group is None:
            return
        before = self._readings[-1][1] if self._readings else None
        if last or before is None or abs(used - before) * _STEP > self._size:
            self._readings.append((time.monotonic_ns(), used, self._group.parts()))
        if len(self._readings) > _MOST:
            self._thin_out()

    def _thin_out(self) -> None:
        """Keep every other reading, and the highest."""
        highest = max(self._readings, key=lambda reading: reading[1])
        self._readings = [each for place, each in enumerate(self._readings) if place % 2 == 0 or each is highest]

    def rows(self, origin: int) -> bytes:
        """The rows about them, whose times count from ``origin``."""
        name = self._group.label if self._group is not None else ""
        return b"".join(row("group", at - origin, name, used, *parts) for at, used, parts in self._readings)
