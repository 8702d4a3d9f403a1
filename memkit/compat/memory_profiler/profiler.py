"""``LineProfiler``: memory_profiler's, over memkit's tracing of lines."""

from __future__ import annotations

import _thread
import builtins
import os
import sys
import warnings
import weakref

from memkit.base.errors import MeterError, UsageError
from memkit.compat.memory_profiler.backends import choose_backend
from memkit.compat.memory_profiler.code_map import CodeMap
from memkit.compat.memory_profiler.line_sums import Sums, leads_of
from memkit.record.memory_reader import BACKENDS, Reader
from memkit.system import engine

_lock = _thread.RLock()
"""Held while a profiler begins or ends to trace."""
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_lock._at_fork_reinit)
_idle = None
"""A weak reference to the one profiler that keeps its tracer while it measures nothing, for it may be called often."""


def _have_idle(profiler, besides=None):
    """Have this profiler be the idle one, or none; that which was gives back what it keeps of the interpreter."""
    global _idle
    before, _idle = _idle and _idle(), profiler and weakref.ref(profiler)
    if before not in (None, profiler, besides):
        before.close()


class LineProfiler:
    """Measures the lines of functions: a decorator, and a context manager for those that it decorated or was given.

    Keywords: ``include_children``, ``backend``, and ``max_mem``, MiB above which the debugger is entered at the line that
    is about to run, once. What was measured is in ``code_map`` when the outermost call or ``with`` has ended.
    """

    def __init__(self, **kw):
        self.include_children = kw.get("include_children", False)
        self.backend = choose_backend(kw.get("backend", "psutil"))
        self.max_mem = kw.get("max_mem")
        self.code_map = CodeMap(self.include_children, self.backend)
        self.enable_count = 0
        self.prevlines, self.prev_lineno = [], None
        self._sums = Sums()
        self._tracer = None
        self._known = 0
        self._stop = None

    # -- what is measured ----------------------------------------------------------------------------------------------

    def __call__(self, func=None, precision=1):
        if func is None:
            return lambda function: self(function, precision)
        if isinstance(func, (staticmethod, classmethod)):
            return type(func)(self(func.__func__, precision))
        if isinstance(func, property):
            return property(*[each and self(each, precision) for each in (func.fget, func.fset, func.fdel)], func.__doc__)
        self.add_function(func)
        return func if isinstance(func, type) else self.wrap_function(func)

    def add_function(self, func):
        """Have a function measured."""
        from memkit.tracing.targets import codes_of

        try:
            codes = codes_of(func) if not isinstance(func, type) else []
        except UsageError:
            codes = []
        if not codes:
            warnings.warn(f"Could not extract a code object for the object {func!r}", stacklevel=_level_of_caller())
        for code in codes:
            self.code_map.add(code)

    def wrap_function(self, func):
        """The function, measuring while it runs. Coroutine functions and generators stay what they are."""
        from memkit.base.decorators import around_calls

        return around_calls(func, lambda: self)

    def runctx(self, cmd, globals, locals):
        """Run a text of code, measuring."""
        with self:
            exec(cmd, globals, locals)
        return self

    # -- when ----------------------------------------------------------------------------------------------------------

    def enable_by_count(self):
        """Measure until this has been undone as often as it was done."""
        with _lock:
            if self.enable_count == 0:
                self.enable()
            elif hasattr(self._tracer, "join"):
                self._tracer.join()
            self.enable_count += 1

    def disable_by_count(self):
        with _lock:
            if self.enable_count > 0:
                self.enable_count -= 1
                if self.enable_count == 0:
                    self.disable()

    def __enter__(self):
        self.enable_by_count()

    def __exit__(self, *error):
        self.disable_by_count()

    def enable(self):
        """Begin to trace."""
        if self.max_mem is not None:
            from memkit.compat.memory_profiler.memory_breakpoint import Stopper

            self._stop = self._stop or Stopper(self)
            self._stop.start()
            return
        with _lock:
            _have_idle(None, besides=self)
            self._trace()

    def _trace(self):
        if self._tracer is None:
            self._tracer = _tracer(self)
            self._known = len(self.code_map)
            self._tracer.start()
            return
        self._tracer.resume()
        if self._known != len(self.code_map):
            for code in list(self.code_map)[self._known :]:
                self._tracer.add(code)
            self._known = len(self.code_map)

    def disable(self):
        """Stop tracing, and put what was measured into the code map."""
        if self._stop is not None:
            self._stop.stop()
        with _lock:
            if self._tracer is None:
                return
            if self._tracer.can_pause:
                self._tracer.pause()
                self._sums.copy().add(self._tracer.sums()).write(self.code_map)
                _have_idle(self)
            else:
                self.close()

    def close(self):
        """Give back what tracing takes of the interpreter. It can be enabled again."""
        with _lock:
            tracer, self._tracer = self._tracer, None
            if tracer is not None:
                tracer.stop()
                self._sums.add(tracer.sums())
                tracer.close()
                self._sums.write(self.code_map)

    def __del__(self):
        if getattr(self, "_tracer", None) is not None and not sys.is_finalizing():
            self.close()


