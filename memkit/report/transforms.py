"""What reporters make of a recording before they show it: pure functions that fold, sort, filter and cut its rows.

Calls are hidden by :meth:`memkit.Recording.hiding`; these work on what is left.
"""

from __future__ import annotations

import heapq
from dataclasses import replace
from operator import attrgetter
from typing import TYPE_CHECKING, TypeVar

from memkit.model.calls import those_that_hand_over
from memkit.model.recording import Sample
from memkit.report import heaps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from memkit.model.calls import Call, Function
    from memkit.model.lines import Line
    from memkit.model.recording import Recording, Span

T = TypeVar("T")

NOISE = 128 << 10
"""Growth below this tells nothing: resident memory is counted in pages, and the kernel's count lags behind by some."""
STANDS_OUT = 0.1
"""A function stands out that has at least this share of all growth itself."""
LONGEST_CHAIN = 7
MOST_LEVELS = 1000
"""A file of whole stacks grows with the square of their depth: what is deeper counts as the call at this depth."""
_LEAST_SHARE = 0.01
MOST_PATHS = 30
_LEAST_FUNCTIONS = 5
TIE = 0.01
"""Rises that differ by no more than this share, or by ``NOISE``, tie: such are those of a call and of what it called."""

# -- samples, spans and lines ----------------------------------------------------------------------------------------


def together(recording: Recording) -> Recording:
    """The same recording with the memory of all its processes in place of the first one's, where that is known.

    Its peak is the highest that was seen, since the processes are read one after another.
    """
    if not recording.totals:
        return recording
    samples = tuple(Sample(total.time, 0, total.memory, total.memory) for total in recording.totals)
    return replace(recording, samples=samples, about=recording.about._replace(peaks="samples"))


def all_samples(recording: Recording) -> Iterator[Sample]:
    """The samples of all processes in order of time."""
    return heapq.merge(recording.samples, recording.others, key=attrgetter("time"))


def largest_spans(spans: Iterable[Span], most: int) -> list[Span]:
    """The spans that rose most, at most so many, in the order in which they began."""
    return sorted(sorted(spans, key=lambda span: span.before - span.peak)[:most], key=lambda span: span.start)


def most_grown_lines(lines: Iterable[Line], most: int, recording: Recording | None = None) -> list[Line]:
    """The lines that grew, at most so many, those of which most can have stayed first.

    What their function gave back does not count, nor does what was gone at the end of the ``recording``. In an old file,
    where no rises are known, all counts.
    """
    return [line for line, _ in kept_lines(lines, recording)[:most]]


def kept_lines(lines: Iterable[Line], recording: Recording | None) -> list[tuple[Line, int]]:
    """The lines that grew, each with how much of that can have stayed, most first.

    Of those that tie, the ones come first of which all can have stayed, and of these the innermost, which took least time.
    """
    lines = list(lines)
    if all(line.rise is None for line in lines):
        return sorted(((line, line.growth) for line in lines if line.growth > 0), key=lambda pair: -pair[1])
    function: dict[Function, int] = {}
    for line in lines:
        function[line.function] = function.get(line.function, 0) + line.growth
    alone = recording is not None and recording.samples and len(recording.processes) < 2
    end = recording.samples[-1].memory if recording is not None and alone else None
    least = min(sample.memory for sample in recording.samples) if recording is not None and alone else 0
    found = []
    for line in lines:
        kept = min(line.growth, function[line.function])
        if end is not None:
            kept = min(kept, end - max(line.memory - line.growth, least))
        if kept > 0:
            found.append((line, kept))
    step = max(NOISE, TIE * max((kept for _, kept in found), default=0))
    return sorted(found, key=lambda pair: (-round(pair[1] / step), pair[0].growth - pair[1] >= step, pair[0].time))


def tie(one: int, other: int) -> bool:
    """Whether two rises are nearly the same."""
    return abs(one - other) <= max(NOISE, TIE * max(one, other))


def most_risen_lines(lines: Iterable[Line], most: int) -> list[Line]:
    """The lines that rose, at most so many, those that rose most first.

    A line is left out that reached no more itself than traced code that it called: of two that tie, the innermost is there.
    """
    return [line for line in risen_lines(lines) if _reached_itself(line)][:most]


