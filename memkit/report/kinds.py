"""What stayed, what was held for a while, and what came and went often: three kinds of what a program does to memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeVar

from memkit.base.units import show_bytes
from memkit.model.lines import Line
from memkit.report import heaps, transforms

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memkit.model.calls import Call
    from memkit.model.recording import Recording

T = TypeVar("T", Line, "Call")

LEAST_TOLD = 1 << 20
"""What is less is not told."""
MANY = 10
"""What ran at least so often may have come and gone often."""


class Kind(NamedTuple):
    """What one line or call did to memory, as people tell it."""

    name: str
    """``stayed``, ``held`` for a while, or ``churned``: came and went often; ``alive`` in place of ``stayed`` where heap was
    counted."""
    what: Line | Call
    size: int
    """Bytes that stayed, or by which it rose. Of a line at most so many stayed: none sees what a return frees."""
    times: int
    together: int
    """Bytes by which it rose in all."""

    @property
    def words(self) -> str:
        """The same in words, without who did it."""
        if self.name == "stayed":
            bound = "at most " if isinstance(self.what, Line) and self.what.function.name != "<module>" else ""
            return f"stayed: {bound}{show_bytes(self.size, sign=True)}"
        if self.name == "alive":
            return f"alive at the end: {show_bytes(self.size)}"
        if self.name == "held":
            return f"held for a while, then given back: {show_bytes(self.size)}"
        return f"came and went: {self.times:,} times, at most {show_bytes(self.size)}, {show_bytes(self.together)} in all"


def kinds_of_lines(recording: Recording) -> list[Kind]:
    """The line that kept most, the one that held most for a while, and the one that took and gave back most in all."""
    if all(line.rise is None for line in recording.lines):
        return []
    kept = {line[:2]: size for line, size in transforms.kept_lines(recording.lines, recording)}
    inner = transforms.most_risen_lines(recording.lines, len(recording.lines))
    risen = inner + [line for line in transforms.risen_lines(recording.lines) if line not in set(inner)]
    grown = [(line, kept[line[:2]]) for line in transforms.most_grown_lines(recording.lines, 1, recording)]
    return _kinds(
        recording.lines,
        grown,
        [(line, line.rise or 0, line.rises or 0, line.hits, kept.get(line[:2], 0)) for line in risen],
    )


def _kinds(things: Sequence[T], grown: list[tuple[T, int]], risen: list[tuple[T, int, int, int, int]]) -> list[Kind]:
    """Of things and what they kept, and of (thing, rise, rises, times, kept), those first that are told if there is one.

    Where heap was counted, what is alive is told in place of what stayed: pages that an allocator keeps are nobody's.
    """
    found: list[tuple[str, Line | Call, int, int, int]]
    if any(what.heap is not None for what in things):
        found = [("alive", what, size, 1, size) for what, size in _most_alive(things)]
    else:
        found = [("stayed", what, kept, 1, kept) for what, kept in grown[:1]]
    often = [each for each in risen if each[3] >= MANY and each[2] >= 3 * each[1] and each[2] >= 2 * each[4]]
    often = sorted(often, key=lambda each: -each[2])[:1]
    once = [each for each in risen if each not in often and each[1] - each[4] >= max(each[1] / 2, transforms.NOISE)]
    found += [("held", what, rise, times, rises) for what, rise, rises, times, _ in once[:1]]
    found += [("churned", what, rise, times, rises) for what, rise, rises, times, _ in often]
    return [Kind(*each) for each in found if each[4] >= LEAST_TOLD]


def kinds_of_calls(calls: Sequence[Call]) -> list[Kind]:
    """As ``kinds_of_lines``: of what functions kept themselves, and of how far calls rose."""
    if all(call.rise is None for call in calls):
        return []
    kept = transforms.kept_of(calls)
    own = [(call, min(call.own_growth, kept[call.id])) for call in calls if call.parent is not None]
    grown = sorted((pair for pair in own if pair[1] > 0), key=lambda pair: (-pair[1], pair[0].own_growth))
    risen = transforms.most_risen_calls(calls, len(calls))
    risen += [call for call in transforms.most_risen_calls(calls, 1, "rises") if call not in risen]
    rose = [(call, call.rise or 0, call.rises or 0, call.calls, max(0, kept[call.id])) for call in risen]
    return _kinds([call for call in calls if call.parent is not None], grown, rose)


def _most_alive(things: Sequence[T]) -> list[tuple[T, int]]:
    """What allocated most of what is alive, without what it called, if anything did; imported code is alive for ever."""
    own = [(what, heaps.own(what, "heap")) for what in things if what.function.name != "<module>"]
    return sorted(own, key=lambda pair: -pair[1])[:1]
