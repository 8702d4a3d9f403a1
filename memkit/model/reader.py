"""Reading a recording's file: whole, or bit by bit while it is still being written."""

from __future__ import annotations

import json
import os
from typing import Any, BinaryIO

from memkit.base import paths
from memkit.base.errors import FormatError
from memkit.model import mprof_file
from memkit.model.file_format import BEGINNING, DOCUMENTS, VERSION
from memkit.model.from_rows import Rows
from memkit.model.merging import joined
from memkit.model.metadata import About
from memkit.model.recording import Recording
from memkit.model.row_values import ABOUT, check, is_whole

_HEADS = (b'["segment"', b'["part"', BEGINNING)  # its name now, and before, and what may follow it
_LONGEST = 1 << 24
"""Bytes of a row; one that is longer is broken."""
_SHOWN = 64
_CHUNK = 1 << 16  # small, so that rows die young and the garbage collector has little to do


def read(path: str | bytes | os.PathLike[str] | os.PathLike[bytes] | BinaryIO) -> Recording:
    """The recording in a file, whole or broken off. ``path`` is a path or an open binary file.

    Rows that were broken off, damaged or are unknown are passed over and counted in ``Recording.unread``. A ``.dat`` file
    of mprof's is read, too, and so are a page (``--html``) and a document (``--json``).

    Raises ``FormatError`` where the file is no recording at all.
    """
    if isinstance(path, (str, bytes, os.PathLike)) or not hasattr(path, "read"):
        path = paths.to_read(path)
        if mprof_file.is_mprofile(path):
            return mprof_file.read(path)
        if _is_document(path):
            from memkit.model import from_document  # which needs much that a recorded process has no use for

            return from_document.read(path)
    with Reader(path) as reader:
        reader.advance()
        return reader.recording()


def _is_document(path: str) -> bool:
    """Whether a file begins as a page or a document of memkit's does."""
    try:
        with open(path, "rb") as file:
            return file.read(max(map(len, DOCUMENTS))).startswith(DOCUMENTS)
    except OSError:
        return False


