"""Where a Python program that a recorded one has spawned begins to record itself; see ``record.child_process``."""

from __future__ import annotations

import sys

from memkit.record import child_process
from memkit.record.recorder import Recorder
from memkit.record.resolve import meter_at
from memkit.run.execute import profile_without_import


def begin() -> None:
    """Record this process with the settings in its environment."""
    settings = child_process.settings_from_environment()
    if settings.profile is not None:
        vars(sys.modules["builtins"])["profile"] = profile_without_import
    settings.meter = meter_at(str(settings.meter))
    child_process.start(Recorder(settings, argv=sys.orig_argv[1:], is_child=True))
