"""memory_profiler's ``LineProfiler`` and ``profile``, on memkit's line tracers."""

from __future__ import annotations

import _thread
import atexit
import builtins
import os
import sys
import warnings
import weakref
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from types import CodeType
from typing import TYPE_CHECKING, Any, TypeVar, cast

from memkit.base.errors import MeterError, UsageError, in_a_line
from memkit.base.stderr import to_stderr
from memkit.compat.memory_profiler.backends import choose_backend
from memkit.compat.memory_profiler.code_map import CodeMap
from memkit.compat.memory_profiler.line_sums import LineSums, outermost_codes
from memkit.compat.memory_profiler.table import show_results
from memkit.record.memory_reader import BACKENDS, Reader, start_tracemalloc
from memkit.record.profile import Recorded
from memkit.system import engine

if TYPE_CHECKING:
    from memkit.compat.memory_profiler.memory_breakpoint import MemoryBreakpoint
    from memkit.compat.memory_profiler.python_tracer import PythonLineTracer
    from memkit.compat.memory_profiler.table import Stream
    from memkit.tracing.tracers import LineTracer

Function = TypeVar("Function")

_lock = _thread.RLock()
"""Held while a profiler starts or stops tracing."""
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_lock._at_fork_reinit)  # type: ignore[attr-defined]  # threading uses it, too
_profilers: weakref.WeakValueDictionary[int, LineProfiler] = weakref.WeakValueDictionary()
"""Those of this process, by their ids."""
_idle: weakref.ref[LineProfiler] | None = None
"""The one profiler that keeps its tracer, paused, while it measures nothing: it may be called again soon."""


def _set_idle(profiler: LineProfiler | None, keep: LineProfiler | None = None) -> None:
    """Make this profiler, or none, the idle one. The previous one closes its tracer, unless it is one of these two."""
    global _idle
    before = None if _idle is None else _idle()
    _idle = None if profiler is None else weakref.ref(profiler)
    if before is not None and before is not profiler and before is not keep:
        before.close()


class LineProfiler:
    """Measures the lines of functions: a decorator, and a context manager for functions that it decorated or was given.

    ``max_mem``: MiB above which the debugger is entered at the line that is about to run, once. The measurements are in
    ``code_map`` when the outermost call or ``with`` has ended.
    """

    def __init__(
        self, *, include_children: bool = False, backend: str = "psutil", max_mem: float | None = None, **_: object
    ) -> None:
        self.include_children = include_children
        self.backend = choose_backend(backend)
        self.max_mem = max_mem
        self.code_map = CodeMap(self.include_children, self.backend)
        self.enable_count = 0
        self.prevlines: list[int] = []
        self.prev_lineno: int | None = None
        self._sums = LineSums()
        self._tracer: LineTracer | PythonLineTracer | None = None
        self._traced = 0  # of the code objects in the map
        self._breakpoint: MemoryBreakpoint | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        # In another process, to which a decorated function was sent, nobody would read what it measured.
        _profilers[id(self)] = self
        return _here_or_nothing, (os.getpid(), id(self))

    # -- functions -----------------------------------------------------------------------------------------------------

    def __call__(self, func: Function | None = None, precision: int = 1) -> Function | Callable[[Function], Function]:
        return self._measured if func is None else self._measured(func)

    def _measured(self, func: Function) -> Function:
        if isinstance(func, (staticmethod, classmethod)):
            return type(func)(self._measured(func.__func__))
        if isinstance(func, property):
            getter, setter = func.fget and self._measured(func.fget), func.fset and self._measured(func.fset)
            return type(func)(getter, setter, func.fdel and self._measured(func.fdel), func.__doc__)
        self.add_function(func)
        return func if isinstance(func, type) else self.wrap_function(func)

    def add_function(self, func: object) -> None:
        """Measure a function."""
        from memkit.tracing.targets import codes_of

        try:
            codes = codes_of(func) if not isinstance(func, type) else []
        except UsageError:
            codes = []
        if not codes:
            warnings.warn(f"Could not extract a code object for the object {func!r}", stacklevel=_level_of_caller())
        for code in codes:
            self.code_map.add(code)

    def wrap_function(self, func: Function) -> Function:
        """The function, which enables the profiler while it runs. Coroutine functions and generators keep their kind."""
        from memkit.base.decorators import around_calls

        function: Any = func  # whatever it is; it is not called before its decorated form is
        wrapped: Function = around_calls(function, lambda: self)
        return wrapped

    def runctx(self, cmd: str | CodeType, globals: dict[str, object], locals: Mapping[str, object] | None) -> LineProfiler:
        """Execute code with the profiler enabled."""
        with self:
            exec(cmd, globals, locals)
        return self

    # -- enabling ---------------------------------------------------------------------------------------------------------

    def enable_by_count(self) -> None:
        """Measure until ``disable_by_count`` has been called as often as this."""
        with _lock:
            if self.enable_count == 0:
                self.enable()
            elif self._tracer is not None and hasattr(self._tracer, "join"):
                self._tracer.join()
            self.enable_count += 1

    def disable_by_count(self) -> None:
        with _lock:
            if self.enable_count > 0:
                self.enable_count -= 1
                if self.enable_count == 0:
                    self.disable()

    def __enter__(self) -> None:
        self.enable_by_count()

    def __exit__(self, *error: object) -> None:
        self.disable_by_count()

    def enable(self) -> None:
        """Start tracing."""
        if self.max_mem is not None:
            from memkit.compat.memory_profiler.memory_breakpoint import MemoryBreakpoint

            if self._breakpoint is None:
                reader = Reader(None, self.backend, self.include_children)
                self._breakpoint = MemoryBreakpoint(self.code_map, self.max_mem, reader)
            if not self._breakpoint.hit:
                self._breakpoint.install()
            return
        with _lock:
            _set_idle(None, keep=self)
            self._trace()

    def _trace(self) -> None:
        if self._tracer is None:
            self._tracer = _new_tracer(self)
            self._traced = len(self.code_map)
            self._tracer.start()
            return
        cast("LineTracer", self._tracer).resume()  # the other kind was closed
        for code in list(self.code_map)[self._traced :]:
            self._tracer.add(code)
        self._traced = len(self.code_map)

    def disable(self) -> None:
        """Stop tracing, and write the measurements into the code map."""
        if self._breakpoint is not None:
            self._breakpoint.uninstall()
        with _lock:
            if self._tracer is None:
                return
            if self._tracer.can_pause:
                cast("LineTracer", self._tracer).pause()
                self._sums.copy().add(self._tracer.sums()).write(self.code_map)
                _set_idle(self)
            else:
                self.close()

    def close(self) -> None:
        """Release the tracer and its place in the interpreter. The profiler can be enabled again."""
        with _lock:
            tracer, self._tracer = self._tracer, None
            if tracer is not None:
                tracer.stop()
                self._sums.add(tracer.sums())
                tracer.close()
                self._sums.write(self.code_map)

    def __del__(self) -> None:
        if getattr(self, "_tracer", None) is not None and sys is not None and not sys.is_finalizing():
            self.close()


