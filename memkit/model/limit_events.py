"""The moments at which a limit was reached, and where the threads were then.

Times are nanoseconds since the recording began, sizes are bytes.
"""

from __future__ import annotations

from typing import NamedTuple

from memkit.system.limits import threshold_in_words

METERED = {
    **dict.fromkeys(("rss", "anon", "pss", "uss", "cgroup"), "memory"),
    "vms": "address space",
}
"""What meters measure, in the words of :attr:`Limit.counted`."""


class GroupUse(NamedTuple):
    """What a control group used at one moment: all its processes, and what belongs to no process. None: not told."""

    time: int
    name: str
    """As :attr:`Limit.name`."""
    used: int
    """Without the file pages that the kernel drops first, as :attr:`Limit.used`."""
    anonymous: int | None = None
    """The memory of its processes that belongs to no file."""
    shared: int | None = None
    """Shared memory, and the files of a tmpfs such as ``/dev/shm`` or ``/tmp``."""
    files: int | None = None
    """Other files in memory that are in use."""
    kernel: int | None = None
    """What the kernel itself uses for the group."""


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
    asked: bool = False
    """Whether somebody asked for it; else memory rose near a limit."""


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
    process: int | None = None
    """The PID of the process whose memory it was; None for the recorded one."""


def the_programs(frames: tuple[Frame, ...], package: str) -> tuple[Frame, ...]:
    """Frames without those of memkit around the program's. ``package`` is the folder of the memkit that made them.

    There are none of a thread that memkit has started for itself.
    """
    own = [frame.file.startswith(package) for frame in frames]
    starts = bool(own) and frames[-1].file.endswith("threading.py" if not own[-1] else "threads.py")
    if starts and any(own) and all(mine or frame.file.endswith("threading.py") for frame, mine in zip(frames, own)):
        return ()
    innermost = own.index(False) if False in own else len(own)
    return tuple(frame for place, frame in enumerate(frames) if place < innermost or not own[place])
