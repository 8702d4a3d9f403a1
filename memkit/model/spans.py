"""A named stretch of time in a recording."""

from __future__ import annotations

from typing import NamedTuple


class Span(NamedTuple):
    """A named stretch of time, from ``memkit.span``."""

    label: str
    thread: int
    depth: int
    """How many spans of its thread were open around it."""
    start: int
    end: int | None
    """None where the program did not live to see it."""
    before: int
    after: int | None
    peak: int

    @property
    def growth(self) -> int | None:
        """Bytes that the process grew by; None for an unfinished span."""
        return None if self.after is None else self.after - self.before

    @property
    def rise(self) -> int:
        """Bytes by which its peak was above memory when it began."""
        return self.peak - self.before

    @property
    def duration(self) -> int | None:
        return None if self.end is None else self.end - self.start
