"""A ``.dat`` file that grows while a program runs: from readings from outside, and from the program's own recording."""

from __future__ import annotations

import json
import os
import time

from memkit.base.errors import UsageError
from memkit.base.units import SECOND
from memkit.model import mprof_file
from memkit.model.recording import Sample


class DatFile:
    """The file; what was written is on disk after ``flush``.

    One of mprof's that is there already is replaced by ``begin``. Raises ``UsageError`` for any other file, and where the
    system refuses. Later failures, of a full disk for instance, are kept in ``lost``: the program goes on.
    """

    def __init__(self, path: str):
        self._path = path
        self.lost = None
        try:
            if os.path.isfile(path) and os.path.getsize(path) and not mprof_file.is_mprofile(path):
                raise UsageError(f"{path!r} is not a file of mprof's, so it is left alone: give -o another name")
            self._file = open(path, "a", encoding="utf-8", errors="backslashreplace")  # noqa: SIM115 (closed by close)
        except OSError as error:
            raise UsageError(f"cannot write {path!r}: {error.strerror}") from None

    def begin(self, words: list[str]) -> None:
        """Write what is being run."""
        if os.path.isfile(self._path):
            self._file.truncate(0)
        self.write(mprof_file.command_row(words))
        self.flush()

    def write(self, *rows: str) -> None:
        self._try(self._file.writelines, rows)

    def flush(self) -> None:
        self._try(self._file.flush)

    def discard(self) -> None:
        """Have nothing of it after all."""
        self.flush()
        if os.path.isfile(self._path):
            self._try(self._file.truncate, 0)

    def close(self) -> None:
        """Nothing is left of a file that was never begun."""
        self._try(self._file.close)
        if os.path.isfile(self._path) and not os.path.getsize(self._path) and self.lost is None:
            os.unlink(self._path)

    def _try(self, act, *values):
        try:
            act(*values)
        except OSError as error:
            self.lost = self.lost or f"{self._path!r} is not whole: {error.strerror}"


class Outside:
    """Readings from outside, written as they are taken.

    ``summed``: whether ``MEM`` is of all processes together; ``singly``: whether each child has lines of its own;
    ``own``: whether the process itself is written.
    """

    def __init__(self, watch, file: DatFile, *, summed=False, singly=False, own=True, settled=True):
        self._watch, self._file = watch, file
        self._summed, self._singly, self._own = summed, singly, own
        self._held = None  # the first reading, until there is another; not if it is `settled`
        self._settled = settled
        self.last = None
        """What was read last, of all processes together if these are ``summed``."""

    def look(self) -> bool:
        """Take a reading; False when the process is gone."""
        own, children = self._watch.look()
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
        if not self._settled and self._held is None:  # it has only just been loaded, and says nothing of the program
            self._held = rows
            return True
        self._held, self._settled = None, True
        self._file.write(*rows)
        return True

    def finish(self) -> None:
        """Where there was one reading, it is better than none."""
        if self._held is not None:
            self._file.write(*self._held)
            self._held = None


class Inside:
    """The recording that a program makes of itself, turned into lines as its rows come.

    ``together`` is what reads all processes together from outside: its samples are written, and of this only the calls.
    """

    def __init__(self, path: str, file: DatFile, *, together: Outside | None = None, until=None):
        self._path, self._file, self._together, self._until = path, file, together, until
        self._journal = None
        self._rest = b""
        self._began = 0.0
        self._last = None
        self._open = {}

    def advance(self) -> None:
        """Take in what was recorded since the last call."""
        if self._journal is None:
            if not os.path.exists(self._path):
                return
            self._journal = open(self._path, "rb")  # noqa: SIM115 (closed by finish)
        *lines, self._rest = (self._rest + self._journal.read()).split(b"\n")
        for line in lines:
            try:
                kind, *values = json.loads(line)
                _TAKE.get(kind, Inside._pass_over)(self, *values)
            except (ValueError, TypeError):
                continue  # torn by a full disk

    def finish(self, ended: float) -> None:
        """Take in the rest. Calls that did not end do so now."""
        self.advance()
        if self._journal is not None:
            self._journal.close()
        last = self._together.last if self._together else self._last and self._last.memory
        for label, depth, before, start in self._open.values():
            self._call(label, before, start, last or before, max(round((ended - self._began) * SECOND), start), depth)
        self._open.clear()

    def _header(self, _, about):
        self._began = about["began"]

    def _sample(self, when, memory, rise=0, pid=None, *_):
        if pid is None and not self._late(when):
            sample = Sample(when, 0, memory, memory + rise)
            for at, size in mprof_file.readings([sample], self._last) if self._together is None else ():
                self._file.write(mprof_file.memory_row(size, self._began + at / SECOND))
            self._last = sample

    def _span(self, id, when, memory, thread, depth, label, *_):
        self._open[id] = (label, depth, memory, when)

    def _span_end(self, id, when, memory, *_):
        label, depth, before, start = self._open.pop(id)
        self._call(label, before, start, memory, when, depth)

    def _call(self, label, before, start, after, end, depth):
        if self._late(start):
            return
        start, end = self._began + start / SECOND, self._began + end / SECOND
        self._file.write(mprof_file.call_row(label, before, start, after, end, depth))

    def _late(self, when):
        return self._until is not None and self._began + when / SECOND > self._until

    def _pass_over(self, *_):
        pass


_TAKE = {"memkit": Inside._header, "sample": Inside._sample, "span": Inside._span, "span_end": Inside._span_end}
