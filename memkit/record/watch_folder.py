"""The folder of a watch: the names of its files, and how it is kept within an age and a size.

Each process writes files of its own, and tidies up after all of them. A file that somebody writes into is locked, and stays.
"""

from __future__ import annotations

import os
import re
import sys
import time
from typing import NamedTuple

from memkit.base import clocks, paths
from memkit.base.errors import UsageError
from memkit.base.units import SECOND, parse_bytes, parse_time
from memkit.model import file_format
from memkit.model.last_minutes import origin_of
from memkit.system import engine

_DAY = 24 * 3600 * SECOND
_AGE, _SIZE = 7 * _DAY, 500_000_000
_LEAST_AGE, _LEAST_SIZE = 60 * SECOND, 1_000_000
_FILES = 32  # that the size is for, at least
_LARGEST = 8 << 20  # bytes of a file: one can be read in a moment, also by the program itself
_SMALLEST = 16 << 10
_AGES = 7  # that the age is for
_LIVES = 10  # seconds without a row after which a file is of nobody who lives
_NAME = re.compile(r".*-(\d+)-\d{8}-\d{6}(?:-\d+)?\.(?:watch|snapshot)\.memkit")
WATCH, SNAPSHOT = "watch", "snapshot"
FILE_OF_WATCH = f".{WATCH}{file_format.SUFFIX}"
FOLDER = "memkit-watch"
"""Where nothing else was asked for."""


class Found(NamedTuple):
    """A file of a watch: when it was last written, its size, its path, and the process that it is of."""

    changed: float
    size: int
    path: str
    pid: int


