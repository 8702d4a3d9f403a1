"""The plugins of one command: found, loaded, listed and called.

``MEMKIT_DISABLE_PLUGIN_AUTOLOAD=1`` leaves those of other distributions out.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import NamedTuple

from memkit.base import entry_points
from memkit.base.commands import Commands
from memkit.base.entry_points import EntryPoint
from memkit.base.errors import UsageError, in_a_line, nearest
from memkit.base.stderr import to_stderr

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any, TextIO

    from IPython.core.interactiveshell import InteractiveShell

    from memkit.base.hook_calls import Hooks
    from memkit.base.protocols import Complain, MeterFunction, Recording


_SAFE = "the recording is safe"


class Plugin(NamedTuple):
    """One plugin that was found."""

    name: str
    distribution: str
    version: str
    hooks: tuple[str, ...]
    """The hooks it implements; empty where it could not be loaded."""
    state: str
    """``active``, ``disabled``, or why it could not be loaded."""


class Plugins:
    """The plugins of one command: memkit's ``reporters``, and those that entry points name, without those ``disabled``.

    ``complain`` is told in a line what went wrong with one. Where there are none, pluggy is not imported.
    """

    def __init__(self, disabled: Collection[str] = (), complain: Complain | None = None, *, reporters: bool = True):
        self._complain = complain or to_stderr
        self._disabled = disabled
        self._options: list[argparse.Action] = []
        self._words: list[str] | None = None
        self._hooks: Hooks | None = None
        points = [*(entry_points.own() if reporters else ()), *entry_points.others()]
        loaded = [(point, *self._loaded(point)) for point in points]
        # pluggy calls first what was registered last, and reports come in the order of the names.
        self.found = [self._registered(*each) for each in reversed(loaded)][::-1]

    def _loaded(self, point: EntryPoint) -> tuple[object, str]:
        """A plugin that was imported, or None, and its state so far."""
        if point.name in self._disabled:
            return None, "disabled"
        if os.environ.get("MEMKIT_DISABLE_PLUGIN_AUTOLOAD", "0") not in ("", "0") and not point.is_own:
            return None, "disabled by MEMKIT_DISABLE_PLUGIN_AUTOLOAD"
        try:
            return point.load(), "active"
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # such as pytest's, for a test that is to be skipped
            return None, self._unloaded(point, error)

    def _registered(self, point: EntryPoint, plugin: object, state: str) -> Plugin:
        about = point.name, point.distribution, point.version
        if state != "active":
            return Plugin(*about, (), state)
        if self._hooks is None:
            from memkit.base.hook_calls import Hooks

            self._hooks = Hooks(self._complain)
        try:
            return Plugin(*about, self._hooks.register(plugin, point.name), state)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            return Plugin(*about, (), self._unloaded(point, error))

    def _unloaded(self, point: EntryPoint, error: BaseException) -> str:
        reason = f"cannot be loaded: {in_a_line(error)}"
        self._complain(f"plugin {point.name!r} of {point.distribution} {reason}; disable it with -p no:{point.name}")
        return reason

    def check_names(self, names: Iterable[str]) -> None:
        """Raise ``UsageError`` for a name that no plugin has."""
        known = [plugin.name for plugin in self.found]
        for name in names:
            if name not in known:
                raise UsageError(f"-p no:{name}: there is no plugin {name!r}{nearest(name, known)}; see memkit plugins")

    def has(self, hook: str) -> bool:
        """Whether any plugin implements a hook."""
        return self._hooks is not None and self._hooks.has(hook)

    def _call(self, hook: str, consequence: str, **known: object) -> list[Any]:
        return [] if self._hooks is None else self._hooks.call(hook, consequence, **known)

    def _failures(self, hook: str) -> int:
        return 0 if self._hooks is None else self._hooks.failures.get(hook, 0)

    # -- options -----------------------------------------------------------------------------------------------------------

    def add_options(self, parser: argparse._ActionsContainer) -> None:
        """Let each plugin add its options to an argparse parser or group."""
        before = len(parser._actions)
        self._call("memkit_add_options", "its options are missing", parser=parser)
        self._options = parser._actions[before:]

    def remember(self, words: list[str]) -> None:
        """Keep, of the words of a command, the options of plugins with their values: a report may have to be made again."""
        known = {name: action for action in self._options for name in action.option_strings}
        self._words = [word for name in sorted(self._disabled) for word in ("-p", f"no:{name}")]
        rest = words[: words.index("--")] if "--" in words else list(words)
        while rest:
            word = rest.pop(0)
            name, equals, _ = word.partition("=")
            if name not in known and word[:1] == "-" != word[1:2] and word[:2] in known:  # -xVALUE, or -x and more
                self._words.append(word if known[word[:2]].nargs != 0 else word[:2])
            elif name in known:
                self._words.append(word)
                most = _most_values(known[name].nargs, len(rest))
                while not equals and most and rest and (rest[0] == "-" or not rest[0].startswith("-")):
                    self._words.append(rest.pop(0))
                    most -= 1

    def again(self, files: Sequence[str | None]) -> str:
        """What to say where a report on recordings in some files failed: the command that makes it again, for a shell."""
        known = [file for file in files if file is not None]
        if self._words is None or len(known) < len(files):
            return _SAFE
        import shlex

        words = [os.path.join(".", file) if file.startswith("-") else file for file in known]
        return f"{_SAFE}, make this report again with: {shlex.join(['memkit', 'report', *words, *self._words])}"

    def options(self, command: str, given: Mapping[str, object]) -> argparse.Namespace:
        """The plugins' options as ``command`` would have them, with the values of those ``given`` by name.

        Raises ``UsageError`` for an unknown name, and for a value that its option refuses.
        """
        import argparse

        colours: dict[str, Any] = {}
        if sys.version_info[:2] == (3, 14):  # which asks standard output for colours, and that may be closed
            plain: Any = partial(argparse.HelpFormatter, color=False)  # type: ignore[call-arg]
            colours = {"color": False, "formatter_class": plain}
        parser = argparse.ArgumentParser(prog="memkit.report", add_help=False, **colours)
        self.add_options(parser)
        options = parser.parse_args([], argparse.Namespace(command=command))
        actions = {action.dest: action for action in parser._actions}
        for name, value in given.items():
            if name not in actions:
                raise UsageError(f"unknown option {name!r}{nearest(name, actions)}; there are {', '.join(sorted(actions))}")
            convert: Any = actions[name].type
            setattr(options, name, convert(value) if callable(convert) and isinstance(value, (str, os.PathLike)) else value)
        return options

    def _refuse_several(self, recordings: tuple[Recording, ...], options: object) -> None:
        for action in self._options if len(recordings) != 1 else ():
            given = getattr(options, action.dest, None) != action.default
            if given and getattr(action, "one_recording", False):
                name = action.option_strings[-1]
                raise UsageError(f"{name} takes one recording, not {len(recordings)}: make a report of each")

    def check_needs(self, options: object, missing: Mapping[str, str]) -> None:
        """Raise ``UsageError`` for an option that was given and needs what will be missing; to each the remedy."""
        for action in self._options:
            name, value, need = action.option_strings[-1], getattr(options, action.dest, None), getattr(action, "needs", "")
            if value == action.default:
                continue
            if callable(need):
                name, need = f"{name} {value}", need(value)
            if need in missing:
                made = "heap that was counted" if need == "heap" else f"{need} that were traced"
                raise UsageError(f"{name} is made of the {made}: {missing[need]}")

    # -- the other hooks ---------------------------------------------------------------------------------------------------

    def report(self, recordings: Iterable[Recording], options: object) -> int:
        """Let each plugin report on recordings; return how many failed, those that failed as they followed included.

        Raises ``UsageError``, before any of them begins, for an option of one recording where there are not one, and, when
        all are through, for what one of them refused to make of these recordings.
        """
        recordings = tuple(recordings)
        self._refuse_several(recordings, options)
        before, again = self._failures("memkit_report"), self.again([recording.source for recording in recordings])
        with _spelled(sys.stdout, sys.stderr):
            self._call("memkit_report", again, recording=recordings, recordings=recordings, options=options)
        if self._hooks is not None:  # the others have made their reports
            refusals, self._hooks.refusals = self._hooks.refusals, []
            if refusals:
                raise UsageError("; ".join(dict.fromkeys(refusals)))
            if self._hooks.reader_went_away:
                raise BrokenPipeError
        return self._failures("memkit_report") - before + self._failures("memkit_follow")

    def follow(self, recording: Recording, options: object) -> None:
        """Let each plugin look at a recording that is being made; one that fails is not called again."""
        self._call("memkit_follow", "it is not called again", recording=recording, options=options)

    def load_ipython(self, shell: InteractiveShell) -> None:
        """Let each plugin add to a shell of IPython."""
        self._call("memkit_load_ipython", "its magics are missing", shell=shell)

    def meters(self) -> dict[str, MeterFunction]:
        """The meters of all plugins: name -> callable."""
        return {
            name: meter for meters in self._call("memkit_meters", "its meters are missing") for name, meter in meters.items()
        }

    def commands(self, own: Iterable[str]) -> Commands:
        """The commands of all plugins, none of which has the name of one of memkit's ``own``."""
        hooks = self._hooks
        found = Commands(own, lambda: None if hooks is None else hooks.caller)
        self._call("memkit_register_commands", "its command is missing", commands=found)
        return found


def _most_values(nargs: int | str | None, words: int) -> int:
    """How many of some words that follow an option can be its values."""
    if isinstance(nargs, int):
        return nargs
    return 1 if nargs in (None, "?") else words


@contextmanager
def _spelled(*streams: TextIO) -> Iterator[None]:
    """What the encoding of a stream cannot spell is a backslash and its code meanwhile: names may be anything."""
    before = [(stream, stream.errors) for stream in streams if hasattr(stream, "reconfigure") and not stream.closed]
    before = [(stream, errors) for stream, errors in before if errors != "backslashreplace"]
    for stream, _ in before:
        _reconfigure(stream, "backslashreplace")
    try:
        yield
    finally:
        for stream, errors in before:
            _reconfigure(stream, errors)


def _reconfigure(stream: Any, errors: str | None) -> None:
    with suppress(OSError, ValueError):  # it went away, which is told to whoever writes or flushes
        stream.reconfigure(errors=errors)
