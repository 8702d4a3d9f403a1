"""``memkit view``: the page of a recording, made in a temporary place and opened in a browser."""

from __future__ import annotations

import os

from memkit.cli.catalog import read_now
from memkit.cli.parser import Parser
from memkit.cli.printing import say

DESCRIPTION = "Make the page of a recording in a temporary place, and open it in a browser."


def command(name: str, words: list[str]) -> int:
    """Make the page and open it; where there is no browser, say where the page is."""
    parser = Parser(name, DESCRIPTION)
    parser.add_argument("file", metavar="FILE", help="a recording")
    parser.add_argument("--no-source", action="store_true", help="leave source text out of the page")
    parser.add_argument(
        "--redact", action="store_true", help="leave paths, arguments, texts of errors and source out of the page"
    )
    parser.add_argument("--no-open", action="store_true", help="do not open it: only print where it is")
    options = parser.parse(words)
    from memkit.report.page.shown import page_of

    stem = os.path.splitext(os.path.basename(options.file))[0]
    page = page_of(read_now(options.file), stem=stem, source=not options.no_source, redact=options.redact)
    print(page.path, flush=True)
    if not options.no_open and not page.open():
        return say(f"{name}: no browser was found here: open that file in one")
    return 0
