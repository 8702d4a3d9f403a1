"""A fit: the peak of a program as a function of the size of its input, and which of its lines makes it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, TypeAlias

from memkit.base.errors import UsageError
from memkit.base.units import show_bytes
from memkit.model.reader import read
from memkit.model.recording import Recording
from memkit.report.fitting import runs as runs_of
from memkit.report.fitting.mixture import Mixture, Prediction
from memkit.report.fitting.runs import Needs, Place, Run
from memkit.report.fitting.shapes import FLOOR, Point, size_words

Recorded: TypeAlias = "Recording | str | os.PathLike[str]"
MOST_PLACES = 40
"""Lines, and paths, that are fitted: those that added most."""
_FARTHEST = 1e9
"""How many times the largest size a limit is looked for."""
_HALVINGS = 60
_OFF = 3.0
"""A point that is so many standard errors off the curve is named."""


class PlaceFit(NamedTuple):
    """A line or a path of calls, and what it is going to need."""

    place: Place
    needs: tuple[Needs | None, ...]
    """In each run; None where it did not run."""
    peak: Mixture | None
    """The peak while it runs, above the beginning; None where it ran at too few sizes."""
    own: Mixture
    """What it adds itself."""


class Reached(NamedTuple):
    """The size at which an amount of memory is reached."""

    size: float
    earliest: float
    """By the upper end of the interval."""
    latest: float | None
    """By its lower end; None where that may never be."""


@dataclass(frozen=True, repr=False)
class Fit:
    """The peak of a program as a function of the size of its input."""

    runs: tuple[Run, ...]
    """Those that it is drawn from, and those that did not finish, which are not counted."""
    places: tuple[tuple[Place, tuple[Needs | None, ...]], ...] = ()
    """The lines and paths that matter, with what each needed in each run."""
    command: str = ""

    def __repr__(self) -> str:
        return f"<memkit.Fit of {len(self.runs)} runs of {self.command[:60]!r}: {self.model}>"

    @cached_property
    def whole(self) -> Mixture:
        """The fit of the peaks, above what there was at the beginning."""
        return Mixture(runs_of.points(self.runs))

    @cached_property
    def start(self) -> int:
        """Memory when a run begins."""
        counted = [run.start for run in self.runs if run.finished]
        return round(sum(counted) / len(counted))

    @property
    def model(self) -> str:
        """The shape that is most likely: the words ``linear``, ``n log n``, ``quadratic`` and ``steps``, or ``constant``."""
        return self.whole.family

    @property
    def largest(self) -> float:
        """The largest size that was run."""
        return max(run.size for run in self.runs if run.finished)

    @cached_property
    def lines(self) -> tuple[PlaceFit, ...]:
        """The lines that added most, each fitted."""
        return self._fits("line")

    @cached_property
    def paths(self) -> tuple[PlaceFit, ...]:
        """The paths of calls that added most, each fitted."""
        return self._fits("path")

    def at(self, size: float) -> Prediction:
        """The peak at a size, with an interval in which it is in 95 of 100 cases if the program goes on as it has begun.

        A line that is going to need more than the whole has shown so far is counted: small runs hide it below others.
        """
        peak, (low, high) = self.whole.at(size), self.whole.interval(size)
        for each in (*self.lines, *self.paths):
            if each.peak is None or size <= self.largest or each.peak.at(size) <= peak:
                continue
            its_low, its_high = each.peak.interval(size)
            if its_low > peak:
                peak, low, high = each.peak.at(size), max(low, its_low), max(high, its_high)
        return Prediction(size, *(self.start + round(each) for each in (peak, low, high)))

    def dominating(self, size: float) -> PlaceFit | None:
        """The line, or where none were traced the path, that adds most at a size; None where none is known."""
        return max(self.lines or self.paths, key=lambda each: each.own.at(size), default=None)

    def reached(self, memory: int) -> Reached | None:
        """At which size the peak reaches so many bytes; None where it does not, up to a billion times the largest run."""
        size = self._first(lambda at: self.at(at).peak >= memory)
        if size is None:
            return None
        earliest = self._first(lambda at: self.at(at).high >= memory)
        latest = self._first(lambda at: self.at(at).low >= memory)
        return Reached(size, size if earliest is None else min(size, earliest), latest)

    def _first(self, is_reached: Callable[[float], bool]) -> float | None:
        low, high = 0.0, self.largest
        while not is_reached(high):
            low, high = high, high * 2
            if high > self.largest * _FARTHEST:
                return None
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            low, high = (low, middle) if is_reached(middle) else (middle, high)
            if high - low < 1e-4 * high:
                break
        return high

    def off(self, run: Run) -> int:
        """By how much the peak of a run was above the curve."""
        return run.peak - run.start - round(self.whole.best.at(run.size))

    @cached_property
    def remarks(self) -> tuple[str, ...]:
        """What is to be known of it: runs that were left out, points that are off, peaks that were only seen."""
        found = [f"{runs_of.described(run)} did not finish and is left out" for run in self.runs if not run.finished]
        off = [(run, self.off(run)) for run in self.runs if run.finished and run.size >= self.whole.best.begins]
        far = [(run, by) for run, by in off if abs(by) > _OFF * _error(run)]
        found += [f"{runs_of.described(run)} is {show_bytes(by, sign=True)} off the curve" for run, by in far[:3]]
        if any(not run.exact for run in self.runs):
            found.append("some peaks are the highest that was seen: what was between two samples is not known")
        apart = runs_of.spread([run for run in self.runs if run.finished])
        if apart > 4 * FLOOR and apart > 0.02 * max(run.peak for run in self.runs):
            words = "size is not all that memory depends on"
            found.append(f"runs of the same size differ by up to {show_bytes(apart)}: {words}")
        return tuple(found)

    def _fits(self, kind: str) -> tuple[PlaceFit, ...]:
        ranked = [(place, needs) for place, needs in self.places if place.kind == kind]
        ranked.sort(key=lambda each: -max(needed.own for needed in each[1] if needed is not None))
        return tuple(self._place_fit(place, needs) for place, needs in ranked[:MOST_PLACES])

    def _place_fit(self, place: Place, needs: tuple[Needs | None, ...]) -> PlaceFit:
        ran = [(run, needed) for run, needed in zip(self.runs, needs) if run.finished]
        own = [Point(run.size, float(needed.own if needed else 0)) for run, needed in ran]
        peaks = [Point(run.size, float(max(0, needed.peak - run.start))) for run, needed in ran if needed is not None]
        enough = len({point.size for point in peaks}) >= 3
        return PlaceFit(place, needs, Mixture(peaks) if enough else None, Mixture(own))


def _error(run: Run) -> float:
    return max(FLOOR, 0.01 * (run.peak - run.start))


def fit(
    recordings: Iterable[Recorded],
    sizes: Sequence[float] | None = None,
    *,
    libraries: bool = False,
) -> Fit:
    """The peak of a program as a function of the size of its input, from recordings of runs of several sizes.

    ``recordings`` are such or names of files. ``sizes`` says how large the input of each was, in any unit; without it, what
    ``memkit.size`` told, else the one argument of the program that differs. Lines and paths of calls are fitted where they
    were traced; with ``libraries`` calls of libraries, too. Raises ``UsageError`` where sizes are not known or fewer
    than two differ, ``FormatError`` for a file that is no recording.
    """
    if isinstance(recordings, (str, bytes, os.PathLike, Recording)) or not isinstance(recordings, Iterable):
        raise UsageError(f"fit() takes several recordings or names of files, not {recordings!r}")
    found = [each if isinstance(each, Recording) else read(each) for each in recordings]
    if not found:
        raise UsageError("there is nothing to fit: give recordings of runs of several sizes")
    runs_of.check_alike(found)
    sizes = runs_of.sizes_of(found) if sizes is None else tuple(runs_of.parse_size(str(size)) for size in sizes)
    if len(sizes) != len(found):
        raise UsageError(f"there are {len(found)} recordings and {len(sizes)} sizes: give one for each, in their order")
    seen = [each.hiding(libraries=True) if each.calls and not libraries else each for each in found]
    runs = runs_of.runs(found, sizes)
    check_sizes(runs)
    places = tuple((place, tuple(needs)) for place, needs in runs_of.needs(seen).items())
    return Fit(runs, places, _command([each.about.argv for each in found]))


def _command(commands: Sequence[tuple[str, ...]]) -> str:
    """The command of several runs: words that differ are ``{size}``."""
    if len({len(words) for words in commands}) > 1:
        return commands[0][0]
    return " ".join(column[0] if len(set(column)) == 1 else "{size}" for column in zip(*commands))


def check_sizes(runs: Sequence[Run]) -> None:
    """Raise ``UsageError`` where there are fewer than two sizes of runs that finished."""
    known = sorted({run.size for run in runs if run.finished})
    if not known:
        raise UsageError("no run finished, so none tells what the program needs: record runs of smaller sizes")
    if len(known) < 2:
        one, other = map(size_words, (known[0], known[0] * 2))
        raise UsageError(f"all runs that finished are of size {one}: add one of another, such as {other}")
