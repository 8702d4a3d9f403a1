"""The same machinery without compiled code: psutil, and a Python thread. For macOS, Windows, and meters written in Python.

What it cannot do: sample while a C call holds the GIL, and reset the system's record of the peak. Peaks come from
the system's high-water mark where it rose (``peak_wset`` on Windows, ``ru_maxrss`` elsewhere), from samples otherwise.
"""

from __future__ import annotations

import math
import os
import sys
import threading  # noqa: F401  # after a fork it forgets all threads but one, before memkit starts another

from memkit.base import clocks
from memkit.base.descriptors import content
from memkit.base.errors import MeterError
from memkit.base.threads import start_thread, unpatched, wait_for_end
from memkit.base.units import SECOND
from memkit.system.portable_journal import Journal as Journal  # part of this engine

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from functools import partial
    from typing import ClassVar

    from memkit.base import protocols
    from memkit.base.threads import Thread

METERS = {"rss": "rss", "anon": "rss", "vms": "vms", "uss": "uss", "pss": "pss", "swap": "swap"}
_FULL = ("uss", "pss", "swap")
_FLUSH = SECOND // 4
_AUTO_START, _AUTO_GROWTH = SECOND // 1000, 434
_READING_SHARE = 100
_ALSO_GROWTH = 64
_RISE = 1.05
_STATM = ("vms", "rss", "anon")
"""What a line of ``/proc`` tells: it is read so that the program may close any descriptor at any moment."""
_TRIES = 5
_MOST = 1 << 62  # bytes that a meter can tell of: rows have differences of two in 64 bits


class Meter:
    """One number of one process, in bytes, through psutil, but for what Linux tells of this process in one line."""

    def __init__(self, name: str, pid: int | None = None):
        if name not in METERS:
            raise MeterError(f"unknown meter {name!r}: this machine has {', '.join(METERS)}")
        self.name, self.pid = name, pid
        self.costly = name in _FULL
        self._open()

    def _open(self) -> None:
        import psutil

        self._gone, self._owner = psutil.NoSuchProcess, os.getpid()
        try:
            self._process = psutil.Process(self.pid)
            self._value()
        except psutil.NoSuchProcess:
            raise MeterError(f"there is no process {self.pid}, or it has just ended") from None
        except (psutil.Error, AttributeError, OSError) as error:
            raise MeterError(f"meter {self.name!r} cannot be read here: {error}") from None

    def _value(self) -> int:
        if self.pid is None and self.name in _STATM and sys.platform == "linux":
            vms, rss, shared = _statm("/proc/self/statm")
            if not vms:  # the main thread has ended, and the kernel means that one
                vms, rss, shared = _statm("/proc/thread-self/statm")
            return {"vms": vms, "rss": rss, "anon": rss - shared}[self.name] * os.sysconf("SC_PAGE_SIZE")
        information = self._process.memory_full_info() if self.costly else self._process.memory_info()
        if not information.vms:  # a zombie: it exited but has not been reaped
            raise self._gone(self.pid)
        files = int(information.shared) if self.name == "anon" else 0
        return int(getattr(information, METERS[self.name])) - files

    def read(self) -> int | None:
        """Bytes now, or None when the process is gone, or when this one has no descriptor for its file."""
        if self.pid is None and self._owner != os.getpid():
            self._open()
        for _ in range(_TRIES):
            try:
                return self._value()
            except self._gone:
                return None
            except OSError:  # the program closed the file meanwhile, or has all descriptors
                if self.pid is not None:
                    raise
        return None


def _statm(path: str) -> list[int]:
    """Pages: virtual, resident, and of files. Raises ``OSError``."""
    return [int(pages) for pages in content(path).split()[:3]]


class CalledMeter:
    """A meter that is a callable. Where it fails nothing is known, and nothing is written."""

    costly = True
    pid = None

    def __init__(self, read: Callable[[], int], name: str | None = None):
        self.name = str(name or getattr(read, "__qualname__", type(read).__name__))
        self._read = read
        self._owner = os.getpid()
        try:
            value = int(read())
        except Exception as error:
            raise MeterError(f"meter {self.name!r} does not give bytes: {type(error).__name__}: {error}") from error
        if not 0 <= value <= _MOST:
            raise MeterError(f"meter {self.name!r} does not give bytes: it returned {value}")

    def read(self) -> int | None:
        try:
            value = int(self._read())
        except Exception:
            return None
        return value if 0 <= value <= _MOST else None


