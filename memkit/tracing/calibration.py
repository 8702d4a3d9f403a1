"""What tracing costs here: the time that one event and one reading of memory take, measured when tracing begins."""

from __future__ import annotations

import os

from memkit.base import clocks
from memkit.system.engine import Meter
from memkit.tracing.choice import engine, gate_in_use
from memkit.tracing.functions import Functions
from memkit.tracing.monitoring_ids import has_free_tool
from memkit.tracing.tracers import CallTracer, LineTracer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from memkit.tracing.tracers import Tracer

_TURNS = 500  # of a probe's loop
_known: dict[tuple[object, ...], tuple[float, float]] = {}
_REPEATS = 3  # of a measurement: the least time counts


class _NoRows:
    """A journal that keeps nothing."""

    def text(self, rows: bytes) -> None:
        pass


def line_costs(meter: Meter) -> tuple[float, float]:
    """Nanoseconds that tracing one line takes, and reading memory once, measured on a loop of two lines.

    They are measured once in a process for each way to trace: a decorated function may begin thousands of recordings.
    """
    if meter.costly:
        return line_costs(Meter("rss"))[0], _time_of_reading(meter)
    way = os.getpid(), meter.name, engine(), gate_in_use(), has_free_tool()  # the gate may have been chosen anew
    if way not in _known:
        _known[way] = _line_costs(meter)
    return _known[way]


def _line_costs(meter: Meter) -> tuple[float, float]:

    def probe() -> None:
        for _ in range(_TURNS):
            pass

    return _costs(probe, lambda: LineTracer(Functions(_NoRows()), meter, lambda code: code is probe.__code__), 2 * _TURNS)


def call_costs(meter: Meter) -> tuple[float, float]:
    """The same for one call, measured on calls of an empty function, in code that does not count as memkit's own."""
    if meter.costly:
        return call_costs(Meter("rss"))[0], _time_of_reading(meter)

    def nothing() -> None:
        pass

    def probe() -> None:
        for _ in range(_TURNS):
            nothing()

    for function in nothing, probe:  # to compile them anew would take a quarter of a MiB of the program's memory
        function.__code__ = function.__code__.replace(co_filename="<probe>")
    return _costs(probe, lambda: CallTracer(Functions(_NoRows()), meter), _TURNS)


def _costs(probe: Callable[[], None], make: Callable[[], Tracer], events: int) -> tuple[float, float]:
    plain = _least_time_of(probe)
    tracer = make()
    tracer.start()
    try:
        traced = _least_time_of(probe)
    finally:
        tracer.stop()
        reading = tracer.read_cost()
        tracer.close()
    return max(0.0, (traced - plain) / events), reading


def _time_of_reading(meter: Meter) -> float:
    # A meter that adds up page tables takes so long that the probes, with their many turns, would take seconds.
    return float(_least_time_of(meter.read))


def _least_time_of(probe: Callable[[], object]) -> int:
    times = []
    for _ in range(_REPEATS):
        began = clocks.perf_counter_ns()
        probe()
        times.append(clocks.perf_counter_ns() - began)
    return min(times)
