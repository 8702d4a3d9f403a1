"""The limit that is set with ``--limit`` or ``record(limit=...)``: what it is, and what is measured against it.

It is watched by the sampler; this is what the sampler is told of it.
"""

from __future__ import annotations

import os
import sys
import time

from memkit.base import own_code
from memkit.base.errors import UsageError
from memkit.base.units import SECOND, parse_bytes, show_bytes
from memkit.model import file_format
from memkit.record.exit_status import SET_LIMIT
from memkit.system import cgroup, limits
from memkit.system.limit_kinds import ADDRESS_SPACE, CGROUP, COMMIT, DATA

ACTIONS = ("report", "raise", "stop")
_KIB = 1024
_FASTEST = 10  # bytes a nanosecond: no program fills memory faster
# A look from here takes Python, psutil and the GIL: it is less often than one of native/guard.pyx can be, which looks every
# 2 ms, and one in a hundred parts of the time would be too little for it.
_SOONEST = SECOND // 200
_READING_SHARE = 20  # a look at what counts against a limit may take one part in so many of the time
_MOST_CROSSINGS = 100
_MOST = 1 << 60  # bytes
_AGAIN = 20  # memory has to fall one part in so many below the limit before the next crossing counts


class Bound:
    """A limit in bytes, what is measured against it, and what is done when that reaches it.

    ``name`` is the meter of the recording, or that of the limit of which this is a ``share``; ``of`` is that limit's kind,
    name and size. Then ``counters`` are the kernel's files that tell what is used: path, key of the line or ``""`` for the
    first number, bytes of a unit (below 0 for what is to be taken off ``total``), and whether it is read only when the
    others come near the limit.
    """

    EXIT_CODE = 86
    """Of a program that is stopped at its limit."""
    NOT_IN = own_code.uninterruptible

    def __init__(self, threshold: int, meter: str, action: str, share=None, of=None, counters=(), total: int = 0):
        self.threshold, self.name, self.action = threshold, meter if of is None else of[1], action
        self.again = threshold - threshold // _AGAIN
        name = self.name
        self.counters, self.total = tuple(counters), total
        self.words, self.last_words = (
            b"%d,%s,%s" % (threshold, file_format.quote(name), file_format.quote(done)) for done in (action, "report")
        )
        self.fields = {"threshold": threshold, "share": share, "limit": of}
        """Those of a ``memkit.SetLimit``."""
        self.ended = "stopped", None, self.EXIT_CODE, None, None, self.fields
        self.ending = file_format.row(*self.ended)[1:-2]
        what = "memory" if name == "rss" else name
        self.said = f"{what} reached %s: the limit that was set is {limits.threshold_in_words(threshold, share, of)}"
        self.is_share = of is not None

    def measure(self) -> int | None:
        """Bytes that count against the limit of which it is a share."""
        return next((used for name, _, used, _ in limits.find() if name == self.name), None)

    def error(self, memory: int) -> str:
        """What is said of memory that has reached it."""
        return self.said.replace("%s", show_bytes(memory), 1)

    def throw(self, memory: int) -> bool:
        """Have the main thread raise ``MemoryError``, from another thread; False where it must not just now."""
        import ctypes
        import threading

        frame = sys._current_frames().get(threading.main_thread().ident)
        while frame is not None:
            if frame.f_code.co_filename in self.NOT_IN:
                return False
            frame = frame.f_back
        text = self.error(memory)  # only a class can be raised there
        more = {"__module__": "builtins", "__str__": lambda _: text, SET_LIMIT: self.fields}
        kind = type("MemoryError", (MemoryError,), more)
        main = ctypes.c_ulong(threading.main_thread().ident)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(main, ctypes.py_object(kind))
        return True

    def watcher(self, rows, began: int) -> Watcher:
        """Who watches it from a Python thread."""
        return Watcher(self, rows, began)

    @staticmethod
    def quote(text: str) -> str:
        """Text as JSON."""
        return file_format.quote(text).decode()

    @staticmethod
    def stacks(time: int) -> bytes:
        """Rows that say where the threads are, as far as Python knows; a thread of memkit's own is left out."""
        threading = sys.modules.get("threading")
        known = dict(threading._active) if threading is not None else {}
        rows = []
        for ident, frame in sys._current_frames().items():
            thread = known.get(ident)
            name = getattr(thread, "_name", None)
            frames = []
            while frame is not None:
                frames.append((frame.f_code.co_filename, frame.f_lineno or 0, frame.f_code.co_qualname))
                frame = frame.f_back
            if name != "memkit":
                rows.append(file_format.row("stack", time, getattr(thread, "_native_id", None) or ident, name, frames[:64]))
        return b"".join(rows)


