"""Where a Python program that a recorded one has spawned begins to record itself; see ``record.child_process``."""

from __future__ import annotations

import os
import sys

from memkit.base.errors import in_a_line
from memkit.record import child_process
from memkit.record.recorder import Recorder
from memkit.record.resolve import meter_at
from memkit.run.execute import profile_without_import
from memkit.system import preload


def begin() -> None:
    """Record this process with the settings in its environment."""
    try:
        settings = child_process.settings_from_environment()
        preload.look(asked=False)
        settings.meter = meter_at(str(settings.meter))
        recorder = Recorder(settings, argv=sys.orig_argv[1:], is_child=True)
    except Exception as error:  # anything may be in an environment
        why = f"{child_process.VARIABLE} is not as a recording sets it: {in_a_line(error)}"
        print(f"memkit: process {os.getpid()} does not record itself: {why}", file=sys.stderr)
        return
    if settings.profile is not None:
        vars(sys.modules["builtins"])["profile"] = profile_without_import
    if settings.requests:
        from memkit.integrations import finding

        finding.install()
    child_process.start(recorder)