class Scope:
    """A stretch of time whose peak is wanted; None where the system's high-water mark did not rise in it.

    With a ``meter`` it reads that, too, at its beginning and its end.
    """

    def __init__(self, meter: Meter | None = None) -> None:
        self._meter = meter
        self.memory = None if meter is None else meter.read()
        self._mark = _mark()
        self.time = clocks.monotonic_ns()

    def take(self) -> int | None:
        mark = _mark()
        if mark is None or self._mark is None or mark <= self._mark:
            return None
        self._mark = mark
        return mark

    def close(self) -> int | None:
        self.time = clocks.monotonic_ns()
        self.memory = None if self._meter is None else self._meter.read()
        return self.take()


def _mark() -> int | None:
    try:
        import resource
    except ImportError:
        import psutil

        return getattr(psutil.Process().memory_info(), "peak_wset", None)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def allow_reset(allowed: bool) -> None:
    """Nothing is ever reset here."""


_callbacks: dict[Callable[[None], int], object] = {}  # for ever: one may be armed, or running, at any time


def PendingCall(function: Callable[[None], int]) -> partial[int]:
    """Makes a callable that has a function called when the main thread runs Python again: when what it calls now returns.

    It is called with None and returns 0.
    """
    import ctypes
    from functools import partial

    if function not in _callbacks:
        _callbacks[function] = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p)(function)
    # A partial of a C function: no bytecode may run after it is armed.
    return partial(ctypes.pythonapi.Py_AddPendingCall, _callbacks[function], None)


def peaks() -> tuple[str, str | None]:
    """How peaks are known here, and why not better."""
    return ("samples" if _mark() is None else "mark"), "the portable engine cannot reset the system's mark"


def peak_rss(reset: bool = False) -> int | None:
    """The highest resident memory of this process in bytes since it began, or None."""
    if reset:
        raise MeterError(f"the peak cannot be reset here ({peaks()[1]}); call peak_rss() without reset")
    return _mark()


