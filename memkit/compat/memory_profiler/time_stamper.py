"""``TimeStamper``: when functions began and ended, and memory then, as lines of an mprof file."""

from __future__ import annotations

import sys
from contextlib import contextmanager

from memkit.compat.memory_profiler.backends import _get_memory
from memkit.model import mprof_file
from memkit.record.memory_reader import MIB


class TimeStamper:
    """Notes memory and time as each call of a function begins and ends, whichever way that is.

    ``functions`` has for each function a list of ``[(MiB, seconds), (MiB, seconds)]``, and ``stack`` how deep each call was.
    With a ``stream`` each call is written as it ends, so that what has ended survives whatever happens then; where it could
    not be written, the error is in ``lost``.
    """

    def __init__(self, backend="psutil", include_children=False, stream=None):
        self.backend = backend
        self.include_children = include_children
        self.functions = {}
        self.stack = {}
        self.current_stack_level = -1
        self.lost = None
        self._stream = stream

    def __call__(self, func=None, precision=None, **_):
        from memkit.base.decorators import around_calls

        if func is None:
            return self
        if isinstance(func, (staticmethod, classmethod)):
            return type(func)(self(func.__func__))
        if not callable(func):
            raise ValueError("Value must be callable")
        if isinstance(func, type):
            return func
        self.add_function(func)
        return around_calls(func, lambda: self.call_on_stack(func))

    def add_function(self, func):
        """Have a place for the calls of a function."""
        self.functions.setdefault(func, [])
        self.stack.setdefault(func, [])

    def wrap_function(self, func):
        """The function, with its calls noted."""
        return self(func)

    def timestamp(self, name="<block>"):
        """A context manager that notes a block of code."""

        def block():
            pass

        block.__module__, block.__name__ = "", name
        self.add_function(block)
        return self.call_on_stack(block)

    @contextmanager
    def call_on_stack(self, func, *args, **kwds):
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
                self._write(func, call, level)

    def _write(self, func, call, level):
        try:
            self._stream.write(_line(func, call, level))
            self._stream.flush()
        except OSError as error:  # the program goes on
            self.lost = self.lost or error

    def _now(self):
        return _get_memory(-1, self.backend, timestamps=True, include_children=self.include_children)

    def show_results(self, stream=None):
        """Write all calls, those that go on as if they ended now; with a stream of its own, only these."""
        own = self._stream is not None and stream in (None, self._stream)
        stream = self._stream if own else sys.stdout if stream is None else stream
        for func, calls in self.functions.items():
            for call, level in zip(calls, self.stack[func]):
                if len(call) == 1:
                    stream.write(_line(func, [*call, self._now()], level))
                elif not own:
                    stream.write(_line(func, call, level))


def _line(func, call, level):
    (memory, began), (after, ended) = call
    module = getattr(func, "__module__", None) or ""
    name = f"{module}.{getattr(func, '__name__', type(func).__name__)}"
    return mprof_file.call_row(name, memory * MIB, began, after * MIB, ended, level)
