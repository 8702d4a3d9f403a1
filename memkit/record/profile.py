"""``@memkit.profile`` and ``memkit.LineProfiler``: functions whose lines are traced because the source says so."""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress

from memkit.base.errors import JournalError, MemkitError
from memkit.base.units import SECOND
from memkit.record import active
from memkit.record.exit_status import how_it_ended
from memkit.record.recorder import Recorder

SHORT = SECOND // 1000
"""A call that is shorter, and leaves memory as it was, is counted in the lines, but leaves no span."""
_given_up = False  # tracing was refused, and it has been said


def profile(function):
    """Trace a function's lines: a decorator, for functions, coroutine functions, generators, and methods and properties.

    Where a recording is going on, under ``memkit-run`` or inside ``memkit.record()``, the lines go into it, and every
    outermost call of a millisecond or more, or that changed memory, leaves a span; every thread and every coroutine has
    outermost calls of its own. Where none is, the call is recorded for itself, and its table is printed on stderr when it
    ends, by an exception or not. Calls that overlap share one recording, which ends with the last of them.

    ``MEMKIT_PROFILE=0`` in the environment makes it do nothing at all. Where lines cannot be traced, on the portable
    engine for instance, one line on stderr says why, and functions run as if it were not there. Raises ``UsageError`` for
    what has no Python code, and for a class, whose methods are to be decorated one by one.
    """
    if os.environ.get("MEMKIT_PROFILE", "") == "0":
        return function
    if isinstance(function, property):
        parts = [each and profile(each) for each in (function.fget, function.fset, function.fdel)]
        return type(function)(*parts, function.__doc__)
    if isinstance(function, (staticmethod, classmethod)):
        return type(function)(profile(function.__func__))
    from memkit.base.decorators import decorated
    from memkit.tracing.targets import codes_of

    state = _Profiled(function)
    wrapped = decorated(function, state.call)
    state.codes = codes_of(function)
    return wrapped


class _Profiled:
    """A decorated function: which recordings know it, and which of its calls have not ended."""

    def __init__(self, function):
        self.function = function
        self.label = getattr(function, "__qualname__", repr(function))
        self.known = set()
        self.open = set()
        self.codes = []

    def call(self):
        return _Call(self)

    def is_running_here(self) -> bool:
        """Whether a call of it is on this thread's stack: those of other threads are not, nor what is suspended."""
        if not self.open:
            return False
        frame = sys._getframe(2)
        while frame is not None:
            if any(frame.f_code is code for code in self.codes):
                return True
            frame = frame.f_back
        return False


class _Call:
    """One call of a decorated function."""

    def __init__(self, state: _Profiled):
        self._state = state
        self._own = None
        self._begun = []

    def __enter__(self):
        if _given_up:
            return
        outermost = not self._state.is_running_here()
        self._state.open.add(self)
        try:
            self._begin(outermost)
        except (MemkitError, OSError) as error:  # measuring must not end what is measured
            _give_up(error)

    def _begin(self, outermost: bool) -> None:
        state = self._state
        running = list(active.recorders)
        if not running or _own is not None:
            self._own = _joined(self, state.function)
            running = list(active.recorders)
        for each in running:
            if (each, each.started) not in state.known:
                each.trace(state.function)
                state.known = {pair for pair in state.known if pair[0].running} | {(each, each.started)}
        if outermost:
            self._when = time.monotonic_ns()
            own = self._own.recorder if self._own is not None else None
            self._begun = [(each.spans, each.spans.begin_call()) for each in running if each is not own]

    def __exit__(self, kind, error, trace):
        self._state.open.discard(self)
        if self._begun:
            long = time.monotonic_ns() - self._when >= SHORT
            for spans, begun in self._begun:
                spans.end_call(self._state.label, begun, even_if_still=long)
        if self._own is not None:
            _leave(self, self._own, error)


# -- where nothing is recorded -----------------------------------------------------------------------------------------


class _Own:
    """A recording that a call began because there was none, and that lasts until all calls that came into it have ended."""

    def __init__(self, function):
        self.pid = os.getpid()
        self.calls = set()
        self.recorder = Recorder(lines=[function])
        self.recorder.start()


_own = None  # the one that goes on, if any


def _joined(call: _Call, function) -> _Own | None:
    """The recording of our own that a call came into, begun for it if nothing is recorded."""
    global _own
    with active.lock:
        if not list(active.recorders):
            _own = _Own(function)
        if _own is None or not _own.recorder.running:
            return None
        _own.calls.add(call)
        return _own


def _leave(call: _Call, own: _Own, error: BaseException | None) -> None:
    """The last call ends the recording and prints its tables; a forked child leaves both to its parent."""
    global _own
    with active.lock:
        own.calls.discard(call)
        if own.calls or own.pid != os.getpid():
            return
        _own = None if _own is own else _own
        try:
            own.recorder.stop(*how_it_ended(error))
        except JournalError as lost:
            _say(str(lost))
    if sys.stderr is not None:
        with suppress(BrokenPipeError):  # nobody reads stderr any more, and the program may not mind
            _show(own.recorder.recording, "profile", _say)


def _show(recording, command: str, complain=None) -> None:
    """Print the tables of a recording, without its summary."""
    from memkit.base.plugins import Plugins

    plugins = Plugins(("console",), complain)
    plugins.report((recording,), plugins.options(command, {}))


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
        from memkit.tracing.targets import Targets

        super().__init__(path, interval=interval, meter=meter, lines=Targets(list(targets)))

    def add(self, target) -> None:
        """Trace one more, now or when it is next switched on."""
        self.trace(target)

    def __call__(self, function):
        self.add(function)
        return super().__call__(function)

    def show(self) -> None:
        """Print the tables of what was recorded last, and nothing else; ``memkit.report`` has the summary too."""
        if self.recording is not None:
            _show(self.recording, "report")