class Sampler:
    """A daemon thread that writes ``sample`` rows; see ``memkit.native.sampling.sampler`` for the arguments."""

    engine: ClassVar[str] = "portable"
    hwm_was_reset = False  # that of another process is not read

    def __init__(
        self,
        journal: protocols.Journal,
        meter: protocols.Meter,
        interval: int,
        began: int,
        peaks: bool,
        hwm: int = 0,
        slack: int = 0,
    ):
        self._journal, self._meter = journal, meter
        self._interval, self._began = interval, began
        self._scoped = peaks
        self._scope: Scope | None = None
        self._peak = self._highest = self._flushed = self._ticks = self._missed = self._also_due = 0
        self._also: tuple[Callable[[protocols.Journal], object], ...] = ()
        self._near = math.inf  # memory from which on ``_stacks`` tells where the threads are
        self._stacks: Callable[[int], bytes] | None = None
        self._thread: Thread | None = None
        self._on = self._threaded = False
        self._go_on = unpatched("_thread", "allocate_lock")()  # held until the thread is to end
        self._guard: protocols.Watcher | None = None

    def watch(self, bound: protocols.Bound) -> None:
        """Watch a limit, a ``memkit.record.limit_guard.Bound``: to be said before the start."""
        self._guard = bound.watcher(self._journal, self._began)

    def snapshot_stacks_from(self, memory: int, stacks: Callable[[int], bytes]) -> None:
        """Write where the threads are whenever memory rises by 5 % to this or more: to be called before the start.

        ``stacks`` gives the rows of a moment.
        """
        self._near, self._stacks = memory, stacks

    def start(self, thread: bool = True) -> None:
        """Take the first sample, and start the thread, or without one wait for the end."""
        self._on, self._threaded = True, thread
        self._due = clocks.monotonic_ns()
        self._cost_due = self._due + SECOND
        self._scope = Scope() if self._scoped else None
        self._keep(*self._read(), must=True)
        self._journal.flush()
        self.resume()

    def flush_also(self, writers: Iterable[Callable[[protocols.Journal], object]]) -> None:
        """Have others add rows before a flush: callables that take the journal, in place of those before."""
        self._also = tuple(writers)
        self._also_due = 0

    def flush(self) -> None:
        """Write the sums as they are now, and hand everything to the system."""
        for write in self._also:
            write(self._journal)
        self._journal.flush()

    flush_with_sample = flush

    def resume(self) -> None:
        """Start the thread, unless it runs."""
        if self._thread is None and self._threaded:
            self._go_on.acquire(blocking=False)
            self._thread = start_thread(self._run, "memkit")

    def pause(self) -> None:
        """End the thread, so that a fork finds none."""
        if self._thread is not None:
            self._go_on.release()
            wait_for_end(self._thread)
            self._thread = None

    def stop(self) -> None:
        """End the thread and take the last sample."""
        self.pause()
        if self._on:
            self._on = False
            read = self._read()
            self._keep(*read, must=True)
            if self._guard is not None:
                self._guard.end(*read)
            self._spend()

    def _run(self) -> None:
        flush = clocks.monotonic_ns() + _FLUSH
        while not self._go_on.acquire(timeout=max(0, min(self._next_poll(), flush) - clocks.monotonic_ns()) / SECOND):
            now = clocks.monotonic_ns()
            if now >= self._next_poll():
                self._poll()
            if now >= self._cost_due:
                self._spend()
                self._cost_due = now + SECOND
            rose = self._highest > self._flushed * _RISE
            if now >= flush or rose:
                if rose and self._stacks is not None and self._highest >= self._near:
                    self._journal.row("snapshot", now - self._began)
                    self._journal.text(self._stacks(now - self._began))
                if rose or now >= self._also_due:
                    for write in self._also:
                        write(self._journal)
                    self._also_due = now + max(_FLUSH, (now - self._began) // _ALSO_GROWTH)
                self._journal.flush()
                self._flushed = self._highest
                flush = now + _FLUSH

    def _next_poll(self) -> int:
        return self._poll_due if self._guard is None else min(self._poll_due, self._guard.due)

    def _poll(self) -> None:
        read, guard = self._read(), self._guard
        crossed = guard is not None and guard.poll(*read)
        self._keep(*read, must=crossed)
        if guard is not None and crossed:
            guard.write(read[0])
            self.flush()
            guard.act()

    def _read(self) -> tuple[int, int | None, int]:
        """The time after reading memory, which may have waited long for the GIL, bytes, and the CPU time it took."""
        began = clocks.thread_time_ns()
        memory = self._meter.read()
        cost = clocks.thread_time_ns() - began if self._meter.costly else 0
        return clocks.monotonic_ns(), memory, cost

    def _keep(self, now: int, memory: int | None, cost: int, must: bool = False) -> None:
        """Write a row of what was read, if it is time or a new height."""
        seen = self._scope.take() if self._scope is not None else None
        self._peak = max(self._peak, seen or 0, memory or 0)
        if memory is not None and (must or now >= self._due or max(memory, self._peak) > self._highest * 1.01):
            extra = (self._peak - memory,) if self._peak > memory else ()
            self._journal.row("sample", now - self._began, memory, *extra)
            self._highest = max(self._highest, self._peak, memory)
            self._peak = 0
            self._ticks += 1
        self._schedule(now, cost)

    def _schedule(self, now: int, cost: int) -> None:
        tick = self._interval or max(_AUTO_START, (now - self._began) // _AUTO_GROWTH)
        if now >= self._due:
            if cost * _READING_SHARE > tick:
                self._due = now + cost * _READING_SHARE
            else:
                missed = (now - self._due) // tick
                self._missed += missed
                self._due += (missed + 1) * tick
        self._poll_due = min(self._due, now + max(_FLUSH, cost * _READING_SHARE))

    def _spend(self) -> None:
        self._journal.row("cost", self._ticks, self._missed, 0)
        self._ticks = self._missed = 0
