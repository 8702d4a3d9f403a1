"""Decorating a function of any kind with a context manager that is open while it runs."""

from __future__ import annotations

import functools

from memkit.base.errors import UsageError

_GENERATOR, _COROUTINE, _ASYNCHRONOUS_GENERATOR = 0x20, 0x80, 0x200  # flags of code, see the module inspect

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
    flags = _flags(function)
    if flags & _COROUTINE:
        wrapped = _around_coroutine(function, manager)
    elif flags & _ASYNCHRONOUS_GENERATOR:
        wrapped = _around_asynchronous_generator(function, manager)
    elif flags & _GENERATOR:
        wrapped = _around_generator(function, manager)
    else:
        wrapped = _around_function(function, manager)
    functools.update_wrapper(wrapped, function)
    _add_methods(wrapped, function)
    same: Any = wrapped  # takes and returns what the function does
    found: F = same
    return found


def decorated(function: Any, manager: Manager) -> Any:
    """The same for a decorator that says so where it is given anything else; it goes through what is made of a function.

    Raises ``UsageError``.
    """
    again = remade(function, lambda inside: decorated(inside, manager))
    if again is not None:
        return again
    if isinstance(function, type) or not callable(function):
        raise UsageError(f"{function!r} is no function: decorate functions and methods, and a class method by method")
    return around_calls(function, manager)


def _flags(function: Any) -> int:
    """The flags of the code of a function, as ``inspect`` finds it, which is not imported into a measured process."""
    marked = 0
    while True:
        if getattr(function, "_is_coroutine_mark", None) is not None:  # see inspect.markcoroutinefunction
            marked = _COROUTINE
        if isinstance(function, functools.partial):
            function = function.func
        elif hasattr(function, "__func__"):
            function = function.__func__
        else:
            return marked | getattr(getattr(function, "__code__", None), "co_flags", 0)


def remade(function: Any, decorate: Callable[[Any], Any]) -> Any:
    """What a class or click makes of a function, with the function inside decorated; None for anything else."""
    if isinstance(function, property):
        accessors = [each and decorate(each) for each in (function.fget, function.fset, function.fdel)]
        kind: Any = type(function)
        return kind(*accessors, function.__doc__)
    if isinstance(function, (staticmethod, classmethod)):
        return type(function)(decorate(function.__func__))
    if is_command(function):
        function.callback = decorate(function.callback)
        return function
    if isinstance(function, functools.singledispatchmethod):
        return _Dispatched(function, decorate)
    if callable(function) or not hasattr(type(function), "__get__") or not callable(getattr(function, "func", None)):
        return None
    again = object.__new__(type(function))  # a cached property, or a partial method
    vars(again).update(vars(function))
    for name in {"func", "real_func"} & vars(function).keys():  # the latter is Django's
        setattr(again, name, decorate(getattr(function, name)))
    return again


def is_command(thing: object) -> bool:
    """Whether something is a command of click, or of a library like it, whose function is ``callback``."""
    return hasattr(type(thing), "main") and callable(getattr(thing, "callback", None))


class _Dispatched(functools.singledispatchmethod):  # type: ignore[type-arg]  # it takes no argument in Python 3.11
    """The same, with each of its methods decorated, those that are registered later too."""

    def __init__(self, inside: functools.singledispatchmethod[Any], decorate: Callable[[Any], Any]) -> None:
        super().__init__(decorate(inside.func))
        self._decorate = decorate
        for kind, method in inside.dispatcher.registry.items():
            if kind is not object:
                super().register(kind, decorate(method))

    def register(self, kind: Any, method: Any = None) -> Any:
        if method is not None:
            return super().register(kind, self._decorate(method))
        if hasattr(kind, "__code__") or hasattr(kind, "__func__"):  # the method itself, whose annotation is the kind
            return super().register(self._decorate(kind))
        return lambda method: self.register(kind, method)


def _add_methods(wrapped: Any, function: Any) -> None:
    """What a decorator below has added as methods, such as ``cache_info``."""
    for name in dir(type(function)):
        if not name.startswith("_") and callable(getattr(type(function), name, None)) and not hasattr(wrapped, name):
            setattr(wrapped, name, getattr(function, name))


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
