"""What is recorded and watched in this process now, and what befalls that with it: its exit, and its forks."""

from __future__ import annotations

import _thread
import atexit
import os
import sys

from memkit.base.errors import in_a_line
from memkit.record import exit_status
from memkit.system import engine

recorders: list = []
"""Those that are recording now, oldest first."""
watchers: list = []
"""Trackers and monitors that are at work now: the same befalls them, and spans and lines are none of their business."""
lock = _thread.RLock()  # a signal handler may record, too
_hooked = False
_forking = None  # the frame that forks
_WARNS = sys.version_info >= (3, 12)  # Python warns of a fork with other threads about


def install_hooks() -> None:
    """See to it, once, that all of these end with the process, and that a forked child makes none of them its own."""
    global _hooked
    if not _hooked:
        _hooked = True
        atexit.register(_at_exit)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_in_child)
            if _WARNS:  # from a count of threads after these hooks have run: one that starts later warns nobody
                os.register_at_fork(after_in_parent=engine.PendingCall(_when_forked))


def may_reset(wanted: bool) -> bool:
    """Whether somebody who begins now may have the kernel's mark reset, who wants it or not: nobody there may mind."""
    return wanted and all(getattr(each, "peak_reset", True) for each in everything())


def everything() -> list:
    """All that are at work now."""
    return [*recorders, *watchers]


def _at_exit() -> None:
    ending = exit_status.at_exit()
    failed = []
    for each in everything():
        try:
            each.end(*ending)
        except Exception as error:  # the others are to end, too
            failed.append(error)
    if sys.stderr is not None:
        for error in failed:
            print(f"memkit: {in_a_line(error)}", file=sys.stderr)


def _before_fork() -> None:
    # A fork with other threads about would copy their locks in any state, and may be warned of.
    global _forking
    lock.acquire()
    _forking = sys._getframe(1)
    for recorder in everything():
        recorder.pause()


def _after_fork() -> None:
    lock.release()
    if not _WARNS or len(sys._current_frames()) > 1:  # it warns anyway, and the main thread may not run for long
        _resume()


def _when_forked(_=None) -> int:
    here = sys._getframe(1)
    while here is not None and here is not _forking:
        here = here.f_back
    if here is not None and here is not sys._getframe(1) and len(sys._current_frames()) == 1:
        # A hook of another library is running. Python 3.11 would call this for ever there, in a function that is traced.
        engine.PendingCall(_when_forked)()
        return 0
    _resume()
    return 0


def _resume() -> None:
    global _forking
    _forking = None
    with lock:
        for recorder in everything():
            recorder.resume()


def _in_child() -> None:
    global lock, _forking
    _forking = None  # what the parent has put off until its fork is over is nothing of this process's
    followed = [recorder for recorder in recorders if recorder.follow]
    for each in everything():
        each.forget()
    recorders.clear()
    watchers.clear()
    exit_status.told = None
    lock = _thread.RLock()
    for recorder in followed:
        recorder.in_child()