def _tracer(profiler):
    """A tracer that can read what the profiler's backend measures: the compiled one, or one in Python."""
    code_map, leads = profiler.code_map, {}

    def wanted(code):
        return any(key.co_filename == code.co_filename for key in _equal(code_map, code))

    def lead(code):
        if id(code_map[code]) not in leads:
            leads.update(leads_of(code_map))
        found = leads[id(code_map[code])]
        return None if found is code else found

    meter = BACKENDS.get(profiler.backend)
    if meter is not None and not profiler.include_children and engine.NAME == "native":
        try:
            from memkit.tracing import tracers

            return tracers.LineTracer(tracers.Functions(_Nowhere()), engine.Meter(meter), wanted, lead)
        except MeterError:  # more of them than there is room for, or the compiled tracer cannot be loaded
            pass
    from memkit.compat.memory_profiler.python_tracer import SlowLines

    if profiler.backend == "tracemalloc":
        import tracemalloc

        if not tracemalloc.is_tracing():
            tracemalloc.start()
    reader = Reader(None, profiler.backend, profiler.include_children)
    return SlowLines(reader.read, wanted, lead, exact=profiler.backend == "tracemalloc")


def _level_of_caller() -> int:
    """How far up the stack of this function's caller the first is that is not memkit's."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("memkit."):
        level, frame = level + 1, frame.f_back
    return level


def _equal(code_map, code):
    return [key for key in code_map if key == code] if code in code_map else []


class _Nowhere:
    """A journal that keeps nothing."""

    def text(self, rows):
        pass


# -- the importable decorator ------------------------------------------------------------------------------------------


def profile(func=None, stream=None, precision=1, backend="psutil", include_children=False):
    """Print the table of a function's lines when a call of it has ended, by an exception or not.

    ``stream``: where to, standard output unless it is given; ``precision``: decimals; ``backend``, ``include_children``: as
    for ``memory_usage``. Calls that overlap, a recursion's for instance, share one table. Under
    ``python -m memkit.compat.memory_profiler`` and ``mprof run`` the function goes into what is measured there instead,
    unless it has settings of its own that a run does not share. ``MEMKIT_PROFILE=0`` in the environment makes it do nothing.
    """
    if not isinstance(precision, int):
        raise UsageError(f"precision={precision!r}: it is a number of decimals, such as 4")
    if stream is not None and not hasattr(stream, "write"):
        raise UsageError(f"stream={stream!r} cannot be written to: pass an open file")
    if func is None:
        return lambda function: profile(function, stream, precision, backend, include_children)
    if switched_off():
        return func
    found = getattr(builtins, "profile", None)
    lines = isinstance(found, LineProfiler)
    own = stream is not None or (lines and (precision != 1 or differs(found, backend, include_children)))
    if is_of_a_run(found) and not own:
        return found(func)
    return printing(func, stream, precision, choose_backend(backend), include_children)


def is_of_a_run(found) -> bool:
    """Whether this is the ``profile`` of a run under memory_profiler or mprof."""
    return getattr(type(found), "__module__", "").startswith("memkit.compat.") and callable(found)


def differs(profiler, backend, include_children) -> bool:
    """Whether a decorator asks for more than it would get of the profiler of a run."""
    return backend not in ("psutil", profiler.backend) or (include_children and not profiler.include_children)


def switched_off() -> bool:
    """Whether the environment says that decorators are to do nothing."""
    return os.environ.get("MEMKIT_PROFILE", "") == "0"


def printing(func, stream, precision, backend, include_children):
    """The function, printing its table when a call has ended."""
    if isinstance(func, (staticmethod, classmethod)):
        return type(func)(printing(func.__func__, stream, precision, backend, include_children))
    if isinstance(func, type):
        LineProfiler().add_function(func)
        return func
    from memkit.base.decorators import around_calls

    calls = _Calls(func, stream, precision, backend, include_children)
    return around_calls(func, lambda: calls)


class _Calls:
    """The calls of a decorated function that overlap: the last to end prints the table."""

    def __init__(self, func, stream, precision, backend, include_children):
        self._func, self._stream, self._precision = func, stream, precision
        self._settings = {"backend": backend, "include_children": include_children}
        self._lock = _thread.RLock()
        self._count, self._profiler = 0, None

    def __enter__(self):
        with self._lock:
            if self._count == 0:
                self._profiler = LineProfiler(**self._settings)
                self._profiler.add_function(self._func)
                self._profiler.enable_by_count()
            self._count += 1

    def __exit__(self, *error):
        with self._lock:
            self._count -= 1
            if self._count:
                return
            profiler, self._profiler = self._profiler, None
            profiler.disable_by_count()
            profiler.close()
        from memkit.compat.memory_profiler.table import show_results

        show_results(profiler, self._stream, self._precision)
