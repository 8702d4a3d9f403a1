"""What memkit says on stderr while a program runs that is not its own.

The program's process has this, so it imports next to nothing.
"""

from __future__ import annotations

import sys

from memkit.base.units import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import FileIO
    from typing import Any, TextIO


def to_stderr(text: str) -> None:
    """Print a line of memkit's on stderr; nothing where there is none, or where it is closed, full or broken.

    The program that is measured goes on in any case: what cannot be told is not its failure.
    """
    if sys.stderr is None:
        return
    try:
        direct(sys.stderr).write(printable(f"memkit: {text}") + "\n")
    except Exception:  # a program may have put any object there
        return


def direct(stream: TextIO) -> TextIO:
    """The same stream, written past its buffer where it has one.

    What a buffer could not write Python tries again as the program ends, and its exit code becomes 120.
    """
    raw = getattr(getattr(stream, "buffer", None), "raw", None)
    return stream if raw is None or sys.platform == "win32" else _Direct(stream, raw)  # type: ignore[return-value]


class unfailing:
    """Meanwhile what cannot be written on stderr is dropped, since it is full or closed: that is no failure of a command.

    A pipe that nobody reads any more is still an error, by which a command ends early.
    """

    def __enter__(self) -> None:
        self._before = sys.stderr
        if sys.stderr is not None:
            sys.stderr = _Unfailing(direct(sys.stderr))

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            sys.stderr = self._before


class _Unfailing:
    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except BrokenPipeError:
            raise
        except (OSError, ValueError):
            return len(text)

    def writelines(self, lines: Iterator[str]) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        self.write("")


class _Direct:
    def __init__(self, stream: TextIO, raw: FileIO) -> None:
        self._stream, self._raw = stream, raw

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        self._stream.flush()
        left = text.encode(self._stream.encoding, self._stream.errors or "strict")
        while left:
            written = self._raw.write(left)
            if written is None:
                raise BlockingIOError("nobody reads it at the moment")
            left = left[written:]
        return len(text)
