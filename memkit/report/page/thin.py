"""As much of a recording as a person can see: fewer samples, and small calls summed up, by rules that keep it true."""

from __future__ import annotations

from dataclasses import replace
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

from memkit.model.calls import Call, Function
from memkit.model.heap import sum_of_heaps
from memkit.model.recording import Sample

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

    from memkit.model.recording import Recording

MOST_POINTS = 4_000
"""Of a curve."""
MOST_POINTS_OF_OTHERS = 60_000
"""Of the curves of all processes that the recorded one started."""
_peak_of = attrgetter("peak")
FEWEST_POINTS = 40
"""Of each of these."""
MOST_CALLS = 20_000
MOST_LINES = 20_000
MOST_SPANS = 5_000


class Thinned(NamedTuple):
    """A recording with less in it, and what was left out, in words."""

    recording: Recording
    left_out: tuple[str, ...]


def thinned(recording: Recording) -> Thinned:
    """At most so many points, calls, lines and spans as above; the start, the end and the highest point of a curve stay."""
    notes: list[str] = []
    samples = thin_samples(recording.samples, MOST_POINTS)
    totals = _thin(recording.totals, MOST_POINTS, lambda total: total.memory)
    others = _thin_others(recording)
    for name, before, after in (
        ("samples", recording.samples, samples),
        ("totals", recording.totals, totals),
        ("samples of other processes", recording.others, others),
    ):
        if len(after) < len(before):
            notes.append(f"{len(after):,} of {len(before):,} {name}: the highest and the lowest of each stretch of time")
    calls = fewer_calls(recording.calls, MOST_CALLS)
    if len(calls) < len(recording.calls):
        notes.append(f"{len(calls):,} calls of {len(recording.calls):,}: small ones are summed up under their caller")
    lines = _largest(recording.lines, MOST_LINES, lambda line: (abs(line.growth), line.rise or 0, line.time))
    heap_lines = _largest(recording.heap_lines, MOST_LINES, lambda line: max(line.heap.alive_at_peak, line.heap.alive))
    spans = _largest(recording.spans, MOST_SPANS, lambda span: (span.rise, span.duration or 0))
    for name, kept, of in (
        ("lines", lines, recording.lines),
        ("lines of the heap", heap_lines, recording.heap_lines),
        ("spans", spans, recording.spans),
    ):
        if len(kept) < len(of):
            notes.append(f"{len(kept):,} {name} of {len(of):,}, those that did most")
    group = _thin(recording.group, MOST_POINTS, lambda use: use.used)
    mapped = recording.mapped[:: max(1, -(-len(recording.mapped) // MOST_POINTS))]
    found = replace(
        recording,
        samples=samples,
        totals=totals,
        others=others,
        calls=calls,
        lines=lines,
        heap_lines=heap_lines,
        spans=spans,
        group=group,
        mapped=mapped,
    )
    return Thinned(found, tuple(notes))


def _largest(rows: tuple[Any, ...], most: int, weight: Callable[[Any], Any]) -> tuple[Any, ...]:
    """Those rows that weigh most, in the order in which they were."""
    if len(rows) <= most:
        return rows
    kept = sorted(sorted(range(len(rows)), key=lambda place: weight(rows[place]), reverse=True)[:most])
    return tuple(rows[place] for place in kept)


# -- curves ------------------------------------------------------------------------------------------------------------


def _thin(rows: tuple[Any, ...], most: int, height: Callable[[Any], int]) -> tuple[Any, ...]:
    """The highest and the lowest row of each stretch, the first and the last of all."""
    return tuple(rows[place] for place in _kept(rows, most, height, height))


def _kept(rows: Sequence[Any], most: int, high: Callable[[Any], int], low: Callable[[Any], int]) -> Iterable[int]:
    """The places of the rows that stay, in order: of each stretch the highest by one measure, the lowest by another."""
    if len(rows) <= most:
        return range(len(rows))
    count = max(1, (most - 2) // 2)
    begin, end = rows[0].time, rows[-1].time
    step = max(1, (end - begin) // count + 1)
    kept = {0, len(rows) - 1}
    highs, lows = list(map(high, rows)), list(map(low, rows))
    highest = lowest = stretch = 0
    for place, row in enumerate(rows):
        now = (row.time - begin) // step
        if now != stretch:
            kept |= {highest, lowest}
            highest, lowest, stretch = place, place, now
        if highs[place] > highs[highest]:
            highest = place
        if lows[place] < lows[lowest]:
            lowest = place
    return sorted(kept | {highest, lowest})


def thin_samples(samples: Sequence[Sample], most: int) -> tuple[Sample, ...]:
    """Samples of one process; the peak of one that stays is the highest since the one before that stays."""
    if len(samples) <= most:
        return tuple(samples)
    found = []
    before = 0
    peaks = list(map(_peak_of, samples))
    for place in _kept(samples, most, _peak_of, attrgetter("memory")):
        found.append(samples[place]._replace(peak=max(peaks[before : place + 1])))
        before = place + 1
    return tuple(found)


def _thin_others(recording: Recording) -> tuple[Sample, ...]:
    lanes = [lane for process, lane in recording.lanes[1:] if lane]
    if not lanes or len(recording.others) <= MOST_POINTS:
        return recording.others
    most = min(MOST_POINTS, max(FEWEST_POINTS, MOST_POINTS_OF_OTHERS // len(lanes)))
    return tuple(sorted((sample for lane in lanes for sample in thin_samples(lane, most)), key=lambda sample: sample.time))


# -- calls -------------------------------------------------------------------------------------------------------------

_HEAPS = ("allocated", "alive", "alive_at_peak", "temporary")


def fewer_calls(calls: tuple[Call, ...], most: int) -> tuple[Call, ...]:
    """The calls that weigh most by anything, and for those left out below each of them one call with their number."""
    if len(calls) <= most:
        return calls
    weights = _weights(calls)
    order = sorted(range(len(calls)), key=lambda place: (-weights[place], place))
    count = most
    while True:
        kept = {calls[place].id for place in order[:count]}
        homes = _homes(calls, kept)
        needed = len(kept) + len({home for home, _ in homes.values()})
        if needed <= most or count <= 1:
            return _with_rests(calls, kept, homes)
        count = min(count - 1, count * most // needed)


def _weights(calls: tuple[Call, ...]) -> list[float]:
    """How much each call weighs by what it has most of, as a share of all; no call less than what it called."""
    measures = [
        [abs(call.growth) for call in calls],
        [call.rise or 0 for call in calls],
        [call.time for call in calls],
        *([getattr(call, name) or 0 for call in calls] for name in _HEAPS),
    ]
    found = [0.0] * len(calls)
    for values in measures:
        whole = max(values) or 1
        found = [max(before, value / whole) for before, value in zip(found, values)]
    places = {call.id: place for place, call in enumerate(calls)}
    for place in range(len(calls) - 1, -1, -1):
        parent = calls[place].parent
        if parent is not None:
            found[places[parent]] = max(found[places[parent]], found[place])
    return found


def _homes(calls: tuple[Call, ...], kept: set[int]) -> dict[int, tuple[int | None, bool]]:
    """For each call that is left out: below which one that stays it is counted, and whether that one made it itself."""
    found: dict[int, tuple[int | None, bool]] = {}
    for call in calls:
        if call.id in kept:
            continue
        if call.parent is None or call.parent in kept:
            found[call.id] = call.parent, True
        else:
            found[call.id] = found[call.parent][0], False
    return found


def _with_rests(calls: tuple[Call, ...], kept: set[int], homes: dict[int, tuple[int | None, bool]]) -> tuple[Call, ...]:
    rests: dict[int | None, list[tuple[Call, bool]]] = {}
    for call in calls:
        if call.id not in kept:
            home, direct = homes[call.id]
            rests.setdefault(home, []).append((call, direct))
    number = max(call.id for call in calls)
    stay = [call for call in calls if call.id in kept]
    sums = [_rest(number + 1 + place, home, those) for place, (home, those) in enumerate(rests.items())]
    return (*stay, *sums)


def _rest(id: int, home: int | None, those: list[tuple[Call, bool]]) -> Call:
    """One call for several: what they did with all that they called is what those among them did that ``home`` made."""
    made = [call for call, direct in those if direct]
    all_ = [call for call, _ in those]
    heap = own_heap = None
    for call in made:
        heap = sum_of_heaps(heap, call.heap)
    for call in all_:
        own_heap = sum_of_heaps(own_heap, call.own_heap)
    rises = [call.rises for call in made]
    return Call(
        id,
        home,
        Function("", f"<{len(all_):,} smaller call{'s' if len(all_) > 1 else ''}>", 0),
        made[0].thread,
        sum(call.calls for call in made),
        sum(call.time for call in made),
        sum(call.growth for call in made),
        sum(call.own_time for call in all_),
        sum(call.own_growth for call in all_),
        max(call.peak for call in made),
        max(call.own_peak for call in all_),
        None if any(call.rise is None for call in made) else max(call.rise or 0 for call in made),
        None if None in rises else sum(filter(None, rises)),
        sum(call.about for call in made),
        process=made[0].process,
        heap=heap,
        own_heap=own_heap,
    )
