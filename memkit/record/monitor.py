"""Watching memory in use: how far it is from a limit, when it will reach it, and a callback when it does."""

from __future__ import annotations

import sys
import threading
from collections import deque

from memkit.base import clocks
from memkit.base.errors import MemkitError, MeterError, UsageError
from memkit.base.threads import Bell, start_thread, wait_for_end
from memkit.base.units import SECOND, parse_bytes, parse_interval, show_bytes
from memkit.record import active
from memkit.record.trend import RECENT, TimeToLimit, time_until
from memkit.system import cgroup, engine, meminfo
from memkit.system.limits import limit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from memkit.base.threads import Thread

    C = TypeVar("C", bound=Callable[[], object])

_LEAST_SIZE = 1 << 20  # bytes: a smaller number is a percentage
_HYSTERESIS = 20  # the next crossing counts only after memory has been 1/20 below the limit


class MemoryMonitor:
    """Watches memory in use with a thread: a context manager, or ``start`` and ``stop``.

    ::

        with memkit.MemoryMonitor(memory_limit="80%") as monitor:
            for job in jobs:
                while not monitor.memory_available():
                    time.sleep(1)
                launch(job)

    ``interval`` is seconds between two readings, or text such as ``"100ms"``. ``memory_limit`` is a percentage of
    ``total_mem``, a number or text such as ``"80%"``; or a size, text such as ``"2GiB"``, or bytes if 1 MiB or more. ``of``:
    ``"system"`` is the whole machine, less what is available; ``"cgroup"`` the control group of this process that is nearest
    to its limit, without the file pages that the kernel drops first; ``"process"`` resident memory of this process.
    ``total_mem`` is the memory of the machine, or the limit of the group if that is less; for a process that of the smallest
    of its groups.

    Readings are taken in the middle of the intervals, by the monotonic clock, so that as many are recorded as intervals
    pass; missed ones are counted in ``missed``. The thread ends with the program at the latest. Raises ``UsageError`` for
    arguments that make no sense, and ``MeterError`` if there is no control group to watch.
    """

    def __init__(self, interval: float | str = 0.1, memory_limit: float | str = 50, *, of: str = "system") -> None:
        self._interval = parse_interval(interval, auto=False)
        self.of = of
        self._used, self.total_mem = _source(of)
        self._limit = _size(memory_limit, self.total_mem, "memory_limit")
        self.is_recording = False
        """Whether readings go into ``history``."""
        self.history: list[float] = []
        """The readings while recording, in per cent of ``total_mem``."""
        self.max_mem = 0.0
        """The highest reading, in per cent."""
        self.missed = 0
        """How many readings were missed since the last start."""
        self._recent: deque[tuple[int, int]] = deque(maxlen=RECENT)  # time and bytes
        self._watches: list[_Watch] = []
        self._wake = Bell()
        self._thread: Thread | None = None
        self._turn = 0  # which thread is to run: each has the next number
        self._calling = self._began = False

    def __repr__(self) -> str:
        return f"<memkit.MemoryMonitor of {self.of}, {'running' if self.is_running() else 'not running'}>"

    # -- begin and end -----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to watch, unless it is running; the first reading is taken before this returns."""
        active.install_hooks()
        with active.lock:
            if self.is_running():
                return
            self._wake = Bell()  # in a forked child the copy may be locked for ever
            self._thread, self._calling = None, False
            self._recent.clear()
            self.missed = 0
            now = clocks.monotonic_ns()
            self._due = now + self._interval // 2
            self._read(now)
            try:
                self.resume()
            except RuntimeError as error:
                self._thread = None
                raise MemkitError(f"cannot watch memory: {error}") from error
            active.others.append(self)
            self._began = True

    def stop(self) -> None:
        """Stop, unless it is not running; the results stay."""
        with active.lock:
            if not self.is_running():
                return
            active.others.remove(self)
        self.pause()

    close = stop

    def end(self, *_: object) -> None:
        """End with the process."""
        self.stop()

    def is_running(self) -> bool:
        """Whether it is watching; False in a forked child."""
        return self in active.others

    def is_shutdown(self) -> bool:
        """Whether it has been stopped."""
        return self._began and not self.is_running()

    def __enter__(self) -> MemoryMonitor:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def after_fork_in_child(self) -> None:
        """The thread is the parent's, and there is nothing else."""

    def pause(self) -> None:
        """End the thread, as during a fork, until ``resume``."""
        thread = self._thread
        if thread is None:
            return
        with self._wake:
            self._thread = None
            self._turn += 1  # this tells the thread to end
            self._wake.ring()
            # A callback may take long, wait for the caller of this, or be the caller.
            busy = self._calling
        if not busy:
            wait_for_end(thread)

    def resume(self) -> None:
        """Go on after ``pause``."""
        if self._thread is None:
            turn = self._turn
            self._thread = start_thread(lambda: self._run(turn), "memkit monitor")

    before_fork, after_fork_in_parent = pause, resume

    def _run(self, turn: int) -> None:
        while True:
            with self._wake:
                while self._turn == turn and (ahead := self._due - clocks.monotonic_ns()) > 0:
                    self._wake.wait(ahead / SECOND)
                if self._turn != turn:
                    return
            self._tick(turn)

    def _tick(self, turn: int) -> None:
        with self._wake:
            now = clocks.monotonic_ns()
            missed = (now - self._due) // self._interval
            self.missed += missed
            self._due += (missed + 1) * self._interval
        try:
            used = self._read(now)
        except (MeterError, OSError):  # for instance, the program is out of descriptors for a moment
            return
        if used is None:
            return
        if self.is_recording:
            self.history.append(self._percent(used))
        with self._wake:
            if self._turn != turn:
                return  # the thread that stopped this, or forks, is waiting: a callback might wait for it in turn
            crossed = [watch.callback for watch in self._watches if watch.crossed(used)]
            self._calling = bool(crossed)
        for callback in crossed:
            try:
                callback()
            except BaseException:  # an error of the callback, which must not end the monitor
                threading.excepthook(threading.ExceptHookArgs((*sys.exc_info(), threading.current_thread())))
        with self._wake:
            self._calling = False

    def _read(self, now: int) -> int | None:
        """Read and keep memory in use; None if the system does not tell, for instance if the control group was removed."""
        used = self._used()
        if used is not None:
            self.max_mem = max(self.max_mem, self._percent(used))
            self._recent.append((now, used))
        return used

    def _in_use(self) -> int:
        used = self._used()
        if used is None:
            raise MeterError(f"what {self.of} uses can not be read any more")
        return used

    # -- how much, and how much more ---------------------------------------------------------------------------------

    @property
    def current_usage(self) -> float:
        """Memory in use now, in per cent of ``total_mem``."""
        return self._percent(self._in_use())

    def start_recording(self) -> None:
        """Add readings to ``history`` from now on, the first after half an interval."""
        with self._wake:
            if not self.is_recording:
                self._due = clocks.monotonic_ns() + self._interval // 2
            self.is_recording = True
            self._wake.ring()

    def stop_recording(self) -> None:
        """Add no more readings to ``history``."""
        self.is_recording = False

    def clear_recording_history(self) -> None:
        """Empty ``history``."""
        self.history = []

    def reset_max_memory(self) -> None:
        """Set ``max_mem`` to what is in use now."""
        self.max_mem = self.current_usage

    def memory_available(self) -> bool:
        """Whether the mean of ``history`` plus its range is below the limit.

        The range is the highest less the lowest. If ``history`` is empty, what is in use now is compared.
        """
        history = list(self.history) or [self.current_usage]
        return sum(history) / len(history) + max(history) - min(history) < self._limit.percent

    def headroom(self) -> int:
        """Bytes until the limit is reached, negative above it; or until that of ``memkit.limit()`` if it is nearer."""
        left = self._limit.size - self._in_use()
        nearest = limit()
        return left if nearest is None else min(left, nearest.left)

    def time_to_limit(self) -> TimeToLimit | None:
        """When ``headroom()`` will be used up, by the trend of the last 128 readings.

        None if memory does not grow, if there are fewer than 16 readings, or if this is not running.
        """
        return time_until(self.headroom(), list(self._recent)) if self.is_running() else None

    def on_limit(self, callback: C, *, hysteresis: float | str | None = None) -> C:
        """Have the monitor's thread call ``callback()`` each time that memory in use rises to the limit.

        It is called again only after memory has been below the limit by more than ``hysteresis``, a percentage or a size
        like ``memory_limit``; 1/20 of the limit by default. Its exceptions go to ``threading.excepthook``, and the monitor
        goes on; readings that are due while it runs are missed. Returns the callback, so that it can be used as a decorator.
        """
        if not callable(callback):
            raise UsageError(f"{callback!r} cannot be called: give on_limit a function without arguments")
        size = self._limit.size
        room = size // _HYSTERESIS if hysteresis is None else _size(hysteresis, self.total_mem, "hysteresis").size
        if room and room >= size:
            raise UsageError(
                f"hysteresis {hysteresis!r} is not less than the limit, {show_bytes(size)}: memory cannot fall by so much"
            )
        self._watches.append(_Watch(callback, size, size - room))
        return callback

    def _percent(self, used: int) -> float:
        return 100 * used / self.total_mem


