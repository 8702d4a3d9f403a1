"""``--mprof``: the recording as a ``.dat`` file of mprof's, for ``mprof plot`` and whatever else reads those."""

import memkit


@memkit.hookimpl
def memkit_add_options(parser):
    parser.add_argument(
        "--mprof",
        metavar="FILE",
        type=memkit.output_path,
        help="write samples and spans as mprof does, for mprof plot and peak; - is standard output",
    ).one_recording = True


@memkit.hookimpl
def memkit_report(recording, options):
    if not options.mprof:
        return
    with memkit.output(options.mprof) as file:
        file.writelines(memkit.mprof_lines(recording))
