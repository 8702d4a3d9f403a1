"""Reading the memory of another process, and of those below it, from outside."""

from __future__ import annotations

from memkit import engine
from memkit.errors import MeterError


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