def risen_lines(lines: Iterable[Line]) -> list[Line]:
    """The lines that rose, those that rose most first; of those that tie, the innermost, which took least time."""
    found = [line for line in lines if (line.rise or 0) >= NOISE]
    step = max(NOISE, TIE * max((line.rise or 0 for line in found), default=0))
    return sorted(found, key=lambda line: (-round((line.rise or 0) / step), line.time))


def _reached_itself(line: Line) -> bool:
    return (line.own_rise or 0) > max(NOISE, TIE * (line.rise or 0))


# -- calls -----------------------------------------------------------------------------------------------------------


def stacks(recording: Recording, weight_of: Callable[[Call], int]) -> Iterator[tuple[list[Function], int]]:
    """The stack of each call that has a weight above 0, outermost function first, and that weight, in the order of the tree.

    A stack has at most ``MOST_LEVELS`` functions.
    """
    stack: list[Function] = []
    for depth, call in recording.walk():
        del stack[depth:]
        stack.append(call.function)
        if (weight := weight_of(call)) > 0:
            yield stack[:MOST_LEVELS], weight


def kept_of(calls: Iterable[Call]) -> dict[int, int]:
    """How much of the growth of each call, by its id, can have stayed: no more than each of its callers grew by."""
    kept: dict[int | None, int] = {}
    for call in calls:
        kept[call.id] = min(call.growth, kept.get(call.parent, call.growth))
    return {id: size for id, size in kept.items() if id is not None}


def most_risen_calls(calls: Sequence[Call], most: int, by: str = "rise") -> list[Call]:
    """The calls that rose most, at most so many, each pair of function and caller once; of calls that tie, the innermost.

    Those are left out that were not running themselves at their peak, but something that they called or handed over. By
    ``rises`` it is the sum of all their calls that counts. Roots are left out.
    """
    value = weight_of(calls, by)
    below: dict[int | None, list[Call]] = {}
    function = {call.id: call.function for call in calls}
    for call in calls:
        below.setdefault(call.parent, []).append(call)
    handing = those_that_hand_over(calls)
    shown: dict[tuple[Function, Function], Call] = {}
    covered: set[int] = set()
    for call in sorted(calls, key=lambda call: (-value(call), call.id)):
        if value(call) < NOISE or len(shown) == most:
            break
        inner = call
        while inner.id not in covered:
            covered.add(inner.id)
            at_the_top = [each for each in below.get(inner.id, ()) if tie(value(each), value(call))]
            if not at_the_top:
                itself = by == "rises" or tie(inner.peak - inner.own_peak, 0) or not below.get(inner.id)
                if itself and inner.parent is not None and inner.id not in handing:
                    shown.setdefault((inner.function, function[inner.parent]), inner)
                break
            inner = max(at_the_top, key=value)
    return list(shown.values())


def own_weights(calls: Sequence[Call], by: str) -> dict[int, int]:
    """What each call adds to a picture by its id: what it did itself, without what it called.

    Of a ``peak`` that is how far it was above the lowest, and of a ``rise``, how much more it was than those of its callees
    together.
    """
    if by in ("growth", "time"):
        return {call.id: getattr(call, f"own_{by}") for call in calls}
    if by in heaps.KEYS:
        return {call.id: heaps.own(call, by) for call in calls}
    value = weight_of(calls, by)
    widths = {call.id: value(call) for call in calls}
    below: dict[int | None, int] = {}
    weights = {}
    for call in reversed(calls):
        inside = below.get(call.id, 0)
        weights[call.id] = max(0, widths[call.id] - inside)
        below[call.parent] = below.get(call.parent, 0) + max(widths[call.id], inside)
    return weights


def weight_of(calls: Sequence[Call], by: str) -> Callable[[Call], int]:
    """How much a call has of what a picture is by, with all that it called: a peak is above the lowest."""
    if by != "peak":
        return lambda call: getattr(call, heaps.KEYS.get(by, by)) or 0
    lowest = min(call.own_peak for call in calls)
    return lambda call: call.peak - lowest


def picture_by(calls: Sequence[Call], by: str | None = None) -> str:
    """What a picture is by: ``growth`` unless something else is wished; where nothing grew ``rise``, then ``time``."""
    roots = [call for call in calls if call.parent is None]
    by = heaps.checked_by(calls, by)
    if by is not None or max(abs(call.growth) for call in roots) >= NOISE:
        return by or "growth"
    return "rise" if max((call.rise or 0) for call in calls) >= NOISE else "time"


