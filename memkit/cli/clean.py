"""``memkit clean``: the recordings in a folder are removed."""

from __future__ import annotations

import os

from memkit.base.units import printable, show_text
from memkit.cli import catalog
from memkit.cli.exit_codes import FAILED
from memkit.cli.parser import Parser
from memkit.cli.printing import say

DESCRIPTION = "Remove the recordings in a folder, except one that is being made."


def add_options(parser: Parser) -> None:
    """Add the options of ``memkit clean``."""
    parser.add_argument("folder", nargs="?", default=".", help="this one if left out")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be removed")


def command(name: str, words: list[str]) -> int:
    """Remove the recordings in a folder; 1 where one could not be removed."""
    parser = Parser(name, DESCRIPTION)
    add_options(parser)
    options = parser.parse(words)
    code = 0
    for file in catalog.recordings_in(options.folder):
        if catalog.is_growing(file):
            print(printable(show_text(f"left {file}: it is being recorded")))
            continue
        try:
            if not options.dry_run:
                os.unlink(file)
        except OSError as error:
            code = say(f"{name}: cannot remove {file!r}: {error.strerror}", FAILED)
            continue
        print(printable(show_text(f"{'would remove' if options.dry_run else 'removed'} {file}")))
    return code
