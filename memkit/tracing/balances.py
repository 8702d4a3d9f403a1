"""What resident memory is made of while a heap is recorded: near its peak by a thread of memkit's, and at the end."""

from __future__ import annotations

import os

from memkit.base import clocks
from memkit.base.errors import in_a_line
from memkit.base.threads import SystemThread, signals_blocked, wait_for_end
from memkit.model import file_format
from memkit.system import engine
from memkit.system.balance import balance
from memkit.system.balance_rows import Balance

try:  # a balance needs them, and it is not the program that is to grow by them
    from memkit.native.heap import statistics as _statistics  # noqa: F401
    from memkit.native.heap import walk as _walk  # noqa: F401
except ImportError:
    pass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from memkit.native.heap.counted_heap import CountedHeap
    from memkit.native.heap.heap_sums import Watch
    from memkit.system.balance_rows import BalancePart
    from memkit.system.engine import Journal

SHARE = 0.01
"""Of the time that a recording takes, how much the balances near its peak may take: of CPU time, and of other threads'."""
ONCE = 250_000_000
"""Nanoseconds that they may take beside it, once, where memory stays high: short programs have a peak, too."""
RISE, LEAST_RISE = 10, 8 << 20
"""One more is taken where memory is higher than at the one before by 1/10, and by so many bytes."""
RISE_ONCE = 4
"""By 1/4 where it has to be within what they may take once."""
MOST_PARTS = 50
_POLL, _LONGEST_POLL = 50_000_000, 1_000_000_000  # nanoseconds between two readings of memory: 1/100 of the time elapsed
_NEAR = 0.95  # of the highest that was read: below that the peak is over
_CLOSE_POLL, _CLOSE = 20_000_000, 500_000_000  # the same where more is alive than at the one before, and for how long
_NEVER, _MOST_IN_VAIN = (1 << 63) - 1, 10
_COST, _COST_OF_GIB = 20_000_000, 200_000_000  # nanoseconds that the first one is expected to take


class Balances:
    """Takes balances of this process, and writes them into a journal.

    ``heap`` is what memkit's own threads must not be counted in; ``began`` is when the recording began, on
    ``time.monotonic_ns``. ``follows`` is whether another process began it: then that of the end must not take long either.
    """

    def __init__(self, journal: Journal, heap: CountedHeap, began: int, follows: bool) -> None:
        self._journal, self._heap, self._began, self._follows = journal, heap, began, follows
        self._meter = engine.Meter("rss")
        self._pid = os.getpid()
        self._budget = _Budget(self._meter.read() or 0, clocks.monotonic_ns())
        self.raised: BaseException | None = None
        """What a signal handler of the program raised while the last one was taken."""
        self._running: tuple[SystemThread, Watch] | None = None

    def resume(self) -> None:
        """Begin to look for the peak, or go on after a pause: start the thread, unless it runs."""
        if self._running is not None:
            return
        from memkit.native.heap.heap_sums import Watch

        self._heap.pause()
        try:
            watch = Watch()
            self._running = SystemThread(lambda: self._run(watch), self._heap.start_thread), watch
        except RuntimeError:  # the system has no thread to give: there is no balance near the peak
            pass
        finally:
            self._heap.begin()

    def pause(self) -> None:
        """End the thread, as before a fork. A balance that is being taken is finished first."""
        if self._running is None or self._pid != os.getpid():  # forked by C code, which copies no thread
            return
        thread, watch = self._running
        watch.end()
        wait_for_end(thread)
        self._running = None

    stop = pause

    def take_last(self) -> None:
        """Take that of the end; the thread has ended."""
        now = clocks.monotonic_ns()
        if self._pid != os.getpid() or (self._follows and not self._budget.allows(self._meter.read() or 0, now, ONCE)):
            return
        try:
            with signals_blocked():
                self._take("end")
        except BaseException as error:  # a recording must not lose its end
            self.raised = error

    def _run(self, watch: Watch) -> None:
        while not watch.wait(*self._budget.pause(clocks.monotonic_ns())):
            try:
                memory, now, alive = self._meter.read(), clocks.monotonic_ns(), watch.alive
                self._budget.look_closer(alive, now)
                if memory is not None and self._budget.wants(memory, now):
                    began = clocks.thread_time_ns()
                    rss = self._take("peak")
                    self._budget.spent(clocks.thread_time_ns() - began, rss or memory, alive)
            except Exception:  # no memory, for instance: the program goes on, and so does its recording
                continue

    def _take(self, moment: str) -> int:
        """Take a balance and write it, or why there is none; returns resident memory, or 0."""
        time = clocks.monotonic_ns() - self._began
        try:
            found = balance()
        except Exception as error:  # a recording must not fail because /proc cannot be read
            found = Balance(self._pid, 0, (), (in_a_line(error),))
        self._journal.text(_row(found, time, moment))
        self._journal.flush()
        return found.rss