def _here_or_nothing(pid: int, number: int) -> object:
    """What a pickled profiler becomes: itself in its own process, nothing in another."""
    return _profilers.get(number, _Nothing()) if pid == os.getpid() else _Nothing()


class _Nothing:
    """What a call of a function is in whose process nothing is measured."""

    def __enter__(self) -> None: ...
    def __exit__(self, *error: object) -> None: ...


def _new_tracer(profiler: LineProfiler) -> LineTracer | PythonLineTracer:
    """A tracer that can read what the profiler's backend measures: the compiled one, or the one in Python."""
    code_map = profiler.code_map
    known: dict[int, CodeType] = {}

    def wanted(code: CodeType) -> bool:
        return any(key.co_filename == code.co_filename for key in _equal(code_map, code))

    def outermost(code: CodeType) -> CodeType | None:
        if id(code_map[code]) not in known:
            known.update(outermost_codes(code_map))
        found = known[id(code_map[code])]
        return None if found is code else found

    meter = BACKENDS.get(profiler.backend)
    if meter is not None and not profiler.include_children and engine.NAME == "native":
        try:
            from memkit.tracing.functions import Functions
            from memkit.tracing.tracers import LineTracer

            return LineTracer(Functions(_NullJournal()), engine.Meter(meter), wanted, outermost, keep=True)
        except MeterError:  # all places for a tracer are taken, or the compiled tracer cannot be loaded
            pass
    from memkit.compat.memory_profiler.python_tracer import PythonLineTracer

    if profiler.backend == "tracemalloc":
        start_tracemalloc()
    reader = Reader(None, profiler.backend, profiler.include_children)
    return PythonLineTracer(reader.read, wanted, outermost, exact=profiler.backend == "tracemalloc")


