"""Kills for want of memory: whether the count of them has risen that a process is under.

Whatever memory was short of, the kernel counts the kill in the group of the process that it kills (with version 2 in those
around it, too) and on the machine. So the innermost group that counts knows of all that concern its processes; the counts
around it know of other jobs' as well.
"""

from __future__ import annotations

from memkit.base.units import show_bytes
from memkit.system import cgroup


class Kills:
    """The counts that a process is under, from now on.

    ``pid`` is its number, and that of this process if left out; ``root`` is where ``proc`` and the control groups are found.
    """

    def __init__(self, pid: int | str = "self", root: str = "/"):
        self._root = root
        self._groups = cgroup.memory_groups(pid, root)
        self._before = self._counts()

    def risen(self) -> str | None:
        """That the innermost count has risen, in words, or None."""
        return cgroup.risen(self._before, self._counts(), self._labels())

    def of_one(self) -> str | None:
        """The same for one of several processes, which was killed just now: no kill is told of two of them."""
        before = self._before
        after = {name: min(count, before[name] + 1) for name, count in self._counts().items() if name in before}
        words = cgroup.risen(before, after, self._labels())
        before.update(after)
        return words

    def _counts(self) -> dict[str, int]:
        return cgroup.oom_kills(self._groups, self._root)

    def _labels(self) -> dict[str, str]:
        """The name of each group with its limit, or with the ancestor whose limit it is under."""
        labels = {}
        for name, (limiting, size) in cgroup.limits(self._groups).items():
            within = "" if name == limiting else f"{name} in "
            labels[name] = f"{within}{limiting} ({show_bytes(size)})"
        return labels
