"""The runs that a fit is of: how large each was, what it needed, and what its lines and paths of calls needed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from memkit.base.errors import UsageError
from memkit.base.units import parse_bytes, show_bytes
from memkit.model.calls import Call, Function
from memkit.model.lines import Line
from memkit.model.recording import Recording
from memkit.report.fitting.shapes import FLOOR, Point, size_words


class Run(NamedTuple):
    """A run of the program."""

    size: float
    start: int
    """Memory when the recording began."""
    peak: int
    """The highest memory: of all processes together, where they were recorded."""
    exact: bool
    finished: bool
    source: str | None


class Place(NamedTuple):
    """A line, or a path of calls from the root of its thread on."""

    kind: str
    """``line`` or ``path``."""
    functions: tuple[Function, ...]
    """Of a line the function that it is in."""
    number: int
    """Of the line; 0 of a path."""


class Needs(NamedTuple):
    """What a line or a path needed in one run."""

    peak: int
    """The highest memory while it ran, with all that it called."""
    own: int
    """What it added itself: the most by which it rose above what it called, or what stayed of it over all its runs."""


def runs(recordings: Sequence[Recording], sizes: Sequence[float]) -> tuple[Run, ...]:
    """The runs in order of the recordings. Raises ``UsageError`` for a recording without a sample."""
    found = []
    for recording, size in zip(recordings, sizes):
        peak, start = recording.together or recording.peak, recording.start
        if peak is None or start is None:
            raise UsageError(f"{_name(recording)} has no sample, so no peak: leave it out")
        exact = recording.peak_is_exact and recording.together is None
        finished = recording.ending.complete and not recording.ending.failed
        found.append(Run(size, start, max(peak, start), exact, finished, recording.source))
    return tuple(found)


def points(found: Iterable[Run]) -> list[Point]:
    """The points of a fit: those of runs that did not finish tell less than the program needs, and are left out."""
    return [Point(run.size, float(run.peak - run.start)) for run in found if run.finished]


# -- sizes -------------------------------------------------------------------------------------------------------------


def parse_size(text: str) -> float:
    """How large an input is: a number above 0, such as ``1e6``, ``250_000`` or ``2GiB``. Raises ``UsageError``."""
    try:
        size = float(text)
    except ValueError:
        try:
            size = float(parse_bytes(text))
        except UsageError:
            size = math.nan
    if not 0 < size < math.inf:
        raise UsageError(f"{text!r} is no size of an input: write a number above 0, such as 1e6, 250000 or 2GiB")
    return size


def sizes_of(recordings: Sequence[Recording]) -> tuple[float, ...]:
    """How large the input of each was: by ``memkit.size``, else by the one argument that differs. Raises ``UsageError``."""
    told = [recording.size for recording in recordings]
    if all(size is not None for size in told):
        return tuple(float(size) for size in told if size is not None)
    columns = zip(*(_numbers(recording.about.argv[1:]) for recording in recordings))
    found = [column for column in columns if None not in column and len(set(column)) > 1]
    lengths = {len(recording.about.argv) for recording in recordings}
    if len(found) != 1 or len(lengths) > 1:
        silent = next(each for each, size in zip(recordings, told) if size is None)
        if any(size is not None for size in told):
            raise UsageError(f"{_name(silent)} does not say how large its input was, and others do: give --size for each")
        why = "several arguments are numbers that differ" if len(found) > 1 else "no argument is a number that differs"
        raise UsageError(f"how large was the input of each run? {why}: give --size with a number for each, in their order")
    return tuple(size for size in found[0] if size is not None)


def _numbers(arguments: Sequence[str]) -> list[float | None]:
    found: list[float | None] = []
    for argument in arguments:
        try:
            found.append(parse_size(argument.rpartition("=")[2]))
        except UsageError:
            found.append(None)
    return found


def _name(recording: Recording) -> str:
    return repr(recording.source) if recording.source else f"the recording of {recording.about.command[:60]!r}"


def check_alike(recordings: Sequence[Recording]) -> None:
    """Raise ``UsageError`` where memory was measured in different ways."""
    meters = sorted({recording.about.meter for recording in recordings})
    if len(meters) > 1:
        raise UsageError(f"memory was measured in different ways, which make no one fit: by {' and '.join(meters)}")


# -- lines and paths ---------------------------------------------------------------------------------------------------


def needs(recordings: Sequence[Recording]) -> dict[Place, list[Needs | None]]:
    """What each line and path needed in each recording, of those that matter in one of them; None where it did not run."""
    found: dict[Place, list[Needs | None]] = {}
    for place, recording in enumerate(recordings):
        for of, needed in (*_lines(recording), *_paths(recording)):
            rows = found.setdefault(of, [None] * len(recordings))
            before = rows[place]
            if before is not None:
                needed = Needs(max(before.peak, needed.peak), before.own + needed.own)
            rows[place] = needed
    return {of: rows for of, rows in found.items() if max((each.own for each in rows if each), default=0) >= FLOOR}


def _lines(recording: Recording) -> Iterable[tuple[Place, Needs]]:
    for line in recording.lines:
        yield Place("line", (line.function,), line.number), Needs(line.peak, own_of_line(line))


def own_of_line(line: Line) -> int:
    """What a line added itself: what stayed of all its runs counts with the share that was not of what it called."""
    own = line.own_rise if line.own_rise is not None else line.rise
    if own is None:
        return max(0, line.growth)
    share = min(1.0, own / line.rise) if line.rise else 0.0
    return max(own, round(line.growth * share))


def _paths(recording: Recording) -> Iterable[tuple[Place, Needs]]:
    paths: dict[int | None, tuple[Function, ...]] = {None: ()}
    children: dict[int | None, int] = {}
    for call in recording.calls:
        children[call.parent] = children.get(call.parent, 0) + (call.rise or 0)
    for call in recording.calls:
        root = call.parent is None and not call.function.file
        paths[call.id] = () if root else (*paths[call.parent], call.function)
        if not root:
            yield Place("path", paths[call.id], 0), Needs(call.peak, _own_of_call(call, children.get(call.id, 0)))


def _own_of_call(call: Call, below: int) -> int:
    return max(call.own_growth, (call.rise or 0) - below, 0)


def spread(found: Sequence[Run]) -> int:
    """By how much the peaks of runs of the same size differ at most."""
    peaks: dict[float, list[int]] = {}
    for run in found:
        peaks.setdefault(run.size, []).append(run.peak)
    return max((max(each) - min(each) for each in peaks.values()), default=0)


def described(run: Run) -> str:
    """A run in a few words, for a message."""
    return f"{run.source or 'a run'} (size {size_words(run.size)}, peak {show_bytes(run.peak)})"
