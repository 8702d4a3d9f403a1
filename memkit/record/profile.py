"""``@memkit.profile`` and ``memkit.LineProfiler``: line tracing that is written into the source."""

from __future__ import annotations

import _thread
import functools
import os
import sys

from memkit.base import clocks
from memkit.base.errors import JournalError, MemkitError, in_a_line
from memkit.base.shadows import StandardModules
from memkit.base.stderr import to_stderr
from memkit.base.units import SECOND
from memkit.record import active
from memkit.record.exit_status import how_it_ended
from memkit.record.recorder import Recorder
from memkit.record.settings import Settings
from memkit.system import engine

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable
    from types import CodeType, FrameType, TracebackType
    from typing import Any, TypeVar

    from memkit.base.plugins import Plugins
    from memkit.model.recording import Recording
    from memkit.record.active import ActiveRecorder, Spans
    from memkit.tracing.targets import OneTarget

    F = TypeVar("F")  # a function, method, property or the like
    Function = TypeVar("Function", bound=Callable[..., Any])

SHORT = SECOND // 1000
"""A call that is shorter, and does not change memory, leaves no span. Its lines count all the same."""
_RUNS_LATER = 0x20 | 0x80 | 0x200  # flags of the code of generators and coroutines, see the module inspect
_given_up = False  # tracing was refused, and the user has been told


def profile(function: F) -> F:
    """Trace a function's lines: a decorator, for functions, coroutine functions, generators, methods and properties.

    While a recording is running, under ``memkit-run`` or inside ``memkit.record()``, the lines go into it, and each
    outermost call that takes a millisecond or more, or changes memory, leaves a span; each thread and each coroutine has
    outermost calls of its own. Otherwise the call gets a recording of its own, and its table is printed on stderr when it
    ends, also by an exception. Calls of the same function that overlap, and calls inside one, share a recording, which ends
    with the last of them. What still runs when the program ends has its table printed then. That a table cannot be printed
    does not end the program.

    ``MEMKIT_PROFILE=0`` in the environment switches it off. Where lines cannot be traced, on the portable engine for
    instance, one line on stderr says why, and functions run as if they were not decorated. Raises ``UsageError`` for what
    has no Python code, and for a class, whose methods must be decorated one by one.

    A decorated function can be pickled, also by value, as joblib, dask, ray and spark do with cloudpickle. In the process
    that it is sent to, its lines go into a recording that is running there; where none is, it runs as if not decorated.
    """
    if os.environ.get("MEMKIT_PROFILE", "") == "0":
        return function
    with StandardModules():
        from memkit.base.decorators import decorated, remade
        from memkit.tracing.targets import codes_of

    wrapped = remade(function, profile)
    if wrapped is not None:
        return wrapped  # type: ignore[no-any-return]  # of the same type
    state = Recorded(function)
    wrapped = decorated(function, state.call)
    state.codes = codes_of(function)
    return wrapped  # type: ignore[no-any-return]  # of the same type


class Recorded:
    """A decorated function: the recordings that trace it, and its calls that have not ended."""

    def __init__(self, function: Any) -> None:
        self.function = function
        self.label = getattr(function, "__qualname__", repr(function))
        self.traced_by: set[tuple[ActiveRecorder, int]] = set()  # recorders, and when they were started
        self.open: set[_Call] = set()
        self.codes: list[CodeType] = []
        self.was_sent = False  # from another process, for which this one works
        self.process = active.process
        self.call = functools.partial(_Call, self)  # which needs nothing of this module when the interpreter ends

    def __getstate__(self) -> tuple[Any, int]:
        return self.function, os.getpid()

    def __setstate__(self, state: tuple[Any, int]) -> None:
        from memkit.tracing.pickled_code import come_home
        from memkit.tracing.targets import codes_of

        function, sender = state
        kind: Any = type(come_home)
        self.__init__(function)  # type: ignore[misc]  # it is as new
        self.was_sent = sender != os.getpid()
        if isinstance(function, kind):
            come_home(function)
        self.codes = codes_of(function)

    def codes_now(self) -> list[CodeType]:
        """Its code objects: a tool that reloads modules may have given it others."""
        if getattr(self.function, "__code__", None) not in self.codes:
            from memkit.tracing.targets import codes_of

            self.codes = codes_of(self.function)
        return self.codes

    def why_nothing_ran(self) -> str:
        """Why a call has no lines, in a line."""
        why = "what wraps it did not call it, or it runs as compiled code"
        if any(code.co_flags & _RUNS_LATER for code in self.codes):
            why = "its body runs after what wraps it has returned: put @profile next to def, below the other decorators"
        return f"no line of {self.label} ran during the call; {why}"

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

    def __init__(self, state: Recorded) -> None:
        self.state = state
        self._own: _OwnRecorder | None = None
        self._begun: list[tuple[Spans, tuple[Any, int | None, int]]] = []

    def __enter__(self) -> None:
        state = self.state
        if state.process.over or _given_up or (state.was_sent and not active.recorders):
            return
        outermost = not state.is_running_here()
        state.open.add(self)
        try:
            self._begin(outermost)
        except (MemkitError, OSError) as error:  # the program goes on
            _give_up(error)

    def _begin(self, outermost: bool) -> None:
        state = self.state
        if not active.recorders or _own:
            self._own = _joined(self, state)
        running: list[ActiveRecorder] = [each for each in active.recorders if each is self._own or each not in _own]
        for each in running:
            if (each, each.started) not in state.traced_by:
                for code in state.codes_now():
                    each.trace(code)
                state.traced_by = {pair for pair in state.traced_by if pair[0].running} | {(each, each.started)}
        if outermost:
            self._when = clocks.monotonic_ns()
            self._begun = [(each.spans, each.spans.begin_call()) for each in running if each is not self._own]

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        state = self.state
        state.open.discard(self)
        if state.process.over:  # a generator that was never exhausted, when modules may be gone
            return
        if self._begun:
            long = clocks.monotonic_ns() - self._when >= SHORT
            for spans, begun in self._begun:
                spans.end_call(state.label, begun, even_if_unchanged=long)
        if self._own is not None:
            self._own.leave(self, error)


