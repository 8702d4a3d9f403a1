"""Reading a recording's file: whole, or bit by bit while it is still being written."""

from __future__ import annotations

import json
import os

from memkit.errors import FormatError
from memkit.journal import BEGINNING, VERSION
from memkit.recording import About, Recording
from memkit.rows import Rows

_CHUNK = 1 << 16  # small, so that rows die young and the garbage collector has little to do


def read(path) -> Recording:
    """The recording in a file, whole or broken off. ``path`` is a path or an open binary file.

    Rows that were broken off, damaged or are unknown are passed over and counted in ``Recording.unread``. Raises
    ``FormatError`` where the file is no recording at all.
    """
    with Reader(path) as reader:
        reader.advance()
        return reader.recording()


class Reader:
    """A recording read bit by bit, while it is still being written."""

    def __init__(self, path):
        self._named = None if hasattr(path, "read") else os.fspath(path)
        self._file = path if self._named is None else _open(self._named)
        self._rest = b""
        self._rows = None
        self._unread = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
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
                self._rows = Rows(self._about(lines.pop(0)))
            if lines:
                self._rows.take(self._decoded(lines))

    def recording(self) -> Recording:
        """What has been read so far."""
        if self._rows is None:
            raise FormatError(self._refusal())
        return self._rows.recording(source=self._named, unread=self._unread + bool(self._rest))

    def _decoded(self, lines: list[bytes]) -> list:
        """The rows; decoding many at once is several times faster than one by one."""
        try:
            return json.loads(b"[" + b",".join(lines) + b"]")
        except ValueError:
            pass
        rows = []
        for line in lines:
            try:
                rows.append(json.loads(line))
            except ValueError:
                self._unread += 1
        return rows

    def _about(self, line: bytes) -> About:
        try:
            tag, version, about = json.loads(line)
            if tag != "memkit" or not isinstance(about, dict):
                raise ValueError(tag)
        except (ValueError, TypeError):
            raise FormatError(self._refusal(line)) from None
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


def _open(path: str):
    try:
        return open(path, "rb")
    except OSError as error:
        raise FormatError(f"cannot read {path!r}: {error.strerror}") from None
