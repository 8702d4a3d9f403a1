"""The first rows of a recording: how it is made, and what limits the memory of the process."""

from __future__ import annotations

import os
import sys
import time

from memkit import engine, headroom, journal
from memkit.version import VERSION


def of_this_process(argv, began: int, meter: str, interval: int, sampler: str, scoped: bool) -> bytes:
    """The heading of a recording of this process that begins now.

    ``sampler`` is the engine of the sampler, ``scoped`` whether the kernel keeps a peak of the meter.
    """
    peaks, reason = engine.peaks() if scoped else ("samples", "the system keeps a peak of rss only")
    about = {
        "memkit": VERSION,
        "argv": argv,
        "pid": os.getpid(),
        "parent": os.getppid(),
        "python": sys.version.split()[0],
        "host": os.uname().nodename if hasattr(os, "uname") else os.environ.get("COMPUTERNAME", "?"),
        "began": time.time(),
        "clock": began,
        "meter": meter,
        "interval": interval or None,
        "engine": sampler,
        "peaks": peaks,
        "peaks_reason": reason,
        "mark": engine.peak_rss() if scoped else None,
        "peaks_error": engine.peaks_error() if scoped else None,
    }
    return journal.header(about) + b"".join(journal.row("limit", *limit) for limit in headroom.find())
