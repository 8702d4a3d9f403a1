"""Linux control groups: the memory groups that a process is in, innermost first, their limits, and how often each killed.

Version 1 counts in ``memory.oom_control``, version 2 in ``memory.events``, both as a line ``oom_kill N``.
"""

from __future__ import annotations

import os

from memkit.base.descriptors import content
from memkit.base.errors import MeterError
from memkit.system.limit_kinds import CGROUP, MACHINE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

MUCH = 1 << 62
"""A limit that is none: version 1 says that there is none by a number near 2^63."""


_PARTS_1 = "total_rss", "total_shmem", "total_cache", "total_inactive_file"
_PARTS_2 = "anon", "shmem", "file", "inactive_file"


class Group:
    """A memory control group.

    ``name`` is as the process sees it: ``/`` is the outermost that it can see.
    """

    __slots__ = ("folder", "name", "version")

    def __init__(self, name: str, folder: str, version: int):
        self.name, self.folder, self.version = name, folder, version

    @property
    def label(self) -> str:
        """What it is called in a report: ``cgroup /jobs``."""
        return f"cgroup {self.name}"

    def __repr__(self) -> str:
        return f"<cgroup {self.name} v{self.version}, {self.folder}>"

    def oom_kills(self) -> int | None:
        """Processes of this group that the kernel has killed because it was out of memory; None where it does not count."""
        for line in lines_of(os.path.join(self.folder, "memory.oom_control" if self.version == 1 else "memory.events")):
            key, _, value = line.partition(" ")
            if key == "oom_kill":
                return int(value)
        return None

    def limit(self) -> int | None:
        """Bytes that the group may use; None where it is not told, or has no limit."""
        return self._number("memory.limit_in_bytes" if self.version == 1 else "memory.max")

    def used(self) -> int | None:
        """Bytes that the group uses, without the file pages that the kernel drops first."""
        used = self._number("memory.usage_in_bytes" if self.version == 1 else "memory.current")
        key = "total_inactive_file" if self.version == 1 else "inactive_file"
        for line in lines_of(os.path.join(self.folder, "memory.stat")):
            name, _, value = line.partition(" ")
            if name == key and used is not None:
                return max(0, used - int(value))
        return used

    def parts(self) -> tuple[int | None, int | None, int | None, int | None]:
        """What of ``used`` is anonymous, shared memory and files of a tmpfs, other files in memory, and the kernel's own."""
        stat = {}
        for line in lines_of(os.path.join(self.folder, "memory.stat")):
            name, _, value = line.partition(" ")
            stat[name] = int(value)
        if self.version == 1:
            anonymous, shared, cache, inactive = map(stat.get, _PARTS_1)
            kernel = self._number("memory.kmem.usage_in_bytes")
        else:
            anonymous, shared, cache, inactive = map(stat.get, _PARTS_2)
            known = [stat[name] for name in ("kernel_stack", "pagetables", "percpu", "sock", "slab") if name in stat]
            kernel = stat.get("kernel", sum(known) if known else None)
        files = None if cache is None else max(0, cache - (shared or 0) - (inactive or 0))
        return anonymous, shared, files, kernel

    def swap(self) -> tuple[int, int]:
        """Bytes that the group may swap out, beside its limit, and those that it has; much where nothing limits that."""
        if self.version == 2:
            room, swapped = self._number("memory.swap.max"), self._number("memory.swap.current")
            if room is None and not os.path.exists(os.path.join(self.folder, "memory.swap.max")):
                return 0, 0  # the outermost group, or a kernel that does not count swap
            return (MUCH if room is None else room), swapped or 0
        both, memory = self._number("memory.memsw.limit_in_bytes"), self._number("memory.limit_in_bytes")
        if both is None or memory is None:
            return MUCH, 0  # swap is not counted, so nothing limits it
        used = self._number("memory.memsw.usage_in_bytes") or 0
        return max(0, both - memory), max(0, used - (self._number("memory.usage_in_bytes") or 0))

    def _number(self, name: str) -> int | None:
        text = text_of(os.path.join(self.folder, name)).strip()
        return int(text) if text.isdigit() else None


