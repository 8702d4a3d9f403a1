"""A trace function of ``sys.settrace`` that is installed in front of the existing one, which still gets its events."""

from __future__ import annotations

import sys
import threading
from types import FrameType
from typing import TYPE_CHECKING, Literal

from memkit.tracing.new_threads import without_over

if TYPE_CHECKING:
    from _typeshed import TraceFunction

    Event = Literal["call", "line", "return", "exception", "opcode"]


class TraceHook:
    """A trace function to be subclassed: ``__call__`` gets the events of new frames, and passes them on."""

    def __init__(self) -> None:
        self._thread = threading.local()
        self.before = threading.gettrace()
        self.is_over = False

    def install(self) -> None:
        """Trace this thread. Does nothing if it is traced already."""
        if not self._is_installed() and not hasattr(self._thread, "before"):
            self._thread.before = sys.gettrace()
            sys.settrace(self)

    def install_in_new_threads(self) -> None:
        """Trace the threads that start from now on."""
        self.is_over = False
        threading.settrace(self)

    def uninstall(self) -> None:
        """Put back what was there before, in this thread and for new ones, unless another function has replaced this one."""
        if self._is_installed():
            sys.settrace(self._before())
            if hasattr(self._thread, "before"):
                del self._thread.before
        self.is_over = True  # for new threads
        of_new_threads = threading.gettrace()
        if of_new_threads is not None and of_new_threads == self:
            threading.settrace(without_over(self.before))

    def _is_installed(self) -> bool:
        return sys.gettrace() is self

    def _before(self) -> TraceFunction | None:
        """The trace function that this one stands in front of, in this thread."""
        before: TraceFunction | None = vars(self._thread).get("before", without_over(self.before))
        return before

    def __call__(self, frame: FrameType, event: Event, argument: object) -> TraceFunction | None:
        """Handle a new frame; returns its local trace function."""
        raise NotImplementedError

    def pass_on(self, frame: FrameType, event: Event, argument: object) -> TraceFunction | None:
        """Give the event of a new frame to the function before; returns that function's local trace function."""
        before = self._before()
        theirs = None if before is None else before(frame, event, argument)
        # One compiled in C may return None and want every event nevertheless.
        return before if theirs is None and hasattr(before, "take_all") else theirs


def pass_on(theirs: TraceFunction | None, frame: FrameType, event: Event, argument: object) -> TraceFunction | None:
    """Give a later event of a frame to a local trace function; returns the one that gets the next event."""
    return None if theirs is None else theirs(frame, event, argument) or theirs
