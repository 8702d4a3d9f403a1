"""ipython_memwatcher's ``MemWatcher``: ``from memkit.compat.ipython_memwatcher import MemWatcher``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import memkit
from memkit.ipython.measurement import Measured, Measurement
from memkit.ipython.mem_watcher import MIB, Measurements, line

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["MemWatcher"]


class MemWatcher(memkit.MemWatcher):
    """``memkit.MemWatcher`` with three decimals, always as text, and ipython_memwatcher's attributes."""

    curve = False

    def __init__(self, shell: InteractiveShell | None = None) -> None:
        super().__init__(shell)
        self.t1 = time.time()
        self._usage = memkit.rss() / MIB

    def _measurement(self) -> Measurement:
        self.t1 = time.time()
        return super()._measurement()

    def _show(self, name: str, measured: Measured, between: int) -> None:
        print(line(name, measured, 3, 3))

    @property
    def measurements(self) -> Measurements:
        """The memory use of the previous cell; before the first cell, memory when this watcher was created."""
        return super().measurements or Measurements(0.0, 0.0, 0.0, self._usage)

    @property
    def ip(self) -> InteractiveShell:
        return self.shell

    @property
    def input_cells(self) -> list[str]:
        cells: list[str] = self.shell.user_ns["In"]
        return cells

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
