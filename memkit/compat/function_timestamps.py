"""``@profile`` under ``mprof run``: when each call began and ended, and memory then, without tracing any line.

The measured program imports this module, so it imports little.
"""

from __future__ import annotations

import os

from memkit.base.errors import MeterError
from memkit.record.active import recorders
from memkit.record.spans import span
from memkit.system import engine

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from typing import TypeVar

    from memkit.base.protocols import ProcessSource

    Function = TypeVar("Function")


class FlushedSpan(span):
    """A span that is written to the file as soon as it begins and as soon as it ends, so that a kill does not lose it."""

    def __enter__(self) -> FlushedSpan:
        super().__enter__()
        _flush()
        return self

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        _flush()


def _flush() -> None:
    for recorder in list(recorders):
        recorder.flush()


class FunctionTimestamps:
    """The decorator, with memory_profiler's ``timestamp`` for a block of code.

    A call is a span, labelled as mprof names functions: module and name. The span of a coroutine or generator lasts until
    that ends.
    """

    def __call__(
        self, func: Function | None = None, precision: int | None = 1, **_: object
    ) -> Function | FunctionTimestamps:
        if func is None:
            return self
        if os.environ.get("MEMKIT_PROFILE", "") == "0":
            return func
        return around_each_call(func, lambda function: lambda: FlushedSpan(name_of(function)))

    def timestamp(self, name: str = "<block>") -> FlushedSpan:
        """A context manager that marks a block."""
        return FlushedSpan(f".{name}")


profile = FunctionTimestamps()


def around_each_call(
    func: Function, contexts: Callable[[Callable[..., object]], Callable[[], AbstractContextManager[object]]]
) -> Function:
    """The function, with a new context open around each call; ``contexts(function)`` makes what creates these contexts.

    A class is returned unchanged, as by memory_profiler. Raises ``ValueError`` for anything that cannot be called.
    """
    from memkit.base.decorators import around_calls

    if isinstance(func, (staticmethod, classmethod)):
        return type(func)(around_each_call(func.__func__, contexts))
    if not callable(func):
        raise ValueError("Value must be callable")
    if isinstance(func, type):
        return func
    wrapped: Function = around_calls(func, contexts(func))
    return wrapped


def name_of(function: object) -> str:
    """The name of a function in mprof's files."""
    return f"{getattr(function, '__module__', None) or ''}.{getattr(function, '__name__', type(function).__name__)}"


# -- meters of this process and all its descendants, which ``mprof run -C`` uses for calls --------------------------------


def rss_of_all() -> int | None:
    return _of_all("rss")


def pss_of_all() -> int | None:
    return _of_all("pss")


def uss_of_all() -> int | None:
    return _of_all("uss")


def _of_all(meter: str) -> int | None:
    from memkit.system import processes

    if not _sources:
        _sources.append(processes.here())
    memory = engine.Meter(meter).read()
    return None if memory is None else memory + _below(os.getpid(), meter, _sources[0].kinship())


_sources: list[ProcessSource] = []


def _below(pid: int, meter: str, children: Callable[[int], list[int]]) -> int:
    total = 0
    for child in children(pid):
        try:
            total += (engine.Meter(meter, child).read() or 0) + _below(child, meter, children)
        except MeterError:  # it has just ended, or cannot be read
            continue
    return total
