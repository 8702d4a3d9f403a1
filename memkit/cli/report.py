"""``memkit report``: reports on recordings, made again."""

from __future__ import annotations

import os
from functools import partial

from memkit.cli.catalog import read_now
from memkit.cli.exit_codes import FAILED
from memkit.cli.parser import Parser
from memkit.cli.printing import say
from memkit.cli.report_options import check_outputs, parsed, reported

DESCRIPTION = """Report on recordings. Several are reported on one by one, and drawn into one plot.

Those in a folder are joined into one, as memkit merge does."""


def add_options(parser: Parser) -> None:
    """Add the options of ``memkit report``; plugins add theirs."""
    parser.add_argument("files", nargs="+", metavar="FILE", help="a recording, or a folder of them")


def command(name: str, words: list[str]) -> int:
    """Report on recordings; 1 where a report failed."""
    parser, plugins, options = parsed(name, DESCRIPTION, words, add_options)
    check_outputs(parser, options, options.files)
    left: list[str] = []
    recordings = []
    for file in options.files:
        if os.path.isdir(file):
            from memkit.cli.merge import folder_of

            recordings.append(folder_of(file, left.append))
        else:
            recordings.append(read_now(file))
    failed = reported(plugins, recordings, options)
    for text in map(partial("{}: left out: {}".format, name), left):
        say(text)
    return FAILED if failed or left else 0
