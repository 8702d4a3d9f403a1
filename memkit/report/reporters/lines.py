"""The line tables: what each traced line did to memory, function by function, with its source."""

import os
import sys

import memkit

HEAD = ("line", "hits", "time", "growth", "memory", "peak")
WIDTHS = (6, 11, 10, 12, 11, 11)
MOST_GROWN = 5
LONGEST_GAP = 5
"""Lines that never ran are left out where more than so many follow each other."""
STANDS_OUT = 0.1
"""A line is marked that has at least this share of what its function's greatest line grew or rose by."""


@memkit.hookimpl
def memkit_add_options(parser):
    parser.add_argument(
        "--csv-lines", metavar="FILE", type=memkit.output_path, help="write the traced lines as CSV"
    ).one_recording = True


@memkit.hookimpl
def memkit_report(recording, options):
    """The tables go where the summary goes, after it."""
    if options.csv_lines:
        write_csv(recording, options.csv_lines)
    taken = options.command != "report" or "-" in vars(options).values()
    stream = sys.stderr if taken else sys.stdout
    if getattr(options, "quiet", False) or stream is None:
        return
    if recording.tracing is not None:
        show(recording, stream)


def show(recording, stream):
    """Print the tables of one recording."""
    console = memkit.console(stream)
    console.print(*tables(recording, colour=console.is_terminal), sep="\n", markup=False)


def write_csv(recording, path):
    """The lines as comma-separated values, one row each."""
    import csv

    with memkit.output(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("file", "function", "line", "hits", "time_s", "growth_bytes", "memory_bytes", "peak_bytes"))
        for line in recording.lines:
            place = (line.function.file, line.function.name, line.number)
            writer.writerow((*place, line.hits, f"{line.time / 1e9:.9f}", line.growth, line.memory, line.peak))


def none_known(recording):
    """Why there are no lines in a recording that traced them, in a line."""
    if not recording.ending.complete:
        return "no lines are known: the recording was cut off before any were written"
    return "no lines were traced: nothing that was named ran"


# -- tables --------------------------------------------------------------------------------------------------------


def tables(recording, colour=False):
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


def cost(recording):
    """How sure the numbers are and what they took, in one line."""
    tracing, meter = recording.tracing, recording.about.meter
    what = "resident memory, ±0.1 MiB" if meter == "rss" else f"{meter}"
    reason = f" ({tracing.reason})" if tracing.reason else ""
    took = memkit.units.show_time(tracing.cost)
    return (
        f"gate {tracing.gate}{reason}: {tracing.reads:,} reads for {tracing.events:,} lines; {what}; "
        f"tracing by {tracing.tracer} cost about {took}"
    )


def _text(*parts):
    from rich.text import Text

    text = Text.assemble(*parts)
    text.plain = memkit.units.printable(text.plain)
    return text


def _table(function, lines, source, colour):
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


def sums(lines):
    """What the lines of a function did together, in words."""
    growth = memkit.units.show_bytes(sum(line.growth for line in lines), sign=True)
    return f"growth {growth}, peak {memkit.units.show_bytes(max(line.peak for line in lines))}"


def rows(function, lines, source):
    """What stands in the rows of a table: the number, the line if it ran, and whether it stands out; no number is a gap."""
    greatest = max((_weight(line, lines) for line in lines), default=0)
    known = {line.number: line for line in lines}
    for number in _shown(known, function.line if source.lines else lines[0].number):
        line = known.get(number)
        yield number, line, bool(line and greatest and _weight(line, lines) >= greatest * STANDS_OUT)


def _texts(source, last, colour):
    """The lines of a source up to the last, highlighted for a terminal."""
    texts = source.lines[:last]
    if colour and texts:
        from rich.syntax import Syntax

        return Syntax("", "python").highlight("\n".join(texts)).split("\n")
    return texts


def _weight(line, lines):
    """How much a line matters to memory: what it grew by, or rose above where its function began and ended."""
    base = max(lines[0].memory - lines[0].growth, 0)
    return max(abs(line.growth), line.peak - max(line.memory, base))


def cells(number, line):
    """What stands in the columns of a row, in words."""
    if line is None:
        return (str(number), "", "", "", "", "")
    size, time = memkit.units.show_bytes, memkit.units.show_time
    growth = size(line.growth, sign=True) if line.growth else "0"
    return (str(number), f"{line.hits:,}", time(line.time), growth, size(line.memory), size(line.peak))


def _columns(words):
    return " ".join(f"{word:>{width}}" for word, width in zip(words, WIDTHS))


def _shown(known, start):
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


def _most_grown(recording):
    grown = sorted((line for line in recording.lines if line.growth > 0), key=lambda line: -line.growth)[:MOST_GROWN]
    if not grown:
        return
    yield _text()
    yield _text(("the lines that grew most, with all that they called", "bold"))
    for line in grown:
        source = memkit.Source(line.function.file)
        place, text = f"{os.path.basename(source.name)}:{line.number}", source.line(line.number).strip()
        yield _text((f"{memkit.units.show_bytes(line.growth, sign=True):>12}", "yellow"), f"  {place}  {text}")
