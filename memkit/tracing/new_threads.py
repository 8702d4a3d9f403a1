"""The function of ``threading`` by which threads that start later are traced, where each has a hook of its own."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType
    from typing import Any, Protocol

    TraceFunction = Callable[[FrameType, str, object], object]

    class Chain(Protocol):
        """A compiled hook."""

        def take(self) -> bool: ...


def without_over(function: Any) -> Any:
    """What ``threading`` calls, or would, or None: of hooks that are over what was there before them."""
    while function is not None and getattr(function, "is_over", False) is True:
        function = function.before
    return function


class NewThreads:
    """Installs a hook in each new thread, above what ``threading`` would have installed there.

    It is what ``threading`` calls at the first event of a thread. ``began`` is called with that event, which does not reach
    the hook. Recordings may end in any order: one that ends before a later one leaves its function with that one. A function
    of another tool that ``threading`` calls instead, and that passes events on to this one, stays, below the hook.
    """

    def __init__(self, kind: str, chain: Chain, began: TraceFunction) -> None:
        import threading

        self._kind, self._function, self._set_function = kind, getattr(sys, f"get{kind}"), getattr(sys, f"set{kind}")
        self._here = threading.local()
        self._chain, self._began = chain, began  # another thread may close their owner
        self.is_over = False
        self.before: TraceFunction | None = getattr(threading, f"_{kind}_hook")
        getattr(threading, f"set{kind}")(self)

    def __call__(self, frame: FrameType, event: str, argument: object) -> object:
        before = self.before = without_over(self.before)
        is_first = not hasattr(self._here, "known")
        self._here.known = True
        if self._function() is self:
            self._set_function(before)  # threading has set this function itself, which must not be chained
        try:
            return before(frame, event, argument) if before is not None else None
        finally:  # it may have installed another, as one of these does, and coverage
            if is_first and self._chain.take():
                self._began(frame, event, argument)

    def stop(self) -> None:
        """Put back what was there before, unless another function has replaced this one."""
        self.is_over = True
        threading = sys.modules.get("threading")
        if getattr(threading, f"_{self._kind}_hook", None) is self:
            getattr(threading, f"set{self._kind}")(without_over(self.before))
