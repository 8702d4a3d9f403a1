"""What one phase of a test used, as it is measured, and as it travels with pytest's reports."""

from __future__ import annotations

from typing import Any, NamedTuple, Self

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

    def extra(self) -> dict[str, Any]:
        """What a report carries of it, from a worker too: plain values."""
        return {"bill": self.bill._asdict(), "over": list(self.over), "page": self.page}

    @classmethod
    def of(cls, report: Any) -> Self | None:
        """The row of a report; None for one that nothing was measured for."""
        extra = getattr(report, "memkit", None)
        if extra is None:
            return None
        file, line, _ = report.location
        over = tuple(extra["over"])
        return cls(
            report.nodeid, report.when, report.outcome, file, (line or 0) + 1, Bill(**extra["bill"]), over, extra["page"]
        )


def size(value: int | None, *, sign: bool = False) -> str:
    """A size as memkit writes it, and a dash where it is not known."""
    return "-" if value is None else memkit.units.show_bytes(value, sign=sign)


def exact(value: int) -> str:
    """A size to the byte, where rounding hides something."""
    return f"{value:,} B"
