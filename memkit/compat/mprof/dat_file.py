"""Writing a ``.dat`` file while a program runs: from polling its memory, and from the recording it makes of itself."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from typing import BinaryIO, Protocol, TypeVarTuple

from memkit.base import paths
from memkit.base.errors import UsageError
from memkit.base.units import SECOND
from memkit.model import mprof_file
from memkit.model.recording import Sample

Values = TypeVarTuple("Values")


class DatFile:
    """A ``.dat`` file; what was written is in the file after ``flush``.

    ``begin`` replaces an existing file of mprof's. Raises ``UsageError`` for any other existing file, and if the file cannot
    be opened. The first later error, such as a full disk, is kept in ``lost``: the program goes on.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self.lost: str | None = None
        try:
            if os.path.isfile(path) and os.path.getsize(path) and not mprof_file.is_mprofile(path):
                raise UsageError(f"{path!r} is not a file of mprof's, so it is left alone: give -o another name")
            self._file = open(  # noqa: SIM115 (closed by close)
                path, "a", encoding="utf-8", errors="backslashreplace", opener=_opened_for_its_owner
            )
        except OSError as error:
            raise UsageError(f"cannot write {path!r}: {error.strerror}") from None

    def begin(self, words: list[str]) -> None:
        """Empty the file and write the command."""
        if os.path.isfile(self._path):
            self._file.truncate(0)
        self.write(mprof_file.command_row(words))
        self.flush()

    def write(self, *rows: str) -> None:
        self._try(self._file.writelines, rows)

    def flush(self) -> None:
        self._try(self._file.flush)

    def discard(self) -> None:
        """Empty the file."""
        self.flush()
        if os.path.isfile(self._path):
            self._try(self._file.truncate, 0)

    def close(self) -> None:
        """Close the file, and remove it if it is empty."""
        self._try(self._file.close)
        if os.path.isfile(self._path) and not os.path.getsize(self._path) and self.lost is None:
            os.unlink(self._path)

    def _try(self, act: Callable[[*Values], object], *values: *Values) -> None:
        try:
            act(*values)
        except OSError as error:
            self.lost = self.lost or f"{self._path!r} is incomplete: {error.strerror}"


def _opened_for_its_owner(path: str, flags: int) -> int:
    return os.open(path, flags, paths.OWNERS)


class Memory(Protocol):
    """The memory of a process and its descendants: ``ProcessMemory``."""

    def read(self) -> tuple[int | None, dict[int, int]]: ...


class PollingWriter:
    """Polls the memory of a process and writes each reading.

    ``summed``: whether ``MEM`` is the sum of all processes; ``singly``: whether each descendant gets ``CHLD`` lines;
    ``own``: whether the process itself gets ``MEM`` lines; ``settled``: whether the first reading counts. That of a process
    which has just been started is written only if there is no other.
    """

    def __init__(
        self,
        memory: Memory,
        file: DatFile,
        *,
        summed: bool = False,
        singly: bool = False,
        own: bool = True,
        settled: bool = True,
    ) -> None:
        self._memory, self._file = memory, file
        self._summed, self._singly, self._own = summed, singly, own
        self._held: list[str] | None = None  # the lines of the first reading, until there is another
        self._settled = settled
        self.last: int | None = None
        """The last reading, which is the sum of all processes if ``summed``."""

    def poll(self) -> bool:
        """Take a reading; returns False if the process has ended."""
        own, children = self._memory.read()
        if own is None:
            return False
        if not own:
            return True
        now = time.time()
        rows = []
        self.last = own + sum(children.values()) * self._summed
        if self._own:
            rows.append(mprof_file.memory_row(self.last, now))
        if self._singly:
            rows += [mprof_file.child_row(pid, memory, now) for pid, memory in children.items()]
        if not self._settled and self._held is None:  # it has just been loaded, and has run nothing of the program yet
            self._held = rows
            return True
        self._held, self._settled = None, True
        self._file.write(*rows)
        return True

    def finish(self) -> None:
        """Write the first reading if there was no other."""
        if self._held is not None:
            self._file.write(*self._held)
            self._held = None


class RecordingWriter:
    """Reads the recording that a program makes of itself as it grows, and writes its samples and calls.

    ``polling``: the writer of the sums of all processes; if there is one, only the calls of the recording are written.
    ``until``: the time, in seconds since the epoch, after which rows are ignored.
    """

    def __init__(
        self, path: str, file: DatFile, *, polling: PollingWriter | None = None, until: float | None = None
    ) -> None:
        self._path, self._file, self._polling, self._until = path, file, polling, until
        self._journal: BinaryIO | None = None
        self._rest = b""
        self._began = 0.0
        self._last: Sample | None = None
        self._open: dict[int, tuple[str, int, int, int]] = {}  # by number: label, depth, memory and time at the start

    def advance(self) -> None:
        """Read what was recorded since the last call."""
        if self._journal is None:
            if not os.path.exists(self._path):
                return
            self._journal = open(self._path, "rb")  # noqa: SIM115 (closed by finish)
        *lines, self._rest = (self._rest + self._journal.read()).split(b"\n")
        for line in lines:
            try:
                kind, *values = json.loads(line)
                _ROWS.get(kind, RecordingWriter._ignore)(self, *values)
            except (ValueError, TypeError):
                continue  # broken off by a full disk

    def finish(self, ended: float) -> None:
        """Read the rest. Calls that have not ended are written as if they ended at this time."""
        self.advance()
        if self._journal is not None:
            self._journal.close()
        last = self._polling.last if self._polling else self._last and self._last.memory
        for label, depth, before, start in self._open.values():
            self._call(label, before, start, last or before, max(round((ended - self._began) * SECOND), start), depth)
        self._open.clear()

    def _header(self, _: int, about: dict[str, float]) -> None:
        self._began = about["began"]

    def _sample(self, when: int, memory: int, rise: int = 0, pid: int | None = None, *_: object) -> None:
        if pid is None and not self._is_late(when):
            sample = Sample(when, 0, memory, memory + rise)
            for at, size in mprof_file.readings([sample], self._last) if self._polling is None else ():
                self._file.write(mprof_file.memory_row(size, self._began + at / SECOND))
            self._last = sample

    def _span(self, number: int, when: int, memory: int, thread: int, depth: int, label: str, *_: object) -> None:
        self._open[number] = (label, depth, memory, when)

    def _span_end(self, number: int, when: int, memory: int, *_: object) -> None:
        label, depth, before, start = self._open.pop(number)
        self._call(label, before, start, memory, when, depth)

    def _call(self, label: str, before: int, start: int, after: int, end: int, depth: int) -> None:
        if not self._is_late(start):
            times = self._began + start / SECOND, self._began + end / SECOND
            self._file.write(mprof_file.call_row(label, before, times[0], after, times[1], depth))

    def _is_late(self, when: int) -> bool:
        return self._until is not None and self._began + when / SECOND > self._until

    def _ignore(self, *_: object) -> None:
        pass


_ROWS: dict[str, Callable[..., None]] = {
    "memkit": RecordingWriter._header,
    "sample": RecordingWriter._sample,
    "span": RecordingWriter._span,
    "span_end": RecordingWriter._span_end,
}
