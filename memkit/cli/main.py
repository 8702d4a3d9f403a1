"""The commands ``memkit`` and ``memkit-run``: finding the one that is meant, and its exit code."""

from __future__ import annotations

import os
import sys
from importlib import import_module

from memkit.base.commands import Commands
from memkit.base.errors import MemkitError, UsageError, in_a_line, nearest
from memkit.base.plugins import Plugins
from memkit.base.version import VERSION
from memkit.cli.exit_codes import FAILED, WRONG_USAGE, guarded
from memkit.cli.parser import Parser
from memkit.cli.printing import say
from memkit.cli.report_options import disabled_by

COMMANDS = {
    "run": "run a program and record it; the same as memkit-run",
    "attach": "record a process that runs already",
    "report": "report on recordings",
    "view": "open the page of a recording in a browser",
    "compare": "what changed between recordings, and where",
    "merge": "join the recordings of many processes and machines into one",
    "fit": "how much memory a larger input is going to need",
    "snapshot": "report on the last minutes of a process that memkit.watch records",
    "advise": "what would lower the peak of a recorded program",
    "balance": "what the memory of a running process is made of",
    "list": "list the recordings in a folder",
    "clean": "remove the recordings in a folder",
    "plugins": "list the plugins",
    "info": "what can be measured on this machine",
    "doctor": "what is missing on this machine, and what would give it",
}
"""Each is a module here, which has a ``DESCRIPTION`` and ``command(name, words) -> exit code``."""


def main(words: list[str] | None = None) -> int:
    """The ``memkit`` command; returns its exit code."""
    words = sys.argv[1:] if words is None else words
    if words[:1] == ["run"]:
        return guarded("memkit run", _builtin, words[1:])
    return guarded("memkit", _dispatch, words)


def run(words: list[str] | None = None) -> int:
    """The ``memkit-run`` command; returns the program's exit code."""
    from memkit.cli import run

    return guarded("memkit-run", run.command, sys.argv[1:] if words is None else words)


def _dispatch(_: str, words: list[str]) -> int:
    before = _plugin_options(words)
    disabled = disabled_by(before[1::2])
    words = words[len(before) :]
    name, *rest = words or [""]
    if name in COMMANDS:
        return _builtin(f"memkit {name}", [*before, *rest])
    plugins = Plugins(disabled, reporters=bool(disabled))  # which is cheap where there are no plugins
    plugins.check_names(disabled)
    commands = plugins.commands(COMMANDS)
    if name in commands.found:
        return _of_plugin(commands, name, rest)
    about = {**COMMANDS, **{name: command.description for name, command in sorted(commands.found.items())}}
    if words and not name.startswith("-"):
        raise UsageError(f"unknown command {name!r}{nearest(name, about)}; there are {', '.join(about)}")
    parser = Parser("memkit", _description(about), "memkit COMMAND ...")
    parser.add_argument("--version", action="version", version=f"memkit {VERSION}", help="show the version")
    if not words:
        parser.print_help()
        return WRONG_USAGE
    parser.parse(words)
    return 0


def _plugin_options(words: list[str]) -> list[str]:
    """The ``-p no:NAME`` before a command: its own options come after it."""
    count = 0
    while words[count : count + 1] == ["-p"] and len(words) > count + 1:
        count += 2
    return words[:count]


def _builtin(name: str, words: list[str]) -> int:
    module = import_module(f"memkit.cli.{name.removeprefix('memkit ')}")
    code: int = module.command(name, words)
    return code


def _of_plugin(commands: Commands, name: str, words: list[str]) -> int:
    """Run a command that a plugin added: one that fails is named in a line."""
    command = commands.found[name]
    parser = Parser(f"memkit {name}", command.description)
    try:
        command.add_options(parser)
        return command.run(parser.parse(words))
    except (MemkitError, BrokenPipeError):
        raise
    except Exception as error:
        if os.environ.get("MEMKIT_DEBUG"):
            import traceback

            traceback.print_exc()
        return say(f"memkit {name}: {commands.owner(name)} failed: {in_a_line(error)}", FAILED)


def _description(about: dict[str, str]) -> str:
    width = max(map(len, about)) + len("   ")
    rows = [f"  {name:{width}}{text.strip().splitlines()[0]}" for name, text in about.items()]
    return "\n".join(
        [
            f"memkit {VERSION}: how much memory a Python program uses over time, and how it ended.",
            "\ncommands:",
            *rows,
            "\nmemkit COMMAND --help tells more.",
        ]
    )
