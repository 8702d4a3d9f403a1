"""The peak of this process from one look to the next, for those who look now and then, each for itself."""

from __future__ import annotations

import _thread
import os

from memkit.system import engine


class PeakSince:
    """The highest resident memory of this process since its last ``take()``, or since it was made.

    ::

        peak = memkit.PeakSince()
        ...
        print(peak.take())

    Each object counts for itself, beside recordings and other objects: what one takes stays for another. Transients are in
    it where the kernel's high-water mark can be reset (``memkit info`` says so under ``peaks``); elsewhere those that
    rose above all before, and what memory was at each ``take()``. Threads may share one. In a forked process it begins anew.
    """

    def __init__(self) -> None:
        self._lock = _thread.allocate_lock()
        self._begin()

    def _begin(self) -> None:
        self._pid, self._scope, self._memory = os.getpid(), engine.Scope(), engine.rss()

    def take(self) -> int:
        """That peak in bytes; the next one is counted from now on. Raises ``MeterError`` where memory cannot be read."""
        if self._pid != os.getpid():
            self._lock = _thread.allocate_lock()
            self._begin()
        with self._lock:
            scope, before = self._scope, self._memory
            self._begin()
            return max(scope.close() or 0, before, self._memory)
