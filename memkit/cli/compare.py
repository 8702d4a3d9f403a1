"""``memkit compare``: what changed from one recording to another, and a gate for it."""

from __future__ import annotations

import argparse
from functools import partial

from memkit.base.errors import UsageError
from memkit.cli.catalog import read_now
from memkit.cli.exit_codes import OVER
from memkit.cli.parser import Parser
from memkit.cli.printing import say
from memkit.cli.report_options import check_outputs
from memkit.model.recording import Recording
from memkit.report import pictures
from memkit.report.comparing import document, gate, markdown, tables
from memkit.report.comparing.changes import HEAP, MEASURES
from memkit.report.comparing.comparison import Comparison, compare
from memkit.report.comparing.redacted import redacted
from memkit.report.comparing.runs import FIGURES
from memkit.report.output import naming_files, output, output_path, print_rows, report_stream

DESCRIPTION = """Tell what changed from one recording of a program to another, and where.

Of several recordings the first is compared with each of the others. With -- between two groups,
their medians are compared, and a difference within their spread is not called a change."""
_BETWEEN = "\0--"


def add_options(parser: Parser) -> None:
    """Add the options of ``memkit compare``."""
    parser.usage = f"{parser.prog} [options] A B [C ...]\n       {parser.prog} [options] A1 A2 ... -- B1 B2 ..."
    parser.add_argument("files", nargs="+", metavar="FILE", help="recordings")
    parser.add_argument(
        "--fail-over",
        metavar="FIGURE=SIZE,...",
        type=_bounds,
        help="exit with 3 if a figure rose by more, such as peak=10%%,growth=20MiB; of " + ", ".join(FIGURES),
    )
    by = "what tables are ranked by, and pictures are by: by default growth, rise or alive, whichever changed most"
    parser.add_argument("--by", metavar="KEY", type=_measure, help=f"{by}; else one of {', '.join(MEASURES)}")
    parser.add_argument("--hide", metavar="GLOB", action="append", help="count calls of files that match with their callers")
    parser.add_argument("--show-all", action="store_true", help="show the calls of libraries, too")
    parser.add_argument("--wide", action="store_true", help="do not cut the rows of tables to the width of the terminal")
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing but what went over a bound")
    help = "leave paths, arguments, the host, texts of errors and of lines out of all that is printed and written"
    parser.add_argument("--redact", action="store_true", help=help)
    reports = parser.add_argument_group("reports")
    reports.add_argument("--json", metavar="FILE", type=output_path, help="write all as JSON; - is standard output")
    reports.add_argument(
        "--markdown", metavar="FILE", type=output_path, help="write it for a pull request; - is standard output"
    )
    reports.add_argument("--html", metavar="FILE", type=output_path, help="write a page for a browser; - is standard output")
    help = "draw both trees of calls into a .png, .svg or .pdf file: red is more, blue is less"
    reports.add_argument("--flame", metavar="FILE", type=pictures.path, help=help)


def command(name: str, words: list[str]) -> int:
    """Compare recordings; ``OVER`` where a figure went over its bound."""
    parser = Parser(name, DESCRIPTION)
    add_options(parser)
    options = parser.parse([_BETWEEN if word == "--" else word for word in words])
    options.command = "report"
    pairs = _pairs(options.files)
    if options.flame and len(pairs) > 1:
        raise UsageError("--flame draws one comparison: give two recordings, or two groups with -- between them")
    check_outputs(parser, options, [file for file in options.files if file != _BETWEEN])
    known: dict[str, Recording] = {}
    for file in options.files:
        if file != _BETWEEN and file not in known:
            known[file] = read_now(file)
    settings = {"hide": options.hide or (), "libraries": options.show_all}
    comparisons = [
        compare([known[each] for each in one], [known[each] for each in other], **settings) for one, other in pairs
    ]
    _check_known(comparisons, options.by)
    bounds = options.fail_over
    over = [comparison.exceeded(bounds) if bounds else [] for comparison in comparisons]
    if options.redact:
        comparisons = list(map(redacted, comparisons))
    with naming_files(options):
        _report(comparisons, over, options)
    for (_, other), lines in zip(pairs, over):
        for line in lines:
            say(f"{name}: {other[0] if len(other) == 1 else f'{len(other)} recordings'}: {line}")
    return OVER if any(over) else 0


def _check_known(comparisons: list[Comparison], by: str | None) -> None:
    """Raise ``UsageError`` for a measure of the heap to rank by that one of the sides has not."""
    for comparison in comparisons if by in HEAP else ():
        alive = comparison.figure("alive")
        if alive is None or not alive.known:
            raise UsageError(f"--by {by}: that is not known of both sides; record both with --heap")


def _report(comparisons: list[Comparison], over: list[list[str]], options: argparse.Namespace) -> None:
    """Print the comparisons, and write what was wished."""
    if options.json:
        with output(options.json) as file:
            file.writelines(document.document(comparisons, options.fail_over))
    if options.markdown:
        with output(options.markdown) as file:
            for number, (comparison, lines) in enumerate(zip(comparisons, over)):
                file.writelines(["\n"] * bool(number))
                file.writelines(f"{line}\n" for line in markdown.markdown(comparison, options.by, lines))
    if options.html:
        from memkit.report.comparing.page import page

        with output(options.html) as file:
            file.writelines(page(comparisons, options.fail_over))
    if options.flame:
        from memkit.report.comparing import flame

        pictures.save(flame.draw(comparisons[0], options.by), options.flame)
    if (stream := report_stream(options)) is not None:
        for number, comparison in enumerate(comparisons):
            stream.write("\n" * bool(number))
            print_rows(stream, partial(tables.page, comparison, options.by), options.wide)


def _pairs(files: list[str]) -> list[tuple[list[str], list[str]]]:
    """The two sides of each comparison. Raises ``UsageError``."""
    if files.count(_BETWEEN) > 1:
        raise UsageError("there are two groups of recordings, with one -- between them")
    if _BETWEEN in files:
        place = files.index(_BETWEEN)
        one, other = files[:place], files[place + 1 :]
        if not one or not other:
            raise UsageError(f"there is no recording {'before' if not one else 'after'} the --")
        return [(one, other)]
    if len(files) < 2:
        raise UsageError(f"{files[0]!r} alone cannot be compared: name two recordings at least")
    return [([files[0]], [each]) for each in files[1:]]


def _bounds(text: str) -> str:
    """The type of ``--fail-over``. Raises ``UsageError``."""
    gate.bounds(text)
    return text


def _measure(text: str) -> str:
    """The type of ``--by``. Raises ``UsageError``."""
    if text not in MEASURES:
        raise UsageError(f"--by {text!r}: rows are compared by {', '.join(MEASURES)}")
    return text
