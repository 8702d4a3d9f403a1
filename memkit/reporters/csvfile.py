"""``--csv``: the samples as comma-separated values, one row each, written as they are gone through."""

import csv

import memkit

HEAD = ("time_s", "pid", "memory_bytes", "peak_bytes")


@memkit.hookimpl
def memkit_add_options(parser):
    parser.add_argument(
        "--csv", metavar="FILE", type=memkit.output_path, help="write the samples as CSV; - is standard output"
    ).one_recording = True


@memkit.hookimpl
def memkit_report(recording, options):
    if not options.csv:
        return
    with memkit.output(options.csv) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(HEAD)
        for sample in recording.samples:
            writer.writerow((f"{sample.time / 1e9:.9f}", sample.pid, sample.memory, sample.peak))
