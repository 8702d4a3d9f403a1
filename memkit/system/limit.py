"""What one limit of memory is: its name, its size, and what is used of it."""

from __future__ import annotations

from typing import NamedTuple

_COUNTED = {"RLIMIT_AS": "address space", "RLIMIT_DATA": "private memory", "commit limit of this machine": "promised memory"}


class Limit(NamedTuple):
    """Something that limits the memory of a process, as it stood at one moment."""

    name: str
    """``cgroup /jobs``, ``RLIMIT_AS``, ``RLIMIT_DATA``, ``memory of this machine`` or ``commit limit of this machine``."""
    size: int
    used: int
    """What counts against it, by whomever it is used."""

    @property
    def left(self) -> int:
        """Bytes until it is reached, at least 0."""
        return max(0, self.size - self.used)

    @property
    def counted(self) -> str:
        """What counts against it: ``memory`` that is in use, ``address space``, ``private memory`` or ``promised memory``.

        The last three count whether they were ever touched or not.
        """
        return _COUNTED.get(self.name, "memory")
