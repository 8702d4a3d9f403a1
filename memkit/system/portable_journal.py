"""The writing end of a recording's file without compiled code; see ``memkit.native.journal``."""

from __future__ import annotations

import contextlib
import errno
import os

from memkit.base.descriptors import identity, moved_up
from memkit.base.threads import unpatched
from memkit.base.units import SECOND

_STANDS_OUT = 1000
_DECIMALS = 10


class Journal:
    """A file that rows are appended to; a failing write is kept, not raised.

    With ``offset`` it is a table; see ``memkit.native.journal``. The program may close the descriptor and use its number:
    what is the program's is not written to, and the file is opened anew by its ``path``, if it has one.
    """

    def __init__(self, fd: int, path: str | None = None, offset: int | None = None):
        self._fd, self._path, self._offset = moved_up(fd), path, offset
        self._file = self._behind(self._fd)
        self._before = 0
        self._owner = os.getpid()
        self._lock = unpatched("_thread", "allocate_lock")()
        self._rows: list[bytes] = []
        self._torn = False
        self._head = b""
        self.error: int | None = None
        self.lost = 0

    def begin_writes_with(self, head: bytes) -> None:
        """Have each write to the file begin with a row, which tells whose the others are."""
        self.flush()
        self._head = head

    def duplicate(self) -> int | None:
        """Another descriptor of the file, for a journal of its own in a forked child; None where this one is closed."""
        try:
            return os.dup(self._fd) if self._is_ours() else None
        except OSError:
            return None

    def _is_ours(self) -> bool:
        return self._fd >= 0 and self._behind(self._fd) == self._file

    def _behind(self, fd: int) -> tuple[int, ...] | None:
        """What a descriptor leads to, whatever names the file has been given or lost since; None if it is closed.

        That a file which never had a name has none tells it from one of the program's that was given its number.
        """
        found = identity(fd)
        return found if found is None or self._path is None else found[:2]

    def _reach(self) -> None:
        """Have the descriptor lead to the file. Raises ``OSError``."""
        if self._is_ours():
            return
        if self._path is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        fd = moved_up(os.open(self._path, os.O_WRONLY | os.O_APPEND | getattr(os, "O_BINARY", 0)))
        if self._behind(fd) != self._file:
            os.close(fd)
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        self._fd = fd

    def row(self, tag: str, *values: int) -> None:
        """Append one row of integers."""
        if self._offset is not None:
            if tag == "sample":
                self._table_row(self._offset, *values)
            return
        self.text(b'["' + tag.encode() + b'"' + b"".join(b",%d" % value for value in values) + b"]\n")

    def _table_row(self, offset: int, time: int, memory: int, rise: int = 0) -> None:
        around = max(memory, self._before)
        stands_out = memory + rise - around > around // _STANDS_OUT
        sizes = (memory + rise, memory) if stands_out else (memory,)
        self._before = memory
        self.text("".join(f"{_seconds(time)},{_gib(size - offset)}\n" for size in sizes).encode())
        self.flush()

    def text(self, rows: bytes) -> None:
        """Append rows that are already spelled out, each ending in a newline."""
        with self._lock:
            self._rows.append(rows)

    def flush(self) -> None:
        """Hand everything appended so far to the system."""
        if self._owner == os.getpid():  # not a forked child, where the lock may be held for ever
            with self._lock:
                text, self._rows = b"".join(self._rows), []
                if text:
                    self._send((b"\n" if self._torn else b"") + self._head + text)

    def _send(self, text: bytes) -> None:
        whole = text
        try:
            self._reach()
            while text:
                written = os.write(self._fd, text)
                self._torn = text[written - 1 : written] != b"\n"
                text = text[written:]
        except OSError as error:
            self.error = self.error or error.errno or errno.EIO
            if self._offset is not None and len(text) < len(whole) and self._is_ours():
                with contextlib.suppress(OSError):
                    os.ftruncate(self._fd, os.fstat(self._fd).st_size - len(whole) + len(text))
                    text, self._torn = whole, False
            self.lost += text.count(b"\n")

    def close(self) -> None:
        """Flush and give the descriptor back; harmless when closed already."""
        if self._fd >= 0:
            self.flush()
            if self._is_ours():
                with contextlib.suppress(OSError):
                    os.close(self._fd)
            self._fd = -1


def _seconds(time: int) -> str:
    return f"{time // SECOND}.{time % SECOND:09}"


def _gib(size: int) -> str:
    whole, rest = divmod(abs(size), 1 << 30)
    return f"{'-' if size < 0 else ''}{whole}.{(rest * 10**_DECIMALS + (1 << 29)) >> 30:0{_DECIMALS}}"
