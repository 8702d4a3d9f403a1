"""``--mprof``: the recording as a ``.dat`` file of mprof, for ``mprof plot`` and other programs that read those."""

from __future__ import annotations

from typing import TYPE_CHECKING

import memkit

if TYPE_CHECKING:
    from argparse import Namespace


@memkit.hookimpl
def memkit_add_options(parser: memkit.OptionParser) -> None:
    parser.add_argument(
        "--mprof",
        metavar="FILE",
        type=memkit.output_path,
        help="write samples and spans as mprof does, for mprof plot and peak; - is standard output",
    ).one_recording = True


@memkit.hookimpl
def memkit_report(recording: memkit.Recording, options: Namespace) -> None:
    if not options.mprof:
        return
    with memkit.output(options.mprof) as file:
        file.writelines(memkit.mprof_lines(recording))
