"""``memkit merge``: what many processes on many machines recorded, as one recording, read one after the other."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from memkit.base.errors import FormatError, UsageError
from memkit.base.units import show_bytes
from memkit.cli.catalog import read_now, recordings_in
from memkit.cli.exit_codes import FAILED
from memkit.cli.parser import Parser
from memkit.cli.printing import say
from memkit.cli.report_options import check_outputs
from memkit.model.calls import Function
from memkit.model.lines import Line, added_up
from memkit.model.machines import Machines, machine_of
from memkit.model.merging import merge
from memkit.model.recording import Recording
from memkit.report.document import document
from memkit.report.output import output, output_path
from memkit.report.page.thin import (
    FEWEST_POINTS,
    MOST_CALLS,
    MOST_POINTS,
    MOST_POINTS_OF_OTHERS,
    MOST_SPANS,
    fewer_calls,
    thin_samples,
)

if TYPE_CHECKING:
    from collections.abc import Callable

DESCRIPTION = """Join the recordings of many processes, of one machine or of several, into one document.

They are read one after the other, and of each no more is kept than a page shows. memkit report reads the document."""
_FEWEST = 20
"""Calls and spans that are kept of each recording, however many there are."""
_MOST_OF_ALL = 40_000
"""Lines that are kept: from twice as many on those that did least go."""
_MANY, _MOST_PROCESSES = 40, 4
"""From how many files on they are read by several processes, and by how many."""


def add_options(parser: Parser) -> None:
    """Add the options of ``memkit merge``."""
    parser.add_argument("files", nargs="+", metavar="FILE", help="recordings, or folders of them")
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing but what was left out")
    reports = parser.add_argument_group("reports")
    help = "the document to write; merged.json if left out, - is standard output"
    reports.add_argument("-o", "--output", metavar="FILE", type=output_path, default=None, help=help)


def command(name: str, words: list[str]) -> int:
    """Join recordings; 1 where one could not be read."""
    parser = Parser(name, DESCRIPTION)
    add_options(parser)
    options = parser.parse(words)
    options.output = options.output or output_path("merged.json")
    files = list(_files(options.files))
    check_outputs(parser, options, files)
    left: list[str] = []
    found = merged(files, left.append)
    with output(options.output) as file:
        file.writelines(document(found))
    if not options.quiet:
        say(_sentence(found, len(files) - len(left), options.output))
    for text in left:
        say(f"{name}: left out: {text}")
    return FAILED if left else 0


def _sentence(found: Recording, count: int, path: str) -> str:
    hosts = len({machine_of(process.command) for process in found.processes})
    where = f" on {hosts} machines" if hosts > 1 else ""
    highest = max((sample.peak for sample in (*found.samples, *found.others)), default=0)
    joined = f"{count:,} recordings of {len(found.processes):,} processes{where}"
    return f"{joined}, the highest peak of one is {show_bytes(highest)}: wrote {path}; memkit report tells more"


def merged(files: Sequence[str], complain: Callable[[str], object]) -> Recording:
    """The recordings in files as one, each read, made smaller and let go before the next. Those that cannot be read are told
    to ``complain``. Raises ``FormatError`` where none can.
    """
    kept: list[Recording] = []
    lines: tuple[Line, ...] = ()
    machines = Machines()
    texts: dict[str, str] = {}
    functions: dict[Function, Function] = {}
    for read in _each(files):
        if isinstance(read, str):
            complain(read)
            continue
        shared = (line._replace(function=functions.setdefault(line.function, line.function)) for line in read.lines)
        lines = _most(added_up((*lines, *shared)))
        calls = tuple(call._replace(function=functions.setdefault(call.function, call.function)) for call in read.calls)
        sources = tuple((name, texts.setdefault(text, text)) for name, text in read.sources)
        kept.append(machines.apart(replace(read, lines=(), calls=calls, sources=sources)))
    if not kept:
        raise FormatError("none of these files is a recording that can be read")
    return replace(merge(machines.named(kept)), lines=lines, source=None)


def _each(files: Sequence[str]) -> Iterator[Recording | str]:
    """As much as is kept of each recording, or why it cannot be read; many are read by several processes."""
    read = partial(_read, count=len(files))
    if len(files) < _MANY:
        yield from map(read, files)
        return
    from concurrent.futures import ProcessPoolExecutor

    with ProcessPoolExecutor(min(_MOST_PROCESSES, os.cpu_count() or 1)) as pool:
        yield from pool.map(read, files, chunksize=4)


def _read(file: str, count: int) -> Recording | str:
    try:
        return _smaller(read_now(file), count)
    except FormatError as error:
        return str(error)


def folder_of(folder: str, complain: Callable[[str], object]) -> Recording:
    """The recordings in a folder as one."""
    found = recordings_in(folder)
    if not found:
        raise UsageError(f"there is no recording in {folder!r}: name a folder with files called *.memkit")
    return replace(merged(found, complain), source=folder)


def _files(given: Sequence[str]) -> Iterator[str]:
    for file in given:
        if not os.path.isdir(file):
            yield file
            continue
        found = recordings_in(file)
        if not found:
            raise UsageError(f"there is no recording in {file!r}: name a folder with files called *.memkit")
        yield from found


def _smaller(recording: Recording, count: int) -> Recording:
    """As much of a recording as its share of a page; its lines are all there, since they add up."""
    points = min(MOST_POINTS, max(FEWEST_POINTS, MOST_POINTS_OF_OTHERS // count))
    lanes = [lane for _, lane in recording.lanes[1:]]
    each = max(FEWEST_POINTS // 4, points // max(1, len(lanes)))
    others = (sample for lane in lanes for sample in thin_samples(lane, each))
    calls = fewer_calls(recording.calls, max(_FEWEST, MOST_CALLS // count))
    spans = sorted(recording.spans, key=lambda span: -span.rise)[: max(_FEWEST, MOST_SPANS // count)]
    return replace(
        recording,
        samples=thin_samples(recording.samples, points),
        others=tuple(sorted(others, key=lambda sample: sample.time)),
        totals=(),
        calls=calls,
        heap_paths=(),
        given=(),
        spans=tuple(sorted(spans, key=lambda span: span.start)),
        balances=recording.balances[-1:],
        mapped=recording.mapped[:: max(1, len(recording.mapped) // points)],
        group=recording.group[:: max(1, len(recording.group) // points)],
        crossings=recording.crossings[:3],
    )


def _most(lines: tuple[Line, ...]) -> tuple[Line, ...]:
    if len(lines) <= 2 * _MOST_OF_ALL:
        return lines
    weighed = sorted(lines, key=lambda line: max(abs(line.growth), line.rise or 0), reverse=True)
    return added_up(weighed[:_MOST_OF_ALL])
