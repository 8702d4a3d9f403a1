"""The table of five columns, exactly as memory_profiler prints it, and a stream over ``logging``."""

from __future__ import annotations

import linecache
import sys
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from memkit.compat.memory_profiler.code_map import CodeMap


class Profiler(Protocol):
    """A profiler that has measured lines."""

    code_map: CodeMap


class Stream(Protocol):
    """Anything that text can be written to."""

    def write(self, text: str, /) -> object: ...


_ROW = "{:>6} {:>12} {:>12}  {:>10}   {}"
_HEAD = _ROW.format("Line #", "Mem usage", "Increment", "Occurrences", "Line Contents")


def show_results(prof: Profiler, stream: Stream | None = None, precision: int = 1) -> None:
    """Write the table of each function that a profiler measured. ``stream`` is standard output by default."""
    stream = sys.stdout if stream is None else stream
    if stream is None:  # a program without standard output
        return
    for filename, lines in prof.code_map.items():
        linecache.checkcache(filename)
        texts = linecache.getlines(filename)
        for text in (f"Filename: {filename}\n\n", f"{_HEAD}\n", f"{'=' * len(_HEAD)}\n"):  # a LogFile filters them
            write(stream, text)
        for number, measured in lines:
            cells: tuple[object, object, object] = ("", "", "")
            if measured:
                increment, memory, occurrences = measured
                cells = _mebibytes(memory, precision), _mebibytes(increment, precision), occurrences
            text = texts[number - 1] if 0 < number <= len(texts) else "\n"
            write(stream, _ROW.format(number, *cells, text))
        write(stream, "\n\n")


def write(stream: Stream, text: str) -> None:
    """Write a text; what the encoding of the stream cannot spell is a backslash and its code."""
    try:
        stream.write(text)
    except UnicodeEncodeError as error:
        stream.write(text.encode(error.encoding, "backslashreplace").decode(error.encoding))


def _mebibytes(size: float, precision: int) -> str:
    return f"{size:{precision + 4}.{precision}f} MiB"


class LogFile:
    """A stream over ``logging.getLogger(name)``.

    With ``reportIncrementFlag`` only the heads of tables and the rows of lines with a positive increment are logged.
    """

    def __init__(self, name: str | None = None, reportIncrementFlag: bool = False) -> None:
        import logging

        self.logger = logging.getLogger(name)
        self.reportIncrementFlag = reportIncrementFlag

    def write(self, msg: str, level: int = 20) -> None:
        """Log a text, at level ``logging.INFO`` by default."""
        if not self.reportIncrementFlag or "Filename:" in msg or "Line Contents" in msg or _grew(msg):
            self.logger.log(level, msg)

    def flush(self) -> None:
        for handler in self.logger.handlers:
            handler.flush()


def _grew(text: str) -> bool:
    parts = text.split("MiB")
    try:
        return len(parts) > 2 and float(parts[1]) > 0
    except ValueError:
        return False
