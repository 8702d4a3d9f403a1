"""The limit of ``--limit`` and ``record(limit=...)``: its size, what is measured against it, and the action at it.

The sampler watches it: the native one by itself, with what a ``Bound`` tells, the portable one with a ``Watcher``.
"""

from __future__ import annotations

import os
import sys

from memkit.base import clocks, own_code
from memkit.base.errors import UsageError
from memkit.base.units import SECOND, parse_bytes, show_bytes
from memkit.model import file_format
from memkit.record.exit_status import SET_LIMIT
from memkit.system import cgroup, engine, limits
from memkit.system.limit_kinds import ADDRESS_SPACE, CGROUP, COMMIT, DATA, MACHINE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import FrameType

    from memkit.base.protocols import Journal
    from memkit.system.cgroup import Group

    Counter = tuple[str, str, int, bool]  # path, key of the line, bytes of a unit, whether it is read only near the limit

ACTIONS = ("report", "raise", "stop")
_KIB = 1024
_FASTEST = 10  # bytes per nanosecond: no program fills memory faster
# A poll from here takes Python, psutil and the GIL, so it is rarer than the native one, which comes every 2 ms, and takes a
# larger share of the time.
_SOONEST = SECOND // 200
_READING_COST = 20  # a poll takes no more than 1/20 of the time
_MOST_CROSSINGS = 100
_LEAST = 1 << 16
"""Bytes: no program has less memory, so a smaller limit was not meant."""
_MOST = 1 << 60  # bytes
_SCOPES = {engine.GROUP: "cgroup", CGROUP: "cgroup", MACHINE: "machine", COMMIT: "machine"}  # by meter or kind of limit
_AGAIN = 20  # the next crossing counts only after memory has fallen 1/20 below the limit


class Bound:
    """A limit in bytes, what is measured against it, and the action when that reaches it.

    ``name`` is the meter of the recording, or that of the limit of which this is a ``share``; ``of`` is that limit's kind,
    name and size. Then ``counters`` are the kernel's files that tell the usage: path, key of the line or ``""`` for the
    first number, bytes of a unit (negative if it is subtracted from ``total``), and whether it is read only when the others
    come near the limit.
    """

    EXIT_CODE = 86
    """The exit code of a program that is stopped at its limit."""
    NOT_IN = own_code.uninterruptible
    """Code that must not be interrupted by an exception: the recording would lose its end."""

    def __init__(
        self,
        threshold: int,
        meter: str,
        action: str,
        share: float | None = None,
        of: tuple[str, str, int] | None = None,
        counters: Iterable[Counter] = (),
        total: int = 0,
    ) -> None:
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
        self.scope = _SCOPES.get(meter if of is None else of[0], "process")
        """Whose memory is compared with it: of this ``process``, its ``cgroup`` or the ``machine``."""

    def measure(self) -> int | None:
        """Bytes in use of the limit of which this is a share."""
        return next((used for name, _, used, _ in limits.find() if name == self.name), None)

    def error(self, memory: int) -> str:
        """The message of the ``MemoryError``."""
        return self.said.replace("%s", show_bytes(memory), 1)

    def throw(self, memory: int) -> bool:
        """Raise ``MemoryError`` in the main thread, from another thread; False if that is not safe just now."""
        import ctypes
        import threading

        main_thread = threading.main_thread().ident or 0
        frame: FrameType | None = sys._current_frames().get(main_thread)
        while frame is not None:
            if frame.f_code.co_filename in self.NOT_IN:
                return False
            frame = frame.f_back
        text = self.error(memory)  # for a class: an instance cannot be raised in another thread
        more = {"__module__": "builtins", "__str__": lambda _: text, SET_LIMIT: self.fields}
        kind = type("MemoryError", (MemoryError,), more)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(main_thread), ctypes.py_object(kind))
        return True

    def watcher(self, journal: Journal, began: int) -> Watcher:
        """Watches it from a Python thread."""
        return Watcher(self, journal, began)

    @staticmethod
    def quote(text: str) -> str:
        """Text as JSON."""
        return file_format.quote(text).decode()

    @staticmethod
    def stacks(time: int) -> bytes:
        """The rows of a stack snapshot: where Python's threads are, except memkit's own."""
        threading = sys.modules.get("threading")
        known = dict(threading._active) if threading is not None else {}
        rows = []
        for ident, top in sys._current_frames().items():
            thread = known.get(ident)
            name = getattr(thread, "_name", None)
            frames = []
            frame: FrameType | None = top
            while frame is not None:
                frames.append((frame.f_code.co_filename, frame.f_lineno or 0, frame.f_code.co_qualname))
                frame = frame.f_back
            if name != "memkit":
                rows.append(file_format.row("stack", time, getattr(thread, "_native_id", None) or ident, name, frames[:64]))
        del top  # of this thread it is this very frame, which would keep itself
        return b"".join(rows)


