"""``@memkit.profile`` and ``memkit.LineProfiler``: line tracing that is written into the source."""

from __future__ import annotations

import os
import sys
import time

from memkit.base.errors import JournalError, MemkitError
from memkit.base.units import SECOND
from memkit.record import active
from memkit.record.exit_status import how_it_ended
from memkit.record.recorder import Recorder
from memkit.record.settings import Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, FrameType, TracebackType
    from typing import Any, TypeVar

    from memkit.model.recording import Recording
    from memkit.record.active import ActiveRecorder, Spans
    from memkit.tracing.targets import OneTarget

    F = TypeVar("F")  # a function, method, property or the like
    Function = TypeVar("Function", bound=Callable[..., Any])

SHORT = SECOND // 1000
"""A call that is shorter, and does not change memory, leaves no span. Its lines count all the same."""
_given_up = False  # tracing was refused, and the user has been told


def profile(function: F) -> F:
    """Trace a function's lines: a decorator, for functions, coroutine functions, generators, methods and properties.

    While a recording is running, under ``memkit-run`` or inside ``memkit.record()``, the lines go into it, and each
    outermost call that takes a millisecond or more, or changes memory, leaves a span; each thread and each coroutine has
    outermost calls of its own. Otherwise the call gets a recording of its own, and its table is printed on stderr when it
    ends, also by an exception. Calls that overlap share a recording, which ends with the last of them.

    ``MEMKIT_PROFILE=0`` in the environment switches it off. Where lines cannot be traced, on the portable engine for
    instance, one line on stderr says why, and functions run as if they were not decorated. Raises ``UsageError`` for what
    has no Python code, and for a class, whose methods must be decorated one by one.
    """
    if os.environ.get("MEMKIT_PROFILE", "") == "0":
        return function
    wrapped: Any
    if isinstance(function, property):
        accessors = [each and profile(each) for each in (function.fget, function.fset, function.fdel)]
        kind: Any = type(function)
        wrapped = kind(*accessors, function.__doc__)
        return wrapped  # type: ignore[no-any-return]  # of the same type
    if isinstance(function, (staticmethod, classmethod)):
        wrapped = type(function)(profile(function.__func__))
        return wrapped  # type: ignore[no-any-return]  # of the same type
    from memkit.base.decorators import decorated
    from memkit.tracing.targets import codes_of

    state = _Profiled(function)
    wrapped = decorated(function, state.call)
    state.codes = codes_of(function)
    return wrapped  # type: ignore[no-any-return]  # of the same type


class _Profiled:
    """A decorated function: the recordings that trace it, and its calls that have not ended."""

    def __init__(self, function: Any) -> None:
        self.function = function
        self.label = getattr(function, "__qualname__", repr(function))
        self.traced_by: set[tuple[ActiveRecorder, int]] = set()  # recorders, and when they were started
        self.open: set[_Call] = set()
        self.codes: list[CodeType] = []

    def call(self) -> _Call:
        return _Call(self)

    def is_running_here(self) -> bool:
        """Whether a call of it is on this thread's stack; calls of other threads and suspended ones do not count."""
        if not self.open:
            return False
        frame: FrameType | None = sys._getframe(2)
        while frame is not None:
            if any(frame.f_code is code for code in self.codes):
                return True
            frame = frame.f_back
        return False


