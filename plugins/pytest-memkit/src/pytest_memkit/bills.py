"""What one phase of a test used, as it is measured, and as it travels with pytest's reports."""

from __future__ import annotations

from typing import NamedTuple, Self

import pytest

import memkit

PHASES = ("setup", "call", "teardown")
MEASURES = {"peak": "at the peak", "kept": "kept", "allocated": "allocated"}
"""What a budget can be for, and the words that follow its size."""

Places = dict[str, list[tuple[str, list[tuple[int, str]]]]]
"""By measure and kind, lines or paths: bytes, and where they were allocated, the largest first."""


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


class Measured(NamedTuple):
    """What the report of a phase carries, from a worker too: numbers and text, which no garbage collector visits."""

    peak: int
    kept: int
    allocated: int | None
    meter: str
    error: int
    over: tuple[str, ...] = ()
    page: str | None = None


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
    def of(cls, report: pytest.TestReport, found: Measured) -> Self:
        file, line, _ = report.location
        bill, when = Bill(*found[:5]), report.when or "call"
        return cls(report.nodeid, when, report.outcome, file, (line or 0) + 1, bill, tuple(found.over), found.page)


def size(value: int | None, *, sign: bool = False) -> str:
    """A size as memkit writes it, and a dash where it is not known."""
    return "-" if value is None else memkit.units.show_bytes(value, sign=sign)


def exact(value: int) -> str:
    """A size to the byte, where rounding hides something."""
    return f"{value:,} B"