def _level_of_caller() -> int:
    """The ``stacklevel`` for a warning of this function's caller that names the first frame outside of memkit."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("memkit."):
        level, frame = level + 1, frame.f_back
    return level


def _equal(code_map: CodeMap, code: CodeType) -> list[CodeType]:
    return [key for key in code_map if key == code] if code in code_map else []


class _NullJournal:
    """A journal that discards its rows."""

    def text(self, rows: bytes) -> None:
        pass


# -- the importable decorator ------------------------------------------------------------------------------------------


def profile(
    func: Function | None = None,
    stream: Stream | None = None,
    precision: int = 1,
    backend: str = "psutil",
    include_children: bool = False,
) -> Function | Callable[[Function], Function]:
    """Print the line table of a function after each call, also if the call raises an exception.

    ``stream``: where to print, standard output by default; ``precision``: decimals; ``backend``, ``include_children``: as
    for ``memory_usage``. Calls that overlap, such as recursive ones, share one table. Under
    ``python -m memkit.compat.memory_profiler`` and ``mprof run`` the function is measured by these instead, unless it has
    settings of its own that they do not share. ``MEMKIT_PROFILE=0`` in the environment disables it.
    """
    if not isinstance(precision, int):
        raise UsageError(f"precision={precision!r}: it is a number of decimals, such as 4")
    if stream is not None and not hasattr(stream, "write"):
        raise UsageError(f"stream={stream!r} cannot be written to: pass an open file")

    def decorate(function: Function) -> Function:
        if switched_off():
            return function
        found = getattr(builtins, "profile", None)
        own = stream is not None or (
            isinstance(found, LineProfiler) and (precision != 1 or differs(found, backend, include_children))
        )
        if not own and callable(found) and is_of_a_run(found):
            measured: Function = found(function)
            return measured
        return printing(function, stream, precision, choose_backend(backend), include_children)

    return decorate if func is None else decorate(func)


def is_of_a_run(profiler: object) -> bool:
    """Whether this is the ``profile`` of a run under memory_profiler or mprof."""
    return type(profiler).__module__.startswith("memkit.compat.")


def differs(profiler: LineProfiler, backend: str, include_children: bool) -> bool:
    """Whether a decorator asks for settings that the profiler of a run does not have."""
    return backend not in ("psutil", profiler.backend) or (include_children and not profiler.include_children)


def switched_off() -> bool:
    """Whether the environment disables decorators."""
    return os.environ.get("MEMKIT_PROFILE", "") == "0"


def printing(func: Function, stream: Stream | None, precision: int, backend: str, include_children: bool) -> Function:
    """The function, which prints its table after each call."""
    if isinstance(func, (staticmethod, classmethod)):
        return type(func)(printing(func.__func__, stream, precision, backend, include_children))
    if isinstance(func, type):
        LineProfiler().add_function(func)
        return func
    from memkit.base.decorators import around_calls

    function: Any = func  # whatever it is; it is not called before its decorated form is
    calls = _Calls(func, stream, precision, backend, include_children)
    wrapped: Function = around_calls(function, calls.one)
    return wrapped


class _Calls:
    """The calls of a decorated function that overlap: the last to end prints the table."""

    def __init__(self, func: object, stream: Stream | None, precision: int, backend: str, include_children: bool) -> None:
        self._func, self._stream, self._precision = func, stream, precision
        self._backend, self._include_children = backend, include_children
        self._lock = _thread.RLock()
        self._count = 0
        self._profiler: LineProfiler | None = None
        self._elsewhere: Callable[[], AbstractContextManager[None]] | None = None

    def one(self) -> AbstractContextManager[None]:
        """What is open around one call."""
        return self if self._elsewhere is None else self._elsewhere()

    def __getstate__(self) -> tuple[Any, ...]:
        return self._func, self._precision, self._backend, self._include_children, Recorded(self._func).call, os.getpid()

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        func, precision, backend, include_children, recorded, sender = state
        self.__init__(func, None, precision, backend, include_children)  # type: ignore[misc]  # it is as new
        if sender != os.getpid():  # the lines go into the recording of this process, if there is one
            self._elsewhere = recorded

    def __enter__(self) -> None:
        with self._lock:
            if self._count == 0:
                self._profiler = profiler = LineProfiler(backend=self._backend, include_children=self._include_children)
                profiler.add_function(self._func)
                profiler.enable_by_count()
                _running.add(self)
            self._count += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._count -= 1
            if self._count == 0:
                self.end()

    def end(self) -> None:
        """Print the table: after the last of the calls, or when the program ends while some go on."""
        with self._lock:
            profiler, self._profiler = self._profiler, None
            if profiler is None:
                return
            _running.discard(self)
            profiler.disable_by_count()
            profiler.close()
        try:
            show_results(profiler, self._stream, self._precision)
        except BrokenPipeError:
            pass  # nobody reads it any more, which is not the program's failure
        except (OSError, ValueError) as error:  # a full disk, or a stream that was closed
            to_stderr(f"a table could not be printed: {in_a_line(error)}")


_running: set[_Calls] = set()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_running.clear)  # the parent prints them


@atexit.register
def _at_exit() -> None:
    for calls in list(_running):
        calls.end()
