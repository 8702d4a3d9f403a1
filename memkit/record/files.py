"""The files that recordings are written into."""

from __future__ import annotations

import os
import stat
import time

from memkit.base import paths
from memkit.base.descriptors import identity
from memkit.base.errors import JournalError, UsageError
from memkit.model import file_format
from memkit.system import engine

_PATIENCE = 1  # seconds


def _refuse_special(path: str, *allowed: int) -> None:
    """Refuse what is there and is no regular file, nor ``allowed``: opening a pipe, for one, waits for a reader."""
    try:
        kind = stat.S_IFMT(os.stat(path).st_mode)
    except OSError:
        return
    if kind not in (stat.S_IFREG, stat.S_IFDIR, *allowed):
        name = {stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}.get(kind, "a device")
        raise UsageError(f"cannot write {path!r}: it is {name}; give the name of a file")


def table_path(path: str, head: str, kind: str) -> str:
    """The absolute path of a CSV file that may be written: none yet, an empty one, or one that begins with ``head``.

    ``kind`` says what that is: an "event log". Raises ``UsageError``.
    """
    path = paths.absolute(paths.to_write(path))
    _refuse_special(path, stat.S_IFCHR)
    if os.path.isfile(path) and os.path.getsize(path):
        try:
            with open(path, "rb") as file:
                first = file.readline(1000)
        except OSError as error:
            raise UsageError(f"cannot write {path!r}: {error.strerror}") from None
        if first.rstrip() != head.encode():
            article, short = "an" if kind[0] in "aeiou" else "a", kind.split()[-1]
            raise UsageError(f"{path!r} is not {article} {kind}, so it is left alone: give the {short} another name")
    return path


def opened_table(path: str, head: str, kind: str) -> int:
    """A descriptor that appends to such a file, which is empty now."""
    path = table_path(path, head, kind)
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    try:
        fd = os.open(path, flags, 0o666)
    except OSError as error:
        raise UsageError(f"cannot write {path!r}: {error.strerror}") from None
    if os.path.isfile(path):
        _claim(fd, path)
        os.ftruncate(fd, 0)
    return fd


def begun_table(path: str, head: str, kind: str, offset: int | None = None):
    """The journal of such a file, whose first line is written. ``offset`` is that of ``engine.Journal``.

    Raises ``UsageError``, and ``JournalError`` where the file takes nothing.
    """
    table = engine.Journal(opened_table(path, head, kind), path, offset)
    table.text(f"{head}\n".encode())
    table.flush()
    if table.error:
        table.close()
        raise JournalError(f"cannot write {path!r}: {os.strerror(table.error)}")
    return table


def place_for(given: str | None, program: str) -> tuple[str, bool]:
    """Where to record, and whether the file was made just now to hold the name."""
    if given is not None:
        if given == "-":
            raise UsageError("-o -: a recording is a file that both processes write; give it a name")
        path = paths.absolute(paths.to_write(given))
        _refuse_special(path)
        if os.path.exists(path) and os.path.getsize(path) and not file_format.is_recording(path):
            raise UsageError(f"{given!r} is not a recording, so it is left alone: give -o another name")
        return path, False
    try:
        here = os.getcwd()
    except OSError as error:
        raise UsageError(f"cannot record into this folder: it is gone ({error.strerror}); choose a file with -o") from None
    named = os.path.splitext(os.path.basename(os.path.normpath(os.path.join(here, program))))[0]
    first = f"{named or 'program'}-{time.strftime('%Y%m%d-%H%M%S')}"
    for number in range(1, 1000):
        path = os.path.join(here, f"{first}{f'-{number}' if number > 1 else ''}{file_format.SUFFIX}")
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
            return path, True
        except FileExistsError:
            continue
        except OSError as error:
            raise UsageError(f"cannot record into this folder: {path!r}: {error.strerror}; choose a file with -o") from None
    raise UsageError(f"there are a thousand recordings called {first} here: choose a file with -o")


def opened(path: str) -> int:
    """A descriptor that appends to an empty recording of this name."""
    _refuse_special(path)
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o666)
    except OSError as error:
        raise UsageError(f"cannot record into {path!r}: {error.strerror}") from None
    if os.fstat(fd).st_size and not file_format.is_recording(path):
        os.close(fd)
        raise UsageError(f"{path!r} is not a recording, so it is left alone: give the recording a path of its own")
    _claim(fd, path)
    os.ftruncate(fd, 0)
    return fd


def _claim(fd: int, path: str) -> None:
    """Refuse a file into which somebody writes, and have others refuse it from now on. Raises ``UsageError``."""
    until = time.monotonic() + _PATIENCE
    while not engine.lock(fd, True):
        if time.monotonic() > until:
            os.close(fd)
            raise UsageError(f"{path!r} is being written already: give each that writes a file of its own")
        time.sleep(0.01)  # a forked child may be about to let go of it
    engine.lock(fd, False)  # with those who join


def joined(path: str) -> int:
    """A descriptor that appends to a recording that another process makes."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | getattr(os, "O_BINARY", 0))
    except OSError as error:
        raise UsageError(f"cannot record into {path!r}: {error.strerror}") from None
    engine.lock(fd, False)
    return fd


def opened_nameless() -> int:
    """A descriptor that appends to a file that goes with it; see :class:`Nameless`."""
    from tempfile import TemporaryFile

    with TemporaryFile(buffering=0) as file:
        fd = os.dup(file.fileno())
    if hasattr(os, "pread"):
        import fcntl

        fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_APPEND)
    return fd


class Nameless:
    """A file that is there as long as this is. Raises ``OSError`` where the system refuses one.

    The program may close the descriptor, and have another file under its number: that one is left alone.
    """

    def __init__(self):
        self._fd = opened_nameless()
        self._identity = identity(self._fd)

    @property
    def is_there(self) -> bool:
        """Whether the program has left it alone."""
        return self._fd is not None and identity(self._fd) == self._identity

    def writer(self) -> int:
        """A descriptor of its own for whoever appends to it."""
        return os.dup(self._fd)

    def empty(self) -> None:
        """Begin anew."""
        os.ftruncate(self._fd, 0)

    def contents(self):
        """What has been written so far, as a file. Raises ``JournalError`` where the program has closed it.

        Reading must not move the place where the sampler writes.
        """
        from io import BytesIO

        if not self.is_there:
            raise JournalError(
                "the program closed the temporary file of the recording: give the recording a file of its own"
            )
        size = os.fstat(self._fd).st_size
        if hasattr(os, "pread"):
            return BytesIO(os.pread(self._fd, size, 0))
        os.lseek(self._fd, 0, os.SEEK_SET)
        return BytesIO(os.read(self._fd, size))

    def close(self) -> None:
        """Give it back; harmless when that has been done."""
        if self.is_there:
            os.close(self._fd)
        self._fd = None

    def __del__(self):
        if getattr(self, "_fd", None) is not None:
            self.close()
