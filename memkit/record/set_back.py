"""A handler of SIGTERM that the program sets back to the default: all is written before the signal comes again.

uvicorn handles the signal, shuts down in order, sets the default again and raises the signal once more, at which the process
ends at once. Only the return of ``signal.signal`` is looked at, by ``sys.monitoring``, and only in programs that handle it.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # typeshed has signal only, which imports enum
import sys

from memkit.base import own_code

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType

own_code.uninterruptible |= {__file__}


_looks = False


def look_for(set_back: Callable[[], object]) -> None:
    """Have a function called whenever the program has set the default again, from Python 3.12 on."""
    global _looks
    code = getattr(getattr(sys.modules.get("signal"), "signal", None), "__code__", None)
    if code is None or _looks or not hasattr(sys, "monitoring"):
        return
    from memkit.tracing.monitoring_ids import free_tool

    tool, returns = free_tool(), sys.monitoring.events.PY_RETURN
    if tool is None:
        return

    def on_return(_: CodeType, __: int, ___: object) -> None:
        if _signal.getsignal(_signal.SIGTERM) is _signal.SIG_DFL:
            set_back()

    _looks = True
    sys.monitoring.register_callback(tool, returns, on_return)
    sys.monitoring.set_local_events(tool, code, returns)
