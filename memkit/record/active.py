"""What is at work in this process now, and the only place where the exit of the process and its forks are hooked."""

from __future__ import annotations

import _thread
import atexit
import os
import sys

from memkit.base.errors import in_a_line
from memkit.base.stderr import to_stderr
from memkit.record import exit_status, script_end
from memkit.system import engine

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any, Protocol

    from memkit.model.span_sums import SpanSums
    from memkit.tracing.targets import Target

    class Spans(Protocol):
        """What writes the spans of one recording."""

        def begin(self, span: Any, one: Any) -> None: ...
        def size(self, value: float) -> None: ...
        @property
        def counts_heap(self) -> bool: ...
        def sums_so_far(self) -> tuple[SpanSums, ...]: ...
        def begin_call(self) -> tuple[Any, int | None, int]: ...  # the first is the engine's
        def end_all(self, *, write: bool) -> None: ...
        def end_call(self, label: str, begun: tuple[Any, int | None, int], *, even_if_unchanged: bool) -> None: ...

    class SpanHeap(Protocol):
        """What counts the heap by spans."""

        def pause(self) -> None: ...
        def begin(self) -> None: ...
        def alive(self, label: str) -> tuple[int, int]: ...
        def enter(self, label: str, takes_all: bool = False) -> tuple[int, int]: ...
        def exit(self, number: int, outer: int) -> tuple[int, int | None, int | None] | None: ...

    class Active(Protocol):
        """A recorder, tracker, monitor or event log."""

        def end(self, *ending: object) -> None:
            """End, since the process exits: kind, error, code and evidence, as in an ``end`` row."""

        def before_fork(self) -> None:
            """Have no thread, so that the fork copies no lock that one holds."""

        def after_fork_in_parent(self) -> None:
            """Go on."""

        def after_fork_in_child(self) -> None:
            """Release what the parent goes on using."""

    class ActiveRecorder(Active, Protocol):
        """A recorder, as the modules see it that the recorder itself is built on."""

        path: str | None
        started: int

        @property
        def spans(self) -> Spans: ...
        @property
        def follow(self) -> bool: ...
        @property
        def running(self) -> bool: ...
        def trace(self, function: Target) -> None: ...
        def flush(self) -> None: ...
        def follow_fork(self) -> None: ...


class Process:
    """This process."""

    over = False
    """Whether its exit hooks have run. Nothing is measured then, and what modules need may be gone."""


process = Process()
recorders: list[ActiveRecorder] = []
"""Recorders that are recording, the oldest first. Spans and traced lines go into all of these."""
span_heap: SpanHeap | None = None
"""What counts the heap by spans, while a recording does."""
open_spans: dict[Any, None] = {}
"""Spans that are open, of all contexts."""
lone_spans: dict[Any, None] = {}
"""Those of them beside which no other has been open yet: each is around the next."""
others: list[Active] = []
"""Trackers, monitors and event logs that are running."""
lock = _thread.RLock()  # reentrant: a signal handler may start or stop a recording
_hooked = False
_forking: FrameType | None = None  # the frame that calls os.fork
_FORK_WARNS = sys.version_info >= (3, 12)  # Python warns if other threads exist at a fork


def everything() -> list[Active]:
    """All that is running."""
    return [*recorders, *others]


def leave_heap(heap: SpanHeap | None) -> None:
    """The heap is counted by spans no longer, if it was by this."""
    global span_heap
    if heap is not None and span_heap is heap:
        span_heap = None


def may_reset(wanted: bool) -> bool:
    """Whether the kernel's high-water mark may be reset: only if no one who is running asked to leave it alone."""
    return wanted and all(getattr(each, "peak_reset", True) for each in everything())


def install_hooks() -> None:
    """Install the hooks for exit and fork, once."""
    global _hooked
    if _hooked:
        return
    _hooked = True
    atexit.register(_at_exit)
    script_end.watch()
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
        if _FORK_WARNS:
            # Python counts the threads after these hooks: threads that start once the fork is over cause no warning.
            os.register_at_fork(after_in_parent=engine.PendingCall(_when_fork_is_over))


# -- exit --------------------------------------------------------------------------------------------------------------


def _at_exit() -> None:
    ending = exit_status.at_exit()
    script_end.forget()
    failed = []
    for each in reversed(everything()):  # event logs first: they leave out how a recording ends
        try:
            each.end(*ending)
        except Exception as error:  # the others must still end
            failed.append(error)
    for failure in failed:
        to_stderr(in_a_line(failure))


@atexit.register
def _at_the_very_end() -> None:
    """The hooks of the program have run, which were registered later than this."""
    _at_exit()
    process.over = True


# -- fork --------------------------------------------------------------------------------------------------------------


def _before_fork() -> None:
    # With other threads running, the child would get copies of their locks in any state, and Python may warn.
    global _forking
    lock.acquire()
    _forking = sys._getframe(1)
    for each in everything():
        each.before_fork()


def _after_fork_in_parent() -> None:
    lock.release()
    if not _FORK_WARNS or len(sys._current_frames()) > 1:  # it warns anyway, and the main thread may not run for long
        _resume()


def _when_fork_is_over(_: object = None) -> int:
    here = sys._getframe(1)
    frame: FrameType | None = here
    while frame is not None and frame is not _forking:
        frame = frame.f_back
    if frame is not None and frame is not here and len(sys._current_frames()) == 1:
        # Another library's fork hook is running. Python 3.11 would call this forever in a traced function.
        engine.PendingCall(_when_fork_is_over)()
        return 0
    _resume()
    return 0


def _resume() -> None:
    global _forking
    _forking = None
    with lock:
        for each in everything():
            each.after_fork_in_parent()


def _after_fork_in_child() -> None:
    global lock, _forking, span_heap
    span_heap = None
    _forking = None  # the parent's delayed resume is not this process's
    open_spans.clear()  # those of other threads are not this process's
    lone_spans.clear()
    followed: list[Any] = [each for each in everything() if getattr(each, "follow", False)]
    for each in everything():
        each.after_fork_in_child()
    for recorder in recorders:
        recorder.spans.end_all(write=False)
    recorders.clear()
    others.clear()
    exit_status.told = None
    lock = _thread.RLock()
    for each in followed:
        each.follow_fork()
