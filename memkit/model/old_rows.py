"""What earlier versions wrote otherwise. Here, and nowhere else, it is turned into what recordings have now."""

from __future__ import annotations

from collections.abc import Iterable

from memkit.model.limit_events import Frame, NamedLimit
from memkit.model.oom_evidence import OutOfMemory
from memkit.system.limit import Limit
from memkit.system.limit_kinds import ADDRESS_SPACE, CGROUP, COMMIT, DATA, MACHINE

_KINDS = {
    "RLIMIT_AS": ADDRESS_SPACE,
    "RLIMIT_DATA": DATA,
    "memory of this machine": MACHINE,
    "commit limit of this machine": COMMIT,
}
_AROUND_THE_PROGRAM = ("/memkit/run/execute.py", "/memkit/run/bootstrap.py", "/memkit/script.py", "/memkit/start.py")

TAGS = {"part": "segment", "glance": "snapshot"}
"""What rows were called before -> what they are called now."""


def kind_of(name: str) -> str:
    """The kind of a limit whose row has none."""
    return _KINDS.get(name, CGROUP)


def evidence(words: str, limits: Iterable[Limit]) -> OutOfMemory:
    """The evidence that a process was out of memory, where it was written in words."""
    if words.startswith("an uncaught "):
        return OutOfMemory("refused", words=words)
    if words == "the limit that was set":
        return OutOfMemory("limit", words=words)
    counter, _, _ = words.partition(":")
    of_machine = counter == "this machine"
    named = tuple(
        NamedLimit(limit.kind, limit.name, limit.size)
        for limit in limits
        if f"{limit.name} (" in words or limit.name == counter or (of_machine and limit.kind == MACHINE)
    )
    return OutOfMemory("oom_kill", named, words=words)


def exception_of(error: str | None, kind: str) -> str | None:
    """The name of an exception's type, where only its type and text were written."""
    return error.partition(":")[0] if kind == "error" and isinstance(error, str) else None


def the_programs(frames: tuple[Frame, ...]) -> tuple[Frame, ...]:
    """Frames without those of ``memkit-run`` around the program, where the first row has no ``package``."""
    for place, frame in enumerate(frames):
        if frame.file.replace("\\", "/").endswith(_AROUND_THE_PROGRAM):
            return frames[:place] or frames
    return frames
