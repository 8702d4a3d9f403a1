"""Reading the memory of another process, and of those below it, from outside."""

from __future__ import annotations

import os
import time

from memkit.base.errors import MeterError
from memkit.system import engine

LOOKS, LOOK_EVERY = 100, 0.001
"""How often, and how many seconds apart, is looked whether a program has been loaded."""


class Watch:
    """A process, and with ``children`` all that it started, directly or not.

    Raises ``MeterError`` where there is no such process, or its memory cannot be read. A child that cannot be read, or is
    gone before it was, is left out.
    """

    def __init__(self, pid: int, meter: str = "rss", *, children: bool = False):
        self._pid, self._name = pid, meter
        self._meter = engine.Meter(meter, pid)
        self._children = {} if children else None

    def look(self) -> tuple[int | None, dict[int, int]]:
        """Bytes of the process, None when it is gone, and of those below it, by pid."""
        own = self._meter.read()
        if own is None or (own == 0 and self._has_ended()):
            return None, {}
        return own, {} if self._children is None else self._read_children()

    def _has_ended(self):
        """Whether a process without memory was not waited for; the kernel may also not have counted a first page yet."""
        import psutil

        try:
            return psutil.Process(self._pid).status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
        except psutil.Error:
            return True

    def _read_children(self):
        found = {}
        for pid in self._below():
            meter = self._children.get(pid) or self._opened(pid)
            memory = meter and meter.read()
            if memory:
                found[pid] = memory
        for pid in self._children.keys() - found.keys():
            del self._children[pid]
        return found

    def _opened(self, pid):
        try:
            self._children[pid] = engine.Meter(self._name, pid)
        except MeterError:
            return None
        return self._children[pid]

    def _below(self):
        import psutil

        try:
            return [child.pid for child in psutil.Process(self._pid).children(recursive=True)]
        except psutil.Error:
            return []


class Replacement:
    """Whether a process executes another program than ``path``, an interpreter; on Linux, for others do not tell.

    Where ``path`` leads to that by another program, a script for instance, it is the one that ``has_begun`` is true of.
    """

    def __init__(self, pid: int, path: str, has_begun):
        self.seen = False
        self._pid, self._has_begun = pid, has_begun
        self._image = self._loaded() if self._is_itself(path) else None

    def has_come(self) -> bool:
        image = self._look()
        if self._image is None:
            self._image = image if self._has_begun() else None
        self.seen = image is not None and self._image not in (None, image)
        return self.seen

    def _is_itself(self, path):
        try:
            return os.readlink(f"/proc/{self._pid}/exe") == os.path.realpath(path)
        except OSError:
            return False

    def _loaded(self):
        """What it executes, once the kernel has loaded it, which it may do still as ``Popen`` returns."""
        for _ in range(LOOKS):
            if self._look() is not None:
                return self._look()
            time.sleep(LOOK_EVERY)
        return None

    def _look(self):
        """Where its code and its stack begin, chosen by the kernel anew for each program; None where they are not known."""
        try:
            with open(f"/proc/{self._pid}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
            code, stack = fields[23], fields[25]
        except (OSError, IndexError):
            return None
        return None if fields[0] in b"ZX" or b"0" in (code, stack) else (code, stack)
