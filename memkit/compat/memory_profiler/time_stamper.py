"""``TimeStamper``: when functions began and ended, and memory then, written as lines of an mprof file."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TextIO, TypeVar

from memkit.compat.function_timestamps import around_each_call, name_of
from memkit.compat.memory_profiler.backends import reading
from memkit.compat.memory_profiler.table import write
from memkit.model import mprof_file
from memkit.record.memory_reader import MIB

Function = TypeVar("Function")
Call = list[tuple[float, float]]


class TimeStamper:
    """Records memory and time at the beginning and end of each call of a function, also if it raises an exception.

    ``functions`` has for each function a list of calls ``[(MiB, seconds), (MiB, seconds)]``, and ``stack`` the depth of each
    call. With a ``stream`` each call is written as it ends, so that a kill does not lose it; the first error of writing is
    kept in ``lost``.
    """

    def __init__(self, backend: str = "psutil", include_children: bool = False, stream: TextIO | None = None) -> None:
        self.backend = backend
        self.include_children = include_children
        self.functions: dict[Callable[..., object], list[Call]] = {}
        self.stack: dict[Callable[..., object], list[int]] = {}
        self.current_stack_level = -1
        self.lost: OSError | None = None
        self._stream = stream

    def __call__(self, func: Function | None = None, precision: int | None = None, **_: object) -> Function | TimeStamper:
        return self if func is None else around_each_call(func, self._calls_of)

    def _calls_of(self, func: Callable[..., object]) -> Callable[[], AbstractContextManager[TimeStamper]]:
        self.add_function(func)
        return lambda: self.call_on_stack(func)

    def add_function(self, func: Callable[..., object]) -> None:
        """Create the lists for the calls of a function."""
        self.functions.setdefault(func, [])
        self.stack.setdefault(func, [])

    def wrap_function(self, func: Function) -> Function | TimeStamper:
        """The function, with its calls recorded."""
        return self(func)

    def timestamp(self, name: str = "<block>") -> AbstractContextManager[TimeStamper]:
        """A context manager that records a block of code."""

        def block() -> None:
            pass

        block.__module__, block.__name__ = "", name
        self.add_function(block)
        return self.call_on_stack(block)

    @contextmanager
    def call_on_stack(self, func: Callable[..., object], *args: object, **kwds: object) -> Iterator[TimeStamper]:
        """A context manager around a call of a function that was added."""
        self.current_stack_level += 1
        level = self.current_stack_level
        call = [self._now()]
        self.functions[func].append(call)
        self.stack[func].append(level)
        try:
            yield self
        finally:
            self.current_stack_level -= 1
            call.append(self._now())
            if self._stream is not None:
                self._write(self._stream, func, call, level)

    def _write(self, stream: TextIO, func: Callable[..., object], call: Call, level: int) -> None:
        try:
            write(stream, _line(func, call, level))
            stream.flush()
        except OSError as error:  # the program goes on
            self.lost = self.lost or error

    def _now(self) -> tuple[float, float]:
        return reading(-1, self.backend, self.include_children)

    def show_results(self, stream: TextIO | None = None) -> None:
        """Write all calls; calls that have not ended are written as if they ended now.

        To a stream of its own, which has the others already, only the calls that have not ended are written.
        """
        own = self._stream is not None and stream in (None, self._stream)
        stream = stream or self._stream or sys.stdout
        for func, calls in self.functions.items():
            for call, level in zip(calls, self.stack[func]):
                if len(call) == 1:
                    write(stream, _line(func, [*call, self._now()], level))
                elif not own:
                    write(stream, _line(func, call, level))


def _line(func: Callable[..., object], call: Call, level: int) -> str:
    (memory, began), (after, ended) = call
    return mprof_file.call_row(name_of(func), memory * MIB, began, after * MIB, ended, level)