class Keep:
    """How much is kept: ``"7d,500MB"`` is a week, and no more than 500 MB. What is not said is that.

    Raises ``UsageError``.
    """

    def __init__(self, text: str) -> None:
        self.age, self.size = _AGE, _SIZE
        """In nanoseconds, and in bytes."""
        said: set[str] = set()
        if not isinstance(text, str) or not text.strip():
            raise UsageError(f"keep {text!r}: write an age, a size or both, such as 7d,500MB")
        for part in text.split(","):
            kind = self._take(part.strip(), text)
            if kind in said:
                raise UsageError(f"keep {text!r} has two of a kind: write one age and one size, such as 7d,500MB")
            said.add(kind)
        self.text = text

    def _take(self, part: str, text: str) -> str:
        age = re.fullmatch(r"([\d.]+)\s*(d|h|min|s)", part)
        try:
            if age is not None:
                self.age = parse_time(f"{age[1]} s") * 24 * 3600 if age[2] == "d" else parse_time(part)
                kind = "age"
            elif part[-1:].isalpha():
                self.size, kind = parse_bytes(part), "size"
            else:
                raise UsageError("no unit")
        except UsageError:
            raise UsageError(
                f"keep {text!r}: {part!r} is neither an age, such as 7d, 12h or 30min, nor a size, such as 500MB"
            ) from None
        if self.age < _LEAST_AGE or self.size < _LEAST_SIZE:
            raise UsageError(f"keep {text!r}: {part!r} is too little: at least a minute and a megabyte are kept")
        return kind

    @property
    def file_age(self) -> int:
        """Nanoseconds after which another file is begun."""
        return min(self.age // _AGES, _DAY)

    def file_size(self, writers: int) -> int:
        """Bytes after which another file is begun, where so many processes write into the folder."""
        return max(_SMALLEST, min(self.size // _FILES, _LARGEST, self.size // (4 * max(1, writers))))


class WatchFolder:
    """The folder, which is made where there is none."""

    def __init__(self, path: str, keep: Keep) -> None:
        self.path, self.keep = path, keep
        self.writers = 1
        """How many processes write into it, as it was last seen."""
        self._clock_ahead = clocks.time() - clocks.monotonic()  # now: the clock may be set, to any time

    def reserve(self, kind: str, current: str | None = None) -> str:
        """A new empty file for this process, readable by its owner only; its path, which is not the ``current`` one.

        Raises ``UsageError``.
        """
        first = f"{_program()}-{os.getpid()}-{time.strftime('%Y%m%d-%H%M%S')}"
        try:
            os.makedirs(self.path, exist_ok=True)
            for number in range(1, 1000):
                path = os.path.join(self.path, f"{first}{f'-{number}' if number > 1 else ''}.{kind}{file_format.SUFFIX}")
                if path == current:  # which may have been removed, and is still written into
                    continue
                try:
                    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, paths.OWNERS))
                    return path
                except FileExistsError:
                    if number == 1 and not os.path.isdir(self.path):
                        raise
        except OSError as error:
            raise UsageError(f"cannot record into the folder {self.path!r}: {error.strerror}") from None
        raise UsageError(f"cannot record into the folder {self.path!r}: it has a thousand files of this second")

    def tidy(self, current: str | None) -> None:
        """Remove the oldest files, so that those that are written into may become full; all but the ``current`` one."""
        found = files_in(self.path)
        fresh = {each.pid for each in found if each.changed > clocks.time() - _LIVES}
        self.writers = len(fresh | {os.getpid()})
        now = clocks.monotonic() + self._clock_ahead
        room = max(0, self.keep.size - self.writers * self.keep.file_size(self.writers))
        total = sum(each.size for each in found if each.path != current)
        for each in found:
            if each.path == current or (total <= room and now - each.changed <= self.keep.age / SECOND):
                continue
            if each.pid == os.getpid() or not engine.is_written(each.path):
                try:
                    os.unlink(each.path)
                except OSError:  # another process was faster, or it is not ours
                    continue
                total -= each.size


def _program() -> str:
    """What runs here, for the name of a file: the name of a script, or of a package that runs as a module."""
    path = sys.argv[0] if sys.argv else ""
    if path == "-m" and len(sys.orig_argv) > len(sys.argv):  # it is being looked for
        path = sys.orig_argv[-len(sys.argv)]
    name = os.path.splitext(os.path.basename(path))[0]
    return (os.path.basename(os.path.dirname(path)) if name == "__main__" else name).lstrip("-") or "python"


def files_in(folder: str) -> list[Found]:
    """The files of watches in a folder, the oldest first; none where it cannot be read."""
    found = []
    try:
        names = os.listdir(folder)
    except OSError:
        return []
    for name in names:
        match = _NAME.fullmatch(name)
        if match is None:
            continue
        path = os.path.join(folder, name)
        try:
            status = os.stat(path)
        except OSError:
            continue
        found.append(Found(status.st_mtime, status.st_size, path, int(match[1])))
    return sorted(found)


def a_watch() -> str:
    """What the files of a new watch have in common, and those of no other."""
    return os.urandom(6).hex()


class AwaitedFiles:
    """The files of a watch that another process is about to begin in a folder, where there may be earlier ones.

    It stands for the ``file_format.Awaited`` of one file. Make this before the process can begin.
    """

    def __init__(self, folder: str) -> None:
        self.folder = self.path = folder
        """The folder; and the file that ``origin`` has found last."""
        self.pid = 0
        """The process that it was found of."""
        self.first: int | None = None
        """When its first file was begun, which may have been removed since."""
        self.watch = a_watch()
        """What all files of it are to have in common, whichever process writes them."""
        self._earlier = {each.path for each in files_in(folder)}

    def origin(self, pid: int | None) -> int | None:
        """When the process with this number began its last file, on the monotonic clock; None as long as it has none."""
        begun = [(about["clock"], each.path) for each in files_in(self.folder)
                 if each.pid == pid and self.is_new(each.path) and (about := origin_of(each.path))]  # fmt: skip
        if not begun:
            return None
        found: int
        (found, self.path), self.pid = max(begun), pid or 0
        self.first = self.first or min(begun)[0]
        return found

    def look(self, pid: int) -> None:
        """See whether it has begun its first file; to be called now and then meanwhile."""
        if self.first is None:
            self.origin(pid)

    def is_new(self, path: str) -> bool:
        """Whether a file of a watch was begun since."""
        return path.endswith(FILE_OF_WATCH) and path not in self._earlier


def folder_for(given: str | None) -> str:
    """The absolute path of the folder to record into. Raises ``UsageError`` for what is or can be none."""
    if given in ("", "-"):
        raise UsageError(f"-o {given!r}: with --keep it is a folder of files that follow one another: give it a name")
    path = paths.absolute(FOLDER if given is None else given)
    if os.path.exists(path) and not os.path.isdir(path):
        raise UsageError(f"{given or FOLDER!r} is a file: with --keep, -o is a folder of files that follow one another")
    return path