class Watcher:
    """A limit that the portable sampler watches, as the native one does; here stacks wait for the GIL, too."""

    def __init__(self, bound: Bound, rows, began: int):
        self._bound, self._journal, self._began = bound, rows, began
        self._crossed, self._crossings = False, 0
        self._reached = None
        self._owed = False  # an exception that could not be raised when it was due
        self.due = 0

    def look(self, now: int, memory: int | None, cost: int) -> bool:
        """Whether memory has just reached the limit; the sampler's meter said ``memory``, after ``cost`` of CPU time."""
        if self._owed:
            self._owed = not self._bound.throw(self._reached)
        if self._bound.is_share:
            if now < self.due:
                return False
            began = time.thread_time_ns()
            memory = self._bound.measure()
            cost = time.thread_time_ns() - began
        left = max(0, self._bound.threshold - (memory or 0))
        self.due = now + max(_SOONEST, min(left // _FASTEST, SECOND), cost * _READING_SHARE)
        if memory is None or memory < self._bound.threshold:
            self._crossed = self._crossed and not (memory is not None and memory < self._bound.again)
            return False
        before, self._crossed = self._crossed, True
        if not before:
            self._reached = memory
        return not before

    def write(self, now: int) -> None:
        """The rows of a crossing."""
        self._crossings += 1
        if self._crossings <= _MOST_CROSSINGS:
            row = b'["crossing",%d,%d,%s]\n' % (now - self._began, self._reached, self._bound.words)
            self._journal.text(row + self._bound.stacks(now - self._began))

    def end(self, now: int, memory: int | None, cost: int) -> None:
        """Look a last time; nothing is done any more about what was reached meanwhile, but it is known."""
        self.due = 0
        if self.look(now, memory, cost):
            row = b'["crossing",%d,%d,%s]\n' % (now - self._began, self._reached, self._bound.last_words)
            self._journal.text(row)

    def act(self) -> None:
        """Do what is to be done; all rows are in the file."""
        if self._bound.action == "raise":
            self._owed = not self._bound.throw(self._reached)
        elif self._bound.action == "stop":
            self._journal.text(b'["end",%d,%s]\n' % (time.monotonic_ns() - self._began, self._bound.ending))
            self._journal.flush()
            os._exit(self._bound.EXIT_CODE)


def parse(limit) -> tuple[int | None, float | None]:
    """Bytes, or a share of what really limits memory. Raises ``UsageError``."""
    share = None
    if isinstance(limit, str) and limit.strip().endswith("%"):
        try:
            share = float(limit.strip()[:-1]) / 100
        except ValueError:
            share = -1.0
        if not 0 < share <= 1:
            raise UsageError(f"limit {limit!r} is no share: write a number above 0 and up to 100, such as 80%")
        return None, share
    try:
        size = parse_bytes(limit)
    except UsageError:
        raise UsageError(f"limit {limit!r} is no size: write bytes, a size such as 2GiB, or a share such as 80%") from None
    if size <= 0:
        raise UsageError(f"limit {limit!r} is no size: it has to be more than nothing")
    if size > _MOST:
        raise UsageError(f"limit {limit!r} is no size: no machine has so much memory")
    return size, None


def bound(limit, action: str | None, meter: str) -> Bound | None:
    """What ``record(limit=..., on_limit=...)`` asks for, or None. Raises ``UsageError``."""
    if limit is None:
        return None
    action = check(limit, action)
    size, share = parse(limit)
    if size is not None:
        return Bound(size, meter, action)
    nearest = min(limits.find(), key=lambda found: found[1] - found[2], default=None)
    if nearest is None:
        raise UsageError(f"limit {limit!r} is a share of nothing: no limit is known here; write a size such as 2GiB")
    name, size, _, kind = nearest
    return Bound(int(size * share), meter, action, share, (kind, name, size), *_counters(kind, name, size))


def check(limit, action: str | None) -> str:
    """The action that is meant, where both make sense. Raises ``UsageError``."""
    if limit is not None:
        parse(limit)
    if action is not None and limit is None:
        raise UsageError(f"on_limit={action!r} goes with a limit, which says when")
    if action is not None and action not in ACTIONS:
        raise UsageError(f"on_limit={action!r} is none of {', '.join(ACTIONS)}")
    return action or "report"


def _counters(kind: str, name: str, size: int) -> tuple[list, int]:
    """Where the kernel tells what is used of a limit that ``limits`` found, and what to begin with."""
    if kind == ADDRESS_SPACE:
        return [("/proc/self/statm", "", os.sysconf("SC_PAGESIZE"), False)], 0
    if kind == DATA:
        return [("/proc/self/status", "VmData", _KIB, False)], 0
    if kind == COMMIT:
        return [("/proc/meminfo", "Committed_AS", _KIB, False)], 0
    for group in cgroup.memory_groups() if kind == CGROUP else ():
        if name == group.label:
            return _group_counters(group), 0
    found = [("/proc/meminfo", "MemAvailable", -_KIB, False), ("/proc/meminfo", "SwapFree", -_KIB, False)]
    return found, size


def _group_counters(group) -> list:
    file = lambda name: os.path.join(group.folder, name)  # noqa: E731
    if group.version == 2:
        found = [(file("memory.current"), "", 1, False)]
        if group.swap()[0]:
            found.append((file("memory.swap.current"), "", 1, False))
        return [*found, (file("memory.stat"), "inactive_file", -1, True)]
    both = group.swap()[1] or os.path.exists(file("memory.memsw.usage_in_bytes"))
    used = "memory.memsw.usage_in_bytes" if both else "memory.usage_in_bytes"
    return [(file(used), "", 1, False), (file("memory.stat"), "total_inactive_file", -1, True)]