class _Call:
    """One call of a decorated function."""

    def __init__(self, state: _Profiled) -> None:
        self._state = state
        self._own: _OwnRecording | None = None
        self._begun: list[tuple[Spans, tuple[Any, int, int | None]]] = []

    def __enter__(self) -> None:
        if _given_up:
            return
        outermost = not self._state.is_running_here()
        self._state.open.add(self)
        try:
            self._begin(outermost)
        except (MemkitError, OSError) as error:  # the program goes on
            _give_up(error)

    def _begin(self, outermost: bool) -> None:
        state = self._state
        running = list(active.recorders)
        if not running or _own is not None:
            self._own = _joined(self, state.function)
            running = list(active.recorders)
        for each in running:
            if (each, each.started) not in state.traced_by:
                each.trace(state.function)
                state.traced_by = {pair for pair in state.traced_by if pair[0].running} | {(each, each.started)}
        if outermost:
            self._when = time.monotonic_ns()
            own = self._own.recorder if self._own is not None else None
            self._begun = [(each.spans, each.spans.begin_call()) for each in running if each is not own]

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._state.open.discard(self)
        if self._begun:
            long = time.monotonic_ns() - self._when >= SHORT
            for spans, begun in self._begun:
                spans.end_call(self._state.label, begun, even_if_unchanged=long)
        if self._own is not None:
            _leave(self, self._own, error)


# -- while nothing else is recorded ------------------------------------------------------------------------------------


class _OwnRecording:
    """A recording that a call has begun because there was none, and that ends with the last call during it."""

    def __init__(self, function: Any) -> None:
        self.pid = os.getpid()
        self.calls: set[_Call] = set()
        self.recorder = Recorder(Settings(lines=[function]))
        self.recorder.start()


_own: _OwnRecording | None = None  # the one that is running


def _joined(call: _Call, function: Any) -> _OwnRecording | None:
    """The own recording that a call belongs to, begun for it if nothing is recorded; None if there is another."""
    global _own
    with active.lock:
        if not list(active.recorders):
            _own = _OwnRecording(function)
        if _own is None or not _own.recorder.running:
            return None
        _own.calls.add(call)
        return _own


def _leave(call: _Call, own: _OwnRecording, error: BaseException | None) -> None:
    """End the recording with its last call, and print its tables; a forked child leaves that to its parent."""
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
    if sys.stderr is None:
        return
    try:
        recording = own.recorder.recording
        if recording is not None:
            _show(recording, "profile")
    except BrokenPipeError:
        pass  # nobody reads stderr any more, which is not the program's failure
    except MemkitError as failure:
        _say(str(failure))


def _show(recording: Recording, command: str) -> None:
    """Print the tables of a recording, without its summary. Raises ``MemkitError`` if a table cannot be printed."""
    from memkit.base.plugins import Plugins

    complaints: list[str] = []
    plugins = Plugins(("console",), complaints.append)
    if plugins.report((recording,), plugins.options(command, {})):
        raise MemkitError("; ".join(complaints))


def _give_up(error: Exception) -> None:
    """Tell the user once why nothing is traced. From now on functions run as if they were not decorated."""
    global _given_up
    if not _given_up:
        _given_up = True
        remedy = "see memkit info, or set MEMKIT_PROFILE=0 to be rid of this line"
        _say(f"@profile traces nothing in this process: {error}; {remedy}")


def _say(text: str) -> None:
    if sys.stderr is not None:
        print(f"memkit: {text}", file=sys.stderr)


class LineProfiler(Recorder):
    """Traces the lines of chosen functions while it is running: a context manager, and a decorator.

    ::

        profiler = memkit.LineProfiler(load, parse)
        with profiler:
            work()
        for line in profiler.recording.lines: ...
        profiler.show()

    Targets are those of ``memkit.record(lines=...)``. As a decorator it adds the function and records its calls.
    """

    def __init__(
        self,
        *targets: OneTarget,
        path: str | os.PathLike[str] | None = None,
        interval: str | float = "auto",
        meter: str | Callable[[], int | None] = "rss",
    ) -> None:
        from memkit.tracing.targets import Targets

        super().__init__(Settings(path=path, interval=interval, meter=meter, lines=Targets(list(targets))))

    def add(self, target: OneTarget) -> None:
        """Trace one more target, from now on or from the next start."""
        self.trace(target)

    def __call__(self, function: Function) -> Function:
        self.add(function)
        return super().__call__(function)

    def show(self) -> None:
        """Print the tables of the last recording, without the summary that ``memkit.report`` prints, too."""
        if self.recording is not None:
            _show(self.recording, "report")
