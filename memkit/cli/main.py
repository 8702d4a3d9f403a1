"""The commands ``memkit`` and ``memkit-run``: finding the one that is meant, and its exit code."""

from __future__ import annotations

import sys
from importlib import import_module

from memkit.base.errors import UsageError, nearest
from memkit.base.version import VERSION
from memkit.cli.exit_codes import WRONG_USAGE, guarded
from memkit.cli.parser import Parser

COMMANDS = {
    "run": "run a program and record it; the same as memkit-run",
    "attach": "record a process that runs already",
    "report": "report on recordings",
    "list": "list the recordings in a folder",
    "clean": "remove the recordings in a folder",
    "plugins": "list the plugins",
    "info": "what can be measured on this machine",
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
    command, *rest = words or [""]
    if command in COMMANDS:
        return _builtin(f"memkit {command}", rest)
    parser = Parser(prog="memkit", description=_description(), usage="memkit COMMAND ...")
    parser.add_argument("--version", action="version", version=f"memkit {VERSION}", help="show the version")
    if not words:
        parser.print_help()
        return WRONG_USAGE
    if command.startswith("-"):
        parser.parse(words)
        return 0
    raise UsageError(f"unknown command {command!r}{nearest(command, COMMANDS)}; there are {', '.join(COMMANDS)}")


def _builtin(name: str, words: list[str]) -> int:
    module = import_module(f"memkit.cli.{name.removeprefix('memkit ')}")
    code: int = module.command(name, words)
    return code


def _description() -> str:
    width = max(map(len, COMMANDS)) + len("   ")
    return (
        f"memkit {VERSION}: how much memory a Python program uses over time, and how it ended.\n\ncommands:\n"
        + "".join(f"  {name:{width}}{text}\n" for name, text in COMMANDS.items())
        + "\nmemkit COMMAND --help tells more."
    )
