"""A stretch of this process's time that is measured: memory before and after, the peak, the time, and the way in between."""

from __future__ import annotations

import time
from typing import NamedTuple

from memkit.base.errors import JournalError
from memkit.model import file_format
from memkit.record import files
from memkit.system import engine


class Measured(NamedTuple):
    """What a stretch did, in bytes and nanoseconds."""

    before: int
    after: int
    peak: int
    """The highest in between, and at least ``before`` and ``after``."""
    exact: bool
    """Whether nothing can have been higher, but for the way in which the kernel counts."""
    time: int
    samples: tuple
    """(time, memory, peak since the one before), if a curve was wanted; else empty."""

    @property
    def growth(self) -> int:
        return self.after - self.before

    @property
    def rise(self) -> int:
        """How far the peak was above memory at the end."""
        return self.peak - self.after


class Stretch:
    """A stretch from its making to ``end()``. ``curve``: whether samples are wanted, which takes a thread.

    Where the kernel's mark cannot be reset there is such a thread in any case, for the peak.
    """

    def __init__(self, *, curve: bool = False):
        self._reset = engine.peaks()[0] == "reset"
        self._curve = _Curve() if curve or not self._reset else None
        self._scope = engine.Scope()
        self.before = engine.rss()
        self._began = time.perf_counter_ns()

    def end(self) -> Measured:
        """The end of the stretch, and what it did."""
        took = time.perf_counter_ns() - self._began
        after, high = engine.rss(), self._scope.close()
        samples = self._curve.end() if self._curve is not None else ()
        exact = (self._reset and engine.peaks()[0] == "reset") or high is not None  # a mark that rose tells all
        seen = max((peak for _, _, peak in samples), default=0)
        return Measured(self.before, after, max(high or 0, seen, self.before, after), exact, took, samples)

    def drop(self) -> None:
        """End without a result."""
        self._scope.close()
        if self._curve is not None:
            self._curve.end()


class _Curve:
    """Samples in a file without a name; nothing at all where the system refuses a file or a thread."""

    def __init__(self):
        self._file = self._journal = None
        try:
            self._file = files.UnnamedFile()
            self._journal = engine.Journal(self._file.writer())
            meter = engine.Meter("rss")
            self._sampler = engine.Sampler(self._journal, meter, 0, time.monotonic_ns(), engine.peaks()[0] != "samples")
            self._sampler.start()
        except (OSError, RuntimeError):
            self._close()

    def end(self) -> tuple:
        if self._journal is None:
            return ()
        self._sampler.stop()
        self._journal.flush()
        try:
            return file_format.samples_in(self._file.contents().read())
        except (JournalError, OSError):  # the program closed it
            return ()
        finally:
            self._close()

    def _close(self):
        if self._journal is not None:
            self._journal.close()
        if self._file is not None:
            self._file.close()
        self._file = self._journal = None
