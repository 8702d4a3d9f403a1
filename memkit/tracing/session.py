"""The tracers of one recording, from their start to their last rows."""

from __future__ import annotations

from memkit.base import own_code
from memkit.model import file_format
from memkit.tracing import tracers
from memkit.tracing.calibration import call_costs, line_costs
from memkit.tracing.tracers import CallTracer, Functions, LineTracer, gate_in_use

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType

    from memkit.base.protocols import Sampler
    from memkit.system.engine import Journal, Meter
    from memkit.tracing.tracers import Tracer

own_code.uninterruptible |= {__file__, tracers.__file__}


class TracingSession:
    """The tracers of one recording, with its native journal and a native meter; ``sampler`` has them write their sums."""

    def __init__(self, journal: Journal, sampler: Sampler, meter: Meter) -> None:
        self._journal = journal
        self._sampler = sampler
        self._meter = meter
        self._functions = Functions(journal)
        self._tracers: list[Tracer] = []
        self.lines: LineTracer | None = None

    def trace_lines(self, wanted: Callable[[CodeType], bool]) -> None:
        """Trace the lines of the code objects for which ``wanted`` is true."""
        costs = line_costs(self._meter)
        self.lines = LineTracer(self._functions, self._meter, wanted)
        self._start("tracing", self.lines, costs)

    def trace_calls(self, wanted: Callable[[CodeType], bool] | None, builtins: bool) -> None:
        """Trace calls under the code objects for which ``wanted`` is true, all of them for None.

        ``builtins`` is whether functions in C are calls of their own.
        """
        costs = call_costs(self._meter)
        self._start("call_tracing", CallTracer(self._functions, self._meter, wanted, builtins), costs)

    def _start(self, tag: str, tracer: Tracer, costs: tuple[float, float]) -> None:
        name, reason = gate_in_use()
        self._journal.text(file_format.row(tag, tracer.engine, name, reason, *costs))
        self._tracers.append(tracer)
        self._sampler.flush_also([each.writer(self._sampler) for each in self._tracers])
        tracer.start()

    def stop(self) -> None:
        """Trace no more. The sums are kept."""
        for tracer in reversed(self._tracers):
            tracer.stop()

    def flush(self) -> None:
        """Write all sums, once the sampler has stopped."""
        self._sampler.flush_also([])
        for tracer in self._tracers:
            tracer.flush(self._journal)

    def close(self) -> None:
        """Release the tracers, once the sampler has stopped."""
        self._sampler.flush_also([])
        for tracer in self._tracers:
            tracer.close()
        self._tracers.clear()
