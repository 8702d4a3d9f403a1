"""Whether the script ran to its end, or left by ``SystemExit``, which leaves no other trace: where its frame stopped."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, FrameType

_RETURN_NONE = (lambda: None).__code__.co_code[-2]
"""The instruction that ends a script; at the exit there may be no descriptor left to import ``opcode`` with."""
_frame: FrameType | None = None
_wait_no_more: Callable[[], None] | None = None
"""Ends the events by which a script that has not begun is waited for."""
_prompt = False
"""Whether a prompt follows the script: from 3.14 on the interpreter takes the flag back."""


def watch() -> None:
    """Remember the frame of the script: the one that runs, or the one that begins after the start of the interpreter."""
    global _prompt
    _prompt = bool(sys.flags.inspect)
    space = getattr(sys.modules.get("__main__"), "__dict__", None)
    running: list[FrameType | None] = [*sys._current_frames().values()]
    starting = False  # the interpreter, which imports ``site``
    while running:  # no name may be left with this frame: that would be a cycle
        frame = running.pop()
        while frame is not None and frame.f_back is not None:
            frame = frame.f_back
        if frame is not None:
            _take(frame, space)
            starting = starting or frame.f_code.co_filename == "<frozen importlib._bootstrap>"
        frame = None
    if _frame is None and starting and sys.version_info >= (3, 14):
        _take_when_it_begins(space)


def forget() -> None:
    """Let go of the frame, and with it of what the script has: that is to be freed while everything still works."""
    global _frame
    _frame = None
    if _wait_no_more is not None:
        _wait_no_more()


def ran_to_its_end() -> bool:
    """Whether it is known that the script returned, at the exit of the interpreter."""
    space = vars(sys.modules.get("__main__", sys))
    script = type(space.get("__loader__")).__name__ in ("SourceFileLoader", "SourcelessFileLoader")
    if not script or space.get("__spec__") is not None or _prompt or os.environ.get("PYTHONINSPECT"):
        return False
    if _frame is None:  # up to 3.13, the interpreter takes ``__file__`` from the script only if it returned
        return sys.version_info < (3, 14) and "__file__" not in space
    return _frame.f_code.co_code[_frame.f_lasti] == _RETURN_NONE


def _take(frame: FrameType, space: object) -> None:
    global _frame
    if frame.f_back is None and frame.f_globals is space and frame.f_code.co_name == "<module>":
        _frame = frame


def _take_when_it_begins(space: object) -> None:
    global _wait_no_more
    from memkit.tracing.monitoring_ids import free_tool

    monitoring = sys.monitoring
    tool, event = free_tool(), monitoring.events.PY_START
    if tool is None:
        return

    def on_start(code: CodeType, _: int) -> object:
        frame = sys._getframe(1)
        if frame.f_globals is not space and code.co_name != "_run_module_as_main":  # which runs what -m names
            return monitoring.DISABLE
        _take(frame, space)
        stop()
        return None

    def stop() -> None:
        global _wait_no_more
        _wait_no_more = None
        monitoring.set_events(tool, 0)
        monitoring.register_callback(tool, event, None)
        monitoring.free_tool_id(tool)

    _wait_no_more = stop

    monitoring.register_callback(tool, event, on_start)
    monitoring.set_events(tool, event)
