"""The seams of memkit: what a meter, a reporter or a command has to have, whoever wrote it. For type checkers alone."""

# Annotations that name what is above this room are in quotes: nothing here is imported when a program runs.
import argparse
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeAlias

if TYPE_CHECKING:
    import memkit

Recording: TypeAlias = "memkit.Recording"
Complain: TypeAlias = Callable[[str], object]
"""Is told in a line what went wrong."""
MeterFunction: TypeAlias = Callable[[], int]
"""What a plugin's meter is: a function of a module that returns bytes."""
Meters: TypeAlias = Mapping[str, MeterFunction]


class Option(Protocol):
    """A command-line option that was added: an ``argparse.Action``."""

    dest: str
    one_recording: bool
    """Set it to True where the option must not be given for several recordings."""
    needs: str | Callable[[Any], str]
    """Set it to ``calls``, ``lines`` or ``heap`` where the option makes nothing of a recording without these, or to a
    function that returns one of them, or nothing, for the option's value."""
    goes_with: str
    """Set it to the name of an option without which this one says nothing."""


class OptionParser(Protocol):
    """What options are added to: an ``argparse.ArgumentParser``, or one of its groups."""

    def add_argument(self, *names: str, **settings: Any) -> Option:
        """Add an option, as argparse does."""


class Command(Protocol):
    """A command of a plugin, ``memkit NAME``: an object or a module."""

    description: str
    """What it does; the first line is shown by ``memkit --help``."""

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """Add its options and arguments."""

    def run(self, options: argparse.Namespace) -> int:
        """Do it; returns the exit code."""


class Registry(Protocol):
    """Where a plugin registers its commands."""

    def add(self, name: str, command: Command) -> None:
        """Add ``memkit NAME``. Raises ``UsageError`` for a name that is taken."""


class Meter(Protocol):
    """What a sampler reads: memkit's own of some process, or a function of somebody's with a name."""

    @property
    def name(self) -> str:
        """What it measures, as ``--meter`` has it."""

    @property
    def costly(self) -> bool:
        """Whether a reading may take so long that the sampler has to read less often."""

    def read(self) -> int | None:
        """Bytes; None where the process is gone, or the function failed."""


class Journal(Protocol):
    """A file that rows are appended to; a write that fails is kept, not raised."""

    @property
    def error(self) -> int | None:
        """The errno of the first write that failed; None if none has failed."""

    @property
    def lost(self) -> int:
        """How many rows were not written."""

    def row(self, tag: str, *values: int) -> None:
        """Append one row of integers."""

    def text(self, rows: bytes) -> None:
        """Append rows that are already spelled out, each ending in a newline."""

    def flush(self) -> None:
        """Hand everything appended so far to the system."""


class Watcher(Protocol):
    """Watches a limit for the sampler in Python."""

    due: int
    """When to poll again."""

    def poll(self, now: int, memory: int | None, cost: int) -> bool:
        """Whether memory has just reached the limit."""

    def write(self, now: int) -> None:
        """Write the rows of a crossing."""

    def act(self) -> None:
        """Take the action, once all rows are in the file."""

    def end(self, now: int, memory: int | None, cost: int) -> None:
        """Look for the last time."""


class Bound(Protocol):
    """A limit that a sampler watches: the one in C by itself, the one in Python with a ``Watcher``."""

    EXIT_CODE: int
    threshold: int
    again: int
    action: str
    total: int
    words: bytes
    last_words: bytes
    ending: bytes
    said: str

    @property
    def NOT_IN(self) -> Container[str]:
        """The files whose code must not be interrupted by an exception."""

    @property
    def counters(self) -> Sequence[tuple[str, str, int, bool]]:
        """The kernel's files that tell the usage, if that is not the memory that the meter reads."""

    def quote(self, text: str, /) -> str:
        """Text as JSON."""

    def stacks(self, time: int, /) -> bytes:
        """The rows of a stack snapshot."""

    def watcher(self, journal: Journal, began: int) -> Watcher:
        """What watches it from Python."""


class Sampler(Protocol):
    """A thread that reads a meter and writes what it reads: one in C, or in Python where the meter is Python."""

    engine: ClassVar[str]
    """``native`` or ``portable``."""

    def __init__(
        self, journal: Journal, meter: Meter, interval: int, began: int, peaks: bool, hwm: int = 0, slack: int = 0
    ) -> None: ...

    def watch(self, bound: Bound) -> None:
        """Watch a limit: to be called before the start."""

    def snapshot_stacks_from(self, memory: int, stacks: Callable[[int], bytes]) -> None:
        """Write stack snapshots as memory rises above ``memory``: to be called before the start."""

    # A sampler in C takes capsules, one in Python functions of the journal.
    def flush_also(self, writers: Iterable[Any]) -> None:
        """Have others add rows before a flush."""

    def start(self, thread: bool = True) -> None:
        """Begin, without a thread with the first and the last reading only.

        Raises ``OSError`` or ``RuntimeError`` where no thread can be started.
        """

    def flush(self) -> None:
        """Write out what was read and not written."""

    def flush_with_sample(self) -> None:
        """Read once more, and write out everything, for the process may end at once."""

    def pause(self) -> None:
        """Have no thread for a while, as before a fork."""

    def resume(self) -> None:
        """Have one again."""

    def stop(self) -> None:
        """Read once more, write out, and end."""


class Tracer(Protocol):
    """What follows the lines or the calls of a program."""

    def start(self) -> None:
        """Begin, in all threads."""

    def stop(self) -> None:
        """End, in all threads."""

    def flush(self, rows: Any) -> None:
        """Write out the sums since the last time."""

    def close(self) -> None:
        """Give back what it holds."""


class ProcessEvents(Protocol):
    """The kernel's events of processes: (time, kind, thread, process, parent or name of the program)."""

    @property
    def descriptors(self) -> list[int]: ...
    @property
    def lost(self) -> int: ...
    def events(self) -> Sequence[tuple[int, str, int, int, int | str]]: ...
    def close(self) -> None: ...


class ProcessSource(Protocol):
    """What tells of other processes: ``/proc``, or psutil elsewhere."""

    @property
    def kind(self) -> str:
        """What the total of several processes is made of: ``pss``, or ``rss`` where shares are not known."""

    @property
    def reason(self) -> str | None:
        """Why shares are not known."""

    @property
    def page(self) -> int:
        """Bytes of a page of memory; 0 where page faults are not told."""

    @property
    def tick(self) -> int:
        """By how many nanoseconds ``began`` may be too early."""

    def read(self, pid: int) -> "memkit.system.processes.Reading | None":
        """Memory, age and end of a process; None where there is none, or it cannot be read now."""

    def lists(self, pid: int) -> bool:
        """Whether there is a process of that number, which may have ended and wait for its parent. Opens nothing."""

    def memory_tid(self, pid: int) -> int:
        """The TID whose ``/proc`` entry has the memory: the PID, or a live thread if the main thread has exited."""

    def kinship(self) -> Callable[[int], list[int]]:
        """A function that gives the children of a process."""

    def command(self, pid: int) -> str:
        """What a process runs, in one line."""

    def newest(self) -> int | None:
        """The PID or TID that was given out last, where that is known."""

    def shares(self, pid: int) -> "memkit.system.processes.Shares | None":
        """How much of its memory a process shares; None where it is gone."""

    def shmem(self) -> tuple[int, int] | None:
        """The shared memory of the whole machine and the error of that number, where they are known."""

    def began(self, born: float) -> int:
        """A start that ``read`` told, on ``time.monotonic_ns``."""
