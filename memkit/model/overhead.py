"""What recording cost: the samples, and the tracing of lines and calls."""

from __future__ import annotations

from typing import NamedTuple


class Tracing(NamedTuple):
    """How lines or calls were traced, and what that cost."""

    tracer: str
    """``monitoring`` or ``settrace``."""
    gate: str
    """``perf``, ``rusage`` or ``always``: how it was told whether memory can have changed."""
    reason: str | None
    """Why no better gate."""
    event_cost: float
    """Nanoseconds that one line or call took to trace, as calibrated at the start."""
    read_cost: float
    """Nanoseconds that one reading of memory took."""
    events: int
    """Lines that were run, or calls that were made."""
    reads: int
    """How often memory was read."""
    as_of: int | None = None
    """When the sums were last written, of a program that did not end in order; None if they are complete."""
    whole_as_of: int | None = None
    """The same, with the smallest changes: in between, those are written that are largest."""
    targets: tuple[str, ...] = ()
    """What was traced, as targets; empty for all calls, or where the file does not tell."""

    @property
    def cost(self) -> int:
        """Nanoseconds that tracing took of the program's time, about."""
        return round(self.events * self.event_cost + self.reads * self.read_cost)


class Cost(NamedTuple):
    """What the recording itself took."""

    beats: int
    """Samples taken."""
    late: int
    """Ticks that were missed: they came too late to be taken."""
    cpu: int | None
    """Nanoseconds of CPU of the sampler; None where it cannot be told apart."""

    @property
    def kept(self) -> float:
        """The share of due ticks that were taken, 0 to 1."""
        return self.beats / (self.beats + self.late) if self.beats else 1.0


MIXED = {
    1: "this greenlet has no settrace",
    2: "something else took over greenlet.settrace",
    3: "too many were suspended at once, or there was no memory for their stacks",
}
"""Why greenlets were not told apart, by the number in the row."""
