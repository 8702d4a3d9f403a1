"""Memory of the whole machine, in bytes."""

from __future__ import annotations

from memkit.base.errors import MeterError
from memkit.system.cgroup import lines_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_KIB = 1024


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
    return memory["MemTotal"] if memory else int(_psutil().total)


def available() -> int:
    """What programs can still get without swapping, as the system estimates it."""
    memory = meminfo()
    return memory["MemAvailable"] if "MemAvailable" in memory else int(_psutil().available)


def meminfo() -> dict[str, int]:
    """``/proc/meminfo`` in bytes, empty where there is none. Source: ``man 5 proc``."""
    return table("/proc/meminfo")


def table(path: str) -> dict[str, int]:
    """A kernel file of lines such as ``VmRSS:  123 kB``, in bytes."""
    found = {}
    for line in lines_of(path):
        name, _, value = line.partition(":")
        words = value.split()
        if len(words) == 2 and words[1] == "kB":
            found[name] = int(words[0]) * _KIB
    return found


def _psutil() -> Any:  # its package has no types
    try:
        import psutil

        return psutil.virtual_memory()
    except (ImportError, OSError) as error:
        raise MeterError(f"memory of this machine cannot be read: {error}") from error
