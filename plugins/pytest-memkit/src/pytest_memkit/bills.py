"""What one phase of a test used, as it is measured, and as it travels with pytest's reports."""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import memkit

PHASES = ("setup", "call", "teardown")
MEASURES = {"peak": "at the peak", "kept": "kept", "allocated": "allocated"}
"""What a budget can be for, and the words that follow its size."""

Places = dict[str, list[tuple[str, list[tuple[int, str]]]]]
"""By measure and kind, lines or paths: bytes, and where they were allocated, the largest first."""


Found = tuple[str, str, str, tuple[str, int | None, str], dict[str, Any]]
"""What a report has of a phase: test, phase, outcome, place and what was measured."""


class Bill(NamedTuple):
    """What one phase of a test used, in bytes."""

    peak: int
    """The most that there was at one time, above what there was when it began."""
    kept: int
    """What there was more when it had ended."""
    allocated: int | None
    """What was allocated in all; None where only resident memory is known."""
    meter: str
    """``heap``, exact bytes; ``rss``, resident memory of this process; ``processes``, of this and those that it started."""
    error: int = 0
    """How far the others can be off."""


class Row(NamedTuple):
    """A phase of a test, as the controller knows it."""

    test: str
    phase: str
    outcome: str
    file: str
    line: int
    bill: Bill
    over: tuple[str, ...] = ()
    """What was over its budget, a sentence each."""
    page: str | None = None
    """The name of the file with its page."""

    @classmethod
    def of(cls, found: Found) -> Self:
        test, phase, outcome, (file, line, _), extra = found
        return cls(test, phase, outcome, file, (line or 0) + 1, Bill(**extra["bill"]), tuple(extra["over"]), extra["page"])


def size(value: int | None, *, sign: bool = False) -> str:
    """A size as memkit writes it, and a dash where it is not known."""
    return "-" if value is None else memkit.units.show_bytes(value, sign=sign)


def exact(value: int) -> str:
    """A size to the byte, where rounding hides something."""
    return f"{value:,} B"
