"""Where a Python program that a recorded one has spawned begins to record itself; see ``record.child_process``."""

from __future__ import annotations

import os
import sys

from memkit.base.errors import in_a_line
from memkit.record import child_process
from memkit.record.recorder import Recorder
from memkit.record.resolve import meter_at
from memkit.run.execute import profile_without_import, watch_of
from memkit.system import preload

TYPE_CHECKING = False
if TYPE_CHECKING:
    from memkit.record.settings import RunSettings
    from memkit.record.watch import Watch


def begin() -> None:
    """Record this process with the settings in its environment."""
    try:
        settings = child_process.settings_from_environment()
        preload.look(asked=False)
        recorder = _recorder(settings)
    except Exception as error:  # anything may be in an environment
        why = f"{child_process.VARIABLE} is not as a recording sets it: {in_a_line(error)}"
        print(f"memkit: process {os.getpid()} does not record itself: {why}", file=sys.stderr)
        return
    if settings.profile is not None:
        vars(sys.modules["builtins"])["profile"] = profile_without_import
    if settings.requests:
        from memkit.integrations import finding

        finding.install()
    if isinstance(recorder, Recorder):
        child_process.start(recorder)
    else:
        child_process.begun(recorder.start)


def _recorder(settings: RunSettings) -> Recorder | Watch:
    argv = sys.orig_argv[1:]
    if settings.keep is not None:
        return watch_of(settings, argv)
    settings.meter = meter_at(str(settings.meter))
    return Recorder(settings, argv=argv, is_child=True)
