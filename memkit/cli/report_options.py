"""A command that reports: its own options, those that plugins add to them, and ``-p no:NAME``, which leaves a plugin out."""

from __future__ import annotations

import argparse
import itertools
import os
from collections.abc import Callable

from memkit.base.errors import UsageError
from memkit.base.plugins import Plugins
from memkit.cli.exit_codes import FAILED
from memkit.cli.parser import Parser
from memkit.cli.printing import say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from memkit.model.recording import Recording


def parsed(
    name: str, description: str, words: list[str], add_options: Callable[[Parser], None]
) -> tuple[Parser, Plugins, argparse.Namespace]:
    """A command's parser, plugins and options. Plugins add options, and ``-p no:NAME`` is an option that says which do."""
    disabled = {word[3:] for before, word in itertools.pairwise(words) if before == "-p" and word.startswith("no:")}
    while True:
        plugins = Plugins(disabled)
        parser = Parser(name, description)
        add_options(parser)
        add_plugin_option(parser)
        plugins.add_options(parser.add_argument_group("reports"))
        options = parser.parse(words)
        wanted = disabled_by(options.plugins)
        if wanted == disabled:
            plugins.check_names(disabled)
            check_companions(parser, options)
            plugins.remember(parser.ours)
            options.command = name.split()[-1].removeprefix("memkit-")
            return parser, plugins, options
        disabled = wanted  # the first parse took an argument of the program's for ours


def check_companions(parser: Parser, options: argparse.Namespace) -> None:
    """Refuse an option that says how another one does its work, without that one. Raises ``UsageError``."""
    for action in parser._actions:
        companion = getattr(action, "goes_with", None)
        if companion and getattr(options, action.dest, None) and not getattr(options, companion, None):
            raise UsageError(f"{action.option_strings[-1]} is for --{companion}: give that too")


def add_plugin_option(parser: Parser) -> None:
    """Add ``-p no:NAME``."""
    help = "leave a plugin out; see memkit plugins"
    parser.add_argument("-p", dest="plugins", action="append", default=[], metavar="no:NAME", help=help)


def disabled_by(given: list[str]) -> set[str]:
    """The names of the plugins that ``-p`` leaves out, by what it was ``given``. Raises ``UsageError``."""
    for word in given:
        if not word.startswith("no:"):
            raise UsageError(f"-p {word!r}: write -p no:NAME; a plugin is switched on by its own option")
    return {word[3:] for word in given}


def reported(plugins: Plugins, recordings: list[Recording], options: argparse.Namespace) -> int:
    """Let the plugins report, and name the files that they have written; returns how many reports failed."""
    from memkit.report.output import naming_files

    with naming_files(options):
        return plugins.report(recordings, options)


def left(name: str, plugins: Plugins, path: str) -> int:
    """Say that a second signal has ended a command's report on the recording in a file; returns the exit code."""
    return say(f"{name}: a second signal ended the report; {plugins.again([path])}", FAILED)


def check_outputs(parser: Parser, options: argparse.Namespace, taken: list[str]) -> None:
    """Refuse to write a report over what is run or read, or two reports into one file. Raises ``UsageError``."""
    seen = set(map(os.path.realpath, taken))
    for action in parser._actions:
        value = getattr(options, action.dest, None)
        container = getattr(action, "container", None)
        written = container is not None and container.title == "reports" and not action.choices
        if not (written or action.dest == "call_log") or not isinstance(value, str):
            continue
        path = os.path.realpath(value)
        if value != "-" and path in seen:
            name = action.option_strings[-1]
            raise UsageError(f"{name} {value!r}: that file is in use already: give each a file of its own")
        seen.add(path)
