"""Where a Python program that a recorded one has spawned begins to record itself; see ``record.child_process``."""

from __future__ import annotations

import os
import sys

from memkit.record import child_process
from memkit.record.recorder import Recorder
from memkit.record.resolve import meter_at
from memkit.run.execute import profile_without_import


def begin() -> None:
    """Record this process, which a recorded one has spawned, as its environment says."""
    _, *words = os.environ[child_process.VARIABLE].split(child_process.SEPARATOR)
    settings = dict(word.split("=", 1) for word in words)
    lines, calls = (settings[name].split("\n") if settings.get(name) else () for name in ("lines", "calls"))
    if "profile" in settings:
        sys.modules["builtins"].profile = profile_without_import
    recorder = Recorder(
        settings["path"],
        interval=settings["interval"],
        meter=meter_at(settings["meter"]),
        lines=lines,
        calls=calls or "all_calls" in settings,
        c_calls="c_calls" in settings,
        peak_reset="no_peak_reset" not in settings,
        follow=True,
        part=True,
        argv=sys.orig_argv[1:],
    )
    child_process.start(recorder)
