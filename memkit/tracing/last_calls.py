"""Calls by which a program may end at once, with no exit hook: what is known is written before them.

A server that stops gracefully at a signal, uvicorn for instance, restores the signal's default action and raises it again.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # typeshed has signal only, which imports enum
import os
import sys
from _weakref import ref

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType
    from weakref import ReferenceType

FUNCTIONS: tuple[Callable[..., object], ...] = (
    *(_signal.raise_signal, _signal.pthread_kill, os.kill, os.killpg),
    *(os._exit, os.abort, os.execv, os.execve),
)
_NAMES = frozenset(function.__name__ for function in FUNCTIONS)
_MOST_CODES = 1000
_FATAL = frozenset(getattr(_signal, f"SIG{name}", None) for name in ("TERM", "INT", "HUP", "QUIT", "ABRT", "USR1", "USR2"))


class LastCalls:
    """Has ``before`` called ahead of ``FUNCTIONS``, by a tool id of ``sys.monitoring``: in code that names one of them."""

    def __init__(self, tool: int | None) -> None:
        self._tool = tool
        self._codes: list[ReferenceType[CodeType]] = []
        self.before: Callable[[], object] = lambda: None
        self.at_end: Callable[[], object] = lambda: None  # after ``before``, where the call is certain to end the program

    def watch(self, code: CodeType, events: int = 0) -> None:
        """Set the local events of a code object, and that of calls if it names one of the functions."""
        if self._tool is None:
            return
        if not _NAMES.isdisjoint(code.co_names):
            events |= sys.monitoring.events.CALL
            if len(self._codes) >= _MOST_CODES:
                self._codes = [each for each in self._codes if each() is not None]
            self._codes.append(ref(code))
        if events:
            sys.monitoring.set_local_events(self._tool, code, events)

    def on_call(self, code: CodeType, offset: int, function: object, argument: object) -> None:
        """The callback for calls."""
        others = function is os.kill and type(argument) is int and argument > 0 and argument != os.getpid()
        if any(function is each for each in FUNCTIONS) and not others:
            self.before()
            if function is _signal.raise_signal and _ends_by(argument):
                self.at_end()

    def clear(self) -> None:
        """Set no more events where ``watch`` did for calls."""
        assert self._tool is not None
        for each in self._codes:
            if (code := each()) is not None:
                sys.monitoring.set_local_events(self._tool, code, 0)
        self._codes.clear()


def _ends_by(signal: object) -> bool:
    """Whether a signal ends this process as soon as the calling thread raises it."""
    if not isinstance(signal, int) or signal not in _FATAL or _signal.getsignal(signal) != _signal.SIG_DFL:
        return False
    return signal not in _signal.pthread_sigmask(_signal.SIG_BLOCK, ())
