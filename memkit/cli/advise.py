"""``memkit advise``: the few things that would lower the peak of a recorded program most."""

from __future__ import annotations

from functools import partial

from memkit.cli.catalog import read_now
from memkit.cli.parser import Parser
from memkit.cli.report_options import check_outputs
from memkit.report.advising import page
from memkit.report.output import naming_files, output, output_path, print_rows, report_stream

DESCRIPTION = """Tell what would lower the memory of a recorded program most, each with an estimate.

Every piece of advice says what was measured and what is guessed; none is given where the recording does not carry it."""


def add_options(parser: Parser) -> None:
    """Add the options of ``memkit advise``."""
    parser.add_argument("file", metavar="FILE", help="a recording")
    parser.add_argument("--wide", action="store_true", help="do not cut rows to the width of the terminal")
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing")
    reports = parser.add_argument_group("reports")
    reports.add_argument("--json", metavar="FILE", type=output_path, help="write it as JSON; - is standard output")


def command(name: str, words: list[str]) -> int:
    """Advise on a recording."""
    parser = Parser(name, DESCRIPTION)
    add_options(parser)
    options = parser.parse(words)
    options.command = "report"
    check_outputs(parser, options, [options.file])
    recording = read_now(options.file)
    with naming_files(options):
        if options.json:
            with output(options.json) as file:
                file.write(page.document(recording))
        if (stream := report_stream(options)) is not None:
            print_rows(stream, partial(page.page, recording), options.wide)
    return 0
