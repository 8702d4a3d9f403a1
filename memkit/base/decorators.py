"""Decorating a function of any kind with a context manager that is open while it runs."""

from __future__ import annotations

import functools
import inspect

from memkit.base.errors import UsageError


def around_calls(function, manager):
    """The function, with ``manager()`` entered around each call.

    A coroutine function is a coroutine function still, and the context stays open until it ends, as it does for
    generators and asynchronous generators until they are exhausted or closed.
    """
    if inspect.iscoroutinefunction(function):

        async def wrapped(*args, **kwargs):
            with manager():
                return await function(*args, **kwargs)

    elif inspect.isasyncgenfunction(function):
        wrapped = _around_asynchronous_generator(function, manager)

    elif inspect.isgeneratorfunction(function):

        def wrapped(*args, **kwargs):
            with manager():
                return (yield from function(*args, **kwargs))

    else:

        def wrapped(*args, **kwargs):
            with manager():
                return function(*args, **kwargs)

    return functools.wraps(function)(wrapped)


def decorated(function, manager):
    """The same for a decorator that says so where it is given anything else, and that goes through what a class makes of it.

    Raises ``UsageError``.
    """
    if isinstance(function, (staticmethod, classmethod)):
        return type(function)(decorated(function.__func__, manager))
    if isinstance(function, type) or not callable(function):
        raise UsageError(f"{function!r} is no function: decorate functions and methods, and a class method by method")
    return around_calls(function, manager)


def _around_asynchronous_generator(function, manager):
    async def wrapped(*args, **kwargs):
        with manager():
            generator = function(*args, **kwargs)
            try:
                value = await anext(generator)
                while True:  # as ``yield from``, which there is not here
                    try:
                        sent = yield value
                    except GeneratorExit:
                        raise
                    except BaseException as error:
                        value = await generator.athrow(error)
                    else:
                        value = await generator.asend(sent)
            except StopAsyncIteration:
                return
            finally:
                await generator.aclose()

    return wrapped


class OneCall:
    """One call of a decorated function: what ``start(join=True)`` begins lasts as long, unless a call around it began it."""

    def __init__(self, manager):
        self._manager = manager

    def __enter__(self):
        self._mine = self._manager.start(join=True)

    def __exit__(self, *error):
        if self._mine:
            self._manager.__exit__(*error)
