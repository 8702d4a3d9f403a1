"""The seams of memkit: what a meter, a reporter or a command has to have, whoever wrote it. For type checkers alone."""

# Annotations that name what is above this room are in quotes: nothing here is imported when a program runs.
import argparse
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

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


class Reporter(Protocol):
    """A plugin that reports: a module or an object that implements these two hooks."""

    def memkit_add_options(self, parser: OptionParser) -> None:
        """Add its options, each inert by default."""

    def memkit_report(self, recordings: tuple[Recording, ...], options: argparse.Namespace) -> None:
        """Report on finished recordings."""


class Meter(Protocol):
    """What a sampler reads: memkit's own of some process, or a function of somebody's with a name."""

    @property
    def name(self) -> str:
        """What it measures, as ``--meter`` has it."""

    def read(self) -> int | None:
        """Bytes; None where the process is gone, or the function failed."""


class Sampler(Protocol):
    """A thread that reads a meter and writes what it reads: one in C, or in Python where the meter is Python."""

    def start(self) -> None:
        """Begin. Raises ``OSError`` or ``RuntimeError`` where no thread can be started."""

    def flush(self) -> None:
        """Write out what was read and not written."""

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


class ProcessSource(Protocol):
    """What tells of other processes: ``/proc``, or psutil elsewhere."""

    def read(self, pid: int) -> Any:
        """Memory, age and end of a process; None where there is none."""

    def memory_tid(self, pid: int) -> int:
        """The TID whose ``/proc`` entry has the memory: the PID, or a live thread if the main thread has exited."""

    def kinship(self) -> Callable[[int], list[int]]:
        """A function that gives the children of a process."""

    def command(self, pid: int) -> str:
        """What a process runs, in one line."""

    def newest(self) -> int | None:
        """The PID or TID that was given out last, where that is known."""

    def shares(self, pid: int) -> Any:
        """How much of its memory a process shares; None where it is gone."""

    def began(self, born: Any) -> int:
        """A start that ``read`` told, on ``time.monotonic_ns``."""
