"""Plugins: found by entry point, listed, and called one by one, so that one that fails harms no other.

``MEMKIT_DISABLE_PLUGIN_AUTOLOAD=1`` leaves those of other distributions out.
"""

from __future__ import annotations

import os
import shlex
import sys
import traceback
from contextlib import contextmanager, suppress
from importlib.metadata import entry_points
from typing import NamedTuple

import pluggy

from memkit.base import hookspecs
from memkit.base.errors import MemkitError, UsageError, nearest
from memkit.base.units import printable

GROUP = "memkit"
OWN = "memkit-profiler"


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
    """The plugins of one command: those that entry points name, without those ``disabled``.

    ``complain`` is told in a line what went wrong with one.
    """

    def __init__(self, disabled=(), complain=None):
        self._complain = complain or _to_stderr
        self._manager = pluggy.PluginManager(GROUP)
        self._manager.add_hookspecs(hookspecs)
        self.found: list[Plugin] = []
        self.failures = 0
        self._broken = False
        self._options = []
        self._disabled = disabled
        self._words = None
        points = sorted(entry_points(group=GROUP), key=lambda point: (not _is_own(point), point.name))
        for point in points:
            self._load(point, point.name in disabled)

    def _load(self, point, disabled: bool) -> None:
        name, owner = point.name, point.dist
        about = (name, owner.metadata["Name"] if owner else "?", owner.version if owner else "?")
        if disabled:
            self.found.append(Plugin(*about, (), "disabled"))
            return
        if os.environ.get("MEMKIT_DISABLE_PLUGIN_AUTOLOAD", "0") not in ("", "0") and not _is_own(point):
            self.found.append(Plugin(*about, (), "disabled by MEMKIT_DISABLE_PLUGIN_AUTOLOAD"))
            return
        try:
            plugin = point.load()
            self._manager.register(plugin, name)
            self._manager.check_pending()
        except (Exception, SystemExit) as error:
            if self._manager.has_plugin(name):
                self._manager.unregister(name=name)
            reason = f"cannot be loaded: {_shortly(error)}"
            self.found.append(Plugin(*about, (), reason))
            self._complain(f"plugin {name!r} of {about[1]} {reason}; disable it with -p no:{name}")
            return
        hooks = sorted(caller.name for caller in self._manager.get_hookcallers(plugin) or ())
        self.found.append(Plugin(*about, tuple(hooks), "active"))

    def check_names(self, names) -> None:
        """Raise ``UsageError`` for a name that no plugin has."""
        known = [plugin.name for plugin in self.found]
        for name in names:
            if name not in known:
                raise UsageError(f"-p no:{name}: there is no plugin {name!r}{nearest(name, known)}; see memkit plugins")

    def has(self, hook: str) -> bool:
        """Whether any plugin implements a hook."""
        return bool(getattr(self._manager.hook, hook).get_hookimpls())

    def add_options(self, parser) -> None:
        """Let each plugin add its options to an argparse parser or group."""
        before = len(parser._actions)
        self._each("memkit_add_options", {"parser": parser}, "its options are missing")
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
                most = {None: 1, "?": 1, "*": len(rest), "+": len(rest)}.get(known[name].nargs, known[name].nargs)
                while not equals and most and rest and (rest[0] == "-" or not rest[0].startswith("-")):
                    self._words.append(rest.pop(0))
                    most -= 1

    def _again(self, recordings: tuple) -> str:
        """What to say of a report that failed: the command that makes it again, for a shell."""
        files = [recording.source for recording in recordings]
        if self._words is None or None in files:
            return "the recording is safe"
        words = [os.path.join(".", file) if file.startswith("-") else file for file in files]
        return (
            f"the recording is safe, make this report again with: {shlex.join(['memkit', 'report', *words, *self._words])}"
        )

    def options(self, command: str, given: dict):
        """The plugins' options as ``command`` would have them, with the values of those ``given`` by name.

        Raises ``UsageError`` for an unknown name, and for a value that its option refuses.
        """
        import argparse

        parser = argparse.ArgumentParser(prog="memkit.report", add_help=False, argument_default=None)
        self.add_options(parser)
        options = parser.parse_args([], argparse.Namespace(command=command))
        actions = {action.dest: action for action in parser._actions}
        for name, value in given.items():
            if name not in actions:
                raise UsageError(f"unknown option {name!r}{nearest(name, actions)}; there are {', '.join(sorted(actions))}")
            convert = actions[name].type
            setattr(options, name, convert(value) if convert and isinstance(value, (str, os.PathLike)) else value)
        return options

    def report(self, recordings, options) -> int:
        """Let each plugin report on recordings; return how many failed.

        Raises ``UsageError``, before any of them begins, for an option of one recording where there are not one.
        """
        recordings = tuple(recordings)
        self._refuse_several(recordings, options)
        again = self._again(recordings)
        failed = 0
        with _spelled(sys.stdout, sys.stderr):
            for implementation in self._implementations("memkit_report"):
                rounds = [None] if "recording" not in implementation.argnames else recordings
                for recording in rounds:
                    known = {"recording": recording, "recordings": recordings, "options": options}
                    failed += not self._call(implementation, known, again)
        if self._broken:  # the others have made their reports
            raise BrokenPipeError
        return failed

    def _refuse_several(self, recordings: tuple, options) -> None:
        for action in self._options:
            given = getattr(options, action.dest, None) != action.default
            if given and len(recordings) != 1 and getattr(action, "one_recording", False):
                name = action.option_strings[-1]
                raise UsageError(f"{name} takes one recording, not {len(recordings)}: make a report of each")

    def follow(self, recording, options) -> None:
        """Let each plugin look at a recording that is being made."""
        self._each("memkit_follow", {"recording": recording, "options": options}, "it is asked again in a second")

    def load_ipython(self, shell) -> None:
        """Let each plugin add to a shell of IPython."""
        self._each("memkit_load_ipython", {"shell": shell}, "its magics are missing")

    def meters(self) -> dict:
        """The meters of all plugins: name -> callable."""
        found = {}
        for implementation in self._implementations("memkit_meters"):
            results = []
            self._call(implementation, {}, "its meters are missing", results.append)
            for meters in results:
                found.update(meters or {})
        return found

    def _implementations(self, hook: str):
        # pluggy calls the last registered first; reports come in the order of the names.
        return list(getattr(self._manager.hook, hook).get_hookimpls())

    def _each(self, hook: str, known: dict, consequence: str) -> None:
        for implementation in self._implementations(hook):
            self._call(implementation, known, consequence)

    def _call(self, implementation, known: dict, consequence: str, take=None) -> bool:
        try:
            result = implementation.function(*(known[name] for name in implementation.argnames))
        except (Exception, SystemExit) as error:
            if isinstance(error, BrokenPipeError) or isinstance(error.__context__, BrokenPipeError):
                self._broken = True  # standard output went away: nobody's fault; rich makes it an exit
                return True
            self.failures += 1
            if not isinstance(error, MemkitError) and os.environ.get("MEMKIT_DEBUG"):
                traceback.print_exc()
            self._complain(f"plugin {implementation.plugin_name!r} failed: {_shortly(error)}; {consequence}")
            return False
        if take:
            take(result)
        return True


@contextmanager
def _spelled(*streams):
    """What the encoding of a stream cannot spell is a backslash and its code meanwhile: names may be anything."""
    before = [(stream, stream.errors) for stream in streams if hasattr(stream, "reconfigure") and not stream.closed]
    for stream, _ in before:
        _reconfigure(stream, "backslashreplace")
    try:
        yield
    finally:
        for stream, errors in before:
            _reconfigure(stream, errors)


def _reconfigure(stream, errors):
    with suppress(OSError, ValueError):  # it went away, which is told to whoever writes or flushes
        stream.reconfigure(errors=errors)


def _is_own(point) -> bool:
    return point.dist is not None and point.dist.metadata["Name"] == OWN


def _shortly(error: Exception) -> str:
    if isinstance(error, MemkitError):
        return str(error)
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__


def _to_stderr(text: str) -> None:
    if sys.stderr is not None:
        print(printable(f"memkit: {text}"), file=sys.stderr)
