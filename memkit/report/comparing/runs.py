"""The facts of the runs of two sides, beside each other, and what makes them hard to compare."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from memkit.base.units import show_bytes, show_error, show_time
from memkit.model.recording import Recording
from memkit.report.comparing.changes import EXACT, RUN_FLOOR, RUN_SHARE, Change, known, middle, noise_of_samples, time_noise
from memkit.report.comparing.sides import Side, tail
from memkit.report.facts import shortened
from memkit.report.transforms import NOISE

LONGEST_COMMAND = 40
_NAMES = ("the run before", "the run after")


class ComparedFact(NamedTuple):
    """Something that is known of the runs of both sides."""

    label: str
    before: str
    """In words; of several recordings the median, and the range if there is one."""
    after: str
    change: Change | None = None
    """None of what is no figure."""


def _rise(recording: Recording) -> int | None:
    return None if recording.peak is None or recording.start is None else recording.peak - recording.start


FIGURES: dict[str, Callable[[Recording], int | None]] = {
    "time": lambda recording: recording.duration,
    "start": lambda recording: recording.start,
    "end": lambda recording: recording.end,
    "growth": lambda recording: recording.growth,
    "peak": lambda recording: recording.peak,
    "rise": _rise,
    "together": lambda recording: recording.together,
    "alive": lambda recording: recording.heap and recording.heap.alive,
    "heap-peak": lambda recording: recording.heap and recording.heap.peak,
}
"""What runs are compared by, and by which a gate can be."""
LABELS = {"time": "took", "rise": "peak above the start", "alive": "alive at the end", "heap-peak": "heap's peak"}


def figures(one: Side, other: Side) -> list[Change]:
    """The figures of the runs, those that one side knows at least."""
    found = []
    for name, figure in FIGURES.items():
        before, after = (known(figure(each) for each in side.recordings) for side in (one, other))
        if before or after:
            found.append(Change(name, before, after, noise_of_run(name, one, other, before, after)))
    return found


def noise_of_run(name: str, one: Side, other: Side, before: tuple[int, ...], after: tuple[int, ...]) -> int:
    """How far a figure of a run differs from run to run: by how exact it is, and of single recordings by experience."""
    if name == "time":
        return time_noise(before, after)
    recordings = (*one.recordings, *other.recordings)
    largest = max(map(abs, (*before, *after)), default=0)
    if name in ("alive", "heap-peak"):
        counted = max(64 << 10, round(0.025 * largest if name == "heap-peak" else 0.005 * largest))
        errors = (max((_error(name, each) for each in side.recordings), default=0) for side in (one, other))
        return max(counted, noise_of_samples(max(one.distance, other.distance), *errors))
    error = 2 * NOISE
    if name in ("peak", "rise"):
        error += 2 * max((each.about.peaks_error or 0) for each in recordings)
    if name == "together":
        error += 2 * max((total.most - total.least for each in recordings for total in each.totals), default=0)
    if min(one.count, other.count) > 1:
        return max(error, EXACT)
    starts = [each.start for each in recordings if each.start is not None]
    apart = max(starts, default=0) - min(starts, default=0)  # what was there before the program began
    return error + RUN_FLOOR + round(RUN_SHARE * largest) + (apart if name in ("end", "peak", "together") else 0)


def _error(name: str, recording: Recording) -> float:
    """One standard error of what is alive, or was at the peak; 0 where it was counted."""
    heap = recording.heap
    return 0 if heap is None else heap.alive_error if name == "alive" else heap.peak_error


# -- side by side ----------------------------------------------------------------------------------------------------


def facts(one: Side, other: Side, changes: list[Change]) -> list[ComparedFact]:
    """What is known of the runs, line by line."""
    found = [
        _told("command", one, other, lambda each: shortened(each.about.command, LONGEST_COMMAND)),
        _told("ended", one, other, lambda each: str(each.ending)),
    ]
    for change in changes:
        before, after = (range_of(change.measure, values) for values in (change.before, change.after))
        found.append(ComparedFact(LABELS.get(change.measure, change.measure), before, after, change))
    found += [
        _told("peaks", one, other, _exactness),
        _told("processes", one, other, lambda each: f"{max(1, len(each.processes)):,}"),
        _told("recorded", one, other, what_was_traced),
        _told("python", one, other, lambda each: each.about.python or "?"),
    ]
    return [fact for fact in found if fact.label != "processes" or (fact.before, fact.after) != ("1", "1")]


def range_of(measure: str, values: tuple[int, ...]) -> str:
    """A figure of a side in words: of several recordings the median, and the lowest and highest."""
    show = show_time if measure == "time" else _signed if measure == "growth" else show_bytes
    if not values:
        return "?"
    ends = f" ({show(min(values))} to {show(max(values))})" if len(values) > 1 else ""
    return show(middle(values)) + ends


def _signed(size: int | None) -> str:
    return show_bytes(size, sign=True)


def _told(label: str, one: Side, other: Side, words: Callable[[Recording], str]) -> ComparedFact:
    before, after = (", ".join(dict.fromkeys(map(words, side.recordings))) for side in (one, other))
    return ComparedFact(label, before, after)


def _exactness(recording: Recording) -> str:
    if not recording.peak_is_exact:
        return "highest seen"
    error = show_error(recording.about.peaks_error)
    return f"exact to {error}" if error else "exact"


def what_was_traced(recording: Recording) -> str:
    """The kinds of rows that a recording has, in a few words."""
    kinds = {"lines": recording.tracing, "calls": recording.call_tracing, "heap": recording.heap}
    found = [kind for kind, traced in kinds.items() if traced is not None]
    return ", ".join(["memory", *found])


# -- what to know ----------------------------------------------------------------------------------------------------


def remarks(one: Side, other: Side) -> Iterator[str]:
    """What bounds the comparison: how far two recordings of different granularity go, endings, peaks."""
    recordings = (*one.recordings, *other.recordings)
    for name, side in zip(_NAMES, (one, other)):
        broken = [each for each in side.recordings if each.ending.failed or not each.ending.complete]
        if broken:
            yield f"{name} did not finish ({broken[0].ending}): what it would have used later is not known"
    meters = {each.about.meter for each in recordings}
    if meters != {"rss"}:
        yield f"what was measured is {', '.join(sorted(meters))}"
    yield from _granularity(one, other)


def textless(one: Side, other: Side) -> Iterator[str]:
    """The sides of whose lines the text is not known, and the files."""
    for name, side in zip(_NAMES, (one, other)):
        least = 2 if side.distance else 1  # all code that ran is sampled, that too which libraries generate, in no folder
        keys = (key for key in side.lines if len(tail(key.file)) >= least)
        unknown = {key.file for key in keys if side.statements(key) is None}
        if unknown:
            files = shortened(", ".join(sorted(unknown)), 80)
            yield f"lines of {name} are matched by their places: the text that ran is not there any more ({files})"


def _granularity(one: Side, other: Side) -> Iterator[str]:
    kinds = {"lines": "has_lines", "calls": "has_calls", "heap": "has_heap"}
    told_by_heap = () if one.has_heap and other.has_heap else ("lines", "calls")  # of a heap that was sampled
    for kind, has in kinds.items():
        for name, its, side, another in ((*_NAMES, one, other), (*_NAMES[::-1], other, one)):
            if getattr(side, has) and not getattr(another, has) and not (side.distance and kind in told_by_heap):
                verbs = ("was", "is") if kind == "heap" else ("were", "are")
                how = f"{kind}=sampled" if side.distance and kind == "heap" else kind
                yield f"{kind} {verbs[0]} recorded in {name} only, and {verbs[1]} not compared: record {its} with --{how}"
                if kind == "heap":
                    yield f"resident memory of {name} has in it what memkit needs to count the heap"
    if one.has_heap and other.has_heap and bool(one.distance) != bool(other.distance):
        name = _NAMES[bool(other.distance)]
        yield f"the heap was sampled in {name} only, where stacks begin elsewhere: paths are new or gone by that alone"
    by_one, by_other = (side.has_lines or side.has_calls for side in (one, other))
    if by_one and by_other and not (one.has_lines and other.has_lines) and not (one.has_calls and other.has_calls):
        yield "functions are compared by growth, peak and time, which lines and calls both tell"
    for kind in ("lines", "calls"):
        if not same_targets(one, other, kind):
            yield f"{kind} of different code were traced: what is on one side only is not called new or gone"


def same_targets(one: Side, other: Side, kind: str) -> bool:
    """Whether the same code was traced on both sides, as far as targets tell; folders may be others."""
    attribute = "tracing" if kind == "lines" else "call_tracing"
    found = [
        {_bare(target, each) for each in side.recordings if (how := getattr(each, attribute)) for target in how.targets}
        for side in (one, other)
    ]
    return found[0] == found[1] or not (getattr(one, f"has_{kind}") and getattr(other, f"has_{kind}"))


def _bare(target: str, recording: Recording) -> str:
    """A target without its folder; a whole folder is like any other, and the script that ran like any other script."""
    path, colon, name = target.replace("\\", "/").partition(":")
    file = path.rpartition("/")[2]
    scripts = {argument.replace("\\", "/").rpartition("/")[2] for argument in recording.about.argv[:1]}
    return "/" if path.endswith("/") else ("script" if file in scripts else file) + colon + name
