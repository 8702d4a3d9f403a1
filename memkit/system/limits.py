"""What limits the memory of a process, and how far away that is.

Control groups with all their ancestors, the limits of the process itself, and what the machine has. Sources: the kernel's
``cgroup-v2.rst`` and ``cgroup-v1/memory.rst``, ``man 2 getrlimit``, ``man 5 proc``; elsewhere than on Linux, psutil.
"""

from __future__ import annotations

import os

from memkit.base.errors import UsageError
from memkit.system import cgroup
from memkit.system.meminfo import table


def limits(pid: int | None = None, *, root: str = "/") -> list[Limit]:  # noqa: F821 (imported when called)
    """What limits the memory of a process, this one or another, the nearest first; how things stand now.

    Of a control group, what it uses is counted without the file pages that the kernel drops first (``inactive_file``), and
    with swap, where it may swap. ``RLIMIT_AS`` counts address space, ``RLIMIT_DATA`` private writable memory, both whether
    touched or not: reaching them is a ``MemoryError``, where the others kill. Empty where nothing is known. ``root`` is
    where ``proc`` and the control groups are found. Raises ``UsageError`` for a process that there is not.
    """
    if pid is not None:
        _check(pid, root)
    from memkit.system.limit import Limit

    return sorted((Limit(*found) for found in find(pid, root)), key=lambda limit: limit.left)


def find(pid: int | None = None, root: str = "/") -> list[tuple[str, int, int]]:
    """The same as tuples of a name, the size and what is used, in no order, for the measured process."""
    whose = "self" if pid is None else pid
    memory = table(os.path.join(root, "proc/meminfo"))
    machine = _machine(memory) if memory else _elsewhere()
    return [*_groups(whose, memory, root), *_own(whose, root), *machine, *_committed(memory, root)]


def _check(pid, root: str) -> None:
    """Refuse what is no process."""
    if not isinstance(pid, int) or isinstance(pid, bool) or pid <= 0:
        raise UsageError(f"{pid!r} is no process: give its number, or nothing for this one")
    if not _is_there(pid, os.path.join(root, "proc")):
        raise UsageError(f"there is no process {pid}: it has ended, or never was")


def _is_there(pid: int, proc: str) -> bool:
    if os.path.isdir(os.path.join(proc, "self")):
        return os.path.isdir(os.path.join(proc, str(pid)))
    import psutil

    return psutil.pid_exists(pid)


def limit(pid: int | None = None) -> Limit | None:  # noqa: F821
    """The limit that will be reached first, if all that is used grows from here; None where nothing is known."""
    return next(iter(limits(pid)), None)


def address_space_peak() -> int | None:
    """The largest address space that this process has had, in bytes, or None."""
    return table("/proc/self/status").get("VmPeak")


def least_left(found: list[tuple[str, int, int]]) -> int:
    """Bytes that are left of the nearest."""
    return max(0, min(size - used for _, size, used in found))


def _groups(whose, memory: dict[str, int], root: str):
    """The control groups that have a limit. Files of version 1 and 2 mean the same, under other names."""
    swap = memory.get("SwapTotal", 0)
    for group in cgroup.memory_groups(whose, root):
        size, used = group.limit(), group.used()
        if size is None or used is None or size >= cgroup.MUCH:
            continue
        room, swapped = group.swap()
        room = min(swap, room)
        yield (f"cgroup {group.name}", size + room, used + min(swapped, room))


def _own(whose, root: str):
    """The limits of the process itself."""
    status = table(os.path.join(root, f"proc/{whose}/status"))
    for line in cgroup.lines_of(os.path.join(root, f"proc/{whose}/limits")):
        for words, name, counted in (
            ("Max address space", "RLIMIT_AS", "VmSize"),
            ("Max data size", "RLIMIT_DATA", "VmData"),
        ):
            soft = line[len(words) :].split()[:1]
            if line.startswith(words) and soft and soft[0].isdigit() and counted in status:
                yield (name, int(soft[0]), status[counted])


def _machine(memory: dict[str, int]):
    if "MemAvailable" in memory:
        size = memory["MemTotal"] + memory.get("SwapTotal", 0)
        yield ("memory of this machine", size, size - memory["MemAvailable"] - memory.get("SwapFree", 0))


def _committed(memory: dict[str, int], root: str):
    """What may be promised, where the kernel promises no more than there is."""
    strict = cgroup.text_of(os.path.join(root, "proc/sys/vm/overcommit_memory")).strip() == "2"
    if strict and "CommitLimit" in memory:
        yield ("commit limit of this machine", memory["CommitLimit"], memory["Committed_AS"])


def _elsewhere():
    try:
        import psutil

        memory, swap = psutil.virtual_memory(), psutil.swap_memory()
    except (ImportError, OSError):
        return
    yield ("memory of this machine", memory.total + swap.total, memory.total - memory.available + swap.used)
