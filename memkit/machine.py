"""Memory of the whole machine, and of this process with all that descend from it, in bytes."""

from __future__ import annotations

import os

from memkit.cgroup import text_of

_KIB = 1024
_LINUX = os.path.isdir("/proc/self")
_TELLS_CHILDREN = os.path.exists(f"/proc/{os.getpid()}/task/{os.getpid()}/children")  # unless the kernel was built without


def used() -> int:
    """Memory in use on the whole machine.

    On Linux that is ``MemTotal - MemFree - Buffers - Cached - Slab + Shmem`` of ``/proc/meminfo``: the page cache and what
    the kernel keeps for itself do not count, shared memory and files in memory do. Elsewhere psutil's total less available.
    """
    memory = meminfo()
    if not memory:
        return total() - available()
    dropped = sum(memory.get(name, 0) for name in ("MemFree", "Buffers", "Cached", "Slab"))
    return memory["MemTotal"] - dropped + memory.get("Shmem", 0)


def total() -> int:
    """All memory that the machine has."""
    memory = meminfo()
    return memory["MemTotal"] if memory else _psutil().total


def available() -> int:
    """What programs can still get without swapping, as the system estimates it."""
    memory = meminfo()
    return memory["MemAvailable"] if "MemAvailable" in memory else _psutil().available


def meminfo() -> dict[str, int]:
    """``/proc/meminfo`` in bytes, empty where there is none. Source: ``man 5 proc``."""
    return table("/proc/meminfo")


def table(path: str) -> dict[str, int]:
    """A kernel file of lines such as ``VmRSS:  123 kB``, in bytes."""
    found = {}
    for line in text_of(path).splitlines():
        name, _, value = line.partition(":")
        words = value.split()
        if len(words) == 2 and words[1] == "kB":
            found[name] = int(words[0]) * _KIB
    return found


def tree() -> int:
    """Memory of this process and all its descendants.

    Of each its share is counted (PSS: a page that several processes have in common counts once), or its resident memory
    where the system does not tell the share. Processes whose parent has ended are no descendants any more.
    """
    return sum(filter(None, map(_share, _family(os.getpid()))))


def _share(pid: int) -> int | None:
    """What a process holds, or None where it has ended."""
    rollup = table(f"/proc/{pid}/smaps_rollup")
    if "Pss" in rollup:
        return rollup["Pss"]
    status = table(f"/proc/{pid}/status")
    if status:
        return status.get("VmRSS")
    if _LINUX:
        return None
    import psutil

    try:
        return psutil.Process(pid).memory_info().rss
    except psutil.Error:
        return None


def _family(pid: int) -> list[int]:
    """A process and its descendants."""
    found = [pid]
    for each in found:  # grows as it is gone through
        found += _children(each)
    return found


def _children(pid: int) -> list[int]:
    if not _TELLS_CHILDREN:
        return _children_elsewhere(pid)
    folder = f"/proc/{pid}/task"
    try:
        threads = os.listdir(folder)
    except OSError:  # it has ended
        return []
    return [int(child) for thread in threads for child in text_of(f"{folder}/{thread}/children").split()]


def _children_elsewhere(pid: int) -> list[int]:
    import psutil

    try:
        return [child.pid for child in psutil.Process(pid).children()]
    except psutil.Error:
        return []


def _psutil():
    import psutil

    return psutil.virtual_memory()
