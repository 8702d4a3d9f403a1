"""``memkit report``: reports on recordings, made again."""

from __future__ import annotations

from memkit.cli.catalog import read_now
from memkit.cli.exit_codes import FAILED
from memkit.cli.parser import Parser
from memkit.cli.report_options import check_outputs, parsed, reported

DESCRIPTION = "Report on recordings. Several are reported on one by one, and drawn into one plot."


def add_options(parser: Parser) -> None:
    """Add the options of ``memkit report``; plugins add theirs."""
    parser.add_argument("files", nargs="+", metavar="FILE", help="a recording")


def command(name: str, words: list[str]) -> int:
    """Report on recordings; 1 where a report failed."""
    parser, plugins, options = parsed(name, DESCRIPTION, words, add_options)
    check_outputs(parser, options, options.files)
    recordings = [read_now(file) for file in options.files]
    return FAILED if reported(plugins, recordings, options) else 0
