"""Budgets: what a test may use, from its markers and the ini file, and what to say where it used more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import pytest

import memkit
from pytest_memkit.bills import MEASURES, Bill, Places, exact, size
from pytest_memkit.meters import Meter

LIMITS = tuple(MEASURES)
KEYWORDS = (*LIMITS, "allow_leaks", "warmup", "processes")


class Budget(NamedTuple):
    """What the call of a test may use, in bytes; None is as much as it likes."""

    peak: int | None = None
    kept: int | None = None
    allocated: int | None = None
    allow_leaks: bool | str = False
    """Whether it may keep as much as it likes, whatever the ini file says; a text says why."""
    warmup: int = 0
    """How often it runs before it is measured."""
    processes: bool = False
    """Whether the processes that it starts count."""
    is_marked: bool = False
    """Whether a marker of its own set a limit, rather than the ini file alone."""

    @property
    def has_limits(self) -> bool:
        return self[: len(LIMITS)] != (None, None, None)

    @property
    def limits(self) -> dict[str, int]:
        """The limits that there are, by measure."""
        found = {name: getattr(self, name) for name in LIMITS}
        return {name: limit for name, limit in found.items() if limit is not None}


def budget_of(item: pytest.Item, defaults: Mapping[str, object]) -> Budget:
    """The budget of a test: its nearest marker's, then that of its class and module, then ``defaults``.

    Raises ``pytest.UsageError`` for what cannot be one.
    """
    given: dict[str, Any] = {}
    for mark in item.iter_markers("memkit"):
        if mark.args:
            raise pytest.UsageError(f"{item.nodeid}: memkit({mark.args[0]!r}): write the name, as in memkit(peak='24 MiB')")
        for name, value in mark.kwargs.items():
            if name not in KEYWORDS:
                raise pytest.UsageError(f"{item.nodeid}: memkit({name}={value!r}): there is {', '.join(KEYWORDS)}")
            given.setdefault(name, value)
    values = {**defaults, **given}
    if values.get("allow_leaks") and "kept" not in given:
        values.pop("kept", None)
    return Budget(**_checked(values, f"{item.nodeid}: memkit"), is_marked=any(name in given for name in LIMITS))


def _checked(values: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The values as a budget has them."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        wrong = f"{where}({name}={value!r})"
        if name in LIMITS:
            found[name] = None if value is None else parsed(value, wrong)
        elif name == "warmup":
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise pytest.UsageError(f"{wrong}: write how often the test runs before it is measured, such as 1")
            found[name] = value
        elif not isinstance(value, bool) and (name != "allow_leaks" or not isinstance(value, str)):
            raise pytest.UsageError(f"{wrong}: write True or False{', or why' if name == 'allow_leaks' else ''}")
        else:
            found[name] = value
    return found


def parsed(value: Any, wrong: str) -> int:
    """A size in bytes. Raises ``pytest.UsageError``, which begins with ``wrong``."""
    try:
        return memkit.units.parse_bytes(value)
    except memkit.UsageError as error:
        raise pytest.UsageError(f"{wrong}: {error}") from None


def refuse(budget: Budget, where: str, meter: Meter) -> None:
    """Raise ``pytest.UsageError`` where a meter cannot decide a budget."""
    for name, limit in budget.limits.items():
        asked = f"{where}: the budget {name}={size(limit)}"
        if name == "allocated" and meter.name != "heap":
            raise pytest.UsageError(f"{asked} needs the heap: {meter.why}, which does not tell it")
        if limit < meter.error:
            raise pytest.UsageError(f"{asked} is tighter than the error of {size(meter.error)}: {meter.why}")


def over(budget: Budget, bill: Bill) -> dict[str, str]:
    """What is over a budget: a sentence for each measure."""
    return {
        name: excess(name, limit, bill, "budget") for name, limit in budget.limits.items() if _is_over(bill, name, limit)
    }


def _is_over(bill: Bill, name: str, limit: int) -> bool:
    found = getattr(bill, name)
    return found is not None and found > limit


def excess(name: str, limit: int, bill: Bill, what: str) -> str:
    """The sentence for one that is over: sizes to the byte where they look alike."""
    found = getattr(bill, name)
    show = exact if size(found) == size(limit) else size
    error = f" (each ± {size(bill.error)})" if bill.error else ""
    return f"{show(found)} {MEASURES[name]}, {show(found - limit)} over the {what} of {show(limit)}{error}"


def explained(sentences: Mapping[str, str], places: Places | None) -> str:
    """What pytest shows for a test that is over: each sentence, and the places that it is about."""
    text = []
    for name, sentence in sentences.items():
        text.append(f"memkit: {sentence}")
        if places is None:
            continue
        for kind, found in places[name]:
            width = max((len(size(part)) for part, _ in found), default=0)
            text += [f"{kind} that had most of it:"] if found else []
            text += [f"  {size(part):>{width}}  {place}" for part, place in found]
    if places is None:
        text.append("Which line it was is known where the test has its own @pytest.mark.memkit, or with --memkit-paths.")
    return "\n".join(text)
