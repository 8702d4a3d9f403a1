"""Out-of-memory kills: whether the count of them has risen that a process is under, and who is killed first.

Whatever memory was short of, the kernel counts the kill in the group of the process that it kills (with version 2 in those
around it, too) and on the machine. So the innermost group that counts knows of all that concern its processes; the counts
around it know of other jobs' as well.
"""

from __future__ import annotations

import os

from memkit.system import cgroup
from memkit.system.limit_kinds import CGROUP
from memkit.system.meminfo import table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_MOST = 1000  # of oom_score_adj: all of the memory there is
_LEAST = -1000  # and no claim at all: a process that the out-of-memory killer spares


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


_OURS = 64 << 20  # more than memkit-run needs


def outlive(pid: int, root: str = "/") -> Callable[[], object]:
    """Have the kernel kill a process rather than this one if memory runs out: whoever reports must be there afterwards.

    The kernel kills who claims most, and where shared memory or a tmpfs has filled a small group, that may be this process.
    So the other's claim is raised by what this one may need, as the share of what limits both that ``oom_score_adj`` is (in
    1/1000); what the other starts inherits that. Raising is allowed to all. Where lowering is allowed, too, this process is
    spared until the function is called that this returns: the kernel kills a second one if the first is not gone at once.
    Source: ``man 5 proc``.
    """
    _raise_claim(pid, root, _OURS)
    own = os.path.join(root, "proc/self/oom_score_adj")
    before = cgroup.text_of(own).strip()
    if not before or not _write(own, str(_LEAST)):
        return lambda: None
    return lambda: _write(own, before)


def sacrifice(pid: int, root: str = "/") -> None:
    """Have the kernel kill a process that does nothing rather than this one, after that which this one is to ``outlive``.

    The kernel kills a second process if the memory of the first is not free yet: what it held beside its address space, such
    as files of a tmpfs, is freed last. By the time that a third were killed it is.
    """
    _raise_claim(pid, root, _OURS // 2)


def _raise_claim(pid: int, root: str, by: int) -> None:
    sizes = [group.limit() for group in cgroup.memory_groups(pid, root)] + [table(f"{root}/proc/meminfo").get("MemTotal")]
    size = min((size for size in sizes if size), default=None)
    path = os.path.join(root, f"proc/{pid}/oom_score_adj")
    text = cgroup.text_of(path).strip()
    if size is None or not text.lstrip("-").isdigit():
        return
    claim = min(_MOST, int(text) + -(-by * _MOST // size))
    _write(path, str(claim))


def _write(path: str, text: str) -> bool:
    """Write into a file of the kernel's; False: it may not, or the process has ended, or is somebody else's by now."""
    try:
        with open(path, "r+b", buffering=0) as file:
            file.write(text.encode())
    except OSError:
        return False
    return True
