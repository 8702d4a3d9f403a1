"""The settings of a recording, and how they are passed to another process.

A setting is one line in a class below: its name, type and default. ``memkit-run`` passes settings to the process that it
measures on the command line, and a recorded process to those that it spawns in an environment variable.
"""

from __future__ import annotations

from memkit.base.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Self

    from memkit.base.protocols import Meter
    from memkit.tracing.targets import Targets

_TARGETS = ("lines", "calls")  # settings that take several texts, each in a word of its own


class Settings:
    """What ``memkit.record`` was asked for. See there for what each setting means."""

    path: str | None = None
    interval: str | float = "auto"
    meter: str | Meter | Callable[[], int | None] = "rss"
    lines: object = ()
    calls: object = False
    c_calls: bool = False
    heap: bool = False
    children: bool = False
    peak_reset: bool = True
    follow: bool = False
    limit: str | int | None = None
    on_limit: str | None = None

    def __init__(self, **settings: object) -> None:
        for name, value in settings.items():
            if not hasattr(type(self), name):
                raise TypeError(f"there is no setting {name!r}")
            setattr(self, name, value)

    @property
    def every_call(self) -> bool:
        """Whether all calls are to be traced: a heap is told by something."""
        return self.calls is True or (self.heap and not self.calls and not self.lines)

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
            elif isinstance(getattr(cls, name, None), bool):
                if text not in ("yes", "no"):
                    raise UsageError(f"the word {word!r} is neither '{name}=yes' nor '{name}=no'")
                found[name] = text == "yes"
            else:
                found[name] = text
        if "" in targets.get("calls", ()):
            found["calls"] = True
            del targets["calls"]
        return cls(**found, **targets)


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
    profile: str | None = None
    """What ``@profile`` is without an import, as ``package.module:name``; empty for ``memkit.profile``."""
