"""Which engine traces here, and which gate it has."""

from __future__ import annotations

import os
import sys

from memkit.base.errors import MeterError, UsageError
from memkit.system import engine as engines

with engines.compiled("tracing of lines and calls"):
    from memkit.native.tracing import gate

ENGINES = ("monitoring", "settrace")
_probed: tuple[str, tuple[str, str | None]] | None = None  # what was wanted, and what came of it


def engine() -> str:
    """The tracing engine in use: the one that ``MEMKIT_TRACER`` names, or the best that this Python has."""
    forced = os.environ.get("MEMKIT_TRACER", "")
    if forced and forced not in ENGINES:
        raise UsageError(f"MEMKIT_TRACER is {forced!r}: write {' or '.join(ENGINES)}, or leave it out")
    if forced == "monitoring" and not hasattr(sys, "monitoring"):
        raise MeterError(f"MEMKIT_TRACER is 'monitoring', which Python {sys.version.split()[0]} has not: it came with 3.12")
    return forced or ("monitoring" if hasattr(sys, "monitoring") else "settrace")


def check() -> None:
    """Raise ``UsageError`` or ``MeterError`` if the gate or the engine that the environment names does not work here.

    A gate that works is not probed again, which takes as long as a hundred readings.
    """
    global _probed
    wanted = os.environ.get("MEMKIT_GATE", "")
    if _probed != (wanted, gate.chosen()) or gate.chosen()[1] is not None:
        gate.probe(wanted)
        _probed = wanted, gate.chosen()
    engine()


def gate_in_use() -> tuple[str, str | None]:
    """The gate in use, and why it is not a better one. Raises as ``check`` does."""
    check()
    name: str
    reason: str | None
    name, reason = gate.chosen()
    return name, reason
