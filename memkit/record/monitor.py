"""Watching how much memory is in use: how far it is from a limit, when it will get there, and a call when it does."""

from __future__ import annotations

import sys
import threading
import time
from collections import deque

from memkit.base.errors import MemkitError, MeterError, UsageError
from memkit.base.units import SECOND, parse_bytes, parse_interval, show_bytes
from memkit.record import active
from memkit.record.trend import RECENT, TimeToLimit, time_until
from memkit.system import cgroup, engine, meminfo
from memkit.system.limits import limit

_LEAST_SIZE = 1 << 20  # bytes: a smaller number is meant as per cent
_HYSTERESIS = 20  # a limit is crossed again after memory has been below it by one part in so many


class MemoryMonitor:
    """Watches memory in use from a thread of its own: a context manager, or ``start`` and ``stop``.

    ::

        with memkit.MemoryMonitor(memory_limit="80%") as monitor:
            for job in jobs:
                while not monitor.memory_available():
                    time.sleep(1)
                launch(job)

    ``interval`` is seconds between two readings, or text such as ``"100ms"``. ``memory_limit`` is per cent of ``total_mem``,
    a number or text such as ``"80%"``; or a size, text such as ``"2GiB"`` or bytes from a mebibyte on. ``of``: ``"system"``
    is the whole machine, less what is available; ``"cgroup"`` the group of this process that is nearest to its limit,
    without the file pages that the kernel drops first; ``"process"`` resident memory of this one. ``total_mem`` is memory of
    the machine, or the limit of the group if that is less; for a process that of the smallest of its groups.

    Readings are in the middle of their intervals, by the monotonic clock, so that as many are recorded as intervals pass;
    those that came too late to be taken are counted in ``missed``. The thread ends with the program at the latest. Raises
    ``UsageError`` for arguments that make no sense, and ``MeterError`` where there is no control group to watch.
    """

    def __init__(self, interval: float | str = 0.1, memory_limit: float | str = 50, *, of: str = "system"):
        self._interval = parse_interval(interval, auto=False)
        self.of = of
        self._used, self.total_mem = _source(of)
        self._limit = _size(memory_limit, self.total_mem, "memory_limit")
        self.is_recording = False
        """Whether readings go into ``history``."""
        self.history: list[float] = []
        """What was read while recording, in per cent of ``total_mem``."""
        self.max_mem = 0.0
        """The highest reading, in per cent."""
        self.missed = 0
        """Readings that came too late to be taken, since the last start."""
        self._recent = deque(maxlen=RECENT)
        self._watches = []
        self._wake = threading.Condition()
        self._thread = None
        self._calling = self._began = False

    def __repr__(self):
        return f"<memkit.MemoryMonitor of {self.of}, {'running' if self.is_running() else 'not running'}>"

    # -- begin and end -----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to watch; the first reading is taken before this returns. Harmless when it is running."""
        active.install_hooks()
        with active.lock:
            if self.is_running():
                return
            self._wake = threading.Condition()  # a forked child may have a copy that is locked for ever
            self._thread, self._calling = None, False
            self._recent.clear()
            self.missed = 0
            now = time.monotonic_ns()
            self._due = now + self._interval // 2
            self._read(now)
            try:
                self.resume()
            except RuntimeError as error:
                self._thread = None
                raise MemkitError(f"cannot watch memory: {error}") from error
            active.watchers.append(self)
            self._began = True

    def stop(self) -> None:
        """Watch no more; what was found out stays. Harmless when it is not running."""
        with active.lock:
            if not self.is_running():
                return
            active.watchers.remove(self)
        self.pause()

    close = stop

    def end(self, *_) -> None:
        """End with the process."""
        self.stop()

    def is_running(self) -> bool:
        """Whether it is watching now; not so in a forked child."""
        return self in active.watchers

    def is_shutdown(self) -> bool:
        """Whether it has been stopped."""
        return self._began and not self.is_running()

    def __enter__(self) -> MemoryMonitor:
        self.start()
        return self

    def __exit__(self, *_) -> None:
        self.stop()

    def forget(self) -> None:
        """There is nothing that a forked child would have to give back."""

    def pause(self) -> None:
        """Have no thread for the moment, as during a fork."""
        thread = self._thread
        if thread is None:
            return
        with self._wake:
            self._thread = None  # by which it knows that it is to end
            self._wake.notify_all()
            # What a callback does may take its time, or wait for whoever called this.
            busy = self._calling
        if not busy and thread is not threading.current_thread():
            from memkit.system.portable import wait_for_end

            wait_for_end(thread)

    def resume(self) -> None:
        """Go on after ``pause``."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="memkit monitor", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        me = threading.current_thread()
        while True:
            with self._wake:
                while self._thread is me and (ahead := self._due - time.monotonic_ns()) > 0:
                    self._wake.wait(ahead / SECOND)
                if self._thread is not me:
                    return
            self._beat()

    def _beat(self) -> None:
        with self._wake:
            now = time.monotonic_ns()
            missed = (now - self._due) // self._interval
            self.missed += missed
            self._due += (missed + 1) * self._interval
        try:
            used = self._read(now)
        except (MeterError, OSError):  # the program is out of descriptors for a moment, for instance
            return
        if used is None:
            return
        if self.is_recording:
            self.history.append(self._percent(used))
        with self._wake:
            if self._thread is not threading.current_thread():
                return  # stopped, or about to fork: whoever did that waits, and a callback might wait for them
            crossed = [watch.callback for watch in self._watches if watch.crossed(used)]
            self._calling = bool(crossed)
        for callback in crossed:
            try:
                callback()
            except BaseException:  # it is not the monitor's, and must not end it
                threading.excepthook(threading.ExceptHookArgs((*sys.exc_info(), threading.current_thread())))
        with self._wake:
            self._calling = False

    def _read(self, now: int) -> int | None:
        """Memory in use, noted; None where the system does not tell, as of a control group that was removed."""
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
        """Put readings into ``history`` from now on, the first after half an interval."""
        with self._wake:
            if not self.is_recording:
                self._due = time.monotonic_ns() + self._interval // 2
            self.is_recording = True
            self._wake.notify_all()

    def stop_recording(self) -> None:
        """Leave ``history`` as it is from now on."""
        self.is_recording = False

    def clear_recording_history(self) -> None:
        """Forget what was recorded."""
        self.history = []

    def reset_max_memory(self) -> None:
        """Let ``max_mem`` begin anew from what is in use now."""
        self.max_mem = self.current_usage

    def memory_available(self) -> bool:
        """Whether more of the same will stay below the limit: the mean of ``history`` and its spread together.

        The spread is the highest less the lowest. Where nothing was recorded, what is in use now is compared instead.
        """
        history = list(self.history) or [self.current_usage]
        return sum(history) / len(history) + max(history) - min(history) < self._limit.percent

    def headroom(self) -> int:
        """Bytes until the limit is reached, negative above it; fewer where ``memkit.limit()`` is nearer than that."""
        left = self._limit.size - self._in_use()
        nearest = limit()
        return left if nearest is None else min(left, nearest.left)

    def time_to_limit(self) -> TimeToLimit | None:
        """When ``headroom()`` will be used up, by the trend of the last 128 readings.

        None while memory does not grow, while there are fewer than 16 readings, and when this is not running.
        """
        return time_until(self.headroom(), list(self._recent)) if self.is_running() else None

    def on_limit(self, callback, *, hysteresis: float | str | None = None):
        """Have ``callback()`` called once each time that memory in use rises to the limit, by the monitor's thread.

        It is called again only after memory has been below the limit by more than ``hysteresis``, per cent or a size as
        ``memory_limit`` is, or else a twentieth of the limit. What it raises goes to ``threading.excepthook``, and the
        monitor goes on; readings that come due while it runs are missed. Returns the callback, to serve as a decorator.
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
    """Somebody who is to be called when memory crosses a limit."""

    def __init__(self, callback, high: int, low: int):
        self.callback, self._high, self._low = callback, high, low
        self._above = False

    def crossed(self, used: int) -> bool:
        """Whether it has been crossed from below just now."""
        if self._above:
            self._above = used >= self._low
            return False
        self._above = used >= self._high
        return self._above