class Watcher:
    """Watches a limit for the portable sampler. Unlike those of the native one, its stack snapshots wait for the GIL."""

    def __init__(self, bound: Bound, journal: Journal, began: int) -> None:
        self._bound, self._journal, self._began = bound, journal, began
        self._above, self._crossings = False, 0
        self._reached = 0  # the memory at the last crossing
        self._pending = False  # whether an exception could not be raised when it was due
        self.due = 0

    def poll(self, now: int, memory: int | None, cost: int) -> bool:
        """Whether memory has just reached the limit. The sampler has read ``memory``, which took ``cost`` of CPU time."""
        if self._pending:
            self._pending = not self._bound.throw(self._reached)
        if self._bound.is_share:
            if now < self.due:
                return False
            began = clocks.thread_time_ns()
            memory = self._bound.measure()
            cost = clocks.thread_time_ns() - began
        left = max(0, self._bound.threshold - (memory or 0))
        self.due = now + max(_SOONEST, min(left // _FASTEST, SECOND), cost * _READING_COST)
        if memory is None or memory < self._bound.threshold:
            self._above = self._above and not (memory is not None and memory < self._bound.again)
            return False
        before, self._above = self._above, True
        if not before:
            self._reached = memory
        return not before

    def write(self, now: int) -> None:
        """Write the rows of a crossing."""
        self._crossings += 1
        if self._crossings <= _MOST_CROSSINGS:
            row = b'["crossing",%d,%d,%s]\n' % (now - self._began, self._reached, self._bound.words)
            self._journal.text(row + self._bound.stacks(now - self._began))

    def end(self, now: int, memory: int | None, cost: int) -> None:
        """Poll for the last time: a crossing is still written, but no action follows."""
        self.due = 0
        if self.poll(now, memory, cost):
            row = b'["crossing",%d,%d,%s]\n' % (now - self._began, self._reached, self._bound.last_words)
            self._journal.text(row)

    def act(self) -> None:
        """Take the action, once all rows are in the file."""
        if self._bound.action == "raise":
            self._pending = not self._bound.throw(self._reached)
        elif self._bound.action == "stop":
            self._journal.text(b'["end",%d,%s]\n' % (clocks.monotonic_ns() - self._began, self._bound.ending))
            self._journal.flush()
            os._exit(self._bound.EXIT_CODE)


def parse(limit: str | int) -> tuple[int | None, float | None]:
    """A limit in bytes and None, or None and a share of what really limits memory. Raises ``UsageError``."""
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
    if size < _LEAST:
        percent, mib = size if size <= 100 else 80, size if size < 1000 else 512
        ways = f"a share such as {percent}%, or a size such as {mib}MiB"
        raise UsageError(f"limit {limit!r} is {show_bytes(size)}, which every program has: write {ways}")
    if size > _MOST:
        raise UsageError(f"limit {limit!r} is no size: no machine has so much memory")
    return size, None


def bound(limit: str | int | None, action: str | None, meter: str) -> Bound | None:
    """The limit of ``record(limit=..., on_limit=...)``, or None. Raises ``UsageError``."""
    if limit is None:
        return None
    action = check(limit, action)
    size, share = parse(limit)
    if size is not None or share is None:
        return Bound(size or 0, meter, action)
    nearest = min(limits.find(), key=lambda found: found[1] - found[2], default=None)
    if nearest is None:
        raise UsageError(f"limit {limit!r} is a share of nothing: no limit is known here; write a size such as 2GiB")
    name, size, _, kind = nearest
    return Bound(int(size * share), meter, action, share, (kind, name, size), *_counters(kind, name, size))


def check(limit: str | int | None, action: str | None) -> str:
    """The action, ``report`` by default. Raises ``UsageError`` if limit or action make no sense."""
    if limit is not None:
        parse(limit)
    if action is not None and limit is None:
        raise UsageError(f"on_limit={action!r} goes with a limit, which says when")
    if action is not None and action not in ACTIONS:
        raise UsageError(f"on_limit={action!r} is none of {', '.join(ACTIONS)}")
    return action or "report"


def _counters(kind: str, name: str, size: int) -> tuple[list[Counter], int]:
    """The files in which the kernel tells the usage of a limit, and the total that they are added to."""
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


def _group_counters(group: Group) -> list[Counter]:
    def file(name: str) -> str:
        return os.path.join(group.folder, name)

    if group.version == 2:
        found = [(file("memory.current"), "", 1, False)]
        if group.swap()[0]:
            found.append((file("memory.swap.current"), "", 1, False))
        return [*found, (file("memory.stat"), "inactive_file", -1, True)]
    both = group.swap()[1] or os.path.exists(file("memory.memsw.usage_in_bytes"))
    used = "memory.memsw.usage_in_bytes" if both else "memory.usage_in_bytes"
    return [(file(used), "", 1, False), (file("memory.stat"), "total_inactive_file", -1, True)]
