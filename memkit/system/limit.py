"""What one limit of memory is: its kind, its name, its size, and what is used of it."""

from __future__ import annotations

from typing import NamedTuple

from memkit.system.limit_kinds import COUNTED, REFUSING


class Limit(NamedTuple):
    """Something that limits the memory of a process, as it stood at one moment."""

    name: str
    """``cgroup /jobs``, ``RLIMIT_AS``, ``RLIMIT_DATA``, ``memory of this machine`` or ``commit limit of this machine``."""
    size: int
    used: int
    """What counts against it, by whomever it is used."""
    kind: str
    """``cgroup``, ``machine``, ``address space`` (``RLIMIT_AS``), ``data`` (``RLIMIT_DATA``) or ``commit``."""

    @property
    def left(self) -> int:
        """Bytes until it is reached, at least 0."""
        return max(0, self.size - self.used)

    @property
    def counted(self) -> str:
        """What counts against it: ``memory`` that is in use, ``address space``, ``private memory`` or ``promised memory``.

        The last three count whether they were ever touched or not.
        """
        return COUNTED.get(self.kind, self.kind)

    @property
    def refuses(self) -> bool:
        """Whether memory is refused where it is reached, which is a ``MemoryError``; at the others the kernel kills."""
        return self.kind in REFUSING