class _Size:
    """A size, and how much that is of a whole."""

    def __init__(self, size: int, percent: float):
        self.size, self.percent = size, percent


def _size(given, whole: int, name: str) -> _Size:
    """What was given in per cent of a whole, or in bytes."""
    number = given.strip().removesuffix("%") if isinstance(given, str) else given
    try:
        if isinstance(given, int) and given >= _LEAST_SIZE:
            return _Size(given, 100 * given / whole)
        percent = float(number)
        if isinstance(given, bool) or not 0 <= percent <= 100:
            raise TypeError
        return _Size(int(whole * percent / 100), percent)
    except ValueError:
        size = parse_bytes(given)
        return _Size(size, 100 * size / whole)
    except (TypeError, OverflowError):
        raise UsageError(f"{name} {given!r} is neither 0 to 100 per cent nor a size: write 80, '80%' or '2GiB'") from None


def _source(of: str):
    """What reads the memory in use, and how much there is of it in all, in bytes."""
    if of == "system":
        total = meminfo.total()
        return (lambda: total - meminfo.available()), total
    groups = [(group, group.limit()) for group in cgroup.memory_groups()]
    limited = [(group, size) for group, size in groups if size is not None and size < cgroup.MUCH]
    if of == "process":
        return engine.rss, min([meminfo.total(), *(size for _, size in limited)])
    if of != "cgroup":
        raise UsageError(f"of={of!r}: a monitor watches system, cgroup or process")
    told = [(size - group.used(), group, size) for group, size in limited if group.used() is not None]
    if told:
        _, group, size = min(told, key=lambda each: each[0])
        return group.used, min(size, meminfo.total())
    for group, _ in groups:
        if group.used() is not None:
            return group.used, meminfo.total()
    raise MeterError("there is no control group here that counts memory: watch of='system' or of='process'")