class _Watch:
    """A callback, and whether memory is above its limit."""

    def __init__(self, callback: Callable[[], object], high: int, low: int) -> None:
        self.callback, self._high, self._low = callback, high, low
        self._above = False

    def crossed(self, used: int) -> bool:
        """Whether memory has just reached the limit."""
        if self._above:
            self._above = used >= self._low
            return False
        self._above = used >= self._high
        return self._above


class _Size:
    """A size in bytes, and in per cent of a whole."""

    def __init__(self, size: int, percent: float) -> None:
        self.size, self.percent = size, percent


def _size(given: float | str, whole: int, name: str) -> _Size:
    """The size for a percentage of a whole, or for bytes."""
    number = given.strip().removesuffix("%") if isinstance(given, str) else given
    try:
        if isinstance(given, int) and given >= _LEAST_SIZE:
            return _Size(given, 100 * given / whole)
        percent = float(number)
        if 0 < percent < 1 and name == "memory_limit" and number == given:
            share = f"{100 * percent:g}"
            raise UsageError(f"{name} {given!r} would be {number} per cent: write {share} or '{share}%', or '{number}%'")
        if isinstance(given, bool) or not 0 <= percent <= 100:
            raise TypeError
        return _Size(int(whole * percent / 100), percent)
    except ValueError:
        size = parse_bytes(str(given))
        return _Size(size, 100 * size / whole)
    except (TypeError, OverflowError):
        raise UsageError(f"{name} {given!r} is neither 0 to 100 per cent nor a size: write 80, '80%' or '2GiB'") from None


def _source(of: str) -> tuple[Callable[[], int | None], int]:
    """A function that reads the memory in use, and the total memory, in bytes."""
    if of == "system":
        total = meminfo.total()
        return (lambda: total - meminfo.available()), total
    groups = [(group, group.limit()) for group in cgroup.memory_groups()]
    limited = [(group, size) for group, size in groups if size is not None and size < cgroup.MUCH]
    if of == "process":
        return engine.rss, min([meminfo.total(), *(size for _, size in limited)])
    if of != "cgroup":
        raise UsageError(f"of={of!r}: a monitor watches system, cgroup or process")
    known = [(size - used, group, size) for group, size in limited if (used := group.used()) is not None]
    if known:
        _, group, size = min(known, key=lambda each: each[0])
        return group.used, min(size, meminfo.total())
    for group, _ in groups:
        if group.used() is not None:
            return group.used, meminfo.total()
    raise MeterError("there is no control group here that counts memory: watch of='system' or of='process'")
