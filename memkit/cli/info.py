"""``memkit info``: what can be measured on this machine, and why not better."""

from __future__ import annotations

import platform
import sys
import sysconfig
from importlib import import_module

from memkit.base.errors import MeterError
from memkit.base.units import show_bytes, show_error
from memkit.base.version import VERSION
from memkit.cli.parser import Parser
from memkit.cli.printing import print_table
from memkit.system import cgroup, engine, limits

DESCRIPTION = "Tell what memkit can measure on this machine, and why not better."
_PEAKS = {
    "reset": "exact{}: the high-water mark is reset for each interval",
    "mark": "exact{} where the process rises above what it had been before, from samples elsewhere",
    "samples": "from samples only",
}


def command(name: str, words: list[str]) -> int:
    """Print what can be measured here."""
    Parser(name, DESCRIPTION).parse(words)
    print_table(("", ""), facts())
    return 0


def facts() -> list[tuple[str, str]]:
    """Pairs of a subject and what is true of it here."""
    machine = f"{platform.system()} {platform.release()} {platform.machine()}"
    found = [
        ("memkit", f"{VERSION} on Python {platform.python_version()}, {machine}"),
        ("engine", engine.NAME + _because(engine.REASON)),
        *_lock(),
    ]
    for name in (*engine.METERS, engine.GROUP):
        whose = "control group" if name == engine.GROUP else "process"
        try:
            found.append((f"meter {name}", f"{show_bytes(engine.meter_named(name).read())} of this {whose} now"))
        except MeterError as error:
            found.append((f"meter {name}", f"not here: {error}"))
    kind, reason = engine.peaks()
    bound = show_error(engine.peaks_error())
    found.append(("peaks", _PEAKS[kind].format(bound and f" to {bound}") + _because(reason)))
    found.append(("stacks", _stacks()))
    found += _tracing()
    found += _limits()
    for group in cgroup.memory_groups():
        kills = group.oom_kills()
        found.append(
            (f"cgroup v{group.version}", f"{group.name}: {'no count of kills' if kills is None else f'oom_kill {kills}'}")
        )
    return found


def _lock() -> list[tuple[str, str]]:
    """What memkit does to a Python that can do without its global lock."""
    if not sysconfig.get_config_var("Py_GIL_DISABLED") or not hasattr(sys, "_is_gil_enabled"):
        return []
    on = sys._is_gil_enabled()
    if engine.NAME != "native":
        return [("GIL", "on" if on else "off")]
    if on:
        return [("GIL", "on: memkit's compiled modules switch it on; MEMKIT_ENGINE=portable does without")]
    return [("GIL", "off, by PYTHON_GIL or -X gil: memkit's compiled modules need it; set MEMKIT_ENGINE=portable")]


def _stacks() -> str:
    """How the stacks at a limit and before a death are read."""
    reason = engine.stacks_reason()
    if reason is None:
        return "read from Python's own records, also while a function in C holds the GIL"
    if engine.NAME == "portable":
        return f"read when Python runs ({reason})"
    return f"at a limit read when Python runs again, before a death not at all ({reason})"


def _tracing() -> list[tuple[str, str]]:
    if engine.NAME != "native":
        return [("tracing", "not here: lines and calls need the native engine")]
    try:
        import_module("memkit.tracing.tracers")  # all compiled modules that lines and calls need
        from memkit.tracing import choice
    except MeterError as error:
        return [("tracing", f"not here: {error}")]
    gate, reason = choice.gate_in_use()
    return [("tracing", f"lines and calls by {choice.engine()}"), ("gate", gate + _because(reason))]


def _limits() -> list[tuple[str, str]]:
    """What limits a program that is started here, nearest first."""
    found: list[tuple[str, str]] = []
    for limit in limits.limits():
        sizes = f"{show_bytes(limit.size)}, {show_bytes(limit.used)} used, {show_bytes(limit.left)} left"
        first = "" if found else "; the first to be reached where all grow alike"
        counts = f"; counts {limit.counted}" if limit.counted != "memory" else ""
        found.append(("limit", f"{limit.name}: {sizes}{counts}{first}"))
    return found or [("limit", "none is known")]


def _because(reason: str | None) -> str:
    return f" ({reason})" if reason else ""
