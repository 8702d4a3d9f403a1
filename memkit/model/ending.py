"""How a process ended, as far as anybody knows."""

from __future__ import annotations

import signal as signals
from typing import NamedTuple


class Ending(NamedTuple):
    """How a process ended. ``kind`` is one of ``ok error exited stopped killed ended detached unknown``.

    ``ended`` says no more than that; ``detached`` that the recording ended before the process.
    """

    kind: str
    error: str | None = None
    """The uncaught exception's type and text; of a program that was stopped, at which limit."""
    code: int | None = None
    """The exit code, where it was not 0 or nothing else is known."""
    signal: int | None = None
    out_of_memory: str | None = None
    """The evidence, where the process died for want of memory."""
    finished: bool = True
    """Whether Python shut down in order; not so after ``os._exit``, or a kill."""

    @property
    def failed(self) -> bool:
        """Whether it is known to have gone wrong: an exception, an exit code that is not 0, a signal, a limit."""
        return self.kind in ("error", "stopped", "killed") or (self.kind == "exited" and self.code != 0)

    @property
    def complete(self) -> bool:
        """Whether all that happened up to the end was recorded."""
        return self.finished or self.kind == "stopped"

    def __str__(self) -> str:
        """One line: ``killed by SIGKILL, out of memory (cgroup /jobs: oom_kill rose by 1)``."""
        shortage = f", out of memory ({self.out_of_memory})" if self.out_of_memory else ""
        if self.kind == "ok":
            return "finished"
        if self.kind == "error":
            return f"ended by an exception{shortage}: {self.error}"
        if self.kind == "exited":
            unended = "" if self.finished else ", its end unrecorded (os._exit, exec, or a full disk)"
            return f"exited with code {self.code}{unended}"
        if self.kind == "stopped":
            return f"stopped at {self.error}"
        if self.kind == "killed":
            during = f" ({self.error})" if self.error else ""
            return f"killed by {signal_name(self.signal)}{during}{shortage}"
        if self.kind == "ended":
            return "ended, it is not known how"
        if self.kind == "detached":
            return "still running when the recording ended"
        return "not known: the recording has no end (still running, or killed without a supervisor)"


def signal_name(number: int | None) -> str:
    """``SIGKILL`` for 9; ``signal 40`` where the number has no name."""
    try:
        return signals.Signals(number).name
    except ValueError:
        return f"signal {number}"
