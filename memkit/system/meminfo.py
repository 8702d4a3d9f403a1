"""Memory of the whole machine, in bytes."""

from __future__ import annotations

import os

from memkit.base.errors import MeterError
from memkit.system.cgroup import lines_of, text_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_KIB = 1024
_AROUND, _HUGE = 1 << 16, 1 << 21
_WITHOUT = ("", "never", "deny", "inherit")


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


def most_of_a_fault(folder: str = "/sys/kernel/mm/transparent_hugepage") -> int:
    """Bytes that one page fault can bring at most: the largest page that may be, or what is mapped around one of a file.

    A huge page is as large as the processor and the size of a small one have it: 2 MiB, or 32, or 512. From Linux 6.8 on
    others may be switched on beside it. Source: ``Documentation/admin-guide/mm/transhuge.rst``.
    """
    most = _AROUND
    if _may_be(folder):
        size = text_of(os.path.join(folder, "hpage_pmd_size")).strip()
        most = max(most, int(size) if size.isdigit() else _HUGE)
    for name in os.listdir(folder) if os.path.isdir(folder) else ():
        size = name.removeprefix("hugepages-").removesuffix("kB")
        if size.isdigit() and _may_be(os.path.join(folder, name)):
            most = max(most, int(size) * _KIB)
    return most


def _may_be(folder: str) -> bool:
    """Whether pages of a size are made for some memory, by what is chosen there among words such as ``[never]``."""
    words = [text_of(os.path.join(folder, name)) for name in ("enabled", "shmem_enabled")]
    return any(each.partition("[")[2].partition("]")[0] not in _WITHOUT for each in words)


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
