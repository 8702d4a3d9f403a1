"""``memkit list``: the recordings in a folder."""

from __future__ import annotations

from memkit.cli import catalog
from memkit.cli.parser import Parser
from memkit.cli.printing import print_table, say

DESCRIPTION = "List the recordings in a folder, oldest first."


def add_options(parser: Parser) -> None:
    """Add the options of ``memkit list``."""
    parser.add_argument("folder", nargs="?", default=".", help="this one if left out")


def command(name: str, words: list[str]) -> int:
    """List the recordings in a folder."""
    parser = Parser(name, DESCRIPTION)
    add_options(parser)
    rows = [catalog.row_of(file) for file in catalog.recordings_in(parser.parse(words).folder)]
    if not rows:
        return say("there are no recordings here")
    heads: tuple[str, ...] = ("file", "when", "took", "peak", "together", "ended")
    if not any(row[heads.index("together")] for row in rows):
        heads, rows = (*heads[:-2], heads[-1]), [(*row[:-2], row[-1]) for row in rows]
    print_table(heads, rows)
    return 0
