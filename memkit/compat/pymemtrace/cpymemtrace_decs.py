"""pymemtrace's decorators: each call of the function runs in a block of a tracer, which gets the decorator's arguments."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import ParamSpec, TypeVar

from memkit.compat.pymemtrace import cPyMemTrace

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")
Decorator = Callable[[Callable[Parameters, Result]], Callable[Parameters, Result]]


def profile(*given: object, **named: object) -> Decorator[Parameters, Result]:
    """Log each call of a function with ``cPyMemTrace.Profile``: ``@profile()``, or with its arguments."""
    return _within(lambda: cPyMemTrace.Profile(*given, **named))


def trace(*given: object, **named: object) -> Decorator[Parameters, Result]:
    """Log each call of a function with ``cPyMemTrace.Trace``: ``@trace()``, or with its arguments."""
    return _within(lambda: cPyMemTrace.Trace(*given, **named))


def reference_tracing(*given: object, **named: object) -> Decorator[Parameters, Result]:
    """Log the objects of each call of a function with ``cPyMemTrace.ReferenceTracing``, on Python 3.13 and later."""
    return _within(lambda: cPyMemTrace.ReferenceTracing(*given, **named))


def _within(block: Callable[[], AbstractContextManager[object]]) -> Decorator[Parameters, Result]:
    def decorate(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
        @functools.wraps(function)
        def wrapper(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
            with block():
                return function(*args, **kwargs)

        return wrapper

    return decorate
