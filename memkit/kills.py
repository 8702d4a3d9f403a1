"""Kills for want of memory: which counts of them have risen, of the control groups of a process and of the machine."""

from __future__ import annotations

from memkit import cgroup
from memkit.units import show_bytes


class Kills:
    """The counts that a process is under, from now on.

    ``pid`` is its number, and that of this process if left out; ``root`` is where ``proc`` and the control groups are found.
    """

    def __init__(self, pid: int | str = "self", root: str = "/"):
        self._root = root
        self._groups = cgroup.memory_groups(pid, root)
        self._before = self._counts()

    def risen(self, *, killed: bool) -> str | None:
        """The innermost count that has risen, in words, or None.

        ``killed`` is whether the process itself was killed. Where it was not, only the innermost count of all is looked at:
        the others count the kills of other jobs, too.
        """
        after = list(self._counts().items())
        return cgroup.risen(self._before, dict(after if killed else after[:1]), self._labels())

    def of_one(self) -> str | None:
        """The same for one of several processes, which was killed just now: no kill is told of two of them."""
        after = self._counts()
        risen = {name: self._before[name] + 1 for name, count in after.items() if count > self._before.get(name, count)}
        words = cgroup.risen(self._before, risen, self._labels())
        self._before.update(risen)
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
