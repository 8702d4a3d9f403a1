"""``--html``: one page with everything, for a browser: curve, lines, calls, processes, and what memory was made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import memkit

if TYPE_CHECKING:
    from argparse import Namespace


@memkit.hookimpl
def memkit_add_options(parser: memkit.OptionParser) -> None:
    option = parser.add_argument(
        "--html",
        metavar="FILE",
        type=memkit.output_path,
        help="write a page with everything, for a browser: one file, which needs no network; - is standard output",
    )
    option.one_recording = True
    for name, what in (("--no-source", "source text"), ("--redact", "paths, arguments, texts of errors and source")):
        parser.add_argument(name, action="store_true", help=f"leave {what} out of the page").goes_with = "html"


@memkit.hookimpl
def memkit_report(recording: memkit.Recording, options: Namespace) -> None:
    if not options.html:
        if options.no_source or options.redact:
            raise memkit.UsageError("no_source and redact are for html: give that too")
        return
    with memkit.output(options.html) as file:
        for piece in memkit.html_page(recording, source=not options.no_source, redact=options.redact):
            file.write(piece)
