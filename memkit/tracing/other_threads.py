"""Which threads of Python may be working for traced code while they are outside of it.

What a thread of a pool touches, in which pandas reads a file for instance, belongs to the line that waits for it. What the
main thread touches while traced code waits in another thread is its own. So a thread is taken to help if traced code started
it, or a thread that helps, or if it is one of a pool.
"""

from __future__ import annotations

import _thread
import sys

from memkit.tracing.handed_over import is_pool, place_of
from memkit.tracing.thread_roots import this_thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType, FrameType
    from typing import Protocol

    class Tracer(Protocol):
        """The compiled tracer of lines."""

        def unknown_threads(self) -> list[tuple[int, int]]: ...
        def know_thread(self, tid: int, helps: bool) -> None: ...
        def is_at_work(self) -> bool: ...
        def thread_ends(self) -> None: ...


_START = "Thread.start"
_BEGIN = "Thread._bootstrap_inner"
_END = "Thread._delete"
_MOST_STARTED = 1000


class OtherThreads:
    """Tells a tracer of the threads that have no event of it."""

    def __init__(self) -> None:
        self._started: set[int] = set()  # by traced code: threads that have not begun

    def concerns(self, code: CodeType) -> bool:
        """Whether ``at_call`` is to be called at each call of some code."""
        return code.co_qualname in (_START, _BEGIN, _END) and place_of(code.co_filename) == "threading.py"

    def at_call(self, tracer: Tracer) -> None:
        """The caller's caller, of which ``concerns`` is true, has just been called."""
        frame = sys._getframe(2)
        name = frame.f_code.co_qualname
        if name == _BEGIN:
            self.begins(tracer)
        elif name == _END:
            tracer.thread_ends()
        elif tracer.is_at_work() and len(self._started) < _MOST_STARTED:
            self._started.add(id(frame.f_locals.get("self")))

    def begins(self, tracer: Tracer) -> None:
        """This thread has just begun."""
        thread = this_thread()[0]
        helps = id(thread) in self._started or _is_of_pool(thread)
        self._started.discard(id(thread))
        tracer.know_thread(_thread.get_native_id(), helps)

    def look(self, tracer: Tracer) -> None:
        """Tell of the threads that there are."""
        unknown = tracer.unknown_threads()
        frames = sys._current_frames() if unknown else {}
        for ident, tid in unknown:
            tracer.know_thread(tid, _begins_in_pool(frames.get(ident)))
        frames.clear()  # this frame is in it


def _begins_in_pool(frame: FrameType | None) -> bool:
    first = None
    while frame is not None:
        if place_of(frame.f_code.co_filename) != "threading.py":
            first = frame.f_code
        frame = frame.f_back
    return first is not None and is_pool(first)


def _is_of_pool(thread: object) -> bool:
    """Whether a pool has started a thread. Nothing of the program's runs for it."""
    try:
        target = object.__getattribute__(thread, "__dict__").get("_target")
    except AttributeError:
        target = None
    for each in (target, type.__dict__["__dict__"].__get__(type(thread)).get("run")):
        function = getattr(each, "__func__", None) if type(each) is _METHOD else each
        if type(function) is _FUNCTION and is_pool(function.__code__):
            return True
    return False


_FUNCTION = type(_is_of_pool)
_METHOD = type(OtherThreads().look)
