"""Calling hooks: pluggy decides the order and runs the wrappers, and one implementation that fails harms no other.

pluggy ends a call at the first implementation that raises. So the function of each is replaced, when its plugin is
registered, by one that names the failure in a line and returns nothing. A wrapper that fails is passed over likewise:
the results of those inside stand.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress

import pluggy

from memkit.base import hookspecs
from memkit.base.errors import MemkitError, UsageError, in_a_line
from memkit.base.stderr import to_stderr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from memkit.base.protocols import Complain

_RETURNS = {"memkit_meters": dict}
_NOT_AGAIN = ("memkit_follow",)
"""Called so often that one that failed is left out from then on."""


class Hooks:
    """The hooks of some plugins. ``complain`` is told in a line which of them failed, and why."""

    def __init__(self, complain: Complain):
        self._complain = complain
        self._manager = pluggy.PluginManager("memkit")
        self._manager.add_hookspecs(hookspecs)
        self._consequence = ""
        self._left_out: set[pluggy.HookImpl] = set()
        self.caller: str | None = None
        """The plugin whose implementation runs now."""
        self.failures: dict[str, int] = {}
        """How often implementations of a hook have failed: hook -> number."""
        self.refusals: list[str] = []
        """What implementations of ``memkit_report`` refused, which is the fault of who asked for it."""
        self.reader_went_away = False
        """Whether an implementation wrote into a pipe that nobody reads any more."""
        if os.environ.get("MEMKIT_TRACE_HOOKS"):
            self._manager.add_hookcall_monitoring(_say_call, lambda *_: None)

    def register(self, plugin: object, name: str) -> tuple[str, ...]:
        """Add a plugin, which is called before those that were added earlier; returns the names of its hooks.

        Raises ``PluginValidationError`` where it has a hook that does not exist, or takes an argument that its hook has not.
        """
        try:
            self._manager.register(plugin, name)
            self._manager.check_pending()
            callers = self._manager.get_hookcallers(plugin) or []
            for caller in callers:
                for implementation in caller.get_hookimpls():
                    if implementation.plugin is plugin:
                        self._isolate(implementation, caller.name)
        except BaseException:
            if self._manager.has_plugin(name):
                self._manager.unregister(name=name)
            raise
        return tuple(sorted(caller.name for caller in callers))

    def has(self, hook: str) -> bool:
        """Whether any plugin implements a hook."""
        return bool(getattr(self._manager.hook, hook).get_hookimpls())

    def call(self, hook: str, consequence: str, **known: object) -> list[Any]:
        """Call a hook; returns the results of the implementations that did not fail.

        ``consequence`` is what it means that one failed; the line about it ends with that.
        """
        self._consequence = consequence
        results: list[Any] | None = getattr(self._manager.hook, hook)(**known)
        return results or []

    # -- isolation ---------------------------------------------------------------------------------------------------------

    def _isolate(self, implementation: pluggy.HookImpl, hook: str) -> None:
        names = (*implementation.argnames, *implementation.kwargnames)
        if implementation.wrapper or implementation.hookwrapper:
            if hook == "memkit_report" and "recording" in names:
                raise TypeError("a wrapper of memkit_report is called once: it takes recordings, not recording")
            isolated: Callable[..., Any] = self._isolated_wrapper(implementation, hook)
        elif hook == "memkit_report" and "recording" in names:
            isolated = _for_each_recording(self._isolated(implementation, hook), implementation.argnames)
        else:
            isolated = self._isolated(implementation, hook)
        implementation.function = isolated  # type: ignore[misc]  # final for pluggy; what it has read from it still holds

    def _isolated(self, implementation: pluggy.HookImpl, hook: str) -> Callable[..., Any]:
        function = implementation.function

        def isolated(*args: object, **kwargs: object) -> object:
            if implementation in self._left_out:
                return None
            before, self.caller = self.caller, implementation.plugin_name
            try:
                result = function(*args, **kwargs)
                if result is not None and not isinstance(result, _RETURNS.get(hook, object)):
                    raise TypeError(f"{hook} returned {result!r}, which is no {_RETURNS[hook].__name__}")
                return result
            except (KeyboardInterrupt, GeneratorExit):
                raise
            except BaseException as error:
                self._failed(implementation, hook, error)
                return None
            finally:
                self.caller = before

        return isolated

    def _isolated_wrapper(self, implementation: pluggy.HookImpl, hook: str) -> Callable[..., Generator[None, Any, Any]]:
        function = implementation.function

        def isolated(*args: object, **kwargs: object) -> Generator[None, Any, Any]:
            wrapper: Any = function(*args, **kwargs)
            begun = self._begun(wrapper, implementation, hook)
            try:
                result = yield
            except BaseException as error:  # Ctrl-C in one of those inside: they do not fail otherwise
                if begun:
                    with suppress(StopIteration):
                        wrapper.throw(error)
                raise
            return self._ended(wrapper, result, implementation, hook) if begun else result

        return isolated

    def _begun(self, wrapper: Any, implementation: pluggy.HookImpl, hook: str) -> bool:
        """Run a wrapper up to its ``yield``; whether it came there."""
        if implementation in self._left_out:
            return False
        try:
            next(wrapper)
        except StopIteration:
            self._failed(implementation, hook, RuntimeError("the wrapper did not yield"))
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:
            self._failed(implementation, hook, error)
        else:
            return True
        return False

    def _ended(self, wrapper: Any, result: Any, implementation: pluggy.HookImpl, hook: str) -> Any:
        """Run a wrapper from its ``yield`` to its end; returns the result as it left it, or as it was where it failed.

        One of the old style is given an object, in which it replaces the result, or an exception such as Ctrl-C.
        """
        old = implementation.hookwrapper
        inside = None if old and result.exception is not None else result.get_result() if old else result
        interrupted = old and result.exception
        try:
            wrapper.send(result)
            wrapper.close()
            raise RuntimeError("the wrapper has a second yield")
        except StopIteration as end:
            if not old and isinstance(end.value, (list, type(None))):
                return end.value
            error = result.exception if old else TypeError(f"the wrapper returned {end.value!r}, which is no list")
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as raised:
            error = raised
        if error is not None and not interrupted:
            self._failed(implementation, hook, error)
            if old:
                result.force_result(inside)
        return inside

    def _failed(self, implementation: pluggy.HookImpl, hook: str, error: BaseException) -> None:
        if isinstance(error, BrokenPipeError) or isinstance(error.__context__, BrokenPipeError):
            self.reader_went_away = True  # standard output was closed: nobody's fault; rich makes it an exit
            return
        if hook == "memkit_report" and isinstance(error, UsageError):
            self.refusals.append(str(error))
            return
        self.failures[hook] = self.failures.get(hook, 0) + 1
        if hook in _NOT_AGAIN:
            self._left_out.add(implementation)
        if not isinstance(error, MemkitError) and os.environ.get("MEMKIT_DEBUG"):
            import traceback

            traceback.print_exception(error)
        self._complain(f"plugin {implementation.plugin_name!r} failed: {in_a_line(error)}; {self._consequence}")


def _for_each_recording(isolated: Callable[..., Any], argnames: Sequence[str]) -> Callable[..., None]:
    """The same, called with one ``recording`` after the other: the hook is called with all of them in its place."""

    place = argnames.index("recording") if "recording" in argnames else None

    def for_each(*args: Any, **kwargs: Any) -> None:
        for recording in kwargs["recording"] if place is None else args[place]:
            if place is None:
                isolated(*args, **{**kwargs, "recording": recording})
            else:
                isolated(*args[:place], recording, *args[place + 1 :], **kwargs)

    return for_each


def _say_call(hook: str, implementations: Sequence[pluggy.HookImpl], _: object) -> None:
    """What ``MEMKIT_TRACE_HOOKS`` shows: a hook, and its implementations in the order of their calls."""
    to_stderr(f"{hook}: {' '.join(each.plugin_name for each in reversed(implementations)) or 'nobody'}")
