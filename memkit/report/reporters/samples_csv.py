"""``--csv``: the samples of all processes as comma-separated values, one row each, written as they are gone through."""

import csv
from heapq import merge
from operator import attrgetter

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
        for sample in merge(recording.samples, recording.others, key=attrgetter("time")):
            writer.writerow((f"{sample.time / 1e9:.9f}", sample.pid, sample.memory, sample.peak))
