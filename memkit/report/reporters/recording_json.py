"""``--json``: a whole recording as one document. Times are nanoseconds since its beginning, sizes bytes, unknowns null."""

from __future__ import annotations

from typing import TYPE_CHECKING

import memkit

if TYPE_CHECKING:
    from argparse import Namespace


@memkit.hookimpl
def memkit_add_options(parser: memkit.OptionParser) -> None:
    parser.add_argument(
        "--json", metavar="FILE", type=memkit.output_path, help="write the whole recording as JSON; - is standard output"
    ).one_recording = True


@memkit.hookimpl
def memkit_report(recording: memkit.Recording, options: Namespace) -> None:
    if not options.json:
        return
    with memkit.output(options.json) as file:
        for piece in memkit.document(recording):
            file.write(piece)
