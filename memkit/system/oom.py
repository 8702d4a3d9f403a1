"""Out-of-memory kills: whether the count of them has risen that a process is under.

Whatever memory was short of, the kernel counts the kill in the group of the process that it kills (with version 2 in those
around it, too) and on the machine. So the innermost group that counts knows of all that concern its processes; the counts
around it know of other jobs' as well.
"""

from __future__ import annotations

from memkit.system import cgroup
from memkit.system.limit_kinds import CGROUP


class Kills:
    """The counts that a process is under, from now on.

    ``pid`` is its number, and that of this process if left out; ``root`` is where ``proc`` and the control groups are found.
    """

    def __init__(self, pid: int | str = "self", root: str = "/"):
        self._root = root
        self._groups = cgroup.memory_groups(pid, root)
        self._before = self._counts()

    def risen(self) -> dict[str, object] | None:
        """That the innermost count has risen, as the fields of a ``memkit.OutOfMemory``, or None."""
        return self._risen(self._counts())

    def of_one(self) -> dict[str, object] | None:
        """The same for one of several processes, which was killed just now: no kill is told of two of them."""
        before = self._before
        after = {counter: min(count, before[counter] + 1) for counter, count in self._counts().items() if counter in before}
        evidence = self._risen(after)
        before.update(after)
        return evidence

    def _counts(self) -> dict[tuple[str, str], int]:
        return cgroup.oom_kills(self._groups, self._root)

    def _risen(self, after: dict[tuple[str, str], int]) -> dict[str, object] | None:
        counter = cgroup.risen(self._before, after)
        if counter is None:
            return None
        kind, name = counter
        counts = {"before": self._before[counter], "after": after[counter]}
        return {"cause": "oom_kill", "kind": kind, "counter": name, **counts, "limits": self._limits_of(name)}

    def _limits_of(self, name: str) -> list[tuple[str, str, int]]:
        """The limit that a group is under, its own or an ancestor's: kind, name and size."""
        limit = cgroup.limits(self._groups).get(name)
        return [] if limit is None else [(CGROUP, *limit)]
