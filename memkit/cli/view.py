"""``memkit view``: the page of a recording, made in a temporary place and opened in a browser."""

from __future__ import annotations

import os
import tempfile

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
    recording = read_now(options.file)
    path = _place(options.file)
    from memkit.report.output import output
    from memkit.report.page.build import html_page

    with output(path) as file:
        for piece in html_page(recording, source=not options.no_source, redact=options.redact):
            file.write(piece)
    print(path, flush=True)
    if not options.no_open and not _opened(path):
        return say(f"{name}: no browser was found here: open that file in one", 0)
    return 0


def _place(file: str) -> str:
    """Where the page goes: a folder of its own, which only this user may look into."""
    stem = os.path.splitext(os.path.basename(file))[0]
    return os.path.join(tempfile.mkdtemp(prefix="memkit-"), f"{stem}.html")


def _opened(path: str) -> bool:
    import webbrowser
    from pathlib import Path

    try:
        return webbrowser.open(Path(path).as_uri())
    except webbrowser.Error:
        return False
