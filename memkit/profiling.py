"""``@memkit.profile`` and ``memkit.LineProfiler``: functions whose lines are traced because the source says so."""

from __future__ import annotations

import os
import sys
import time

from memkit import recorder
from memkit.endings import how_it_ended
from memkit.errors import JournalError, MemkitError
from memkit.recorder import Recorder
from memkit.units import SECOND

SHORT = SECOND // 1000
"""A call that is shorter, and leaves memory as it was, is counted in the lines, but leaves no span."""
_given_up = False  # tracing was refused, and it has been said


def profile(function):
    """Trace a function's lines: a decorator, for functions, coroutine functions and generators.

    Where a recording is going on, under ``memkit-run`` or inside ``memkit.record()``, the lines go into it, and every
    outermost call of a millisecond or more, or that changed memory, leaves a span. Where none is, the outermost call is
    recorded for itself, and its table is printed on stderr when it ends, by an exception or not.

    ``MEMKIT_PROFILE=0`` in the environment makes it do nothing at all. Where lines cannot be traced, on the portable
    engine for instance, one line on stderr says why, and functions run as if it were not there. Raises ``UsageError`` for
    what has no Python code.
    """
    if os.environ.get("MEMKIT_PROFILE", "") == "0":
        return function
    from memkit.targets import codes_of
    from memkit.wrapping import around_calls

    codes_of(function)
    inner = function.__func__ if isinstance(function, (staticmethod, classmethod)) else function
    state = _Profiled(inner)
    wrapped = around_calls(inner, state.call)
    return type(function)(wrapped) if inner is not function else wrapped


class _Profiled:
    """A decorated function: which recordings know it, and how deep in its own calls we are."""

    def __init__(self, function):
        self.function = function
        self.label = getattr(function, "__qualname__", repr(function))
        self.known = set()
        self.depth = 0

    def call(self):
        return _Call(self)


class _Call:
    """One call of a decorated function."""

    def __init__(self, state: _Profiled):
        self._state = state
        self._own = None
        self._began = []
        self._when = 0

    def __enter__(self):
        self._outermost = self._state.depth == 0
        self._state.depth += 1
        if _given_up:
            return
        try:
            self._begin()
        except (MemkitError, OSError) as error:  # measuring must not end what is measured
            _give_up(error)

    def _begin(self):
        state = self._state
        running = recorder.active()
        if not running:
            own = Recorder(lines=[state.function])
            own.start()
            self._own = own
            return
        for each in running:
            if (each, each.started) not in state.known:
                each.trace(state.function)
                state.known = {pair for pair in state.known if pair[0].running} | {(each, each.started)}
        if self._outermost:
            self._began = [(each, each.reading()) for each in running]
            self._when = time.monotonic_ns()

    def __exit__(self, kind, error, trace):
        self._state.depth -= 1
        if self._own is not None:
            self._print(error)
        elif self._began:
            long = time.monotonic_ns() - self._when >= SHORT
            for each, (start, memory) in self._began:
                each.note_span(self._state.label, start, memory, even_if_still=long)

    def _print(self, error):
        try:
            self._own.stop(*how_it_ended(error))
        except JournalError as lost:
            print(f"memkit: {lost}", file=sys.stderr)
        from memkit.plugins import report

        if sys.stderr is not None:
            report(self._own.recording, command="profile")


def _give_up(error: Exception) -> None:
    """Say once why nothing is traced, and let decorated functions run as if they were not decorated."""
    global _given_up
    if not _given_up:
        _given_up = True
        remedy = "see memkit info, or set MEMKIT_PROFILE=0 to be rid of this line"
        _say(f"@profile traces nothing in this process: {error}; {remedy}")


def _say(text: str) -> None:
    if sys.stderr is not None:
        print(f"memkit: {text}", file=sys.stderr)


class LineProfiler(Recorder):
    """Traces the lines of chosen functions while it is on: a context manager, and a decorator.

    ::

        profiler = memkit.LineProfiler(load, parse)
        with profiler:
            work()
        for line in profiler.recording.lines: ...
        profiler.show()

    Targets are those of ``memkit.record(lines=...)``. As a decorator it adds the function and records its calls.
    """

    def __init__(self, *targets, path=None, interval="auto", meter="rss"):
        from memkit.targets import Targets

        super().__init__(path, interval=interval, meter=meter, lines=Targets(list(targets)))

    def add(self, target) -> None:
        """Trace one more, now or when it is next switched on."""
        self.trace(target)

    def __call__(self, function):
        self.add(function)
        return super().__call__(function)

    def show(self) -> None:
        """Print the tables of what was recorded last."""
        from memkit.plugins import report

        if self.recording is not None:
            report(self.recording)
