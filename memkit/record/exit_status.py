"""How a program ended, as the values of an ``end`` row: by what it raised, or as far as it can be known at its exit."""

from __future__ import annotations

import _thread
import sys

from memkit.record import script_end
from memkit.system import limits
from memkit.system.limit_kinds import REFUSING

_ENOMEM = 12
"""``errno.ENOMEM``, on all systems; that module is not imported here."""
OK, NOT_KNOWN = ("ok",), ("ended",)
SET_LIMIT = "memkit_limit"
"""The attribute of a ``MemoryError`` that was raised at a limit that was set: the fields of a ``memkit.SetLimit``."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType

told: tuple[object, ...] | None = None
"""How this process ends, where somebody knows that before its exit hooks run."""


def how_it_ended(error: BaseException | None) -> tuple[object, ...]:
    """The values of an ``end`` row for what a program raised: kind, error, code, out of memory, exception."""
    if error is None:
        return OK
    if isinstance(error, SystemExit):
        return _with_code(0 if error.code is None else error.code if isinstance(error.code, int) else 1)
    refused = _refused(error)
    evidence = _evidence(error, refused) if refused else None
    name = type(error).__qualname__
    try:
        text = str(error).strip()
        return ("error", f"{name}: {text[:500]}" if text else name, None, evidence, name)
    except Exception:  # a broken __str__, or no memory left to call it
        return ("error", name, None, evidence, name)


def at_exit() -> tuple[object, ...]:
    """The same of this process, whose exit hooks run.

    ``SystemExit`` has left no trace by then, so that a success is told only of a program that somebody told of, and of a
    script that ran to its end.
    """
    if told is not None:
        return told
    error = _uncaught()
    if error is not None:
        return how_it_ended(error)
    return OK if script_end.ran_to_its_end() else NOT_KNOWN


def _uncaught() -> BaseException | None:
    """What the interpreter has printed at last, as it began to end; what others have left in its place is not taken."""
    error = getattr(sys, "last_value", None)
    trace = getattr(sys, "last_traceback", None)
    if error is None or getattr(sys, "last_exc", error) is not error or getattr(sys, "last_type", None) is not type(error):
        return None
    outermost = trace is None or (trace is error.__traceback__ and trace.tb_frame.f_back is None)
    return error if outermost else None


def of_worker() -> tuple[object, ...] | None:
    """The same of a process of ``multiprocessing``, by the frame that called this while it ends; None in any other."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_name != "_bootstrap":
        frame = frame.f_back
    if frame is None or frame.f_globals.get("__name__") != "multiprocessing.process":
        return None
    code = frame.f_locals.get("exitcode")
    if code is None:  # until Python 3.12 its finalizers run before it knows
        return how_it_ended(sys.exc_info()[1])
    return _with_code(code)


def _with_code(code: int) -> tuple[object, ...]:
    code &= 0xFF
    return ("exited", None, code) if code else OK


def _refused(error: BaseException) -> str | None:
    """What was refused, by an exception that says that memory was: ``MemoryError``, ``ENOMEM`` or ``thread``; else None."""
    if isinstance(error, MemoryError):
        return "MemoryError"
    if isinstance(error, OSError) and error.errno == _ENOMEM:
        return "ENOMEM"
    if isinstance(error, RuntimeError) and error.args == ("can't start new thread",) and not _stack_would_fit():
        return "thread"  # for which there may be other reasons
    return None


_GIVEN_BACK = 2 << 20
"""By so many bytes less may be in use once the exception is looked at: an arena of Python's, and the guard of a stack."""


def _stack_would_fit() -> bool:
    """Whether each limit at which memory is refused leaves room for the stack of one more thread."""
    try:
        import resource

        stack = _thread.stack_size() or resource.getrlimit(resource.RLIMIT_STACK)[0]
        if stack == resource.RLIM_INFINITY:
            return True  # how large it is then is the C library's matter
        return all(size - used > stack + _GIVEN_BACK for _, size, used, kind in limits.find() if kind in REFUSING)
    except Exception:  # no such module, or no memory left to ask
        return True


def _evidence(error: BaseException, refused: str) -> dict[str, object]:
    """The fields of a ``memkit.OutOfMemory``: the limit that was set, or those that may have refused, the nearest first.

    How much is in use now says little: what ran has given back its own.
    """
    try:
        reached = getattr(error, SET_LIMIT, None)
        if reached is not None:
            return {"cause": "limit", "set": reached}
        found = sorted((size - used, kind, name, size) for name, size, used, kind in limits.find() if kind in REFUSING)
        most = limits.address_space_peak()
        return {
            "cause": "refused",
            "refused": refused,
            "limits": [limit for _, *limit in found],
            "address_space_peak": most,
        }
    except Exception:  # no memory left to ask
        return {"cause": "refused", "refused": refused}
