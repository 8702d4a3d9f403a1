"""pymemtrace's decorators: a call of the function is a block of a tracer, made with the arguments given to the decorator."""

from __future__ import annotations

import functools

from memkit.compat.pymemtrace import cPyMemTrace


def profile(*given, **named):
    """Log each call of a function with ``cPyMemTrace.Profile``: ``@profile()``, or with its arguments."""
    return _within(cPyMemTrace.Profile, given, named)


def trace(*given, **named):
    """Log each call of a function with ``cPyMemTrace.Trace``: ``@trace()``, or with its arguments."""
    return _within(cPyMemTrace.Trace, given, named)


def reference_tracing(*given, **named):
    """Log the objects of each call of a function with ``cPyMemTrace.ReferenceTracing``, on Python 3.13 and later."""
    return _within(cPyMemTrace.ReferenceTracing, given, named)


def _within(tracer, given, named):
    def decorate(function):
        @functools.wraps(function)
        def wrapper(*args, **kwargs):
            with tracer(*given, **named):
                return function(*args, **kwargs)

        return wrapper

    return decorate
