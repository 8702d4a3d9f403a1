"""``memkit balance``: what the resident memory of a running process is made of."""

from __future__ import annotations

import json

from memkit.base.errors import MeterError, UsageError
from memkit.base.units import printable
from memkit.cli.parser import Parser
from memkit.report.output import output
from memkit.run import attach
from memkit.system.balance import balance

DESCRIPTION = """Tell what the resident memory of a running process is made of, and what can be done about it.

From outside less can be told than by memkit.balance() in the program itself; notes say what."""


def add_options(parser: Parser) -> None:
    """Add the options of ``memkit balance``."""
    parser.usage = f"{parser.prog} [options] (PID | NAME)"
    parser.add_argument("process", metavar="PID|NAME", help="a process: its number, or a part of its name or command line")
    parser.add_argument(
        "--json", metavar="FILE", help="write it to FILE as JSON, in place of the table; - is standard output"
    )


def command(name: str, words: list[str]) -> int:
    """Print the balance of a process, or write it as JSON."""
    parser = Parser(name, DESCRIPTION)
    add_options(parser)
    options = parser.parse(words)
    try:
        found = balance(attach.find(options.process, "rss").pid)
    except MeterError as error:
        raise UsageError(str(error)) from None
    if options.json is None:
        print("\n".join(map(printable, str(found).splitlines())))
    else:
        with output(options.json) as file:
            json.dump(found.as_dict(), file, indent=1)
            file.write("\n")
    return 0
