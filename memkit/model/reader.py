"""Reading a recording's file: whole, or bit by bit while it is still being written."""

from __future__ import annotations

import json
import os
from typing import Any, BinaryIO

from memkit.base import paths
from memkit.base.errors import FormatError
from memkit.model import mprof_file
from memkit.model.file_format import BEGINNING, VERSION
from memkit.model.from_rows import Rows
from memkit.model.merging import joined
from memkit.model.metadata import About
from memkit.model.recording import Recording

_SEGMENTS = (b'["segment"', b'["part"')  # its name now, and before
_CHUNK = 1 << 16  # small, so that rows die young and the garbage collector has little to do


def read(path: str | bytes | os.PathLike[str] | os.PathLike[bytes] | BinaryIO) -> Recording:
    """The recording in a file, whole or broken off. ``path`` is a path or an open binary file.

    Rows that were broken off, damaged or are unknown are passed over and counted in ``Recording.unread``. A ``.dat`` file
    of mprof's is read, too. Raises ``FormatError`` where the file is no recording at all.
    """
    if isinstance(path, (str, bytes, os.PathLike)) or not hasattr(path, "read"):
        path = paths.to_read(path)
        if mprof_file.is_mprofile(path):
            return mprof_file.read(path)
    with Reader(path) as reader:
        reader.advance()
        return reader.recording()


class Reader:
    """A recording read bit by bit, while it is still being written."""

    def __init__(self, path: str | os.PathLike[str] | BinaryIO):
        self._named = os.fspath(path) if isinstance(path, (str, os.PathLike)) else None
        self._file: BinaryIO = _open(path) if isinstance(path, (str, os.PathLike)) else path
        self._rest = b""
        self._rows: Rows | None = None
        self._parts: list[Rows] = []  # what other processes wrote into the same file, by the order of their headers
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
            if self._rows is None and not (self._rest + block).startswith(BEGINNING[: len(self._rest + block)]):
                raise FormatError(self._refusal(self._rest + block))
            lines = (self._rest + block).split(b"\n")
            self._rest = lines.pop()
            if lines and self._rows is None:
                self._rows = self._writing = Rows(self._first(lines.pop(0)))
            if lines:
                self._take(lines)

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
        rows = self._decoded(lines)
        if not any(line.startswith(_SEGMENTS) for line in lines):
            self._give(rows)
            return
        begun = 0
        for place, row in enumerate(rows):
            if isinstance(row, list) and len(row) > 1 and row[0] in ("segment", "part"):
                self._give(rows[begun:place])
                begun = place + 1
                pid = row[1]
                mine = (part for part in reversed(self._parts) if part.about.pid == pid)
                self._writing = next(mine, None) if pid else self._rows
            elif isinstance(row, list) and row[:1] == ["memkit"]:
                self._begin_part(row)
                begun = place + 1
        self._give(rows[begun:])

    def _begin_part(self, row: list[Any]) -> None:
        try:
            self._writing = Rows(self._about(row))
            self._parts.append(self._writing)
        except (FormatError, TypeError, ValueError):
            self._writing = None
            self._unread += 1

    def _give(self, rows: list[Any]) -> None:
        if self._writing is None:
            self._unread += len(rows)
        elif rows:
            self._writing.take(rows)

    def _decoded(self, lines: list[bytes]) -> list[Any]:
        """The rows; decoding many at once is several times faster than one by one."""
        try:
            return list(json.loads(b"[" + b",".join(lines) + b"]"))
        except ValueError:
            pass
        rows = []
        for line in filter(None, lines):  # ``journal.append`` may have looked at the end in the middle of a write
            try:
                rows.append(json.loads(line))
            except ValueError:
                self._unread += 1
        return rows

    def _first(self, line: bytes) -> About:
        try:
            row = json.loads(line)
            tag, _, about = row
            if tag != "memkit" or not isinstance(about, dict):
                raise ValueError(tag)
        except (ValueError, TypeError):
            raise FormatError(self._refusal(line)) from None
        return self._about(row)

    def _about(self, row: list[Any]) -> About:
        _, version, about = row
        if version != VERSION:
            raise FormatError(
                f"{self._name()} is a recording of format {version!r} and this memkit reads {VERSION}: "
                f"read it with memkit {about.get('memkit', '?')} or newer"
            )
        known = {key: about.get(key) for key in About._fields}
        try:
            known["argv"] = tuple(map(str, known["argv"]))
            known["began"] = float(known["began"])
        except (TypeError, ValueError):
            raise FormatError(f"{self._name()} is damaged in its first row: nothing can be read from it") from None
        return About(**known)

    def _name(self) -> str:
        return repr(self._named) if self._named else "the file"

    def _refusal(self, line: bytes | None = None) -> str:
        beginning = self._rest if line is None else line
        if not beginning:
            return f"{self._name()} is empty: nothing was recorded into it"
        if beginning.startswith(BEGINNING):
            return f"{self._name()} breaks off in its first row: nothing can be read from it"
        return f"{self._name()} is not a memkit recording: it begins with {beginning[:20]!r}"


def _open(path: str | os.PathLike[str]) -> BinaryIO:
    try:
        return open(path, "rb")
    except OSError as error:
        raise FormatError(f"cannot read {os.fspath(path)!r}: {error.strerror}") from None
