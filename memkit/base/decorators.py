"""Decorating a function of any kind with a context manager that is open while it runs."""

from __future__ import annotations

import functools
import inspect

from memkit.base.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator
    from contextlib import AbstractContextManager
    from types import TracebackType
    from typing import Any, Protocol, TypeVar

    F = TypeVar("F", bound=Callable[..., Any])
    Manager = Callable[[], AbstractContextManager[object]]

    class Recorder(Protocol):
        """What one call of a decorated function begins and ends."""

        def start(self, *, join: bool) -> bool:
            """Begin, or join what goes on; whether it was begun here."""

        def __exit__(
            self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
        ) -> None:
            """End it."""


def around_calls(function: F, manager: Manager) -> F:
    """The function, with ``manager()`` entered around each call.

    A coroutine function is a coroutine function still, and the context stays open until it ends, as it does for
    generators and asynchronous generators until they are exhausted or closed.
    """
    if inspect.iscoroutinefunction(function):
        wrapped = _around_coroutine(function, manager)
    elif inspect.isasyncgenfunction(function):
        wrapped = _around_asynchronous_generator(function, manager)
    elif inspect.isgeneratorfunction(function):
        wrapped = _around_generator(function, manager)
    else:
        wrapped = _around_function(function, manager)
    functools.update_wrapper(wrapped, function)
    same: Any = wrapped  # takes and returns what the function does
    found: F = same
    return found


def decorated(function: Any, manager: Manager) -> Any:
    """The same for a decorator that says so where it is given anything else, and that goes through what a class makes of it.

    Raises ``UsageError``.
    """
    if isinstance(function, (staticmethod, classmethod)):
        return type(function)(decorated(function.__func__, manager))
    if isinstance(function, type) or not callable(function):
        raise UsageError(f"{function!r} is no function: decorate functions and methods, and a class method by method")
    return around_calls(function, manager)


def _around_function(function: Callable[..., Any], manager: Manager) -> Callable[..., Any]:
    def wrapped(*args: object, **kwargs: object) -> Any:
        with manager():
            return function(*args, **kwargs)

    return wrapped


def _around_coroutine(function: Callable[..., Any], manager: Manager) -> Callable[..., Any]:
    async def wrapped(*args: object, **kwargs: object) -> Any:
        with manager():
            return await function(*args, **kwargs)

    return wrapped


def _around_generator(function: Callable[..., Any], manager: Manager) -> Callable[..., Any]:
    def wrapped(*args: object, **kwargs: object) -> Generator[Any, Any, Any]:
        with manager():
            return (yield from function(*args, **kwargs))

    return wrapped


def _around_asynchronous_generator(function: Callable[..., Any], manager: Manager) -> Callable[..., Any]:
    async def wrapped(*args: object, **kwargs: object) -> AsyncGenerator[Any, Any]:
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

    def __init__(self, manager: Recorder):
        self._manager = manager

    def __enter__(self) -> None:
        self._mine = self._manager.start(join=True)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._mine:
            self._manager.__exit__(kind, error, trace)
