"""From what a recording is asked for to the object that is meant: a meter, targets to trace, anything in a module."""

from __future__ import annotations

from memkit.base.errors import MeterError, UsageError
from memkit.base.shadows import StandardModules
from memkit.record.settings import SPANS
from memkit.system import engine

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from memkit.base.protocols import Meter
    from memkit.record.settings import Settings
    from memkit.tracing.targets import Targets


def object_at(place: str) -> Any:
    """The object at ``package.module:name``."""
    module, _, name = place.partition(":")
    found: Any = __import__(module, fromlist=["_"])
    for attribute in name.split("."):
        found = getattr(found, attribute)
    return found


def meter_at(meter: str) -> str | Meter:
    """The name of one of memkit's meters as it is; for ``name=package.module:function``, a plugin's, the meter itself."""
    name, _, place = meter.partition("=")
    return engine.meter_named(object_at(place), name) if place else name


def meter_for(wanted: str | Meter | Callable[[], int | None]) -> Meter:
    """The meter for a name, of memkit's own or of a plugin's, or for a callable."""
    if isinstance(wanted, str) and not engine.is_meter(wanted):
        from memkit.base.plugins import Plugins

        theirs = Plugins().meters()
        if wanted in theirs:
            return engine.meter_named(theirs[wanted], wanted)
    return engine.meter_named(wanted)


def targets_for(wanted: object, what: str) -> Targets | None:
    """The targets that were asked for, of ``what``: lines or calls; None for nothing."""
    if wanted is None or wanted is False or (isinstance(wanted, (list, tuple, set, frozenset)) and not wanted):
        return None
    can_trace(what)
    with StandardModules():
        from memkit.tracing.targets import Targets

    return wanted if isinstance(wanted, Targets) else Targets(wanted)


def checked_targets(wanted: object, what: str) -> Any:
    """The same, where names are those of this process: one that does not exist is refused, with ``UsageError``."""
    found = targets_for(wanted, what) if wanted is not True else None
    if found is None:
        return wanted
    found.check_names()
    return found


def can_trace(what: str) -> bool:
    """True. Raises ``MeterError`` or ``UsageError`` where lines and calls cannot be traced."""
    if engine.NAME != "native":
        raise MeterError(f"{what} can be traced with the native engine only; this is the portable one: {engine.REASON}")
    with StandardModules():
        from memkit.tracing import choice, session  # noqa: F401 (the recorder will need the second)

    choice.check()
    return True


def prepare_heap(takes_balances: bool) -> None:
    """Load what a recording of the heap needs beside tracers, before its first sample: the program does not grow by it.

    Raises ``MeterError`` if another recording counts the heap already, before the file is touched.
    """
    with StandardModules(), engine.compiled("counting of allocations"):
        from memkit.native.heap import heap_sums, span_heap  # noqa: F401
        from memkit.native.sampling import sampled_heap  # noqa: F401

        if takes_balances:
            from memkit.tracing import balances  # noqa: F401

    refuse_second_heap()


def refuse_second_heap() -> None:
    """Raise ``MeterError`` if a recording counts the heap already, or nothing can."""
    with StandardModules(), engine.compiled("counting of allocations"):
        from memkit.native.heap import counted_heap

    counted_heap.check()


def calls_for(settings: Settings) -> Targets | bool | None:
    """What calls are to be traced: those under the targets, True for all, None for none."""
    return (settings.every_call and can_trace("calls")) or targets_for(settings.calls, "calls")


def heap_for(settings: Settings) -> bool | int | str:
    """Whether heap is to be counted: True for every block, a number for one byte in so many on average, False for none.

    Text is for what is counted by spans. Raises ``UsageError`` or ``MeterError`` where that cannot be.
    """
    if settings.heap == SPANS and can_trace("heap"):
        return SPANS
    return bool(settings.heap) if settings.sampled is None or not can_trace("heap") else settings.sampled


def refuse_meter_of_one_process(meter: str) -> None:
    """Raise ``UsageError`` if a meter does not measure other processes."""
    from memkit.system.processes import METERS

    if meter not in METERS:
        raise UsageError(f"children=True goes with the meters {', '.join(METERS)}: {meter!r} measures this process only")
