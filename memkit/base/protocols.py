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
