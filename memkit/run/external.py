"""Recording another process from outside: its memory, and how it ended as far as that is known."""

from __future__ import annotations

import os
import sys
import time
from typing import NamedTuple

from memkit.base.descriptors import readable
from memkit.base.errors import JournalError, MemkitError, MeterError, lost_rows
from memkit.base.units import SECOND
from memkit.model import file_format
from memkit.record import files, header
from memkit.system import engine, limits, processes
from memkit.system.oom import Kills
from memkit.system.pidfd import Pidfd

_FIRST_READINGS, _BETWEEN = SECOND // 500, SECOND // 20_000  # for how long they are taken, and how far apart


class ExternalProcess(NamedTuple):
    """A process that is not this one."""

    pid: int
    parent: int | None
    argv: tuple[str, ...]


class EndingNotWritten(JournalError):
    """Rows were lost, and ``unwritten``, the row that says how the process ended, may be one of them."""

    def __init__(self, message: str, unwritten: tuple[object, ...]) -> None:
        super().__init__(message)
        self.unwritten = unwritten


class ExternalRecording:
    """A recording of a process from outside; it begins when this is made.

    ``path`` is the file, ``interval`` nanoseconds or 0 for one that grows, ``meter`` a name. ``fresh`` is whether the
    process has just been started, so that the recording includes its memory from the beginning; ``joins`` whether it is a
    segment of a recording that is there. Raises ``MeterError`` if its memory cannot be read.
    """

    def __init__(
        self, process: ExternalProcess, path: str, interval: int, meter: str, fresh: bool = False, joins: bool = False
    ) -> None:
        self.process, self.path = process, path
        self._handle = _handle(process.pid)
        self._meter = self._opened(meter, fresh)
        early = self._first_readings() if fresh and self._meter is not None else []
        scoped = meter == "rss" and engine.NAME == "native"
        mark = (0 if fresh else _mark_of(process.pid)) if scoped else None
        self._began = early[0][0] if early else time.monotonic_ns()
        self._journal = engine.Journal(files.joined(path) if joins else files.opened(path), path)
        if joins:
            self._journal.begin_writes_with(file_format.segment(process.pid))
        self._journal.text(header.of_another(process, self._began, meter, interval, engine.Sampler.engine, mark))
        for moment, memory in early:
            self._journal.text(file_format.row("sample", moment - self._began, memory))
        self._sampler = None if self._meter is None else self._started(self._meter, interval, mark)
        self._kills = Kills("self" if fresh else process.pid)  # one that was just started is in our groups, or has ended
        self._journal.text(header.limits(limits.find(process.pid)))
        self._journal.flush()
        if self._journal.error:
            raise JournalError(f"cannot record into {path!r}: {os.strerror(self._journal.error)}")

    def _opened(self, meter: str, fresh: bool) -> engine.Meter | None:
        """The meter of the process; None if a fresh one has ended already, before its memory could be read."""
        try:
            found = engine.Meter(meter, processes.here().memory_tid(self.process.pid))
            # If it has not ended yet, its number had not been given to another process when the meter was opened.
            if self._handle is None or not self.ended():
                return found
            refusal = MeterError(f"process {self.process.pid} has just ended")
        except MeterError as error:
            refusal = error
        if fresh and self._is_ending():
            return None
        self.close()
        raise refusal

    def _first_readings(self) -> list[tuple[int, int]]:
        """Times and memory of a fresh process, which may end before there are a file and a sampling thread."""
        found: list[tuple[int, int]] = []
        due, until = 0, time.monotonic_ns() + _FIRST_READINGS
        while (moment := time.monotonic_ns()) < until:
            if moment >= due:
                memory = self._meter.read() if self._meter is not None else None
                if not memory:
                    break
                found.append((moment, memory))
                due = moment + _BETWEEN
            time.sleep(0)  # let others run; a longer sleep may take a millisecond
        return found

    def _is_ending(self) -> bool:
        """Whether the process has ended or is about to: its memory is freed before its end is visible."""
        if self._handle is not None and self.ended():
            return True
        found = processes.here().read(self.process.pid)
        # On other systems than Linux, a size of 0 may mean that it is not known.
        return found is not None and (found.over or (found.vms == 0 and sys.platform == "linux"))

    def _started(self, meter: engine.Meter, interval: int, mark: int | None) -> engine.Sampler:
        peaks = (mark is not None, mark or 0, engine.peaks_error() or 1 << 20)
        sampler = engine.Sampler(self._journal, meter, interval, self._began, *peaks)
        try:
            sampler.start()
        except (OSError, RuntimeError) as error:
            raise MemkitError(f"cannot record: {error}") from error
        return sampler

    @property
    def began(self) -> int:
        """When it began, on ``time.monotonic_ns``: times in the file count from there."""
        return self._began

    @property
    def descriptor(self) -> int | None:
        """Readable once the process has ended; None where the system has no such descriptor."""
        return self._handle.fd if self._handle is not None else None

    def ended(self) -> bool:
        """Whether the process has ended."""
        if self._handle is not None:
            return bool(readable([self._handle.fd]))
        return self._meter is None or self._meter.read() is None

    def ending(self) -> tuple[int | None, int | None]:
        """Exit code and signal of the process that has ended, None if only its parent knows them."""
        return ending_of(self.process.pid, self._handle)

    def add(self, rows: bytes) -> None:
        """Add rows to the recording."""
        self._journal.text(rows)

    def end(self, code: int | None = None, killed: int | None = None) -> None:
        """End the recording of a process that has ended, with its exit code and signal as far as they are known."""
        moment = time.monotonic_ns()
        shortage = self._kills.risen()
        self._finish("exit", moment - self._began, code, killed, shortage)

    def detach(self) -> None:
        """End the recording of a process that goes on."""
        self._finish("end", None, "detached")

    def _finish(self, kind: str, moment: int | None, *values: object) -> None:
        if self._sampler is not None:
            self._sampler.stop()
        if self._sampler is not None and self._sampler.hwm_was_reset:
            reason = "the process reset its high-water mark, or executed another program"
            self._journal.text(file_format.row("peaks", "samples", reason))
        moment = time.monotonic_ns() - self._began if moment is None else moment
        self._journal.text(file_format.row(kind, moment, *values))
        self._journal.close()
        self.close()
        if self._journal.error:
            raise EndingNotWritten(str(lost_rows(self._journal, repr(self.path))), (kind, moment, *values))

    def close(self) -> None:
        """Release the hold on the process."""
        if self._handle is not None:
            self._handle.close()


def ending_of(pid: int, handle: Pidfd | None) -> tuple[int | None, int | None]:
    """Exit code and signal of a process that has ended, None if only its parent knows them."""
    found = processes.here().read(pid)  # it may be a zombie
    code = found.code if found is not None and found.over else None
    return code or (handle.ending() if handle is not None else None) or (None, None)


def _handle(pid: int) -> Pidfd | None:
    try:
        return Pidfd(pid)
    except OSError:
        return None


def _mark_of(pid: int) -> int:
    """The highest resident memory of a process so far; 0 where it is gone."""
    found = processes.here().read(pid)
    return found.mark or 0 if found else 0