# -- while nothing else is recorded ------------------------------------------------------------------------------------

MOST_OWN = 4
"""Own recordings at the same time. A call beyond that joins the latest: tracers and their places are few."""


class _OwnRecorder(Recorder):
    """Begun by a call of a decorated function because nothing was recorded; it ends with the last call during it.

    What a call is in that runs inside another is the same. A call that runs beside others, in another thread for instance,
    does not wait for them: they may go on as long as the process does.
    """

    is_brief = True

    def __init__(self, state: Recorded) -> None:
        super().__init__(Settings(meter=engine.kept_meter(), lines=state.codes_now()))
        self._state = state
        self.pid = os.getpid()
        self.calls: set[_Call] = set()

    def leave(self, call: _Call, error: BaseException | None) -> None:
        """End the recording with its last call, and print its tables; a forked child leaves that to its parent."""
        with active.lock:
            self.calls.discard(call)
            if not self.calls and self.pid == os.getpid() and self in _own:
                self._finish(*how_it_ended(error))

    def end(self, *ending: object) -> None:
        """With the process: calls go on, as those of a daemon thread or of a generator that was not exhausted do."""
        if self in _own and self.pid == os.getpid():
            self._finish(*ending)

    def _finish(self, *ending: object) -> None:
        _own.remove(self)
        try:
            self.stop(*ending)
        except JournalError as lost:
            to_stderr(str(lost))
        if sys.stderr is None:
            return
        try:
            with StandardModules():
                recording = self.recording
            if recording is not None and recording.lines:
                _show(recording, "profile")
            elif recording is not None:
                to_stderr(self._state.why_nothing_ran())
        except BrokenPipeError:
            pass  # nobody reads stderr any more, which is not the program's failure
        except Exception as failure:  # none of these is the program's failure
            to_stderr(in_a_line(failure))


_printing = _thread.RLock()
_own: list[_OwnRecorder] = []  # those that are running, the oldest first


def _joined(call: _Call, state: Recorded) -> _OwnRecorder | None:
    """The own recording that a call belongs to, begun for it if nobody else records; None if somebody does."""
    with active.lock:
        _own[:] = [each for each in _own if each.running]
        own = _around(state)
        if own is None:
            if len(list(active.recorders)) > len(_own):
                return None
            if len(_own) < MOST_OWN:
                with StandardModules():
                    own = _OwnRecorder(state)
                    own.start()
                _own.append(own)
            else:
                own = _own[-1]
        own.calls.add(call)
        return own


def _around(state: Recorded) -> _OwnRecorder | None:
    """The own recording that has calls of the same function, or a call that this thread is in."""
    inside = {id(code): own for own in _own for call in own.calls for code in call.state.codes}
    if not inside:
        return None
    for code in state.codes:
        if id(code) in inside:
            return inside[id(code)]
    frame: FrameType | None = sys._getframe(3)
    while frame is not None:
        if id(frame.f_code) in inside:
            return inside[id(frame.f_code)]
        frame = frame.f_back
    return None


_complaints: list[str] = []
_known: tuple[list[str], Plugins, dict[str, Namespace]] | None = None  # where plugins were searched, and what was found


def _show(recording: Recording, command: str) -> None:
    """Print the tables of a recording, without its summary. Raises ``MemkitError`` if a table cannot be printed.

    Plugins are found once: a function may print its table a thousand times.
    """
    global _known
    with _printing, StandardModules():
        from memkit.base.plugins import Plugins

        _complaints.clear()
        if _known is None or _known[0] != sys.path:
            _known = [*sys.path], Plugins(("console",), _complaints.append), {}
        _, plugins, options = _known
        if command not in options:
            options[command] = plugins.options(command, {})
        if plugins.report((recording,), options[command]):
            raise MemkitError("; ".join(_complaints))


def _give_up(error: Exception) -> None:
    """Tell the user once why nothing is traced. From now on functions run as if they were not decorated."""
    global _given_up
    if not _given_up:
        _given_up = True
        remedy = "see memkit info, or set MEMKIT_PROFILE=0 to be rid of this line"
        to_stderr(f"@profile traces nothing in this process: {error}; {remedy}")


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

        named = Targets(list(targets))
        named.check_names()
        super().__init__(Settings(path=path, interval=interval, meter=meter, lines=named))

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
