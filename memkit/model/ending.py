"""How a process ended, as far as anybody knows."""

from __future__ import annotations

import signal as signals
from typing import NamedTuple

from memkit.model.limit_events import SetLimit
from memkit.model.oom_evidence import OutOfMemory


class Ending(NamedTuple):
    """How a process ended. ``kind`` is one of ``ok error exited stopped killed ended detached continued running unknown``.

    ``ended`` says no more than that; ``detached`` that the recording ended before the process, ``continued`` that it went on
    in another file; ``running`` that neither has ended, which no file tells: whoever reads it has looked for the process.
    """

    kind: str
    error: str | None = None
    """The uncaught exception's type and text; of a program that was stopped, at which limit; of an ``unknown`` end what is
    known of it, if the process has died."""
    code: int | None = None
    """The exit code, where it was not 0 or nothing else is known."""
    signal: int | None = None
    out_of_memory: OutOfMemory | None = None
    """The evidence, where the process was out of memory; ``str()`` of it is the evidence in words."""
    finished: bool = True
    """Whether the recording ended in order: not so after ``os._exit``, or a kill from outside."""
    exception: str | None = None
    """The name of the uncaught exception's type."""
    limit: SetLimit | None = None
    """Of a program that was stopped: the limit that was set."""

    @property
    def failed(self) -> bool:
        """Whether it is known to have gone wrong: an exception, an exit code that is not 0, a signal, a limit, a death."""
        return self.kind in ("error", "stopped", "killed") or (self.kind == "exited" and self.code != 0) or self._died

    @property
    def _died(self) -> bool:
        return self.kind == "unknown" and self.error is not None

    @property
    def complete(self) -> bool:
        """Whether all that happened up to the end was recorded."""
        return self.finished or self.kind == "stopped"

    @property
    def brief(self) -> str:
        """A few words: ``killed by SIGKILL, out of memory``."""
        return self._verdict() + (", out of memory" if self.out_of_memory else "")

    def __str__(self) -> str:
        """One line: ``killed by SIGKILL, out of memory (cgroup /jobs: oom_kill rose by 1)``."""
        evidence = f", out of memory ({self.out_of_memory})" if self.out_of_memory else ""
        return f"{self._verdict()}{self._cause(evidence)}"

    def _verdict(self) -> str:
        if self.kind == "exited":
            return f"exited with code {self.code}"
        if self.kind == "killed":
            return f"killed by {signal_name(self.signal)}"
        return "died" if self._died else _VERDICTS.get(self.kind, "not known")

    def _cause(self, evidence: str) -> str:
        """What ``__str__`` says after the verdict."""
        if self.kind == "error" or self._died:
            return f"{evidence}: {self.error}"
        if self.kind == "exited":
            return "" if self.finished else ", its end unrecorded (os._exit, exec, or a full disk)"
        if self.kind == "stopped":
            return f" at {self.limit or self.error}"
        if self.kind == "killed":
            return (f" ({self.error})" if self.error else "") + evidence
        return _MORE.get(self.kind, "")


_SIGKILL = 9
_VERDICTS = {
    "ok": "finished",
    "error": "ended by an exception",
    "stopped": "stopped",
    "ended": "ended",
    "detached": "still running",
    "continued": "still running",
    "running": "still running",
}
_MORE = {
    "ended": ", exit status unknown",
    "detached": " when the recording ended",
    "continued": " when this file was full",
    "unknown": ": the recording has no end (still running, or killed without a supervisor)",
}


class End(NamedTuple):
    """What the program said as it ended."""

    time: int
    kind: str
    error: str | None
    code: int | None
    out_of_memory: OutOfMemory | None
    exception: str | None
    limit: SetLimit | None


class Exit(NamedTuple):
    """What its supervisor saw of its end."""

    time: int
    code: int | None
    signal: int | None
    out_of_memory: OutOfMemory | None


def ending_of(end: End | None, exit: Exit | None, from_outside: bool) -> Ending:
    """How a process ended, by what it said and what its supervisor saw, who alone recorded it where ``from_outside``."""
    if exit is not None:
        if exit.signal is not None:
            return _killed(end, exit)
        if exit.code is None:
            return Ending("ended", finished=False)
        if end is None and not from_outside:
            return Ending("exited", code=exit.code, finished=False)
        if end is None or end.kind in ("ok", "ended"):
            return Ending("exited", code=exit.code) if exit.code else Ending("ok")
    if end is None:
        return Ending("unknown", finished=False)
    error = str(end.limit) if end.kind == "stopped" and end.limit is not None else end.error
    return Ending(end.kind, error, end.code, None, end.out_of_memory, end.kind != "stopped", end.exception, end.limit)


def _killed(end: End | None, exit: Exit) -> Ending:
    evidence = exit.out_of_memory if exit.signal == _SIGKILL else None
    if end is None:
        return Ending("killed", None, None, exit.signal, evidence, False)
    foreseen = end.kind == "ended"  # the program raised the signal itself, when everything had been written
    return Ending("killed", end.error, None, exit.signal, evidence or end.out_of_memory, foreseen, end.exception)


def signal_name(number: int | None) -> str:
    """``SIGKILL`` for 9; ``signal 40`` where the number has no name."""
    try:
        return signals.Signals(number or 0).name
    except ValueError:
        return f"signal {number}"


def child_ending(code: int | None, signal: int | None, out_of_memory: OutOfMemory | None) -> Ending:
    """How a process ended that another has started."""
    if signal is not None:
        return Ending("killed", signal=signal, out_of_memory=out_of_memory, finished=False)
    if code is None:
        return Ending("ended", finished=False)
    return Ending("exited", code=code) if code else Ending("ok")
