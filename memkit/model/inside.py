"""What happened inside a span: which call paths and lines grew or rose most in it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import NamedTuple

from memkit.model.calls import LOST, Function


class SpanInside(NamedTuple):
    """A call path, or a line, in the time that a span was open: of all that ran meanwhile."""

    path: tuple[Function, ...]
    """The functions of a path, the outermost first, at most the last 64; of a line the function that it is in."""
    line: int | None
    """The number of the line; None for a path."""
    growth: int
    """Bytes: of a path without what it called, of a line with it."""
    rise: int
    """The most by which one call of the path, or one run of the line, rose above what there was when it began."""


class Insides:
    """The rows of what was inside spans, as a reader meets them."""

    def __init__(self) -> None:
        self._calls: dict[int, list[tuple[int, int, int]]] = defaultdict(list)
        self._lines: dict[int, list[tuple[int, int, int, int]]] = defaultdict(list)

    def call(self, span: int, call: int, growth: int, rise: int, *_: object) -> None:
        """Keep a row of a path. TypeError for one that is damaged."""
        self._calls[span].append((call, growth, rise))

    def line(self, span: int, function: int, line: int, growth: int, rise: int, *_: object) -> None:
        """Keep a row of a line. TypeError for one that is damaged."""
        self._lines[span].append((function, line, growth, rise))

    def found(
        self, path_of: Callable[[int], tuple[Function, ...]], functions: dict[int, Function]
    ) -> dict[int, tuple[SpanInside, ...]]:
        """By the number of a span. What happened in functions whose rows were lost is left out."""
        both: dict[int, list[SpanInside]] = defaultdict(list)
        for span, calls in self._calls.items():
            paths = ((path_of(call), growth, rise) for call, growth, rise in calls)
            both[span] += (SpanInside(path, None, growth, rise) for path, growth, rise in paths if path and path[-1] != LOST)
        for span, lines in self._lines.items():
            both[span] += (
                SpanInside((functions[function],), line, growth, rise)
                for function, line, growth, rise in lines
                if function in functions
            )
        return {span: tuple(found) for span, found in both.items()}
