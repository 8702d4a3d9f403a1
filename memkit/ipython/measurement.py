"""A measurement of this process over a period: memory before and after, the peak, the time, and samples on request."""

from __future__ import annotations

from typing import NamedTuple

from memkit.base import clocks
from memkit.base.errors import JournalError
from memkit.model import file_format
from memkit.record import files
from memkit.system import engine


class Measured(NamedTuple):
    """The result of a measurement, in bytes and nanoseconds."""

    before: int
    after: int
    peak: int
    """The highest in between, and at least ``before`` and ``after``."""
    exact: bool
    """Whether the peak is the kernel's: then only the kernel's own counting error can make it too low."""
    time: int
    samples: tuple[tuple[int, int, int], ...]
    """(time, memory, peak since the sample before) if they were requested; else empty."""

    @property
    def growth(self) -> int:
        return self.after - self.before

    @property
    def rise(self) -> int:
        """How far the peak was above memory at the end."""
        return self.peak - self.after


class Measurement:
    """A measurement that runs from its creation to ``end()``.

    ``curve``: whether samples are wanted, which takes a thread. Where the kernel's high-water mark cannot be reset, that
    thread runs in any case, to find the peak.
    """

    def __init__(self, *, curve: bool = False):
        self._reset = engine.peaks()[0] == "reset"
        self._curve = _Curve() if curve or not self._reset else None
        self._scope = engine.Scope()
        self.before: int = engine.rss()
        self._began = clocks.perf_counter_ns()

    def end(self) -> Measured:
        """End the measurement and return its result."""
        took = clocks.perf_counter_ns() - self._began
        after, high = engine.rss(), self._scope.close()
        samples = self._curve.end() if self._curve is not None else ()
        exact = (self._reset and engine.peaks()[0] == "reset") or high is not None  # a mark that rose has the whole peak
        seen = max((peak for _, _, peak in samples), default=0)
        return Measured(self.before, after, max(high or 0, seen, self.before, after), exact, took, samples)

    def cancel(self) -> None:
        """End without a result."""
        self._scope.close()
        if self._curve is not None:
            self._curve.end()


class _Curve:
    """Samples in an unnamed file; there are none where the system refuses a file or a thread."""

    def __init__(self) -> None:
        self._file = self._journal = None
        try:
            self._file = files.UnnamedFile()
            self._journal = engine.Journal(self._file.writer())
            meter = engine.Meter("rss")
            self._sampler = engine.Sampler(self._journal, meter, 0, clocks.monotonic_ns(), engine.peaks()[0] != "samples")
            self._sampler.start()
        except (JournalError, OSError, RuntimeError):
            self._close()

    def end(self) -> tuple[tuple[int, int, int], ...]:
        if self._journal is None or self._file is None:
            return ()
        self._sampler.stop()
        self._journal.flush()
        try:
            return file_format.samples_in(self._file.contents().read())
        except (JournalError, OSError):  # the program closed it
            return ()
        finally:
            self._close()

    def _close(self) -> None:
        if self._journal is not None:
            self._journal.close()
        if self._file is not None:
            self._file.close()
        self._file = self._journal = None
