"""The line tables: what each traced line did to memory, function by function, with its source; and all lines as CSV."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, TextIO

import memkit

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterable, Iterator, Sequence

    from rich.text import Text

COLUMNS = (("line", 6), ("hits", 11), ("time", 10), ("growth", 12), ("memory", 11), ("rise", 11), ("peak", 11))
HEAP_COLUMNS = (("allocated", 11), ("alive at peak", 13), ("alive", 11))
LEFT_OUT_FIRST, LEAST_SOURCE = ("memory", "time", "allocated", "hits", "alive at peak"), 30
"""The columns that a narrow terminal goes without, so that there is room for so many characters of source."""
MOST_GROWN = 5
LONGEST_GAP = 5
"""More lines than this in a row that never ran are left out."""
STANDS_OUT = 0.1
"""A line is marked if it grew or rose by at least this share of what the largest line of its function did, and notably."""


@memkit.hookimpl
def memkit_add_options(parser: memkit.OptionParser) -> None:
    memkit.add_quiet_option(parser)
    memkit.add_wide_option(parser)
    memkit.add_call_options(parser)
    option = parser.add_argument(
        "--csv-lines", metavar="FILE", type=memkit.output_path, help="write the lines that were traced, or sampled, as CSV"
    )
    option.one_recording, option.needs = True, "lines"


@memkit.hookimpl
def memkit_report(recording: memkit.Recording, options: Namespace) -> None:
    """Print the tables after the summary, on the same stream."""
    sampled = recording.heap is not None and recording.heap.sampled is not None
    if options.csv_lines and recording.tracing is None and not sampled:
        raise memkit.UsageError(
            "--csv-lines has nothing to write: no lines were traced; record with --lines or --heap=sampled, or put @profile"
        )
    if options.csv_lines:
        write_csv(memkit.chosen_calls(recording, options) if recording.heap_lines else recording, options.csv_lines)
    stream = memkit.report_stream(options)
    if stream is not None and recording.tracing is not None:
        show(recording, stream, wide=options.wide)


def show(recording: memkit.Recording, stream: TextIO, wide: bool = False) -> None:
    """Print the tables of one recording, rows cut to the width of the terminal unless ``wide``."""
    memkit.print_rows(stream, lambda width: tables(recording, width), wide)


def write_csv(recording: memkit.Recording, path: str) -> None:
    """The lines as comma-separated values, one row each, traced or of a sampled heap; what is not known is empty."""
    import csv

    with memkit.output(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        rises = ("rise_bytes", "rises_bytes", "about_bytes", "own_rise_bytes")
        heap = (*memkit.heaps.COLUMNS, *memkit.heaps.ERROR_COLUMNS, *memkit.heaps.OWN_COLUMNS)
        sums = ("hits", "time_s", "growth_bytes", "memory_bytes", "peak_bytes")
        writer.writerow(("file", "function", "line", *sums, *rises, *heap, "source"))
        cell = memkit.units.csv_cell
        traced = {line[:2]: line for line in recording.lines}
        sampled = {line[:2]: line for line in recording.heap_lines}
        known: dict[memkit.Function, memkit.Source] = {}
        for function, number in sorted({*traced, *sampled}, key=lambda at: (at[0].file, at[0].line, at[0].name, at[1])):
            source = known.get(function) or known.setdefault(function, source_of(recording, function))
            line = traced.get((function, number))
            of_heap = sampled.get((function, number)) or traced[function, number]
            writer.writerow(
                (
                    *(cell(function.file), cell(function.name), number),
                    *(_traced_cells(line) if line is not None else [None] * len((*sums, *rises))),
                    *memkit.heaps.cells(of_heap.heap),
                    *memkit.heaps.own_cells(of_heap.own_heap),
                    cell(source.line(number).strip()),
                )
            )


def _traced_cells(line: memkit.Line) -> tuple[object, ...]:
    sums = (line.hits, f"{line.time / 1e9:.9f}", line.growth, line.memory, line.peak)
    return (*sums, line.rise, line.rises, line.about, line.own_rise)


def none_known(recording: memkit.Recording) -> str:
    """Why there are no lines in a recording that traced them, in a line."""
    if not recording.ending.complete:
        return "no lines are known: the recording was cut off before any were written"
    below = traced(recording)
    if below:
        return f"no lines were traced: nothing ran as Python code of what was to be {below}"
    return "no lines were traced: nothing that was named ran as Python code during the recording"


def traced(recording: memkit.Recording) -> str:
    """Below which folders code was traced, and how to trace other code; empty where the code was named in another way."""
    targets = recording.tracing.targets if recording.tracing is not None else ()
    folders = " and ".join(target for target in targets if target.endswith(("/", "\\")))
    return f"traced: all below {folders} but libraries; --lines=TARGET traces other code" if folders else ""


# -- tables --------------------------------------------------------------------------------------------------------


def tables(recording: memkit.Recording, width: int | None = None) -> Iterator[Text]:
    """All as rich Text, a line each: a table for each function, the lines that grew and rose most, what tracing cost.

    ``width`` is that of a terminal, where a row with source goes no further; None elsewhere.
    """
    functions = recording.functions
    if not functions:
        yield memkit.styled()
        yield memkit.styled((none_known(recording), "memkit.remark"))
        return
    for function, lines in functions.items():
        yield from _table(function, lines, source_of(recording, function), width)
    for title, found in lists(recording):
        yield memkit.styled()
        yield memkit.styled((title, "bold"))
        for size, words in found:
            yield from memkit.cut([memkit.styled((f"{size:>12}", "memkit.mark"), f"  {words}")], width)
    if told := list(kinds(recording)):
        yield memkit.styled()
        yield from memkit.cut(map(memkit.styled, told), width)
    yield memkit.styled()
    if below := traced(recording):
        yield memkit.styled((below, "dim"))
    yield memkit.styled((cost(recording), "dim"))
    if width is not None and columns_of(recording.lines, width) != columns_of(recording.lines):
        yield memkit.styled(("rows are cut to the width of the terminal; --wide shows all of them", "dim"))


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


def _table(
    function: memkit.Function, lines: Sequence[memkit.Line], source: memkit.Source, width: int | None
) -> Iterator[Text]:
    yield memkit.styled()
    yield memkit.styled((function.name, "bold"), f"  {source.name}:{function.line}  ", (sums(lines), "bold"))
    if source.remark:
        yield memkit.styled((source.remark, "memkit.remark"))
    columns = columns_of(lines, width)
    first = columns[0][1]
    yield memkit.styled((_columns([name for name, _ in columns], columns) + "  source", "dim"))
    for number, line, marked in rows(function, lines, source):
        if number is None:
            yield memkit.styled((" " * (first - 3) + "...", "dim"))
            continue
        style, source_style = ("memkit.mark", "bold") if marked else ("", "") if line is not None else ("dim", "dim")
        shown = _columns(cells(number, line, columns), columns)
        row = memkit.styled((shown, style), "  ", (source.line(number).expandtabs(memkit.units.TAB), source_style))
        yield from memkit.cut([row], width)


def columns_of(lines: Iterable[memkit.Line], width: int | None = None) -> tuple[tuple[str, int], ...]:
    """The columns and their widths; in an old file no rises are known, and a narrow terminal has no room for all of them."""
    known = any(line.rise is not None for line in lines)
    columns = [column for column in COLUMNS if known or column[0] != "rise"]
    columns += HEAP_COLUMNS if any(line.heap is not None for line in lines) else ()
    for name in LEFT_OUT_FIRST:
        if width is not None and width - sum(each + 1 for _, each in columns) < LEAST_SOURCE:
            columns = [column for column in columns if column[0] != name]
    return tuple(columns)


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
        yield number, line, bool(line and _weight(line, lines) >= max(greatest * STANDS_OUT, memkit.transforms.NOISE))


def _weight(line: memkit.Line, lines: Sequence[memkit.Line]) -> int:
    """How much a line matters to memory: what it grew by, or rose above where its function began and ended."""
    base = max(lines[0].memory - lines[0].growth, 0)
    return max(abs(line.growth), line.peak - max(line.memory, base))


def cells(number: int, line: memkit.Line | None, columns: tuple[tuple[str, int], ...]) -> tuple[str, ...]:
    """The columns of a row, in words."""
    if line is None:
        return (str(number), *[""] * (len(columns) - 1))
    size = memkit.units.show_bytes
    words = {
        "line": str(number),
        "hits": f"{line.hits:,}",
        "time": memkit.units.show_time(line.time),
        "growth": size(line.growth, sign=True) if line.growth else "0",
        "memory": size(line.memory),
        "rise": size(line.rise) if line.rise != 0 else "0",
        "peak": size(line.peak),
        "allocated": size(line.allocated) if line.allocated else "0",
        "alive at peak": size(line.alive_at_peak) if line.alive_at_peak else "0",
        "alive": size(line.alive) if line.alive else "0",
    }
    return tuple(words[name] for name, _ in columns)


def _columns(words: Iterable[str], columns: tuple[tuple[str, int], ...]) -> str:
    return " ".join(f"{word:>{width}}" for word, (_, width) in zip(words, columns))


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


def lists(recording: memkit.Recording) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """The lines that grew most and those that rose most, as (size, place), where several functions were traced."""
    size = memkit.units.show_bytes
    if len(recording.functions) < 2:
        return
    if grown := memkit.transforms.kept_lines(recording.lines, recording)[:MOST_GROWN]:
        found = [(size(line.growth, sign=True), _where(recording, line) + _of_that(line, kept)) for line, kept in grown]
        yield "the lines that grew most, with all that they called", found
    if risen := memkit.transforms.most_risen_lines(recording.lines, MOST_GROWN):
        found = [(size(line.rise), _where(recording, line)) for line in risen]
        yield "the lines that rose most themselves, above what there was when they began", found


def _of_that(line: memkit.Line, kept: int) -> str:
    if memkit.transforms.tie(line.growth, kept):
        return ""
    return f"  (of that, at most {memkit.units.show_bytes(kept)} stayed)"


def kinds(recording: memkit.Recording) -> Iterator[str]:
    """What stayed, what was held for a while and what came and went, in a line each."""
    if recording.call_tracing is not None:  # the calls tell it better: they see what is freed when a function returns
        return
    for kind in memkit.kinds.kinds_of_lines(recording):
        assert isinstance(kind.what, memkit.Line)
        yield f"{kind.words}; {_where(recording, kind.what)}"
    if (why := memkit.kinds.unknown(recording)) is not None:
        yield why


def source_of(recording: memkit.Recording, function: memkit.Function) -> memkit.Source:
    """The source that the lines of a function stand in."""
    return memkit.Source(function.file, recording.about.began, function, recording.sources)


def _where(recording: memkit.Recording, line: memkit.Line) -> str:
    source = source_of(recording, line.function)
    return f"{os.path.basename(source.name)}:{line.number}  {source.line(line.number).strip()}"