class Reader:
    """A recording read bit by bit, while it is still being written."""

    def __init__(self, path: str | os.PathLike[str] | BinaryIO):
        self._named = os.fspath(path) if isinstance(path, (str, os.PathLike)) else None
        self._file: BinaryIO = _open(path) if isinstance(path, (str, os.PathLike)) else path
        self._beginning = b""
        self._rest: list[bytes] = []  # the beginning of a row whose end has not come
        self._rows: Rows | None = None
        self._parts: list[Rows] = []  # what other processes wrote into the same file, by the order of their headers
        self._part_of: dict[int, Rows] = {}  # the last of each process
        self._writing: Rows | None = None  # whose rows come next; None where their header was lost
        self._unread = 0

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the file back, if it was opened here."""
        if self._named is not None:
            self._file.close()

    def advance(self) -> None:
        """Take in what was appended since the last call."""
        while block := self._file.read(_CHUNK):
            if self._rows is None:
                self._begin(block)
            whole, newline, rest = block.rpartition(b"\n")
            if newline:
                lines = b"".join((*self._rest, whole)).split(b"\n")
                self._rest = []
                if self._rows is None:
                    self._rows = self._writing = Rows(self._first(lines.pop(0)))
                if lines:
                    self._take(lines)
            if rest:
                self._rest.append(rest)
                if len(self._rest) * _CHUNK > _LONGEST and sum(map(len, self._rest)) > _LONGEST:
                    self._rest = [b"?"]  # a row that is too long is broken

    def _begin(self, block: bytes) -> None:
        self._beginning += block[: _SHOWN - len(self._beginning)]
        if not self._beginning.startswith(BEGINNING[: len(self._beginning)]):
            raise FormatError(self._refusal())

    @property
    def rows(self) -> Rows | None:
        """The rows so far, which grow as this advances; None before the first."""
        return self._rows

    def add(self, row: tuple[object, ...]) -> None:
        """Take in a row of the recorded process or its supervisor that did not reach the file."""
        if row and self._rows is not None:
            self._rows.take([list(row)])

    def recording(self) -> Recording:
        """What has been read so far."""
        if self._rows is None:
            raise FormatError(self._refusal())
        main = self._rows.recording(source=self._named, unread=self._unread + bool(self._rest))
        return joined(main, [part.recording() for part in self._parts])

    def _take(self, lines: list[bytes]) -> None:
        """Give rows to those whose they are; ``segment`` rows say whose the following are."""
        block = b",".join(lines)
        rows = self._decoded(block, lines)
        if not any(head in block for head in _HEADS) or not any(line.startswith(_HEADS) for line in lines):
            self._give(rows)
            return
        begun = 0
        for place, row in enumerate(rows):
            if isinstance(row, list) and len(row) > 1 and row[0] in ("segment", "part"):
                self._give(rows[begun:place])
                begun = place + 1
                self._writing = self._rows if row[1] == 0 else self._part_of.get(row[1]) if is_whole(row[1]) else None
            elif isinstance(row, list) and row[:1] == ["memkit"]:
                self._give(rows[begun:place])
                self._begin_part(row)
                begun = place + 1
        self._give(rows[begun:])

    def _begin_part(self, row: list[Any]) -> None:
        try:
            self._writing = Rows(self._about(row))
            self._parts.append(self._writing)
            self._part_of[self._writing.about.pid] = self._writing
        except (FormatError, TypeError, ValueError):
            self._writing = None
            self._unread += 1

    def _give(self, rows: list[Any]) -> None:
        if self._writing is None:
            self._unread += len(rows)
        elif rows:
            self._writing.take(rows)

    def _decoded(self, block: bytes, lines: list[bytes]) -> list[Any]:
        """The rows; decoding many at once is several times faster than one by one."""
        try:
            return list(json.loads(b"[%b]" % block))
        except (ValueError, RecursionError):
            pass
        rows = []
        for line in filter(None, lines):  # ``journal.append`` may have looked at the end in the middle of a write
            try:
                rows.append(json.loads(line))
            except (ValueError, RecursionError):
                self._unread += 1
        return rows

    def _first(self, line: bytes) -> About:
        try:
            row = json.loads(line)
            tag, _, about = row
            if tag != "memkit" or not isinstance(about, dict):
                raise ValueError(tag)
        except (ValueError, TypeError, RecursionError):
            raise FormatError(self._refusal()) from None
        return self._about(row)

    def _about(self, row: list[Any]) -> About:
        _, version, about = row
        if not isinstance(about, dict):
            raise TypeError(about)
        if version != VERSION:
            raise FormatError(
                f"{self._name()} is a recording of format {repr(version)[:_SHOWN]} and this memkit reads {VERSION}: "
                f"read it with memkit {str(about.get('memkit', '?'))[:_SHOWN]} or newer"
            )
        known: dict[str, Any] = {key: about.get(key) for key in About._fields}
        try:
            check(map(known.get, ABOUT), ABOUT.values())
            known["argv"] = tuple(_words(known["argv"]))
            known["began"] = float(known["began"])
        except (TypeError, ValueError):
            raise FormatError(f"{self._name()} is damaged in its first row: nothing can be read from it") from None
        return About(**known)

    def _name(self) -> str:
        return repr(self._named) if self._named else "the file"

    def _refusal(self) -> str:
        if not self._beginning:
            return f"{self._name()} is empty: nothing was recorded into it"
        if self._beginning.startswith(BEGINNING):
            return f"{self._name()} breaks off in its first row: nothing can be read from it"
        return f"{self._name()} is not a memkit recording: it begins with {self._beginning[:20]!r}"


def _words(argv: Any) -> list[str]:
    if not isinstance(argv, list):
        raise TypeError(argv)
    check(argv, "s" * len(argv))
    return argv


def _open(path: str | os.PathLike[str]) -> BinaryIO:
    try:
        return open(path, "rb")
    except OSError as error:
        raise FormatError(f"cannot read {os.fspath(path)!r}: {error.strerror}") from None
