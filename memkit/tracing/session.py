"""The tracers of one recording, from their start to their last rows, and what they cost."""

from __future__ import annotations

from memkit.base import own_code
from memkit.model import file_format
from memkit.system.engine import Meter
from memkit.tracing import tracers
from memkit.tracing.tracers import CallTracer, Functions, LineTracer, gate

own_code.uninterruptible |= {__file__, tracers.__file__}
_TURNS = 500  # of a probe


class Tracers:
    """The tracers of one recording. ``rows`` is its native journal, ``meter`` a native ``Meter``."""

    def __init__(self, rows, sampler, meter):
        self._rows = rows
        self._sampler = sampler
        self._meter = meter
        self._functions = Functions(rows)
        self._all = []
        self.lines = None

    def trace_lines(self, wanted) -> None:
        """Trace the lines of the code objects that ``wanted`` says yes to."""
        costs = line_costs(self._meter)
        self.lines = LineTracer(self._functions, self._meter, wanted)
        self._start("tracing", self.lines, costs)

    def trace_calls(self, wanted, builtins: bool) -> None:
        """Trace calls, with those of functions in C or without; ``wanted`` is None for all of them."""
        costs = call_costs(self._meter)
        self._start("call_tracing", CallTracer(self._functions, self._meter, wanted, builtins), costs)

    def _start(self, tag, tracer, costs) -> None:
        name, reason = gate.chosen()
        self._rows.text(file_format.row(tag, tracer.engine, name, reason, *costs))
        self._all.append(tracer)
        self._sampler.flush_also([each.writer(self._sampler) for each in self._all])
        tracer.start()

    def stop(self) -> None:
        """Trace no more."""
        for tracer in reversed(self._all):
            tracer.stop()

    def finish(self, rows=None) -> None:
        """Write the sums, if there is where to, and give everything back. The sampler has ended."""
        self._sampler.flush_also([])
        for tracer in self._all:
            if rows is not None:
                tracer.flush(rows)
            tracer.close()
        self._all.clear()


# -- what they cost ----------------------------------------------------------------------------------------------------


class _Nowhere:
    """A journal that keeps nothing."""

    def text(self, rows):
        pass


def line_costs(meter) -> tuple[float, float]:
    """Nanoseconds that tracing a line takes, and that reading memory does, measured on a loop of two lines."""
    if meter.costly:
        return line_costs(Meter("rss"))[0], _time_of_reading(meter)

    def probe():
        for _ in range(_TURNS):
            pass

    return _costs(probe, lambda: LineTracer(Functions(_Nowhere()), meter, lambda code: code is probe.__code__), 2 * _TURNS)


def call_costs(meter) -> tuple[float, float]:
    """The same for a call, measured on calls of a function that does nothing, from code that does not look like memkit's."""
    if meter.costly:
        return call_costs(Meter("rss"))[0], _time_of_reading(meter)
    space = {}
    exec(compile(f"def probe():\n for _ in range({_TURNS}): nothing()\ndef nothing(): pass", "<probe>", "exec"), space)
    return _costs(space["probe"], lambda: CallTracer(Functions(_Nowhere()), meter), _TURNS)


def _costs(probe, make, events: int) -> tuple[float, float]:
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


def _time_of_reading(meter) -> float:
    """Of a meter that adds up page tables for each reading: with many turns the probes would take seconds."""
    return float(_least_time_of(meter.read))


def _least_time_of(probe) -> int:
    import time

    best = None
    for _ in range(3):
        began = time.perf_counter_ns()
        probe()
        took = time.perf_counter_ns() - began
        best = took if best is None else min(best, took)
    return best
