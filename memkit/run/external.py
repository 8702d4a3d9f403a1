"""Recording another process from outside: its memory, and how it ended as far as that can be known."""

from __future__ import annotations

import os
import select
import sys
import time
from contextlib import contextmanager
from typing import NamedTuple

from memkit.base.descriptors import readable
from memkit.base.errors import JournalError, MemkitError, MeterError, lost_rows
from memkit.base.units import SECOND
from memkit.model import file_format
from memkit.record import files, header
from memkit.system import engine, limits, processes
from memkit.system.oom import Kills
from memkit.system.pidfd import Pidfd

_NAP = SECOND // 20
_LONG = 3600 * SECOND
_YOUTH, _BETWEEN = SECOND // 500, SECOND // 20_000


class Another(NamedTuple):
    """A process that is not this one."""

    pid: int
    parent: int | None
    argv: tuple[str, ...]


class Observed:
    """A recording of a process from outside, from its making until ``end``.

    ``path`` is the file, ``interval`` nanoseconds or 0 for a beat that grows, ``meter`` a name. ``fresh`` is whether the
    process has just been started, so that all it ever was belongs to the recording. Raises ``MeterError`` where its memory
    cannot be read.
    """

    def __init__(self, process: Another, path: str, interval: int, meter: str, fresh: bool = False):
        self.process, self.path = process, path
        self._handle = _handle(process.pid)
        self._meter = self._opened(meter, fresh)
        early = self._first_readings() if fresh and self._meter is not None else []
        scoped = meter == "rss" and engine.NAME == "native"
        mark = (0 if fresh else _mark_of(process.pid)) if scoped else None
        self._began = early[0][0] if early else time.monotonic_ns()
        self._journal = engine.Journal(files.opened(path), path)
        self._journal.text(header.of_another(process, self._began, meter, interval, engine.Sampler.engine, mark))
        for moment, memory in early:
            self._journal.text(file_format.row("sample", moment - self._began, memory))
        self._sampler = None if self._meter is None else self._started(interval, mark)
        self._kills = Kills("self" if fresh else process.pid)  # one that was just started is in our groups, or has ended
        self._journal.text(header.limits(limits.find(process.pid)))
        self._journal.flush()
        if self._journal.error:
            raise JournalError(f"cannot record into {path!r}: {os.strerror(self._journal.error)}")

    def _opened(self, meter: str, fresh: bool):
        """The meter of the process; None where a fresh one ends or has ended already, and was not seen."""
        try:
            found = engine.Meter(meter, processes.here().memory_tid(self.process.pid))
            # Its number is its own for as long as it lives, and it did when the meter was opened.
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
        """Moments and memory of a fresh process: it may not live until there is a file, and a thread that samples."""
        found, due, until = [], 0, time.monotonic_ns() + _YOUTH
        while (moment := time.monotonic_ns()) < until:
            if moment >= due:
                memory = self._meter.read()
                if not memory:
                    break
                found.append((moment, memory))
                due = moment + _BETWEEN
            time.sleep(0)  # others may run; a timer may take a millisecond
        return found

    def _is_ending(self) -> bool:
        """Whether the process has ended, or is about to: its memory goes before others are told of its end."""
        if self._handle is not None and self.ended():
            return True
        found = processes.here().read(self.process.pid)
        # Elsewhere than on Linux a size of 0 may mean that it is not told.
        return found is not None and (found.over or (found.vms == 0 and sys.platform == "linux"))

    def _started(self, interval: int, mark: int | None):
        peaks = (mark is not None, mark or 0, engine.peaks_error() or 1 << 20)
        sampler = engine.Sampler(self._journal, self._meter, interval, self._began, *peaks)
        try:
            sampler.start()
        except (OSError, RuntimeError) as error:
            raise MemkitError(f"cannot record: {error}") from error
        return sampler

    @property
    def descriptor(self) -> int | None:
        """What becomes readable when the process has ended; None where the system has no such thing."""
        return self._handle and self._handle.fd

    def ended(self) -> bool:
        """Whether the process has ended."""
        if self._handle is not None:
            return bool(readable([self._handle.fd]))
        return self._meter is None or self._meter.read() is None

    def ending(self) -> tuple:
        """Exit code and signal of the process that has ended, as far as they can be known by others than its parent."""
        found = processes.here().read(self.process.pid)  # it may be waiting for its parent to ask
        told = found.code if found is not None and found.over else None
        return told or (self._handle and self._handle.ending()) or (None, None)

    def end(self, code: int | None = None, killed: int | None = None) -> None:
        """End the recording of a process that has ended, with its exit code and signal as far as they are known."""
        moment = time.monotonic_ns()
        shortage = self._kills.risen()
        self._finish("exit", moment - self._began, code, killed, shortage)

    def detach(self) -> None:
        """End the recording of a process that goes on."""
        self._finish("end", None, "detached")

    def _finish(self, kind, moment, *values) -> None:
        if self._sampler is not None:
            self._sampler.stop()
        if self._sampler is not None and self._sampler.mark_fell:
            reason = "the mark of the process was reset, by itself or as it became another program"
            self._journal.text(file_format.row("peaks", "samples", reason))
        moment = time.monotonic_ns() - self._began if moment is None else moment
        self._journal.text(file_format.row(kind, moment, *values))
        self._journal.close()
        self.close()
        if self._journal.error:
            lost = lost_rows(self._journal, repr(self.path))
            lost.unwritten = (kind, moment, *values)  # it may be one of them
            raise lost

    def close(self) -> None:
        if self._handle is not None:
            self._handle.close()


def _handle(pid: int) -> Pidfd | None:
    try:
        return Pidfd(pid)
    except OSError:
        return None


def _mark_of(pid: int) -> int:
    """The highest resident memory of a process so far; 0 where it is gone."""
    found = processes.here().read(pid)
    return found.mark or 0 if found else 0


# -- waiting -----------------------------------------------------------------------------------------------------------


def wait(observed: Observed, onlookers, tree=None, until: int | None = None, asked=None) -> None:
    """Wait until a process has ended, while it is looked at.

    ``tree`` is what watches what it has started; ``until`` a moment at which to stop waiting; ``asked`` has a ``descriptor``
    that becomes readable when somebody wants that, and is true ``yet`` then.
    """
    with _either(observed.descriptor, asked and asked.descriptor) as descriptor:
        while not (asked and asked.yet):
            now = time.monotonic_ns()
            if observed.ended() or (until is not None and now >= until):
                return
            nap = _LONG if descriptor is not None and observed.descriptor is not None else _NAP
            soon = nap if onlookers.wait is None else min(nap, int(onlookers.wait * SECOND))
            due = min(now + soon, until or now + soon)
            if tree is not None:
                tree.until(due, descriptor)
            elif descriptor is not None:
                readable([descriptor], due - now)
            else:
                time.sleep((due - now) / SECOND)
            onlookers.look()


@contextmanager
def _either(*descriptors):
    """A descriptor that is readable when one of some others is; None where the system has no such thing."""
    if not hasattr(select, "epoll"):
        yield None
        return
    with select.epoll() as both:
        for descriptor in descriptors:
            if descriptor is not None:
                both.register(descriptor, select.EPOLLIN)
        yield both.fileno()