def cut_chain(chain: list[T]) -> list[T | list[T]]:
    """A chain of calls in which each makes the next: those in the middle of a long one become a list."""
    if len(chain) <= LONGEST_CHAIN:
        return [*chain]
    return [*chain[:3], chain[3:-3], *chain[-3:]]


def sorted_functions(recording: Recording, key: str, most: int) -> tuple[list[Call], int]:
    """The functions that come first by one of the keys of ``--sort``, at most so many, and how many more there are.

    A function counts with all its paths and threads. Those of which the key is 0 are filtered out; so are the roots of
    threads that did nothing themselves, and what stands for work that was handed over. Of more than a few, those that have
    less than a hundredth of the whole are cut.
    """
    fields = {"peak": "own_peak", "time": "own_time", "own": "own_growth"}
    roots = [call for call in recording.calls if call.parent is None]
    threads = {call.function for call in recording.calls if call.parent is None or call.handed is not None}
    field = attrgetter(fields.get(key, key))
    value: Callable[[Call], int] = lambda call: field(call) or 0  # noqa: E731
    kept = _kept_by_functions(recording.calls) if key == "own" else {}
    found = [
        call
        for call in recording.called
        if value(call) > 0
        and (call.function not in threads or call.own_growth >= NOISE)
        and (key != "own" or call.rise is None or kept[call.function] > 0)
    ]
    found.sort(key=lambda call: (kept.get(call.function, 0), value(call)), reverse=True)
    least: float
    if key == "peak":
        least = middle_peak(recording.calls)
    elif key == "rise":
        least = _LEAST_SHARE * max((call.rise or 0 for call in recording.calls), default=0)
    elif key == "calls":
        least = _LEAST_SHARE * (recording.call_tracing.events if recording.call_tracing else 0)
    else:
        least = _LEAST_SHARE * sum(call.time if key == "time" else call.growth for call in roots)
    shown = [call for place, call in enumerate(found[:most]) if place < _LEAST_FUNCTIONS or value(call) >= least]
    return shown, len(found) - len(shown)


def _kept_by_functions(calls: Sequence[Call]) -> dict[Function, int]:
    """How much of what each function grew by itself can have stayed."""
    kept = kept_of(calls)
    found: dict[Function, int] = {}
    for call in calls:
        found[call.function] = found.get(call.function, 0) + min(call.own_growth, max(0, kept[call.id]))
    return found


def middle_peak(calls: Sequence[Call]) -> int:
    """Memory half way between the lowest and the highest that calls had."""
    return (min(call.own_peak for call in calls) + max(call.peak for call in calls)) // 2


