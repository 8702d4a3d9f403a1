"""Named stretches of time in a recording."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol

from memkit.model.highest import Highest
from memkit.model.inside import SpanInside
from memkit.model.row_values import attributes_of


class _Sample(Protocol):
    @property
    def time(self) -> int: ...
    @property
    def memory(self) -> int: ...


class Span(NamedTuple):
    """A named stretch of time, from ``memkit.span``."""

    label: str
    thread: int
    depth: int
    """How many spans of its context were open around it."""
    start: int
    end: int | None
    """None where the program did not live to see it."""
    before: int
    after: int | None
    peak: int
    attributes: tuple[tuple[str, str | int | float | bool | None], ...] = ()
    """What it was given beside its label: names and values."""
    overlapped: bool = False
    """Whether other spans were open meanwhile that are neither around it nor inside it: growth and rise are of all."""
    allocated: int | None = None
    """Bytes that were allocated under it and under those inside it; None, as below, where heap was not counted by spans."""
    freed: int | None = None
    """What of that was freed before it ended."""
    heap_peak: int | None = None
    """The most of it that was alive at once."""
    inside: tuple[SpanInside, ...] = ()
    """What grew and rose most in it, where it was one of the worst of its label so far, and lines or calls were traced."""
    process: int | None = None
    """The PID of the process that it was in; None for the recorded one."""

    @property
    def growth(self) -> int | None:
        """Bytes that the process grew by; None for an unfinished span."""
        return None if self.after is None else self.after - self.before

    @property
    def rise(self) -> int:
        """Bytes by which its peak was above memory when it began."""
        return self.peak - self.before

    @property
    def kept(self) -> int | None:
        """What was allocated under it and was still alive when it ended."""
        return None if self.allocated is None or self.freed is None else self.allocated - self.freed

    @property
    def duration(self) -> int | None:
        return None if self.end is None else self.end - self.start


class Spans:
    """The rows of spans as a reader meets them."""

    def __init__(self) -> None:
        self._begun: dict[int, tuple[int, int, int, int, str, tuple[Any, ...]]] = {}
        self._ended: dict[int, tuple[Any, ...]] = {}

    def begin(
        self, id: int, time: int, memory: int, thread: int, depth: int, label: str, attributes: Any = None, *_: Any
    ) -> None:
        """Keep how one began. TypeError for attributes that are none."""
        self._begun[id] = (time, memory, thread, depth, label, attributes_of(attributes))

    def end(self, id: int, time: int, memory: int, peak: int | None, overlapped: int = 0, *heap: Any) -> None:
        """Keep how one ended."""
        self._ended[id] = (time, memory, peak, bool(overlapped), *(heap[:3] if heap[2:] else (None, None, None)))

    def found(self, samples: Iterable[_Sample], inside: dict[int, tuple[SpanInside, ...]]) -> tuple[Span, ...]:
        """All of them; the peak of one that does not know its own is that of the samples. ``inside`` is by their numbers."""
        spans, highest = [], None
        for id, (start, before, thread, depth, label, attributes) in self._begun.items():
            end, after, peak, *more = self._ended.get(id, (None, None, None))
            if peak is None:
                highest = highest or Highest((each.time, each.memory) for each in samples)
                peak = highest.within(start, end)
            top = max(before if peak is None else peak, before, after or 0)
            span = Span(label, thread, depth, start, end, before, after, top, attributes, *more)
            spans.append(span._replace(inside=inside.get(id, ())))
        return tuple(spans)
