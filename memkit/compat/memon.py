"""memon's monitor: a ``memkit.MemoryMonitor`` that can be waited for as a thread can."""

from __future__ import annotations

import time

from memkit.record import active, monitor

__all__ = ["MemoryMonitor"]

_A_FORK = 0.001  # seconds


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
        due = None if timeout is None else time.monotonic() + timeout
        while True:
            with active.lock:  # whoever forks begins the thread anew under it
                running, thread = self.is_running(), self._thread
            left = None if due is None else due - time.monotonic()
            if left is not None and left <= 0:
                return
            if thread is None and running:  # a fork in another thread is under way, and will begin it anew
                time.sleep(_A_FORK)
                continue
            if thread is not None:
                thread.join(left)
            if not running or self._thread is thread:
                return
