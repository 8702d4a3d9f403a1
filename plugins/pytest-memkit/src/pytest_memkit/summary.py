"""What is told at the end of a run, from the reports of all workers: tables, the baseline, and what CI reads."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from pytest_memkit import ci, pages
from pytest_memkit.baseline import Baseline
from pytest_memkit.bills import Measured, Row, size

NOTHING = 10 << 10
"""Bytes below which a phase has no row: what pytest itself needs to set a test up is less."""


class Summary:
    """The hooks that tell of it."""

    def __init__(self, config: pytest.Config, baseline: Baseline) -> None:
        self._config, self._baseline = config, baseline
        self._rows: list[Row] = []  # without those that nothing is told of
        self._kinds: set[tuple[str, int]] = set()  # what measured, and how far it is off
        self._needs_all = any(config.getoption(f"memkit_{name}") for name in ("save", "check", "html", "markdown"))
        self.html = config.getoption("memkit_html")
        self.markdown = config.getoption("memkit_markdown")
        if config.getoption("memkit_save"):
            baseline.check_writable()
        if self.html:
            pages.prepare(Path(self.html))
        if self.markdown:
            ci.check_writable(self.markdown)

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Hand the baseline to a worker of pytest-xdist, which may be on another machine."""
        node.workerinput["memkit_baseline"] = self._baseline.text

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        carried = getattr(report, "memkit", None)
        if carried is None:
            return
        found = Measured(*carried)
        self._kinds.add((found.meter, found.error))
        if self._needs_all or found.over or max(found.peak, found.kept) >= NOTHING:
            self._rows.append(Row.of(report, found))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self._kinds:
            return
        top = self._config.getoption("memkit_top")
        terminalreporter.section("memkit")
        for line in tables(self._rows, self._kinds, top if top > 0 else len(self._rows)):
            terminalreporter.write_line(line)
        for note in self._written():
            terminalreporter.write_line(note)
        if os.environ.get("GITHUB_ACTIONS") == "true":
            for line in ci.github(self._rows):
                terminalreporter.write_line(line)

    def _written(self) -> Iterator[str]:
        """Write the files that are asked for, and name each."""
        root = self._config.rootpath
        try:
            if self._config.getoption("memkit_check"):
                yield self._compared()
            if self._config.getoption("memkit_save"):
                updated = self._baseline.updated(self._rows, root)
                updated.write()
                yield f"baseline of {len(updated.entries):,} tests: {os.path.relpath(updated.path)}"
            if self.markdown:
                ci.append(self.markdown, ci.markdown(self._rows, self._baseline.entries))
                yield f"Markdown: {self.markdown}"
            if self.html:
                yield f"pages: {pages.write_index(Path(self.html), self._rows)}"
        except OSError as error:
            yield f"memkit: {error.filename!r} cannot be written: {error.strerror}"

    def _compared(self) -> str:
        """How the run compares with the baseline, in a line."""
        calls = [row for row in self._rows if row.phase == "call"]
        new = sum(row.test not in self._baseline.entries for row in calls)
        over = sum(bool(row.over) for row in calls)
        more = f"; {new:,} are not in it: --memkit-save adds them" if new else ""
        return f"baseline {os.path.relpath(self._baseline.path)}: {len(calls) - new:,} tests compared, {over:,} over{more}"


def tables(rows: Sequence[Row], kinds: Collection[tuple[str, int]], most: int) -> Iterator[str]:
    """The tests that rose most, and those that kept most, a line each; ``kinds`` are meters and their errors."""
    meters = {meter for meter, _ in kinds}
    error = max(error for _, error in kinds)
    yield f"{WORDS[max(meters)] if len(meters) == 1 else 'sizes'}{f', ± {size(error)}' if error else ''}"
    for title, key in (("rise", "peak"), ("kept", "kept")):
        found = [row for row in rows if getattr(row.bill, key) >= NOTHING + row.bill.error]
        if key == "kept":  # the traceback of a test that failed keeps all that it had
            found = [row for row in found if row.outcome != "failed" or row.over]
        found.sort(key=lambda row: (-getattr(row.bill, key), row.test, row.phase))
        yield ""
        if not found:
            yield f"no phase {'rose by' if key == 'peak' else 'kept'} {size(NOTHING + error)}"
            continue
        yield f"the phases by {title}" + (f", {most} of {len(found):,}" if len(found) > most else "")
        yield from _table(found[:most])


WORDS = {
    "heap": "bytes that were allocated, exactly",
    "rss": "resident memory",
    "processes": "resident memory of the test's processes",
}


def _table(rows: Sequence[Row]) -> Iterator[str]:
    cells = [("rise", "kept", "allocated", "phase", "test")]
    for row in rows:
        bill = row.bill
        test = row.test if row.outcome != "failed" else f"{row.test}  ({'over' if row.over else 'failed'})"
        cells.append((size(bill.peak), size(bill.kept, sign=True), size(bill.allocated), row.phase, test))
    widths = [max(len(line[column]) for line in cells) for column in range(4)]
    for rise, kept, allocated, phase, test in cells:
        yield f"{rise:>{widths[0]}}  {kept:>{widths[1]}}  {allocated:>{widths[2]}}  {phase:<{widths[3]}}  {test}"
