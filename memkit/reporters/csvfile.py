"""``--csv``: the samples as comma-separated values, one row each, written as they are gone through."""

import csv

import memkit

HEAD = ("time_s", "pid", "memory_bytes", "peak_bytes")


@memkit.hookimpl
def memkit_add_options(parser):
    parser.add_argument(
        "--csv", metavar="FILE", type=memkit.output_path, help="write the samples as CSV; - is standard output"
    )


@memkit.hookimpl
def memkit_report(recordings, options):
    if not options.csv:
        return
    if len(recordings) != 1:
        raise memkit.UsageError(f"--csv takes one recording, not {len(recordings)}: write a file for each")
    with memkit.output(options.csv) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(HEAD)
        for sample in recordings[0].samples:
            writer.writerow((f"{sample.time / 1e9:.9f}", sample.pid, sample.memory, sample.peak))
