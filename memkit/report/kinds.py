"""What stayed, what was held for a while, and what came and went often: three kinds of what a program does to memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeVar

from memkit.base.units import show_bytes
from memkit.model.lines import Line
from memkit.report import heaps, transforms

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from memkit.model.calls import Call, Function
    from memkit.model.recording import Recording

T = TypeVar("T", Line, "Call")

LEAST_TOLD = 1 << 20
"""What is less is not told."""
MANY = 10
"""What ran at least so often may have come and gone often."""
SPANS = 100
"""Where so many spans of a label have ended, such as requests, one asks what they keep."""


def unknown(recording: Recording) -> str | None:
    """Why it is not told which line or call memory stayed by, and which options tell it; None where it can be told.

    Requests come again and again: what one has freed is resident still, and another fills it before anything grows. So most
    stays by the line of a spike, and nothing by the one that leaks.
    """
    of_heap = [*(line.heap for line in recording.lines[:1]), *(call.heap for call in recording.calls[:1])]
    if not of_heap or of_heap.count(None) < len(of_heap) or all(sums.number < SPANS for sums in recording.span_sums):
        return None
    what = "lines" if recording.lines else "calls"
    return (
        f"which of its {what} a label leaks by is not known: what a spike has freed is resident still, and a leak fills it "
        f"first; --heap --{what} tells"
    )


class Kind(NamedTuple):
    """What one line or call did to memory, as people tell it."""

    name: str
    """``stayed``, ``held`` for a while, or ``churned``: came and went often; ``alive`` in place of ``stayed`` where heap was
    counted."""
    what: Line | Call
    size: int
    """Bytes that stayed, that were held besides, or the most that came and went at a time. Of a line at most so many stayed:
    none sees what a return frees."""
    times: int
    together: int
    """The same in all: of what came and went, the bytes of all times."""
    when: str = "at the end"
    """As of when it is known what is alive."""

    @property
    def words(self) -> str:
        """The same in words, without who did it."""
        if self.name == "stayed":
            bound = "at most " if isinstance(self.what, Line) and self.what.function.name != "<module>" else ""
            return f"stayed: {bound}{show_bytes(self.size, sign=True)}"
        if self.name == "alive":
            return f"alive {self.when}: {show_bytes(self.size)}"
        if self.name == "held":
            return f"held for a while, then given back: {show_bytes(self.size)}"
        return f"came and went: {self.times:,} times, at most {show_bytes(self.size)}, {show_bytes(self.together)} in all"


def kinds_of_lines(recording: Recording) -> list[Kind]:
    """The line that kept most, the one that held most for a while, and the one that took and gave back most in all.

    What was kept is left out where it is ``unknown``.
    """
    if all(line.rise is None for line in recording.lines):
        return []
    kept = {line[:2]: size for line, size in transforms.kept_lines(recording.lines, recording)}
    inner = transforms.most_risen_lines(recording.lines, len(recording.lines))
    outer = [line for line in transforms.risen_lines(recording.lines) if line not in set(inner)]
    grown = [(line, kept[line[:2]]) for line in transforms.most_grown_lines(recording.lines, 1, recording)]
    lowest = min([sample.memory for sample in recording.samples] or [line.memory for line in recording.lines])
    span = max(line.peak for line in recording.lines) - lowest
    begun: dict[Function, int] = {}
    for line in sorted(recording.lines, key=lambda line: line.number):
        begun.setdefault(line.function, max(line.hits, 1))

    def rose(line: Line) -> _Risen:
        left = min(line.growth // begun[line.function], span)  # a return frees what no line sees
        return _Risen(line, line.rise or 0, line.rises or 0, line.hits, kept.get(line[:2], 0), left)

    grown = grown if unknown(recording) is None else []
    risen = _most_held(map(rose, inner)) + _most_held(map(rose, outer))
    return _kinds(recording.lines, grown, risen, heaps.when(recording))


def kinds_of_calls(calls: Sequence[Call], recording: Recording | None = None) -> list[Kind]:
    """As ``kinds_of_lines``: of what functions kept themselves, and of how far calls rose.

    They may be some of a ``recording``, and of none it is told what is ``unknown`` of that.
    """
    if all(call.rise is None for call in calls):
        return []
    kept = transforms.kept_of(calls)
    own = [(call, min(call.own_growth, kept[call.id])) for call in calls if call.parent is not None]
    grown = sorted((pair for pair in own if pair[1] > 0), key=lambda pair: (-pair[1], pair[0].own_growth))
    inner = transforms.most_risen_calls(calls, len(calls))
    outer = [call for call in transforms.most_risen_calls(calls, 1, "rises") if call not in inner]
    span = max(call.peak for call in calls) - min(call.own_peak for call in calls)

    def rose(call: Call) -> _Risen:
        left = min(call.growth, span)
        return _Risen(call, call.rise or 0, call.rises or 0, call.calls, max(0, kept[call.id]), left)

    return _kinds(
        [call for call in calls if call.parent is not None],
        grown if recording is None or unknown(recording) is None else [],
        _most_held(map(rose, inner)) + _most_held(map(rose, outer)),
        *([] if recording is None else [heaps.when(recording)]),
    )


class _Risen(NamedTuple):
    """A line or call that rose, and what of that stayed."""

    what: Line | Call
    rise: int
    rises: int
    times: int
    kept: int
    left: int
    """Bytes that all times together, of a line those in one call, left behind, as far as so many can have been there at
    once."""

    @property
    def gave_back(self) -> int:
        """Bytes that it took and gave back, in all its times."""
        return self.rises - self.kept

    @property
    def held(self) -> int:
        """Bytes that one time took and that were given back, at least, or all times bit by bit."""
        return max(self.rise - self.kept, self.gave_back // max(self.times, 1), self.left - self.kept)

    @property
    def often(self) -> bool:
        """Whether it took and gave back so many times that it is told as a sum."""
        gave_back = self.rises - max(self.left, self.kept)  # and not elsewhere in one go
        return self.times >= MANY and self.rises >= 3 * self.rise and gave_back >= max(self.left, self.kept)

    @property
    def held_notably(self) -> bool:
        """Whether what it held besides what stayed is more than the two can be off."""
        return self.held >= max(LEAST_TOLD, transforms.TIE * self.rise)


def _most_held(risen: Iterable[_Risen]) -> list[_Risen]:
    """Those first that held most; of those that tie, in the order in which they are."""
    risen = list(risen)
    step = max(transforms.NOISE, transforms.TIE * max((each.held for each in risen), default=0))
    return sorted(risen, key=lambda each: -round(each.held / step))


def _kinds(things: Sequence[T], grown: list[tuple[T, int]], risen: list[_Risen], when: str = "at the end") -> list[Kind]:
    """Of things and what they kept, and of those that rose, the one of each kind, if there is one.

    Where heap was counted, what is alive is told in place of what stayed: pages that an allocator keeps are nobody's.
    """
    counted = any(what.heap is not None for what in things)
    stayed = _most_alive(things) if counted else grown[:1]
    found = [Kind("alive" if counted else "stayed", what, size, 1, size, when) for what, size in stayed]
    once = [each for each in risen if not each.often and each.held_notably]
    found += [Kind("held", each.what, each.held, each.times, each.held) for each in once[:1]]
    often = sorted((each for each in risen if each.often), key=lambda each: -each.gave_back)
    found += [Kind("churned", each.what, each.rise, each.times, each.gave_back) for each in often[:1]]
    return [kind for kind in found if kind.together >= LEAST_TOLD]


def _most_alive(things: Sequence[T]) -> list[tuple[T, int]]:
    """What allocated most of what is alive, without what it called, if anything did; imported code is alive for ever."""
    own = [(what, heaps.own(what, "heap")) for what in things if what.function.name != "<module>"]
    return sorted(own, key=lambda pair: -pair[1])[:1]
