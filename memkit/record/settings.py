"""The settings of a recording, and how they are passed to another process.

A setting is one line in a class below: its name, type and default. ``memkit-run`` passes settings to the process that it
measures on the command line, and a recorded process to those that it spawns in an environment variable.
"""

from __future__ import annotations

from memkit.base.errors import UsageError
from memkit.base.units import parse_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Self

    from memkit.base.protocols import Meter
    from memkit.tracing.targets import Targets

_TARGETS = ("lines", "calls")  # settings that take several texts, each in a word of its own
_SWITCH = {"yes": True, "no": False}


class Settings:
    """What ``memkit.record`` was asked for. See there for what each setting means."""

    path: str | None = None
    interval: str | float = "auto"
    meter: str | Meter | Callable[[], int | None] = "rss"
    lines: object = ()
    calls: object = False
    c_calls: bool = False
    heap: bool | str = False
    balance: bool = True
    children: bool = False
    peak_reset: bool = True
    follow: bool = False
    requests: bool = False
    """Whether requests and tasks of known servers are spans."""
    limit: str | int | None = None
    on_limit: str | None = None
    watch: str | None = None
    """What the files of one watch have in common, of all its processes."""

    def __init__(self, **settings: object) -> None:
        for name, value in settings.items():
            if not hasattr(type(self), name):
                raise TypeError(f"there is no setting {name!r}")
            setattr(self, name, value)

    @property
    def every_call(self) -> bool:
        """Whether all calls are to be traced: a heap is told by something."""
        counted = bool(self.heap) and self.sampled is None and self.heap != SPANS
        return self.calls is True or (counted and not self.calls and not self.lines)

    @property
    def sampled(self) -> int | None:
        """Bytes from one that is sampled to the next, on average; None where the heap is not sampled.

        Raises ``UsageError`` for what is no setting of ``heap``, or does not go with ``calls``.
        """
        distance = sampling_distance(self.heap)
        if distance is not None and self.calls not in (False, None, (), []):
            raise UsageError("a heap that is sampled has calls of its own: leave calls out, or count every block")
        return distance

    def for_child(self, lines: Targets | None, calls: Targets | bool | None) -> Settings:
        """Settings for a child process that records itself into the same file, with the targets as they are by now.

        The tree and the limit are left to the process that started the recording.
        """
        ours = {name: value for name, value in vars(self).items() if hasattr(Settings, name)}
        changed = {"children": False, "limit": None, "on_limit": None, "follow": True}
        return Settings(**{**ours, **changed, "lines": lines or (), "calls": calls or False})

    def for_copy(self) -> Settings:
        """Settings for a copy of the recorder in another process, which must leave the file alone."""
        lines, calls = (targets.texts() if hasattr(targets, "texts") else targets for targets in (self.lines, self.calls))
        return Settings(**{**vars(self), "path": None, "follow": False, "lines": lines, "calls": calls})

    def to_words(self) -> list[str]:
        """The settings as words ``name=value``, without those that have their default value."""
        words = []
        for name, value in vars(self).items():
            if value == getattr(type(self), name):
                continue
            values = value if isinstance(value, (list, tuple)) else [value]
            words += [f"{name}={_text(name, each)}" for each in values]
        return words

    @classmethod
    def from_words(cls, words: Iterable[str]) -> Self:
        """The settings that ``to_words`` made the words of. Raises ``UsageError`` for a word that it does not make."""
        found: dict[str, object] = {}
        targets: dict[str, list[str]] = {}
        for word in words:
            name, equals, text = word.partition("=")
            if not name or not equals:
                raise UsageError(f"the word {word!r} is not NAME=VALUE")
            if name in _TARGETS:
                targets.setdefault(name, []).append(text)
            elif isinstance(getattr(cls, name, None), bool) and (name != "heap" or text in _SWITCH):
                if text not in _SWITCH:
                    raise UsageError(f"the word {word!r} is neither '{name}=yes' nor '{name}=no'")
                found[name] = _SWITCH[text]
            else:
                found[name] = text
        if "" in targets.get("calls", ()):
            found["calls"] = True
            del targets["calls"]
        return cls(**found, **targets)


SAMPLED = "sampled"
SPANS = "spans"
"""The setting of a heap that is counted by spans, without tracing."""
DISTANCE = 512 << 10
"""Bytes from one that is sampled to the next, on average, where nothing else was asked for."""
_DISTANCES = range(64, (1 << 30) + 1)


def sampling_distance(heap: bool | str) -> int | None:
    """Bytes from one that is sampled to the next, on average; None where every block is counted, or no heap.

    Raises ``UsageError`` for what is no setting of ``heap``.
    """
    if isinstance(heap, bool) or heap == SPANS:
        return None
    kind, colon, size = heap.partition(":") if isinstance(heap, str) else ("", "", "")
    if kind != SAMPLED or (colon and not size):
        raise UsageError(f"heap {heap!r}: write sampled, sampled:64KiB or spans, or no value to count every block")
    distance = parse_bytes(size) if colon else DISTANCE
    if distance not in _DISTANCES:
        raise UsageError(f"heap {heap!r}: a byte can be sampled in 64 bytes to 1 GiB, on average")
    return distance


def _text(name: str, value: object) -> str:
    if isinstance(value, bool):
        return "" if name in _TARGETS else "yes" if value else "no"
    return str(value)


class RunSettings(Settings):
    """What ``memkit-run`` passes to the process that it measures."""

    call_log: str | None = None
    """The file of the event log."""
    trigger: str | int | None = None
    """The least change of memory that the event log writes, in bytes."""
    keep: str | None = None
    """How much is kept of files that follow one another, in the folder that ``path`` is then."""
    profile: str | None = None
    """What ``@profile`` is without an import, as ``package.module:name``; empty for ``memkit.profile``."""
