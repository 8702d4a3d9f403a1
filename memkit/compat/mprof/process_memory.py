"""Reading the memory of another process, and of its descendants, from outside."""

from __future__ import annotations

from memkit.base.errors import MeterError
from memkit.system import engine


class ProcessMemory:
    """The memory of a process, and with ``children`` that of all its descendants.

    Raises ``MeterError`` if there is no such process, or its memory cannot be read. Descendants that have ended, or whose
    memory cannot be read, are left out.
    """

    def __init__(self, pid: int, meter: str = "rss", *, children: bool = False) -> None:
        self._pid, self._meter_name, self._with_children = pid, meter, children
        self._meter = engine.Meter(meter, pid)
        self._meters: dict[int, engine.Meter] = {}

    def read(self) -> tuple[int | None, dict[int, int]]:
        """Bytes of the process, None if it has ended, and of its descendants by PID."""
        own = self._meter.read()
        if own is None or (own == 0 and self._has_ended()):
            return None, {}
        return own, self._read_children() if self._with_children else {}

    def _has_ended(self) -> bool:
        """Whether a process without memory is a zombie. If not, the kernel has not counted its first page yet."""
        import psutil

        try:
            return psutil.Process(self._pid).status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
        except psutil.Error:
            return True

    def _read_children(self) -> dict[int, int]:
        found = {}
        for pid in self._descendants():
            meter = self._meters.get(pid) or self._opened(pid)
            memory = meter.read() if meter is not None else None
            if memory:
                found[pid] = memory
        for pid in self._meters.keys() - found.keys():
            del self._meters[pid]
        return found

    def _opened(self, pid: int) -> engine.Meter | None:
        try:
            self._meters[pid] = engine.Meter(self._meter_name, pid)
        except MeterError:
            return None
        return self._meters[pid]

    def _descendants(self) -> list[int]:
        import psutil

        try:
            return [child.pid for child in psutil.Process(self._pid).children(recursive=True)]
        except psutil.Error:
            return []
