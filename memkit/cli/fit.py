"""``memkit fit``: how much memory a program is going to need for a larger input, by runs of smaller ones."""

from __future__ import annotations

import argparse
from functools import partial

from memkit.base.errors import UsageError
from memkit.base.units import parse_bytes
from memkit.cli.catalog import read_now
from memkit.cli.parser import Parser
from memkit.cli.report_options import check_outputs
from memkit.report import pictures
from memkit.report.fitting import document, requests, tables
from memkit.report.fitting.document import Ceiling
from memkit.report.fitting.fit import Fit, fit
from memkit.report.fitting.runs import parse_size
from memkit.report.output import naming_files, output, output_path, print_rows, report_stream
from memkit.system.limits import limits

DESCRIPTION = """Tell how much memory a program is going to need for a larger input.

The recordings are of runs with inputs of several sizes. Their peaks are modelled as a function of size, for the
whole program and for each line and path of calls that was traced."""
_AHEAD = 10
"""The prediction is for so many times the largest run, if nothing else is asked for."""
_COMPARABLE = ("cgroup", "machine")


def add_options(parser: Parser) -> None:
    """Add the options of ``memkit fit``."""
    parser.add_argument("files", nargs="+", metavar="FILE", help="recordings of runs of several sizes")
    parser.add_argument(
        "--size",
        metavar="N",
        nargs="+",
        type=parse_size,
        help="how large the input of each was, in the order of the files; by default what memkit.size or memkit-run --sizes "
        "told, else the one argument that differs",
    )
    parser.add_argument(
        "--at",
        metavar="SIZE",
        action="append",
        type=parse_size,
        help=f"the size to predict for; repeatable; by default {_AHEAD} times the largest run",
    )
    parser.add_argument(
        "--limit",
        metavar="BYTES",
        action="append",
        type=_memory,
        help="tell at which size this much memory, such as 8GiB, is reached; what is left of this machine and of its "
        "control groups is always told",
    )
    parser.add_argument("--show-all", action="store_true", help="fit the calls of libraries, too")
    parser.add_argument("--wide", action="store_true", help="do not cut the rows of tables to the width of the terminal")
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing")
    reports = parser.add_argument_group("reports")
    help = "write all as JSON, which memkit.will_it_fit reads; - is standard output"
    reports.add_argument("--json", metavar="FILE", type=output_path, help=help)
    help = "write requests and limits for Kubernetes; - is standard output"
    reports.add_argument("--yaml", metavar="FILE", type=output_path, help=help)
    reports.add_argument("--slurm", metavar="FILE", type=output_path, help="write what to ask Slurm for")
    help = "draw runs, curve, interval and limits into a .png, .svg or .pdf file"
    reports.add_argument("--plot", metavar="FILE", type=pictures.path, help=help)


def command(name: str, words: list[str]) -> int:
    """Fit recordings, and tell what follows."""
    parser = Parser(name, DESCRIPTION)
    add_options(parser)
    options = parser.parse(words)
    options.command = "report"
    check_outputs(parser, options, options.files)
    found = fit([read_now(file) for file in options.files], options.size, libraries=options.show_all)
    report(found, options)
    return 0


def report(found: Fit, options: argparse.Namespace) -> None:
    """Print a fit, and write what was wished."""
    sizes = options.at or [found.largest * _AHEAD]
    known = [(f"--limit {size}", memory) for size, memory in options.limit or ()]
    known += [(f"what is left of {each.name}", each.left) for each in limits() if each.kind in _COMPARABLE]
    ceilings = [Ceiling(name, memory, found.reached(memory)) for name, memory in known]
    with naming_files(options):
        for path, text in (
            (options.json, partial(document.document, found, sizes, ceilings)),
            (options.yaml, partial(requests.yaml, found, max(sizes))),
            (options.slurm, partial(requests.slurm, found, max(sizes))),
        ):
            if path:
                with output(path) as file:
                    file.write(text())
        if options.plot:
            from memkit.report.fitting import picture

            pictures.save(picture.draw(found, sizes, ceilings), options.plot)
        if (stream := report_stream(options)) is not None:
            print_rows(stream, partial(tables.page, found, sizes, ceilings), options.wide)


def _memory(text: str) -> tuple[str, int]:
    """The type of ``--limit``. Raises ``UsageError``."""
    memory = parse_bytes(text)
    if not memory:
        raise UsageError(f"--limit {text!r}: no program needs less than that; write a size such as 8GiB")
    return text, memory