class MainPaths:
    """The paths of a tree of calls that matter: by growth; where nothing grew, by peak; where nothing rose either, by time.

    ``sort`` is a key of ``--sort``: ``rise``, ``peak`` and ``time`` decide what they are chosen by.
    """

    def __init__(self, calls: Sequence[Call], sort: str | None = None):
        self._below: dict[int | None, list[Call]] = {}
        for call in calls:
            self._below.setdefault(call.parent, []).append(call)
        roots = self._below.get(None, [])
        self.count = len(calls)
        self.grown = sum(call.growth for call in roots)
        """Bytes that all calls grew memory by."""
        self.time = sum(call.time for call in roots)
        self.highest = max(call.peak for call in calls)
        self._lowest = min(call.own_peak for call in calls)
        most = max(abs(call.growth) for call in roots)
        self.most_risen = max(call.rise or 0 for call in roots)
        self._kept = kept_of(calls)
        self.by = sort if sort in ("rise", "peak", "time") else "growth"
        self.nothing_grew = self.by == "growth" and most < NOISE
        if self.nothing_grew:
            self.by = "peak" if self.highest - self._lowest >= NOISE else "time"
        rise = self.highest - self._lowest
        grown = self.grown if self.grown >= NOISE else most
        whole = {"growth": grown, "rise": self.most_risen, "peak": rise, "time": self.time}[self.by]
        self._least = max(1, whole * _LEAST_SHARE)
        self._most_in_passing = max(1, whole * STANDS_OUT)
        self._to_the_peak = self._path_to_the_peak() if self.by == "growth" else set()

    @property
    def with_the_peak(self) -> bool:
        """Whether the path to the highest peak was added, since it grew too little to be one of those that grew most."""
        return bool(self._to_the_peak)

    def _path_to_the_peak(self) -> set[int]:
        """The ids of the calls that led to the highest peak, where that was far above what stayed and growth hides one."""
        stayed = self._lowest + max(self.grown, 0)
        if self.highest - stayed < max(NOISE, (self.highest - self._lowest) * STANDS_OUT):
            return set()
        path: set[int] = set()
        hidden = False
        calls: Sequence[Call] = self._below.get(None, ())
        while calls:
            call = max(calls, key=lambda call: (call.peak, call.growth))
            if call.peak < self.highest:
                break
            path.add(call.id)
            hidden = hidden or abs(call.growth) < self._least
            calls = () if call.own_peak == self.highest else self._below.get(call.id, ())
        return path if hidden else set()

    def stands_out(self, call: Call) -> bool:
        """Whether a path is marked: its function itself has a good part of all growth, and paths are chosen by growth."""
        return self.by == "growth" and self.has_much_growth(call)

    def has_much_growth(self, call: Call) -> bool:
        """Whether a function itself, on one path or on all, has a good part of all growth."""
        return call.own_growth >= max(self.grown * STANDS_OUT, NOISE)

    def rows(self) -> Iterator[tuple[int, Call | list[Call]]]:
        """(depth, call) from the top, those that matter most first; a list is of the calls in the middle of a long chain."""
        chosen = self._chosen()
        ahead = [(0, chain) for chain in reversed(self._sorted(chosen.get(None, [])))]
        while ahead:
            depth, chain = ahead.pop()
            for each in cut_chain(chain):
                yield depth, each
                depth += 1
            following = self._sorted(chosen.get(chain[-1].id, []))
            ahead += [(depth, chain) for chain in reversed(following)]

    def _chosen(self) -> dict[int | None, list[list[Call]]]:
        """The chains to be shown, by the call that they hang on: the weightiest first until the page is full."""
        chosen: dict[int | None, list[list[Call]]] = {}
        room = MOST_PATHS
        candidates: list[tuple[float, int, Call]] = []
        self._offer(candidates, None)
        while candidates and room > 0:
            _, _, call = heapq.heappop(candidates)
            chain = self._chain(call)
            chosen.setdefault(call.parent, []).append(chain)
            room -= len(cut_chain(chain))
            self._offer(candidates, chain[-1])
        return chosen

    def _offer(self, candidates: list[tuple[float, int, Call]], caller: Call | None) -> None:
        for call in self._followed(caller):
            heapq.heappush(candidates, (-self._weight(call), call.id, call))

    def _chain(self, call: Call) -> list[Call]:
        """A call and those after it, as long as each makes one call that matters and does little itself."""
        chain = [call]
        while self._passes_on(call) and len(following := self._followed(call)) == 1:
            call = following[0]
            chain.append(call)
        return chain

    def _passes_on(self, call: Call) -> bool:
        if self.by == "growth":
            return abs(call.own_growth) < self._most_in_passing
        if self.by == "rise":
            return any(tie(call.rise or 0, below.rise or 0) for below in self._below.get(call.id, ()))
        return call.own_peak < call.peak if self.by == "peak" else call.own_time < self._most_in_passing

    def _followed(self, caller: Call | None) -> list[Call]:
        """The calls below one that matter. Where memory was high many run, but only those that made it so matter."""
        below = self._below.get(None if caller is None else caller.id, ())
        mattering = [call for call in below if self._weight(call) >= self._least]
        if self.by != "peak" or caller is None:
            return mattering
        at_the_top = [call for call in mattering if call.peak >= caller.peak - NOISE]
        went_there = max(at_the_top, key=lambda call: call.growth, default=None)
        return [call for call in mattering if call is went_there or call.peak >= caller.own_peak + NOISE]

    def _weight(self, call: Call) -> float:
        if self.by == "growth":
            return max(abs(call.growth), self._least if call.id in self._to_the_peak else 0)
        return call.peak - self._lowest if self.by == "peak" else getattr(call, self.by) or 0

    def _sorted(self, chains: list[list[Call]]) -> list[list[Call]]:
        return sorted(chains, key=lambda chain: self._rank(chain[0]), reverse=True)

    def _rank(self, call: Call) -> tuple[float, bool, float]:
        """By growth, what can have stayed comes first, and of as much what surely did."""
        value = getattr(call, self.by) or 0
        if self.by != "growth":
            return value, True, value
        return self._kept[call.id], value <= self._kept[call.id], value
