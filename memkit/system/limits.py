"""What limits the memory of a process, and how far away that is.

Control groups with all their ancestors, the limits of the process itself, and what the machine has. Sources: the kernel's
``cgroup-v2.rst`` and ``cgroup-v1/memory.rst``, ``man 2 getrlimit``, ``man 5 proc``; elsewhere than on Linux, psutil.
"""

from __future__ import annotations

import os

from memkit.base.errors import UsageError
from memkit.base.units import show_bytes
from memkit.system import cgroup
from memkit.system.limit_kinds import ADDRESS_SPACE, CGROUP, COMMIT, DATA, MACHINE
from memkit.system.meminfo import table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from memkit.system.limit import Limit

    Found = tuple[str, int, int, str]
    """The fields of a ``Limit``."""


def limits(pid: int | None = None, *, root: str = "/") -> list[Limit]:
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


def find(pid: int | None = None, root: str = "/") -> list[Found]:
    """The same as tuples of the name, the size, what is used and the kind, in no order, for the measured process."""
    whose = "self" if pid is None else pid
    memory = table(os.path.join(root, "proc/meminfo"))
    machine = _machine(memory) if memory else _elsewhere()
    return [*_groups(whose, memory, root), *_own(whose, root), *machine, *_committed(memory, root)]


def _check(pid: int, root: str) -> None:
    """Refuse what is no process."""
    if not isinstance(pid, int) or isinstance(pid, bool) or pid <= 0:
        raise UsageError(f"{pid!r} is no process: give its number, or nothing for this one")
    if not _is_there(pid, os.path.join(root, "proc")):
        raise UsageError(f"there is no process {pid}: it has ended, or never was")


def _is_there(pid: int, proc: str) -> bool:
    if os.path.isdir(os.path.join(proc, "self")):
        return os.path.isdir(os.path.join(proc, str(pid)))
    import psutil

    return bool(psutil.pid_exists(pid))


def limit(pid: int | None = None) -> Limit | None:
    """The limit that will be reached first, if all that is used grows from here; None where nothing is known."""
    return next(iter(limits(pid)), None)


def address_space_peak() -> int | None:
    """The largest address space that this process has had, in bytes, or None."""
    return table("/proc/self/status").get("VmPeak")


def least_left(found: list[Found]) -> int:
    """Bytes that are left of the nearest."""
    return max(0, min(size - used for _, size, used, _ in found))


def threshold_in_words(threshold: int, share: float | None = None, of: tuple[str, str, int] | None = None) -> str:
    """A limit that was set: ``2.0 GiB``, or which share of which limit: ``80% of cgroup /jobs (2.0 GiB)``.

    ``of`` is that limit's kind, name and size.
    """
    if share is None or of is None:
        return show_bytes(threshold)
    _, name, size = of
    return f"{share * 100:g}% of {name} ({show_bytes(size)})"


def _groups(whose: int | str, memory: dict[str, int], root: str) -> Iterator[Found]:
    """The control groups that have a limit. Files of version 1 and 2 mean the same, under other names."""
    swap = memory.get("SwapTotal", 0)
    for group in cgroup.memory_groups(whose, root):
        size, used = group.limit(), group.used()
        if size is None or used is None or size >= cgroup.MUCH:
            continue
        room, swapped = group.swap()
        room = min(swap, room)
        yield (group.label, size + room, used + min(swapped, room), CGROUP)


def _own(whose: int | str, root: str) -> Iterator[Found]:
    """The limits of the process itself."""
    status = table(os.path.join(root, f"proc/{whose}/status"))
    for line in cgroup.lines_of(os.path.join(root, f"proc/{whose}/limits")):
        for words, name, counted, kind in (
            ("Max address space", "RLIMIT_AS", "VmSize", ADDRESS_SPACE),
            ("Max data size", "RLIMIT_DATA", "VmData", DATA),
        ):
            soft = line[len(words) :].split()[:1]
            if line.startswith(words) and soft and soft[0].isdigit() and counted in status:
                yield (name, int(soft[0]), status[counted], kind)


def _machine(memory: dict[str, int]) -> Iterator[Found]:
    if "MemAvailable" in memory:
        size = memory["MemTotal"] + memory.get("SwapTotal", 0)
        yield ("memory of this machine", size, size - memory["MemAvailable"] - memory.get("SwapFree", 0), MACHINE)


def _committed(memory: dict[str, int], root: str) -> Iterator[Found]:
    """What may be promised, where the kernel promises no more than there is."""
    strict = cgroup.text_of(os.path.join(root, "proc/sys/vm/overcommit_memory")).strip() == "2"
    if strict and "CommitLimit" in memory:
        yield ("commit limit of this machine", memory["CommitLimit"], memory["Committed_AS"], COMMIT)


def _elsewhere() -> Iterator[Found]:
    try:
        import psutil

        memory, swap = psutil.virtual_memory(), psutil.swap_memory()
    except (ImportError, OSError):
        return
    yield ("memory of this machine", memory.total + swap.total, memory.total - memory.available + swap.used, MACHINE)
