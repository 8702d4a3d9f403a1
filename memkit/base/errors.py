"""What memkit raises: one line each, with the offending value and what to do about it.

::

    MemkitError
    ├── UsageError      the words of a call or a command line are wrong
    ├── FormatError     a file is not a recording that this memkit can read
    ├── MeterError      memory cannot be read the way it was asked for
    └── JournalError    rows could not be written
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Protocol

    class Journal(Protocol):
        """What rows are written to."""

        @property
        def error(self) -> int | None:
            """The errno of the first write that failed; None if none has failed."""

        @property
        def lost(self) -> int:
            """How many rows were not written."""


_LEAST_LIKENESS = 0.6
"""Of a word to one that it may be a misspelling of; 1 is the same word."""


class MemkitError(Exception):
    """Anything that memkit refuses or fails to do."""


class UsageError(MemkitError):
    """A wrong argument or option; commands exit with 2."""


class FormatError(MemkitError):
    """A file that is no recording, or one of a newer memkit."""


class MeterError(MemkitError):
    """A number that this machine, or this user, cannot read."""


class JournalError(MemkitError):
    """Rows that did not reach the file; what did is safe."""


def lost_rows(journal: Journal, where: str, rows: str = "rows") -> JournalError:
    """What to raise of a journal that has an error: so many of its rows did not reach a place."""
    reason = os.strerror(journal.error or 0)
    return JournalError(f"{journal.lost} {rows} did not reach {where}: {reason}; what was written before can be read")


def in_a_line(error: BaseException) -> str:
    """What somebody is told of an error: of memkit's own its text, of any other its type and the first line of its text."""
    if isinstance(error, MemkitError):
        return str(error)
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint such as `` (did you mean 'rss'?)`` for a misspelled word, or nothing.

    Of several that are equally like it the hint is the one of the same letters, else the first.
    """
    from difflib import SequenceMatcher

    def likeness(other: str) -> tuple[float, bool]:
        return SequenceMatcher(None, other, word).ratio(), sorted(other) == sorted(word)

    close = max(known, key=likeness, default="")
    return f" (did you mean {close!r}?)" if close and likeness(close)[0] >= _LEAST_LIKENESS else ""
