"""The files that recordings are written into."""

from __future__ import annotations

import os
import stat
import time

from memkit.base import clocks, paths
from memkit.base.descriptors import identity, moved_up
from memkit.base.errors import JournalError, UsageError
from memkit.model import file_format
from memkit.system import engine

TYPE_CHECKING = False
if TYPE_CHECKING:
    from io import BytesIO

_CLAIM_SECONDS = 1


def _refuse_special(path: str, *allowed: int) -> None:
    """Refuse what is neither a regular file nor ``allowed``: opening a pipe, for example, waits for a reader."""
    try:
        kind = stat.S_IFMT(os.stat(path).st_mode)
    except OSError:
        return
    if kind not in (stat.S_IFREG, stat.S_IFDIR, *allowed):
        name = {stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}.get(kind, "a device")
        raise UsageError(f"cannot write {path!r}: it is {name}; give the name of a file")


def table_path(path: str, head: str, kind: str) -> str:
    """The absolute path of a CSV file that may be written: a new one, an empty one, or one that begins with ``head``.

    ``kind`` names such files in the error: "event log". Raises ``UsageError``.
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
    """A descriptor that appends to such a file, after emptying it."""
    path = table_path(path, head, kind)
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    try:
        fd = os.open(path, flags, paths.OWNERS)
    except OSError as error:
        raise UsageError(f"cannot write {path!r}: {error.strerror}") from None
    if os.path.isfile(path):
        _claim(fd, path)
        _empty(fd)
    return fd


def begun_table(path: str, head: str, kind: str, offset: int | None = None) -> engine.Journal:
    """The journal of such a file, whose first line has been written. ``offset`` is that of ``engine.Journal``.

    Raises ``UsageError``, and ``JournalError`` if the file cannot be written into.
    """
    table = engine.Journal(opened_table(path, head, kind), path, offset)
    table.text(f"{head}\n".encode())
    table.flush()
    if table.error:
        table.close()
        raise JournalError(f"cannot write {path!r}: {os.strerror(table.error)}")
    return table


def place_for(given: str | None, program: str) -> tuple[str, bool]:
    """The path to record into, and whether an empty file was created there to reserve the name."""
    if given is not None:
        if given == "-":
            raise UsageError("-o -: a recording is a file that both processes write; give it a name")
        path = paths.absolute(paths.to_write(given))
        _refuse_special(path)
        if os.path.exists(path) and _is_somebodys(path):
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
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, paths.OWNERS))
            return path, True
        except FileExistsError:
            continue
        except OSError as error:
            raise UsageError(f"cannot record into this folder: {path!r}: {error.strerror}; choose a file with -o") from None
    raise UsageError(f"there are a thousand recordings called {first} here: choose a file with -o")


def _is_somebodys(path: str) -> bool:
    """Whether a file is no recording: it has something else in it, or will have by its name."""
    named = os.path.splitext(path)[1] in (".py", ".pyw", ".pyx", ".ipynb")
    return bool(named or os.path.getsize(path)) and not file_format.is_recording(path)


def opened(path: str) -> int:
    """A descriptor that appends to an empty recording of this name."""
    _refuse_special(path)
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), paths.OWNERS)
    except OSError as error:
        raise UsageError(f"cannot record into {path!r}: {error.strerror}") from None
    if os.fstat(fd).st_size and not file_format.is_recording(path):
        os.close(fd)
        raise UsageError(f"{path!r} is not a recording, so it is left alone: give the recording a path of its own")
    _claim(fd, path)
    _empty(fd)
    return fd


def _empty(fd: int) -> None:
    """Truncate a file."""
    if os.fstat(fd).st_size:  # else ext4 would write the file to the disk as soon as it is closed, which takes milliseconds
        os.ftruncate(fd, 0)


def _claim(fd: int, path: str) -> None:
    """Lock a file that nobody else is writing into. Raises ``UsageError`` if somebody is."""
    until = clocks.monotonic() + _CLAIM_SECONDS
    while not engine.lock(fd, True):
        if clocks.monotonic() > until:
            os.close(fd)
            raise UsageError(f"{path!r} is being written already: give each that writes a file of its own")
        time.sleep(0.01)  # a forked child may be about to close it
    engine.lock(fd, False)  # shared with the processes that join


def joined(path: str, inherited: int | None = None) -> int:
    """A descriptor that appends to a recording that another process makes.

    That is the one that a forked process has ``inherited``, if any: it may not be allowed to open the file any more.
    """
    if inherited is not None:
        return inherited
    _refuse_special(path)
    flags = os.O_WRONLY | os.O_APPEND | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        fd = os.open(path, flags)
    except OSError as error:
        raise UsageError(f"cannot record into {path!r}: {error.strerror}") from None
    if not stat.S_ISREG(os.fstat(fd).st_mode) or not file_format.is_recording(path):
        os.close(fd)
        raise UsageError(f"{path!r} is not a recording, so it is left alone")
    engine.lock(fd, False)
    return fd


def opened_unnamed(in_memory: bool = False) -> int:
    """A descriptor that appends to a temporary file without a name; see :class:`UnnamedFile`."""
    if in_memory and hasattr(os, "memfd_create"):
        fd = os.memfd_create("memkit")
    else:
        from tempfile import TemporaryFile

        with TemporaryFile(buffering=0) as file:
            fd = os.dup(file.fileno())
    if hasattr(os, "pread"):
        import fcntl

        fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_APPEND)
    return fd


class UnnamedFile:
    """A temporary file that exists as long as this object. Raises ``JournalError`` if the system refuses one.

    The program may close the descriptor and open another file under its number: that one is left alone. A small one may be
    kept ``in_memory``, where the system can.
    """

    def __init__(self, in_memory: bool = False) -> None:
        try:
            self._fd: int | None = moved_up(opened_unnamed(in_memory))
        except OSError as error:
            raise JournalError(f"cannot record into a temporary file: {error.strerror}") from None
        self._identity = identity(self._fd)

    @property
    def is_there(self) -> bool:
        """Whether the descriptor is still this file's."""
        return self._fd is not None and identity(self._fd) == self._identity

    def writer(self) -> int:
        """Another descriptor that appends to it."""
        return os.dup(self._descriptor())

    def empty(self) -> None:
        """Truncate it."""
        _empty(self._descriptor())

    def _descriptor(self) -> int:
        if self._fd is None or not self.is_there:
            raise JournalError(
                "the program closed the temporary file of the recording: give the recording a file of its own"
            )
        return self._fd

    def contents(self) -> BytesIO:
        """What has been written so far. Raises ``JournalError`` if the program has closed the file."""
        from io import BytesIO

        fd = self._descriptor()
        size = os.fstat(fd).st_size
        if hasattr(os, "pread"):  # which does not move the offset at which the sampler writes
            return BytesIO(os.pread(fd, size, 0))
        os.lseek(fd, 0, os.SEEK_SET)
        return BytesIO(os.read(fd, size))

    def close(self) -> None:
        """Close it, unless that has been done."""
        if self._fd is not None and self.is_there:
            os.close(self._fd)
        self._fd = None

    def __del__(self) -> None:
        try:  # noqa: SIM105 (what this needs may be gone as the interpreter ends: the system closes the file)
            self.close()
        except (AttributeError, TypeError):
            pass
