"""ipython_memwatcher's ``MemWatcher``: ``from memkit.compat.ipython_memwatcher import MemWatcher``."""

from __future__ import annotations

import time

import memkit
from memkit.ipython.mem_watcher import MIB, Measurements, line

__all__ = ["MemWatcher"]


class MemWatcher(memkit.MemWatcher):
    """The same as ``memkit.MemWatcher``, with three decimals, always as text, and the attributes of theirs."""

    curve = False

    def __init__(self, shell=None):
        super().__init__(shell)
        self.t1 = time.time()
        self._usage = memkit.rss() / MIB

    def _stretch(self):
        self.t1 = time.time()
        return super()._stretch()

    def _tell(self, name, measured):
        print(line(name, measured, 3, 3))

    @property
    def measurements(self) -> Measurements:
        """What the cell before this one did; before there was one, memory when this watcher was made."""
        return super().measurements or Measurements(0.0, 0.0, 0.0, self._usage)

    @property
    def ip(self):
        return self.shell

    @property
    def input_cells(self) -> list:
        return self.shell.user_ns["In"]

    @property
    def watching_memory(self) -> bool:
        return self.watching

    @property
    def keep_watching(self) -> bool:
        return bool(self._open)

    @property
    def memory_delta(self) -> float:
        return self.measurements.memory_delta

    @property
    def time_delta(self) -> float:
        return self.measurements.time_delta

    @property
    def peaked_memory_usage(self) -> float:
        return self.measurements.memory_peak

    @property
    def previous_call_memory_usage(self) -> float:
        return self.measurements.memory_usage

    @property
    def peak_memory_usage(self) -> float:
        return self.measurements.memory_usage + self.measurements.memory_peak
