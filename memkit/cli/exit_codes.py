"""The exit codes of commands, and the one place where an error becomes one."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from memkit.base.errors import FormatError, MemkitError, UsageError
from memkit.base.stderr import unfailing
from memkit.cli.printing import say

FAILED, WRONG_USAGE, OVER, INTERRUPTED = 1, 2, 3, 130
"""``OVER`` is that of ``memkit compare`` where a figure went over its bound; a report that failed is another thing."""


def guarded(name: str, command: Callable[[str, list[str]], int], words: list[str]) -> int:
    """Run a command; what it refuses is one line on stderr."""
    with unfailing():
        try:
            return _code_of(name, command, words)
        finally:
            _flush()


def _code_of(name: str, command: Callable[[str, list[str]], int], words: list[str]) -> int:
    try:
        return command(name, words)
    except UsageError as error:
        return say(f"{name}: {error}", getattr(error, "code", WRONG_USAGE))
    except FormatError as error:
        return say(f"{name}: {error}", WRONG_USAGE)
    except MemkitError as error:
        return say(f"{name}: {error}", FAILED)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        return reader_went_away()


def _flush() -> None:
    """Write what is buffered while a reader that went away can still be told from a fault."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except BrokenPipeError:
            reader_went_away()
        except (OSError, ValueError):
            pass  # a full disk, or a stream that is closed: Python says so at its exit


def reader_went_away() -> int:
    """Of a closed pipe (``| head``) nobody needs to be told; Python would complain at its exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            os.dup2(nowhere, stream.fileno())
    return 0
