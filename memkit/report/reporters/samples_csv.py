"""``--csv``: the samples of all processes as comma-separated values, one row each, in order of time."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

import memkit

if TYPE_CHECKING:
    from argparse import Namespace

HEAD = ("time_s", "pid", "memory_bytes", "peak_bytes")


@memkit.hookimpl
def memkit_add_options(parser: memkit.OptionParser) -> None:
    parser.add_argument(
        "--csv", metavar="FILE", type=memkit.output_path, help="write the samples as CSV; - is standard output"
    ).one_recording = True


@memkit.hookimpl
def memkit_report(recording: memkit.Recording, options: Namespace) -> None:
    if not options.csv:
        return
    with memkit.output(options.csv) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(HEAD)
        for sample in memkit.transforms.all_samples(recording):
            writer.writerow((f"{sample.time / 1e9:.9f}", sample.pid, sample.memory, sample.peak))
