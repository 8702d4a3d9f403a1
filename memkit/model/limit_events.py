"""What limits memory, and the moments at which a limit was reached.

Times are nanoseconds since the recording began, sizes are bytes.
"""

from __future__ import annotations

from typing import NamedTuple

_COUNTED = {"RLIMIT_AS": "address space", "RLIMIT_DATA": "private memory", "commit limit of this machine": "promised memory"}
METERED = {"rss": "memory", "pss": "memory", "uss": "memory", "vms": "address space"}
"""What meters measure, in the words of :attr:`Limit.counted`."""


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


class Frame(NamedTuple):
    """Where a thread is in one function."""

    file: str
    line: int
    function: str


class Stack(NamedTuple):
    """Where a thread is."""

    thread: int
    name: str | None
    frames: tuple[Frame, ...]
    """The innermost first."""


class Glance(NamedTuple):
    """Where the threads were at one moment."""

    time: int
    stacks: tuple[Stack, ...]


class Crossing(NamedTuple):
    """The moment at which memory reached the limit that was set with ``--limit``."""

    time: int
    memory: int
    """What was measured against the limit, at that moment."""
    limit: int
    name: str
    """What was measured: the meter of the recording, or the name of a :class:`Limit` for a share of that."""
    action: str
    """What was done about it: ``report``, ``raise`` or ``stop``."""
    stacks: tuple[Stack, ...] = ()
    """Where the threads were."""
