"""Reading event logs: memkit's own, and those that pymemtrace's ``Profile`` and ``Trace`` write.

====================  ==============================  =====================================================================
column                in pymemtrace's log             what it is
====================  ==============================  =====================================================================
``event``             ``Event``                       the running number of the event among all, written or not
``time_s``            ``Clock``                       seconds since the log began; in pymemtrace's, of CPU time
``thread``            none                            the system's number of the thread
``what``              ``What``                        ``CALL``, ``RETURN``, ``LINE``, ``EXCEPT``, ``C_CALL``, ``C_RETURN`` or
                                                      ``C_EXCEPT``
``file``              ``File``                        where it happened; for a C function, where that was called
``line``              ``Line``                        empty where a module begins, and for code without any
``function``          ``Function``                    the qualified name; of a C function, with its module or type
``memory_bytes``      ``RSS``                         resident memory at the event
``change_bytes``      ``dRSS``                        how much more that is than at the row before
====================  ==============================  =====================================================================

pymemtrace's rows for the event before another, ``PREV``, are left out: their memory is in the row that follows.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from memkit.base import paths
from memkit.base.errors import FormatError
from memkit.model.file_format import EVENT_LOG_HEAD as HEAD
from memkit.model.row_values import check

_WHEN = re.compile(r"(?:FRST|NEXT|LAST): (\d+) ++\+(\d+) ++(\d+)\.(\d{6}) ++([A-Z_]+) ++")
_WHERE = re.compile(r"(.+?)(?<! ) ++(-?\d+) (\S.*)", re.DOTALL)
_GUARDED = ("=", "+", "-", "@", "'", "\t", "\n", "\r")
_ESCAPE = re.compile(r"\\x([0-9a-f]{2})")


class LogRow(NamedTuple):
    """An event that was written."""

    event: int
    """Its number among all events."""
    time: int
    """Nanoseconds since the log began; of CPU time in a log of pymemtrace's."""
    thread: int | None
    """The system's number of the thread, where the log has it."""
    what: str
    """``CALL``, ``RETURN``, ``LINE``, ``EXCEPT``, ``C_CALL``, ``C_RETURN`` or ``C_EXCEPT``."""
    file: str
    line: int | None
    """None where a module begins, and for code without any."""
    function: str
    """The qualified name; of a C function, with its module or the type whose method it is."""
    memory: int
    """Resident memory at the event, in bytes."""
    change: int
    """How much more that is than at the row before."""


class Log:
    """The rows of an event log, read anew by each iteration and one at a time."""

    def __init__(self, path: str | os.PathLike[str]):
        self.path = paths.to_read(path)
        self.broken = 0
        """How many rows the last iteration left out: one that a kill broke off, or that a full disk tore."""
        self._rows = {True: self._csv_rows, False: self._padded_rows}[_is_csv(self.path)]

    def __iter__(self) -> Iterator[LogRow]:
        self.broken = 0
        with _opened(self.path) as file:
            try:
                yield from self._rows(_lines_of(file))
            except OSError as error:
                raise FormatError(f"cannot read {self.path!r}: {error.strerror}") from None

    def _csv_rows(self, lines: Iterator[str]) -> Iterator[LogRow]:
        next(lines)
        for text in _whole_rows(lines, self):
            try:
                yield _row_of(*next(csv.reader((text,))))
            except (ValueError, TypeError, csv.Error):
                self.broken += 1

    def _padded_rows(self, lines: Iterator[str]) -> Iterator[LogRow]:
        for line in lines:
            if not line.startswith(("FRST: ", "NEXT: ", "LAST: ")):
                continue
            try:
                yield _padded_row_of(line)
            except (ValueError, TypeError):  # a broken one
                self.broken += 1


def read_log(path: str | os.PathLike[str]) -> Log:
    """An event log: its rows are read as they are gone through, so that any length will do.

    It may be one of memkit's, or of pymemtrace's ``Profile`` and ``Trace``. Raises ``FormatError`` for anything else. A row
    that a kill broke off is left out, and counted in ``broken``.
    """
    return Log(path)


def _opened(path: str) -> BinaryIO:
    try:
        return open(path, "rb")
    except OSError as error:
        raise FormatError(f"cannot read {path!r}: {error.strerror}") from None


def _lines_of(file: BinaryIO) -> Iterator[str]:
    """The lines that were there when reading began: a log of everything would log its being read, without an end."""
    left = os.fstat(file.fileno()).st_size
    for line in file:
        yield line[:left].decode("utf-8", "surrogateescape")
        left -= len(line)
        if left <= 0:
            return


def _is_csv(path: str) -> bool:
    """Whether a file is a log of memkit's own; ``FormatError`` if it is no log at all."""
    with _opened(path) as file:
        try:
            first = file.readline(10_000)
            if first == f"{','.join(HEAD)}\n".encode():
                return True
            while first and first != b"SOF\n":  # a message may come before
                first = file.readline(10_000)
            if first and file.readline(10_000).split()[:3] == [b"HDR:", b"Event", b"dEvent"]:
                return False
        except OSError as error:
            raise FormatError(f"cannot read {path!r}: {error.strerror}") from None
    raise FormatError(f"{path!r} is not an event log: it begins neither as memkit's nor as pymemtrace's do")


def _whole_rows(lines: Iterator[str], log: Log) -> Iterator[str]:
    """The lines, those of one row together: a name may have a line break in it, which stands in quotes."""
    row: list[str] = []
    quotes = 0
    for line in lines:
        if row and re.match(r"\d+,\d+\.\d{9},\d+,[A-Z_]+,", line):  # the row before was torn inside the quotes
            log.broken += 1
            row, quotes = [], 0
        row.append(line)
        quotes += line.count('"')
        if quotes % 2 == 0 and line.endswith("\n"):
            yield "".join(row)
            row, quotes = [], 0
    log.broken += bool(row)


def _row_of(
    event: str, moment: str, thread: str, what: str, file: str, line: str, function: str, memory: str, change: str
) -> LogRow:
    seconds, nanoseconds = moment.split(".")
    time = int(seconds) * 10**9 + int(nanoseconds)
    place = int(line) if line else None
    file, function = map(_unguarded, (file, function))
    return _checked(LogRow(int(event), time, int(thread), what, file, place, function, int(memory), int(change)))


def _unguarded(text: str) -> str:
    """Text without the apostrophe that was put before it, for spreadsheets."""
    return text[1:] if text[:1] == "'" and text[1:2] in _GUARDED else text


def _checked(row: LogRow) -> LogRow:
    check(row, "itIsxLsii")
    return row


def _padded_row_of(line: str) -> LogRow:
    """Numbers stand at both ends; between them are names, which in pymemtrace's own logs have blanks in them."""
    names, memory, change = line[:-1].rsplit(None, 2)
    when = _WHEN.match(names)
    where = _WHERE.fullmatch(names[when.end() :].rstrip(" ")) if when else None
    if when is None or where is None or not line.endswith("\n"):
        raise ValueError(line)
    event, _, seconds, micros, what = when.groups()
    file, number, function = where.groups()
    time = int(seconds) * 10**9 + int(micros) * 1000
    place = int(number) if int(number) > 0 else None
    return _checked(LogRow(int(event), time, None, what, _plain(file), place, _plain(function), int(memory), int(change)))


def _plain(text: str) -> str:
    return _ESCAPE.sub(lambda match: chr(int(match[1], 16)), text)
