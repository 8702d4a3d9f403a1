"""memon's monitor: a ``memkit.MemoryMonitor`` that can be waited for as a thread can."""

from __future__ import annotations

from memkit import monitor

__all__ = ["MemoryMonitor"]


class MemoryMonitor(monitor.MemoryMonitor):
    """Watches how much of the system's memory is in use, in per cent; see ``memkit.MemoryMonitor``, which it is.

    ``interval`` is in seconds, ``memory_limit`` in per cent.
    """

    def __init__(self, interval: float = 0.1, memory_limit: float = 50):
        super().__init__(interval, memory_limit)

    def is_alive(self) -> bool:
        """Whether it is watching."""
        return self.is_running()

    def join(self, timeout: float | None = None) -> None:
        """Wait until somebody has stopped it, or so many seconds."""
        thread = self._thread
        if thread is not None:
            thread.join(timeout)
