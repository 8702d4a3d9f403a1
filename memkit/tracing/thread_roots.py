"""The roots of the trees of calls: one for each thread, named after it."""

from __future__ import annotations

import _thread
import os
import sys

from memkit.base import own_code, threads
from memkit.model.thread_names import MOST_THREADS, without_numbers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Protocol

    class Functions(Protocol):
        """What numbers the functions of a recording."""

        def add(self, file: str, name: str, line: int) -> int: ...
        def named(self, name: str) -> int: ...


_ident = threads.unpatched("_thread", "get_ident")
"""By which ``threading`` knows the threads of the system, if it does; a greenlet has one of its own."""


class ThreadRoots:
    """The functions that are roots.

    Threads whose names differ only in numbers share one when there are many: otherwise a server that starts a thread for
    each request would have a tree for each request.
    """

    def __init__(self, functions: Functions) -> None:
        self._functions = functions
        self._counts: dict[str, int] = {}  # a thread's name without its numbers: how many had it

    def number(self, name: str) -> int:
        """The number of the function that is the root of one more thread."""
        kind = without_numbers(name)
        count = self._counts[kind] = self._counts.get(kind, 0) + 1
        if count <= MOST_THREADS:
            return self._functions.add("", f"<thread {name}>", 0)
        return self._functions.named(f"<thread {kind}>")


def this_thread() -> tuple[object, str]:
    """The running thread in ``threading``, None where it is not known there, and its name or number.

    It is that of the system: where gevent has put greenlets in the place of threads, these have names of their own.
    """
    tid = _thread.get_native_id()
    if tid == os.getpid():
        main = getattr(sys.modules.get("threading"), "_main_thread", None)
        return main, getattr(main, "name", "MainThread")
    thread = _in_threading()
    return thread, getattr(thread, "name", None) or str(tid)


def is_own() -> bool:
    """Whether memkit started the running thread, and ``threading`` does not know it."""
    if _thread.get_native_id() == os.getpid() or _in_threading() is not None:
        return False
    frame: FrameType = sys._getframe()
    while frame.f_back is not None:
        frame = frame.f_back
    return own_code.is_own(frame.f_code.co_filename)


def _in_threading() -> object:
    """A thread that has just begun is not in the list of ``threading`` yet, but in its own first frame."""
    threading = sys.modules.get("threading")
    if threading is None:
        return None
    known = threading._active.get(_ident())
    if known is None:
        frame: FrameType = sys._getframe()
        while frame.f_back is not None:
            frame = frame.f_back
        known = frame.f_locals.get("self") if frame.f_code is threading.Thread._bootstrap.__code__ else None
    return known
