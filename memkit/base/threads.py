"""Threads of the system and waiting in them, also in a program that has put greenlets in the place of threads.

``gevent.monkey`` and eventlet replace functions of the standard library by their own, which switch to another greenlet
where a thread would wait. A thread of memkit's would then run only when the program waits.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # typeshed has signal only, which imports enum
import _thread
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol

    class Thread(Protocol):
        """A thread that runs."""

        @property
        def native_id(self) -> int | None: ...

        def join(self, timeout: float | None = None) -> None: ...


_PATIENCE = 1000


def unpatched(module: str, name: str) -> Any:
    """What a module of the standard library had before gevent or eventlet replaced it."""
    get_original = getattr(sys.modules.get("gevent.monkey"), "get_original", None)  # it may be just being imported
    if get_original is not None:
        return get_original(module, name)
    original = getattr(sys.modules.get("eventlet.patcher"), "original", None)
    if original is not None:
        return getattr(original(module), name)
    return getattr(sys.modules.get(module) or __import__(module), name)


def start_thread(target: Callable[[], object], name: str) -> Thread:
    """Start a daemon thread; raises ``RuntimeError`` if the system refuses another one."""
    import threading

    if unpatched("_thread", "start_new_thread") is not _thread.start_new_thread:
        return SystemThread(target)
    thread = threading.Thread(target=target, name=name, daemon=True)
    thread.start()
    return thread


class SystemThread:
    """A thread that ``threading`` does not know. ``start`` is what starts it, if it is not Python's own function."""

    def __init__(self, target: Callable[[], object], start: Callable[[Callable[[], object]], object] | None = None) -> None:
        self.native_id: int | None = None
        self._target = target
        self._begun, self._runs = (unpatched("_thread", "allocate_lock")() for _ in range(2))
        self._begun.acquire()
        self._runs.acquire()
        if start is None:
            unpatched("_thread", "start_new_thread")(self._run, ())
        else:
            start(self._run)
        self._begun.acquire()

    def _run(self) -> None:
        try:
            self.native_id = _thread.get_native_id()
            self._begun.release()
            self._target()
        finally:
            self._runs.release()

    def join(self, timeout: float | None = None) -> None:
        """Wait until it has ended, or for so many seconds."""
        if self._runs.acquire(timeout=-1 if timeout is None else min(max(0, timeout), _thread.TIMEOUT_MAX)):
            self._runs.release()


class signals_blocked:
    """Starts a thread with all signals blocked, so that the kernel delivers them to the program's threads."""

    def __enter__(self) -> None:
        if hasattr(_signal, "pthread_sigmask"):
            self._before = _signal.pthread_sigmask(_signal.SIG_SETMASK, _signal.valid_signals())

    def __exit__(self, *_: object) -> None:
        if hasattr(_signal, "pthread_sigmask"):
            _signal.pthread_sigmask(_signal.SIG_SETMASK, self._before)


class Bell:
    """A lock, and waiting for one who has it to ring: what ``threading.Condition`` is for a single waiter."""

    def __init__(self) -> None:
        self._lock = unpatched("_thread", "RLock")()
        self._silent = unpatched("_thread", "allocate_lock")()
        self._silent.acquire()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def wait(self, seconds: float) -> None:
        """Wait for ``ring``, but no longer than that; others may have the lock meanwhile."""
        self._lock.release()
        try:
            self._silent.acquire(timeout=min(seconds, _thread.TIMEOUT_MAX))
        finally:
            self._lock.acquire()

    def ring(self) -> None:
        """Wake the one who waits, or will wait next."""
        if self._silent.locked():
            self._silent.release()


class GivingWay:
    """While this is open, a thread that wants the GIL gets it within a fraction of a millisecond, not after five.

    A server gives it away at each system call: with five milliseconds for each a request would take a long time while
    memkit imports or prepares something in another thread.
    """

    _open = 0
    _before = _SHORT = 0.0002

    def __enter__(self) -> None:
        if GivingWay._open == 0:
            GivingWay._before = sys.getswitchinterval()
            sys.setswitchinterval(min(self._SHORT, GivingWay._before))
        GivingWay._open += 1

    def __exit__(self, *_: object) -> None:
        GivingWay._open -= 1
        if GivingWay._open == 0:
            sys.setswitchinterval(GivingWay._before)


def wait_for_end(thread: Thread) -> None:
    """Join a thread, and wait until the system knows it no more.

    Joining may return a moment before that, and a fork that counts the threads would warn of it.
    """
    thread.join()
    task = f"/proc/self/task/{thread.native_id}"
    sleep = unpatched("time", "sleep")
    for _ in range(_PATIENCE):  # another thread may get its number
        if not os.path.exists(task):
            return
        sleep(0.0001)