def memory_groups(pid: int | str = "self", root: str = "/") -> list[Group]:
    """The memory groups that limit a process, from its own up to the outermost. Empty where there are none.

    ``root`` is where ``proc`` and the control group file systems are found.
    """
    mounts = _mounts(root)
    groups = []
    for line in lines_of(os.path.join(root, f"proc/{pid}/cgroup")):
        _, controllers, path = line.split(":", 2)
        version = 2 if not controllers else 1
        if version == 1 and "memory" not in controllers.split(","):
            continue
        if version in mounts:
            groups += _ancestry(path, *mounts[version], version)
    return groups


def nearest_use(root: str = "/") -> Callable[[], int]:
    """A function that gives what is used of the group with the tightest limit that this process is in.

    Raises ``MeterError`` where it is in none that counts.
    """
    groups = [group for group in memory_groups("self", root) if group.used() is not None]
    if not groups:
        raise MeterError("meter 'cgroup' cannot be read: this process is in no memory control group that counts")
    nearest = min(groups, key=lambda group: min(group.limit() or MUCH, MUCH))

    def read() -> int:
        used = nearest.used()
        if used is None:
            raise MeterError(f"{nearest.label} is gone")
        return used

    return read


def oom_kills(groups: list[Group], root: str = "/") -> dict[tuple[str, str], int]:
    """What each group, and the whole machine, has counted so far, by the kind and name of who counts."""
    counts = {(CGROUP, group.label): group.oom_kills() for group in groups}
    for line in lines_of(os.path.join(root, "proc/vmstat")):
        if line.startswith("oom_kill "):
            counts[MACHINE, "this machine"] = int(line.split()[1])
    return {counter: count for counter, count in counts.items() if count is not None}


def limits(groups: list[Group]) -> dict[str, tuple[str, int]]:
    """The group whose limit each group is under, and that limit: the tightest of its own and its ancestors'."""
    found: dict[str, tuple[str, int]] = {}
    tightest = None
    for group in reversed(groups):
        size = group.limit()
        if size is not None and size < MUCH and (tightest is None or size <= tightest[1]):
            tightest = group.label, size
        if tightest is not None:
            found[group.label] = tightest
    return found


def risen(before: dict[tuple[str, str], int], after: dict[tuple[str, str], int]) -> tuple[str, str] | None:
    """The innermost counter that was there before, if it rose; else None."""
    counter = next((counter for counter in after if counter in before), None)
    return counter if counter is not None and after[counter] > before[counter] else None


def _ancestry(path: str, folder: str, base: str, version: int) -> list[Group]:
    """The groups from a path up to the mount, as far as they can be seen from here."""
    if base != "/" and (path + "/").startswith(base + "/"):
        path = path.removeprefix(base) or "/"
    groups = []
    while True:
        place = os.path.join(folder, path.lstrip("/"))
        if os.path.isdir(place):
            groups.append(Group(path, place.rstrip("/"), version))
        if path == "/":
            return groups
        path = os.path.dirname(path)


def _mounts(root: str) -> dict[int, tuple[str, str]]:
    """Version -> where its memory controller is mounted, and which group that mount shows as its top."""
    found: dict[int, tuple[str, str]] = {}
    for line in lines_of(os.path.join(root, "proc/self/mountinfo")):
        fields, _, rest = line.partition(" - ")
        kind, _, options = rest.split(" ", 2)
        top, folder = fields.split(" ")[3:5]
        place = (os.path.join(root, folder.lstrip("/")), top)
        if kind == "cgroup2":
            found.setdefault(2, place)
        elif kind == "cgroup" and "memory" in options.split(" ")[-1].split(","):
            found.setdefault(1, place)
    return found


def lines_of(path: str) -> list[str]:
    """The lines of a file of the kernel's; none where it is not there."""
    return [line for line in text_of(path).split("\n") if line]  # a name in it may have whatever else ends a line


def text_of(path: str) -> str:
    """What a file of the kernel's says; empty where it is not there. Names in it are bytes, in any encoding or none."""
    try:
        return os.fsdecode(content(path))
    except OSError:
        return ""
