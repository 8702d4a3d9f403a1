"""Baselines: what each test used, as sorted text for git, and how much more it may use."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple, Self

import pytest

import memkit
from pytest_memkit.bills import Bill, Row
from pytest_memkit.budgets import excess

HEADER = "# memkit baseline 1: KiB at the peak, and KiB kept, of the call of each test; by {}"
KNOWN = re.compile(re.escape(HEADER).replace(r"\{\}", "(heap|rss)"))
LINE = re.compile(r" *(\d+) +(-?\d+)  (\S.*)")
KIB = 1024
TOLERANCE = "10% 64 KiB"


class Entry(NamedTuple):
    """What a test used, in bytes: whole KiB."""

    peak: int
    kept: int


class Tolerance(NamedTuple):
    """What may be used more: a share, or so many bytes, whichever is more."""

    share: float
    size: int

    @classmethod
    def parsed(cls, text: str) -> Self:
        """From a text such as ``10% 64 KiB``, of which either may be left out. Raises ``pytest.UsageError``."""
        match = re.fullmatch(r"\s*(?:(\d+(?:\.\d+)?)\s*%)?\s*(.*?)\s*", text)
        assert match is not None
        try:
            if not match[1] and not match[2]:
                raise memkit.UsageError("it is empty")
            return cls(float(match[1] or 0) / 100, memkit.units.parse_bytes(match[2]) if match[2] else 0)
        except memkit.UsageError:
            example = "write a share, a size or both, such as 10% 64 KiB"
            raise pytest.UsageError(f"memkit_tolerance = {text!r}: {example}") from None

    def of(self, value: int, error: int) -> int:
        """How much more than a value is allowed, where sizes can be off by ``error``."""
        return max(round(abs(value) * self.share), self.size, error)


class Baseline:
    """What tests used, by their ids."""

    def __init__(self, path: Path, tolerance: Tolerance, meter: str, entries: dict[str, Entry]) -> None:
        self.path, self.tolerance, self.meter, self.entries = path, tolerance, meter, entries

    @classmethod
    def read(cls, path: Path, tolerance: Tolerance, *, must_exist: bool) -> Self:
        """From its file. Raises ``pytest.UsageError`` where that is none."""
        try:
            return cls.parsed(path.read_text(encoding="utf-8"), path, tolerance)
        except FileNotFoundError:
            if must_exist:
                raise pytest.UsageError(f"there is no baseline {str(path)!r}: write it with --memkit-save") from None
            return cls(path, tolerance, "", {})
        except (OSError, UnicodeDecodeError) as error:
            raise pytest.UsageError(f"the baseline {str(path)!r} cannot be read: {error}") from None

    @classmethod
    def parsed(cls, text: str, path: Path, tolerance: Tolerance) -> Self:
        """From its text. Raises ``pytest.UsageError`` for a line that is none of a baseline."""
        entries: dict[str, Entry] = {}
        meter = ""
        for number, line in enumerate(text.splitlines(), 1):
            if number == 1 and (known := KNOWN.fullmatch(line)):
                meter = known[1]
            elif meter and (found := LINE.fullmatch(line)):
                entries[found[3]] = Entry(int(found[1]) * KIB, int(found[2]) * KIB)
            else:
                wrong = f"{str(path)!r}, line {number}: {line!r} is not of a baseline"
                raise pytest.UsageError(f"{wrong}: delete the file and write it with --memkit-save")
        return cls(path, tolerance, meter, entries)

    @property
    def text(self) -> str:
        """All of it, sorted, a line for each test."""
        lines = [f"{entry.peak // KIB:>10} {entry.kept // KIB:>10}  {test}" for test, entry in sorted(self.entries.items())]
        return "\n".join([HEADER.format(self.meter), *lines, ""]) if self.meter else ""

    def check_meter(self, meter: str) -> None:
        """Raise ``pytest.UsageError`` where it was measured by another meter."""
        if self.meter and meter != self.meter:
            said = f"{str(self.path)!r} is a baseline by {self.meter}, and this run measures by {meter}"
            raise pytest.UsageError(f"{said}: run with --memkit-meter={self.meter}, or write it anew with --memkit-save")

    def allowed(self, test: str, error: int) -> Entry | None:
        """What a test may use, where sizes can be off by ``error``; None for one that the baseline does not have."""
        entry = self.entries.get(test)
        return entry and Entry(*(value + self.tolerance.of(value, error) for value in entry))

    def over(self, test: str, bill: Bill, without: Iterable[str] = ()) -> dict[str, str]:
        """What a test used more than it may: a sentence for each measure."""
        allowed = self.allowed(test, bill.error)
        if allowed is None or bill.meter != self.meter:
            return {}
        names = [name for name in Entry._fields if name not in without and getattr(bill, name) > getattr(allowed, name)]
        return {name: excess(name, getattr(self.entries[test], name), bill, "baseline") for name in names}

    def updated(self, rows: Iterable[Row], root: Path) -> Baseline:
        """With what the tests that passed used in this run; those of files that are gone are left out."""
        used = {row.test: row.bill for row in rows if row.phase == "call" and row.outcome == "passed"}
        kinds = {bill.meter for bill in used.values() if bill.meter != "processes"}
        meter = kinds.pop() if kinds else self.meter
        entries = self.entries if meter == self.meter else {}
        kept = {test: entry for test, entry in entries.items() if (root / test.partition("::")[0]).exists()}
        new = {test: _entry(bill) for test, bill in used.items() if bill.meter == meter}
        return Baseline(self.path, self.tolerance, meter, {**kept, **new})

    def check_writable(self) -> None:
        """Raise ``pytest.UsageError`` where its file cannot be written."""
        try:
            self._new.touch()
            self._new.unlink()
        except OSError as error:
            raise pytest.UsageError(f"the baseline {str(self.path)!r} cannot be written: {error.strerror}") from None

    def write(self) -> None:
        """Write its file, whole or not at all. Raises ``OSError``."""
        self._new.write_text(self.text, encoding="utf-8")
        self._new.replace(self.path)

    @property
    def _new(self) -> Path:
        return self.path.with_name(f"{self.path.name}.new")


def _entry(bill: Bill) -> Entry:
    """What a test used, rounded up."""
    return Entry(*(-(-value // KIB) * KIB for value in (bill.peak, bill.kept)))
