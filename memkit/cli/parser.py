"""Reading a command line: options of memkit's own up to the program, and everything after it the program's."""

from __future__ import annotations

import argparse
import os

from memkit.base.errors import UsageError, nearest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

_WITHOUT_VALUE = ("--lines", "--calls", "--heap")
"""They take what follows an ``=`` and nothing else: in ``--lines script.py`` the script is what is to be run."""
_PROGRAM = ("-m", "-c", "-", "--", "--program")
"""What begins with a dash and is the program, or right before it."""
_DASHES = "\0--"


class Parser(argparse.ArgumentParser):
    """A parser that raises ``UsageError``, and names the nearest option for one it does not know."""

    def __init__(self, prog: str, description: str, usage: str | None = None, *, help: bool = True):
        super().__init__(
            prog,
            usage,
            description,
            allow_abbrev=False,
            formatter_class=_formatter,
            add_help=False,
        )
        self.ours: list[str] = []
        """The words of the last command line before the program."""
        if help:
            self.add_argument("-h", "--help", action="help", help="show this help")

    def parse(self, words: list[str]) -> argparse.Namespace:
        """The options among some words, and the program with its arguments."""
        runs_one = any(action.nargs == argparse.REMAINDER for action in self._actions)
        ours = self._words_before_program(words) if runs_one else len(words)
        if words[ours : ours + 1] and words[ours].startswith("--program="):
            words = [*words[:ours], *words[ours].split("=", 1), *words[ours + 1 :]]
        before = [f"{word}=" if word in _WITHOUT_VALUE else word for word in words[:ours]]
        # argparse would take a -- among the program's arguments for its own.
        after = [_DASHES if word == "--" else word for word in words[ours + (words[ours : ours + 1] == ["--"]) :]]
        options, unknown = self.parse_known_args(before + after)
        self.ours = words
        for name in ("program", "module", "code", "command_line"):
            if getattr(options, name, None):
                self.ours = words[:ours]
                setattr(options, name, ["--" if word == _DASHES else word for word in getattr(options, name)])
        if unknown:
            word = unknown[0].partition("=")[0]
            known = [name for action in self._actions for name in action.option_strings if len(name) > len("-x")]
            known.sort(key="--help".__eq__)  # the last that is meant: the message names it anyway
            kind = "option" if word.startswith("-") else "argument"
            raise UsageError(f"unknown {kind} {word!r}{nearest(word, known)}; see {self.prog} --help")
        return options

    def _words_before_program(self, words: list[str]) -> int:
        """How many words are options of ours and their values."""
        place = 0
        while place < len(words) and words[place].startswith("-") and words[place] not in _PROGRAM:
            if words[place].startswith("--program="):
                break
            name, equals, _ = words[place].partition("=")
            action = self._option_string_actions.get(name)
            has_value = action is not None and action.nargs is None and not equals and name not in _WITHOUT_VALUE
            place += 2 if has_value else 1
        return place

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see {self.prog} --help")


def _formatter(prog: str) -> argparse.HelpFormatter:
    """What lays out a help text. argparse makes one for each option that is added, and would import shutil for its width."""
    try:
        columns = int(os.environ.get("COLUMNS") or 0) or os.get_terminal_size(1).columns
    except (ValueError, OSError):
        columns = 0
    return _Formatter(prog, width=(columns or 80) - 2)


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Writes each option as it has to be typed."""

    def _format_action_invocation(self, action: argparse.Action) -> str:
        if action.option_strings and action.option_strings[0] in _WITHOUT_VALUE:
            return f"{action.option_strings[0]}[={action.metavar}]"
        if action.option_strings and action.nargs == argparse.REMAINDER:
            return f"{action.option_strings[0]} {action.metavar} ..."
        return super()._format_action_invocation(action)
