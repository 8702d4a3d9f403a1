"""``@profile`` under ``mprof run``: when each call began and ended, and memory then, without tracing a line of it."""

from __future__ import annotations

import builtins
import os

from memkit.base.errors import MeterError
from memkit.record.active import recorders
from memkit.record.spans import span
from memkit.system import engine


class Stamp(span):
    """A span that is in the file as soon as it begins or ends, whatever becomes of the process then."""

    def __enter__(self):
        entered = super().__enter__()
        _flush()
        return entered

    def __exit__(self, *error):
        super().__exit__(*error)
        _flush()


def _flush():
    for recorder in list(recorders):
        recorder.flush()


class Stamps:
    """The decorator, with memory_profiler's ``timestamp`` for a block of code.

    A call is a span, named as mprof names functions: the module and the name. It is written as it begins and as it ends,
    whichever way that is. Coroutines and generators last until they end.
    """

    def __call__(self, func=None, precision=1, **_):
        from memkit.base.decorators import around_calls

        if func is None:
            return self
        if os.environ.get("MEMKIT_PROFILE", "") == "0":
            return func
        if isinstance(func, (staticmethod, classmethod)):
            return type(func)(self(func.__func__))
        if not callable(func):
            raise ValueError("Value must be callable")
        if isinstance(func, type):
            return func  # as memory_profiler, which has no calls of a class either
        name = f"{getattr(func, '__module__', None) or ''}.{getattr(func, '__name__', type(func).__name__)}"
        return around_calls(func, lambda: Stamp(name))

    def timestamp(self, name="<block>"):
        """A context manager that marks a block."""
        return Stamp(f".{name}")


profile = Stamps()


# -- memory with that of all that this process started, which is how ``mprof run -C`` measures calls ---------------------


def rss_of_all() -> int:
    return _of_all("rss")


def pss_of_all() -> int:
    return _of_all("pss")


def uss_of_all() -> int:
    return _of_all("uss")


def _of_all(meter):
    from memkit.system import processes

    if not _source:
        _source.append(processes.here())
    return engine.Meter(meter).read() + _below(os.getpid(), meter, _source[0].kinship())


_source = []


def _below(pid, meter, children):
    total = 0
    for child in children(pid):
        try:
            total += (engine.Meter(meter, child).read() or 0) + _below(child, meter, children)
        except MeterError:  # it has just ended, or may not be read
            continue
    return total


def active() -> bool:
    """Whether this process runs under ``mprof run``."""
    return isinstance(getattr(builtins, "profile", None), Stamps)
