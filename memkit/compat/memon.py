"""memon's monitor: a ``memkit.MemoryMonitor`` with ``join`` and ``is_alive``, as a thread has them."""

from __future__ import annotations

import time

from memkit.record import active, monitor

__all__ = ["MemoryMonitor"]

_FORK_POLL = 0.001  # seconds


class MemoryMonitor(monitor.MemoryMonitor):
    """Monitors how much of the system's memory is in use, in per cent: a ``memkit.MemoryMonitor``.

    ``interval`` is in seconds, ``memory_limit`` in per cent.
    """

    def __init__(self, interval: float = 0.1, memory_limit: float = 50):
        super().__init__(interval, memory_limit)

    def is_alive(self) -> bool:
        """Whether it is running."""
        return self.is_running()

    def join(self, timeout: float | None = None) -> None:
        """Wait until it is stopped, or for ``timeout`` seconds."""
        due = None if timeout is None else time.monotonic() + timeout
        while True:
            with active.lock:  # a fork restarts the thread while it holds this lock
                running, thread = self.is_running(), self._thread
            left = None if due is None else due - time.monotonic()
            if left is not None and left <= 0:
                return
            if thread is None and running:  # another thread is forking, and will restart it
                time.sleep(_FORK_POLL)
                continue
            if thread is not None:
                thread.join(left)
            if not running or self._thread is thread:
                return
