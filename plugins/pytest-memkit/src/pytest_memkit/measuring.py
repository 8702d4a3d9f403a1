"""Measures the phases of each test, as close around the test's own code as pytest's hooks allow, and decides its budget."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any, TypeVar

import pytest

import memkit
from pytest_memkit import budgets, meters, pages
from pytest_memkit.baseline import TOLERANCE, Baseline, Tolerance
from pytest_memkit.bills import Bill, Measured
from pytest_memkit.budgets import Budget
from pytest_memkit.summary import Summary

LOTS = 1 << 20
"""A test that keeps more bytes is not billed for its garbage: it takes long enough for a collection."""

T = TypeVar("T")
Wrapped = Generator[None, T, T]

innermost = pytest.hookimpl(wrapper=True, trylast=True)
"""Around what pytest itself does for a hook, and inside all that other plugins wrap around it."""


def register(config: pytest.Config) -> None:
    """Measure this run: in a worker and where there are none; and tell of it, where there is a terminal."""
    try:
        baseline = _baseline(config)
        if not getattr(config.option, "collectonly", False):
            config.pluginmanager.register(Tests(config, baseline), "memkit-tests")
        if not hasattr(config, "workerinput"):
            config.pluginmanager.register(Summary(config, baseline), "memkit-summary")
    except memkit.MemkitError as error:
        raise pytest.UsageError(f"memkit: {error}") from None


def _baseline(config: pytest.Config) -> Baseline:
    """The baseline, as the controller read it."""
    worker = getattr(config, "workerinput", None)
    name = config.getoption("memkit_baseline") or config.getini("memkit_baseline") or "memkit-baseline.txt"
    path = config.rootpath / name
    tolerance = Tolerance.parsed(config.getini("memkit_tolerance") or TOLERANCE)
    if worker is not None:
        return Baseline.parsed(worker["memkit_baseline"], path, tolerance)
    return Baseline.read(path, tolerance, must_exist=config.getoption("memkit_check"))


class Tests:
    """The hooks that measure."""

    def __init__(self, config: pytest.Config, baseline: Baseline) -> None:
        self._config = config
        self._baseline = baseline if config.getoption("memkit_check") else None
        self._defaults = _defaults(config)
        self._default = Budget(**self._defaults)
        self._meter = meters.chosen(config.getoption("memkit_meter"))
        self._pages = config.getoption("memkit_html") and Path(config.getoption("memkit_html")).absolute()
        self._traces_all = config.getoption("memkit_paths") or bool(self._pages)
        self._traced = meters.Traced(config.rootpath, pages=bool(self._pages)) if self._meter.name == "heap" else None
        self._budgets: dict[pytest.Item, Budget] = {}  # of those that have a marker
        self._has_junit = bool(config.getoption("xmlpath", None))
        self._refused: dict[pytest.Item, str] = {}
        self._measured: dict[tuple[str, str], Measured] = {}  # what the reports carry, until they do
        self._call: Measurement | None = None
        budgets.refuse(self._default, "the ini file", self._meter)
        if self._baseline is not None:
            self._baseline.check_meter(self._meter.name)

    def pytest_report_header(self) -> str:
        return f"memkit: {self._meter.why}{meters.shown_error(self._meter)}"

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            if "memkit" not in item.keywords:  # a folder may have the name, too
                continue
            try:
                budget = self._budgets[item] = budgets.budget_of(item, self._defaults)
                budgets.refuse(budget, item.nodeid, self._meter_of(budget))
            except pytest.UsageError as error:
                if not hasattr(self._config, "workerinput"):
                    raise
                self._refused[item] = str(error)  # a worker that stops is started again

    # -- the phases ----------------------------------------------------------------------------------------------------

    @innermost
    def pytest_runtest_setup(self, item: pytest.Item) -> Wrapped[None]:
        if self._refused and item in self._refused:
            pytest.fail(self._refused[item], pytrace=False)
        self._meter.begin()
        try:
            return (yield)
        finally:
            self._keep(item, "setup", self._meter.end())

    @innermost
    def pytest_runtest_teardown(self, item: pytest.Item) -> Wrapped[None]:
        self._meter.begin()
        try:
            return (yield)
        finally:
            self._keep(item, "teardown", self._meter.end())

    @innermost
    def pytest_runtest_call(self, item: pytest.Item) -> Wrapped[None]:
        budget = self._budgets.get(item, self._default)
        meter = self._meter_of(budget)
        for _ in range(budget.warmup):
            item.runtest()
        if isinstance(meter, meters.Traced):
            self._meter.pause()
        self._call = call = Measurement(meter, self._most_kept(item, budget))
        if (
            type(item).runtest is not pytest.Function.runtest
        ):  # nobody knows whether it calls the hook below, which is closer
            call.begin()
        try:
            result = yield
        finally:
            call.end()
            self._call = None
            if call.bill is not None:
                page = None
                if self._pages and isinstance(meter, meters.Traced):
                    page = pages.name_of(item.nodeid)
                    meter.write_page(self._pages / page)
                self._keep(item, "call", call.bill, page)
        if call.bill is not None and (budget.has_limits or self._baseline is not None):
            self._decide(item, budget, call.bill, meter)
        return result

    @innermost
    def pytest_pyfunc_call(self) -> Wrapped[object]:
        call = self._call
        if call is None:  # a run before the measured one
            return (yield)
        call.begin()
        try:
            return (yield)
        finally:
            call.end()

    def _meter_of(self, budget: Budget) -> meters.Meter:
        """What measures the call of a test."""
        if budget.processes:
            return meters.Processes()
        if self._traced and (budget.is_marked or self._traces_all):
            return self._traced
        return self._meter

    def _most_kept(self, item: pytest.Item, budget: Budget) -> int:
        """What a test may keep before its garbage is collected, by its budget and by the baseline."""
        if self._baseline is None:
            return LOTS if budget.kept is None else min(LOTS, budget.kept)
        found = [LOTS] if budget.kept is None else [LOTS, budget.kept]
        if (allowed := self._baseline.allowed(item.nodeid, self._meter.error)) is not None:
            found.append(allowed.kept)
        return min(found)

    # -- what was measured ---------------------------------------------------------------------------------------------

    def _keep(self, item: pytest.Item, phase: str, bill: Bill, page: str | None = None) -> None:
        """Keep a bill for the report of its phase, and for JUnit's."""
        if self._has_junit:
            found = [(f"memkit_{phase}_{name}", getattr(bill, name)) for name in budgets.LIMITS]
            item.user_properties += [(name, value) for name, value in found if value is not None]
        self._measured[item.nodeid, phase] = Measured(*bill, (), page)

    def _decide(self, item: pytest.Item, budget: Budget, bill: Bill, meter: meters.Meter) -> None:
        """Fail a test that is over its budget, or its baseline."""
        sentences = budgets.over(budget, bill)
        if self._baseline is not None:
            without = {"kept"} if budget.allow_leaks else set()
            sentences = {**self._baseline.over(item.nodeid, bill, without), **sentences}
        if sentences:
            measured = self._measured[item.nodeid, "call"]
            self._measured[item.nodeid, "call"] = measured._replace(over=tuple(sentences.values()))
            pytest.fail(budgets.explained(sentences, meter.places()), pytrace=False)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> Wrapped[pytest.TestReport]:
        report = yield
        measured = self._measured.pop((item.nodeid, call.when), None)
        if measured is not None:
            report.memkit = tuple(measured)  # type: ignore[attr-defined]  # a report takes any, and carries it from a worker
        return report

    def pytest_unconfigure(self) -> None:
        self._meter.pause()


class Measurement:
    """The measurement of one call, which begins anew where a hook is closer to the test's code."""

    __slots__ = ("_is_open", "_meter", "_most", "bill")

    def __init__(self, meter: meters.Meter, most: int) -> None:
        self._meter, self._most = meter, most
        self._is_open = False
        self.bill: Bill | None = None

    def begin(self) -> None:
        if self._is_open:
            self._meter.end()
        self._is_open = True
        self._meter.begin()

    def end(self) -> None:
        if self._is_open:
            self._is_open = False
            self.bill = self._meter.end(self._most)


def _defaults(config: pytest.Config) -> dict[str, Any]:
    """The budget that the ini file has for every test."""
    found: dict[str, Any] = {}
    for name in budgets.LIMITS:
        if text := config.getini(f"memkit_{name}"):
            found[name] = budgets.parsed(text, f"memkit_{name} = {text!r}")
    if text := config.getini("memkit_warmup"):
        if not text.isdecimal():
            raise pytest.UsageError(
                f"memkit_warmup = {text!r}: write how often tests run before they are measured, such as 1"
            )
        found["warmup"] = int(text)
    return found
