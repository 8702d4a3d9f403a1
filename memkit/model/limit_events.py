"""The moments at which a limit was reached, and where the threads were then.

Times are nanoseconds since the recording began, sizes are bytes.
"""

from __future__ import annotations

from typing import NamedTuple

from memkit.system.limits import threshold_in_words

METERED = {"rss": "memory", "pss": "memory", "uss": "memory", "vms": "address space"}
"""What meters measure, in the words of :attr:`Limit.counted`."""


class NamedLimit(NamedTuple):
    """Which limit of memory it was."""

    kind: str
    """As :attr:`Limit.kind`."""
    name: str
    """As :attr:`Limit.name`."""
    size: int


class SetLimit(NamedTuple):
    """The limit that was set with ``--limit``. ``str()`` of it is how a report calls it."""

    threshold: int
    share: float | None = None
    """Which share of ``limit`` that is, 0 to 1; None where bytes were set."""
    limit: NamedLimit | None = None

    def __str__(self) -> str:
        return f"the limit that was set, {threshold_in_words(*self)}"


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


class StackSnapshot(NamedTuple):
    """Where the threads were at one moment."""

    time: int
    stacks: tuple[Stack, ...]


Glance = StackSnapshot  # its name before


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
