"""The clocks of the system, also while a test has frozen those of the module ``time``, as freezegun does.

Rows of the compiled modules count on the same monotonic clock. A library that freezes time puts functions of its own into
``time``, and into every module that has one of those by a name; it leaves ``clock_gettime_ns`` alone, and what a class has.
"""

from __future__ import annotations

import sys
import time as _time

thread_time_ns = _time.thread_time_ns
if sys.platform != "win32" and sys.platform != "darwin":
    # There Python's own functions read these very clocks.
    def monotonic_ns() -> int:
        """Nanoseconds on a clock that is never set."""
        return _time.clock_gettime_ns(_time.CLOCK_MONOTONIC)

    def time_ns() -> int:
        """Nanoseconds since the epoch."""
        return _time.clock_gettime_ns(_time.CLOCK_REALTIME)

    perf_counter_ns = monotonic_ns
else:

    class _Real:
        monotonic_ns = staticmethod(_time.monotonic_ns)
        time_ns = staticmethod(_time.time_ns)
        perf_counter_ns = staticmethod(_time.perf_counter_ns)

    def monotonic_ns() -> int:
        """Nanoseconds on a clock that is never set."""
        return _Real.monotonic_ns()

    def time_ns() -> int:
        """Nanoseconds since the epoch."""
        return _Real.time_ns()

    def perf_counter_ns() -> int:
        """Nanoseconds on the finest clock."""
        return _Real.perf_counter_ns()


def monotonic() -> float:
    """Seconds on a clock that is never set."""
    return monotonic_ns() / 1e9


def time() -> float:
    """Seconds since the epoch."""
    return time_ns() / 1e9
