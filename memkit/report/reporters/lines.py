"""The line tables: what each traced line did to memory, function by function, with its source."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, TextIO

import memkit

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterable, Iterator, Sequence

    from rich.text import Text

HEAD = ("line", "hits", "time", "growth", "memory", "peak")
WIDTHS = (6, 11, 10, 12, 11, 11)
MOST_GROWN = 5
LONGEST_GAP = 5
"""More lines than this in a row that never ran are left out."""
STANDS_OUT = 0.1
"""A line is marked if it grew or rose by at least this share of what the largest line of its function did."""


@memkit.hookimpl
def memkit_add_options(parser: memkit.OptionParser) -> None:
    memkit.add_quiet_option(parser)
    parser.add_argument(
        "--csv-lines", metavar="FILE", type=memkit.output_path, help="write the traced lines as CSV"
    ).one_recording = True


@memkit.hookimpl
def memkit_report(recording: memkit.Recording, options: Namespace) -> None:
    """Print the tables after the summary, on the same stream."""
    if options.csv_lines:
        write_csv(recording, options.csv_lines)
    stream = memkit.report_stream(options)
    if stream is not None and recording.tracing is not None:
        show(recording, stream)


def show(recording: memkit.Recording, stream: TextIO) -> None:
    """Print the tables of one recording."""
    console = memkit.console(stream)
    console.print(*tables(recording, colour=console.is_terminal), sep="\n", markup=False)


def write_csv(recording: memkit.Recording, path: str) -> None:
    """The lines as comma-separated values, one row each."""
    import csv

    with memkit.output(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("file", "function", "line", "hits", "time_s", "growth_bytes", "memory_bytes", "peak_bytes"))
        for line in recording.lines:
            place = (line.function.file, line.function.name, line.number)
            writer.writerow((*place, line.hits, f"{line.time / 1e9:.9f}", line.growth, line.memory, line.peak))


def none_known(recording: memkit.Recording) -> str:
    """Why there are no lines in a recording that traced them, in a line."""
    if not recording.ending.complete:
        return "no lines are known: the recording was cut off before any were written"
    return "no lines were traced: nothing that was named ran"


# -- tables --------------------------------------------------------------------------------------------------------


def tables(recording: memkit.Recording, colour: bool = False) -> Iterator[Text]:
    """All tables as rich Text, a line each: one for each function, the lines that grew most, what tracing cost."""
    functions = recording.functions
    if not functions:
        yield _text()
        yield _text((none_known(recording), "yellow"))
        return
    for function, lines in functions.items():
        yield from _table(function, lines, memkit.Source(function.file, recording.about.began), colour)
    if len(functions) > 1:
        yield from _most_grown(recording)
    yield _text()
    yield _text((cost(recording), "dim"))


def cost(recording: memkit.Recording) -> str:
    """How exact the numbers are and what tracing cost, in one line."""
    tracing, meter = recording.tracing, recording.about.meter
    assert tracing is not None, "no lines were traced"
    what = "resident memory, ±0.1 MiB" if meter == "rss" else meter
    reason = f" ({tracing.reason})" if tracing.reason else ""
    took = memkit.units.show_time(tracing.cost)
    return (
        f"gate {tracing.gate}{reason}: {tracing.reads:,} reads for {tracing.events:,} lines; {what}; "
        f"tracing by {tracing.tracer} cost about {took}"
    )


def _text(*parts: str | tuple[str, str] | Text) -> Text:
    from rich.text import Text

    text = Text.assemble(*parts)
    text.plain = memkit.units.printable(text.plain)
    return text


def _table(function: memkit.Function, lines: Sequence[memkit.Line], source: memkit.Source, colour: bool) -> Iterator[Text]:
    yield _text()
    yield _text((function.name, "bold"), f"  {source.name}:{function.line}  ", (sums(lines), "bold"))
    if source.remark:
        yield _text((source.remark, "yellow"))
    yield _text((_columns(HEAD) + "  source", "dim"))
    texts = _texts(source, lines[-1].number, colour)
    for number, line, marked in rows(function, lines, source):
        if number is None:
            yield _text((" " * (WIDTHS[0] - 1) + "⋮" if colour else " " * (WIDTHS[0] - 3) + "...", "dim"))
            continue
        style = "bold yellow" if marked else ""
        yield _text((_columns(cells(number, line)), style), "  ", texts[number - 1] if number <= len(texts) else "")


def sums(lines: Sequence[memkit.Line]) -> str:
    """What the lines of a function did together, in words."""
    growth = memkit.units.show_bytes(sum(line.growth for line in lines), sign=True)
    return f"growth {growth}, peak {memkit.units.show_bytes(max(line.peak for line in lines))}"


def rows(
    function: memkit.Function, lines: Sequence[memkit.Line], source: memkit.Source
) -> Iterator[tuple[int | None, memkit.Line | None, bool]]:
    """The rows of a table: the number, the line if it ran, and whether it is marked; a row without a number is a gap."""
    greatest = max((_weight(line, lines) for line in lines), default=0)
    known = {line.number: line for line in lines}
    for number in _shown(known, function.line if source.lines else lines[0].number):
        line = None if number is None else known.get(number)
        yield number, line, bool(line and greatest and _weight(line, lines) >= greatest * STANDS_OUT)


def _texts(source: memkit.Source, last: int, colour: bool) -> Sequence[str | Text]:
    """The lines of a source up to the last, highlighted for a terminal."""
    texts = source.lines[:last]
    if colour and texts:
        from rich.syntax import Syntax

        return list(Syntax("", "python").highlight("\n".join(texts)).split("\n"))
    return texts


def _weight(line: memkit.Line, lines: Sequence[memkit.Line]) -> int:
    """How much a line matters to memory: what it grew by, or rose above where its function began and ended."""
    base = max(lines[0].memory - lines[0].growth, 0)
    return max(abs(line.growth), line.peak - max(line.memory, base))


def cells(number: int, line: memkit.Line | None) -> tuple[str, ...]:
    """The columns of a row, in words."""
    if line is None:
        return (str(number), "", "", "", "", "")
    size, time = memkit.units.show_bytes, memkit.units.show_time
    growth = size(line.growth, sign=True) if line.growth else "0"
    return (str(number), f"{line.hits:,}", time(line.time), growth, size(line.memory), size(line.peak))


def _columns(words: Iterable[str]) -> str:
    return " ".join(f"{word:>{width}}" for word, width in zip(words, WIDTHS))


def _shown(known: Iterable[int], start: int) -> Iterator[int | None]:
    """The line numbers of a table; None stands for a gap."""
    numbers = sorted(known)
    before = min(start, numbers[0]) - 1
    for number in numbers:
        gap = range(before + 1, number)
        if len(gap) > LONGEST_GAP:
            yield None
        else:
            yield from gap
        yield number
        before = number


def _most_grown(recording: memkit.Recording) -> Iterator[Text]:
    grown = memkit.transforms.most_grown_lines(recording.lines, MOST_GROWN)
    if not grown:
        return
    yield _text()
    yield _text(("the lines that grew most, with all that they called", "bold"))
    for line in grown:
        source = memkit.Source(line.function.file)
        place, text = f"{os.path.basename(source.name)}:{line.number}", source.line(line.number).strip()
        yield _text((f"{memkit.units.show_bytes(line.growth, sign=True):>12}", "yellow"), f"  {place}  {text}")
