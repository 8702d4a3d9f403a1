"""Tracing lines: finding code objects that are wanted, and having the interpreter tell what runs in them.

Two engines: ``sys.monitoring`` from Python 3.12 on, with events only in the code that is wanted, so that everything else
runs at full speed; and ``PyEval_SetTrace`` everywhere. ``MEMKIT_TRACER=monitoring`` or ``settrace`` forces one.
"""

from __future__ import annotations

import os
import sys

from memkit import journal
from memkit.errors import MeterError, UsageError
from memkit.native import gate
from memkit.native.line_events import Lines

ENGINES = ("monitoring", "settrace")
# The debugger's, coverage's and the profiler's numbers are left to them as long as others are free.
_TOOL_IDS = (4, 3, 2, 5, 1, 0)


def engine() -> str:
    """The tracing engine in use: the one that ``MEMKIT_TRACER`` names, or the best that this Python has."""
    wished = os.environ.get("MEMKIT_TRACER", "")
    if wished and wished not in ENGINES:
        raise UsageError(f"MEMKIT_TRACER is {wished!r}: write {' or '.join(ENGINES)}, or leave it out")
    if wished == "monitoring" and not hasattr(sys, "monitoring"):
        raise MeterError(f"MEMKIT_TRACER is 'monitoring', which Python {sys.version.split()[0]} has not: it came with 3.12")
    return wished or ("monitoring" if hasattr(sys, "monitoring") else "settrace")


def check() -> None:
    """Raise ``UsageError`` or ``MeterError`` if the gate or the engine that the environment names cannot be had."""
    gate.probe(os.environ.get("MEMKIT_GATE", ""))
    engine()


class LineTracer:
    """Traces the lines of the code objects that ``wanted`` says yes to, and writes their sums into a journal.

    ``rows`` is a native ``Journal``, ``meter`` a native ``Meter``.
    """

    def __init__(self, rows, meter, wanted):
        self._rows = rows
        self._wanted = wanted
        self._count = 0
        self._started = False
        self._thread_hook = None
        check()
        self.engine = engine()
        self._tool = _free_tool() if self.engine == "monitoring" else None
        if self.engine == "monitoring" and self._tool is None:
            self.engine = "settrace"  # six other tools are at work
        disable = sys.monitoring.DISABLE if self._tool is not None else None
        self.lines = Lines(meter, self._describe, disable)

    # -- code objects ----------------------------------------------------------------------------------------------

    def _describe(self, code):
        """What the rows of a code object are, if it is wanted; asked once for each."""
        if not self._wanted(code):
            return None
        lines = [line for _, _, line in code.co_lines() if line]
        first, last = min(lines, default=code.co_firstlineno), max(lines, default=code.co_firstlineno)
        first = min(first, code.co_firstlineno)
        row_at = [0] * (len(code.co_code) // 2)
        for start, end, line in code.co_lines():
            if line:
                row_at[start // 2 : end // 2] = [line - first] * (end // 2 - start // 2)
        number, self._count = self._count, self._count + 1
        self._rows.text(journal.row("function", number, code.co_filename, code.co_qualname, code.co_firstlineno))
        if self._tool is not None:
            events = sys.monitoring.events
            local = events.LINE | events.PY_START | events.PY_RESUME | events.PY_RETURN | events.PY_YIELD
            sys.monitoring.set_local_events(self._tool, code, local)
        return number, first, last - first + 1, row_at

    def add(self, code) -> None:
        """Trace a code object from now on."""
        self.lines.trace(code)
        if self._started and self._tool is not None:
            sys.monitoring.restart_events()  # its start may have been met already, and put aside

    # -- on and off ------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to trace, in all threads."""
        self._started = True
        self.lines.start()
        if self._tool is None:
            self._trace_threads()
            return
        events = sys.monitoring.events
        start, resume, line, leave, throw = self.lines.callbacks()
        for event, callback in {
            events.PY_START: start,
            events.PY_RESUME: resume,
            events.PY_THROW: throw,
            events.LINE: line,
            events.PY_RETURN: leave,
            events.PY_YIELD: leave,
            events.PY_UNWIND: leave,
        }.items():
            sys.monitoring.register_callback(self._tool, event, callback)
        sys.monitoring.set_events(self._tool, events.PY_START | events.PY_RESUME | events.PY_UNWIND | events.PY_THROW)
        for frame in sys._current_frames().values():  # what runs already has no start to come
            while frame is not None:
                self.lines.trace(frame.f_code)
                frame = frame.f_back

    def stop(self) -> None:
        """Trace no more, and give the tool number back."""
        self.lines.stop()
        if self._tool is not None:
            self._give_back_tool()
            return
        self.lines.unhook_this_thread()
        if getattr(threading_if_loaded(), "_trace_hook", None) is self._thread_hook is not None:
            threading_if_loaded().settrace(self._hook_before)

    def writer(self, sampler):
        """What a sampler of either kind needs to write the sums before each flush."""
        return self.lines.writer() if sampler.engine == "native" else self.lines.flush

    def close(self) -> None:
        """Give back all memory and descriptors. Nothing may flush any more."""
        self.lines.close()

    def _give_back_tool(self) -> None:
        monitoring = sys.monitoring
        monitoring.set_events(self._tool, 0)
        for event in _events():
            monitoring.register_callback(self._tool, event, None)
        for code in self.lines.kept:
            monitoring.set_local_events(self._tool, code, 0)
        monitoring.free_tool_id(self._tool)

    def _trace_threads(self) -> None:
        """Trace this thread, those that there are, and those that ``threading`` starts from now on."""
        import threading

        self.lines.hook_all_threads()
        self._hook_before = threading._trace_hook
        before = self._hook_before

        def trace_new_thread(frame, event, argument):
            sys.settrace(before)  # this function itself was put there, and is not to be chained
            self.lines.hook_this_thread()
            return before(frame, event, argument) if before is not None else None

        self._thread_hook = trace_new_thread
        threading.settrace(trace_new_thread)


def threading_if_loaded():
    return sys.modules.get("threading")


def _events():
    events = sys.monitoring.events
    names = ("PY_START", "PY_RESUME", "PY_THROW", "LINE", "PY_RETURN", "PY_YIELD", "PY_UNWIND")
    return [getattr(events, name) for name in names]


def _free_tool() -> int | None:
    for number in _TOOL_IDS:
        try:
            sys.monitoring.use_tool_id(number, "memkit")
        except ValueError:
            continue
        return number
    return None


class _Nowhere:
    """A journal that keeps nothing."""

    def text(self, rows):
        pass


def costs(meter) -> tuple[float, float]:
    """Nanoseconds that tracing a line takes, and that reading memory does, measured on a loop of two lines."""
    import time

    def probe(turns):
        for _ in range(turns):
            pass

    def timed(turns):
        best = None
        for _ in range(3):
            began = time.perf_counter_ns()
            probe(turns)
            took = time.perf_counter_ns() - began
            best = took if best is None else min(best, took)
        return best

    turns = 500
    plain = timed(turns)
    tracer = LineTracer(_Nowhere(), meter, lambda code: code is probe.__code__)
    tracer.start()
    try:
        traced = timed(turns)
    finally:
        tracer.stop()
        reading = tracer.lines.read_cost()
        tracer.close()
    return max(0.0, (traced - plain) / (2 * turns)), reading