class _Budget:
    """When a balance near the peak is due, and whether it may be taken."""

    def __init__(self, memory: int, now: int) -> None:
        self._began = self._risen = now
        self._highest = memory
        self._last = memory  # what there was at the one before, or at the beginning
        self._spent = 0
        self._cost, self._cost_of = _COST, 0  # of the one before, and how much memory it was of
        self._alive = 0  # at the one before
        self._close_until = self._close_again = now
        self._in_vain = 0  # how often since the one before

    def pause(self, now: int) -> tuple[int, int]:
        """Nanoseconds until memory is read next, and from how many bytes alive on it is read at once."""
        if now < self._close_until:
            return _CLOSE_POLL, _NEVER
        return self._rarely(now), self._much() if now >= self._close_again else _NEVER

    def _rarely(self, now: int) -> int:
        return min(max(_POLL, (now - self._began) // 100), _LONGEST_POLL)

    def _much(self) -> int:
        return self._alive + max(LEAST_RISE, self._alive // RISE)

    def look_closer(self, alive: int, now: int) -> None:
        """Have memory read more often for a while if much more is alive than at the one before; then not at once again."""
        if now >= self._close_again and alive > self._much():
            self._close_until = now + _CLOSE
            self._close_again = self._close_until + (self._rarely(now) << self._in_vain)
            self._in_vain = min(self._in_vain + 1, _MOST_IN_VAIN)

    def wants(self, memory: int, now: int) -> bool:
        """Whether one is to be taken now."""
        if memory > self._highest + self._highest // 100:
            self._highest, self._risen = memory, now
        rise = memory - self._last
        if memory < self._highest * _NEAR or rise < max(LEAST_RISE, self._last // RISE):
            return False
        if self._risen == now < self._close_until:  # wait for the top of it
            return False
        stays = now - self._risen >= self._cost_at(memory)  # as long as one takes: else it would come too late
        return self.allows(memory, now, ONCE if stays and rise >= self._last // RISE_ONCE else 0)

    def allows(self, memory: int, now: int, more: int) -> bool:
        """Whether one of so much memory takes no more than its share of the time so far, and so many nanoseconds."""
        return self._spent + self._cost_at(memory) <= (now - self._began) * SHARE + more

    def _cost_at(self, memory: int) -> int:
        return self._cost + _COST_OF_GIB * max(0, memory - self._cost_of) // (1 << 30)

    def spent(self, cost: int, memory: int, alive: int = 0) -> None:
        """One has been taken."""
        self._spent += cost
        self._cost, self._cost_of, self._last, self._alive, self._in_vain = cost, memory, memory, alive, 0


def _row(found: Balance, time: int, moment: str) -> bytes:
    rows = [[*row[:4], [list(part) for part in _fewer(row.parts)], row.advice] for row in found.rows]
    return file_format.row("balance", time, moment, found.pid, found.rss, rows, found.notes)


def _fewer(parts: tuple[BalancePart, ...]) -> tuple[tuple[str, int], ...]:
    """The largest parts, with the sum of the others as one: a program may map thousands of files."""
    if len(parts) <= MOST_PARTS:
        return parts
    left = parts[MOST_PARTS - 1 :]
    return (*parts[: MOST_PARTS - 1], (f"{len(left)} more", sum(part.bytes for part in left)))
