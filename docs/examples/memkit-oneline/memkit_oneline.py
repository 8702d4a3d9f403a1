"""``--oneline``: a line for each recording, with how it ended, how high it rose and how long it took."""

import memkit


@memkit.hookimpl
def memkit_add_options(parser):
    parser.add_argument(
        "--oneline", metavar="FILE", type=memkit.output_path, help="write a line for each recording; - is standard output"
    )


@memkit.hookimpl
def memkit_report(recordings, options):
    if not options.oneline:
        return
    with memkit.output(options.oneline) as file:
        for recording in recordings:
            peak = memkit.units.show_bytes(recording.peak)
            took = memkit.units.show_time(recording.duration)
            print(f"{recording.about.command}: {recording.ending}, {peak}, {took}", file=file)
