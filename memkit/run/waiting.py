"""Waiting for a process to end, while its tree is watched and progress is shown."""

from __future__ import annotations

import os
import select
import subprocess
import time
from contextlib import contextmanager

from memkit.base.descriptors import readable
from memkit.base.units import SECOND

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Protocol

    from memkit.run.progress import Progress

    class Watched(Protocol):
        """What is watched meanwhile."""

        @property
        def exiting(self) -> bool:
            """Whether a process is about to end, and nothing is to be read meanwhile."""

        def until(self, deadline: int, descriptor: int | None = None) -> bool:
            """Watch until a moment, or until a descriptor is readable; return whether it is."""

    class Target(Protocol):
        """The process whose end is waited for."""

        @property
        def descriptor(self) -> int | None:
            """Readable once it has ended; None where the system has no such descriptor."""

        def ended(self) -> bool: ...

    class StopRequest(Protocol):
        """A request of the user's to stop waiting, with a descriptor that is readable once it was made."""

        descriptor: int
        made: bool


class Beside:
    """A tree that is watched, and functions that are called now and then meanwhile: ``wait`` takes it as a tree.

    The next call comes when 1/20 of the time has passed again, at most after a second.
    """

    exiting = False

    def __init__(self, tree: Watched, looks: list[Callable[[], object]]) -> None:
        self._tree, self._looks = tree, looks
        self._began = time.monotonic_ns()
        self._due = self._began + _FIRST_LOOK

    def until(self, deadline: int, descriptor: int | None = None) -> bool:
        """Watch until a moment, or until a descriptor is readable; return whether it is."""
        while True:
            if self._tree.until(min(deadline, self._due), descriptor):
                return True
            now = time.monotonic_ns()
            if now >= self._due and self._tree.exiting:
                self._due = now + _EXIT
            elif now >= self._due:
                for look in self._looks:
                    look()
                self._due = now + min(max(_FIRST_LOOK, (now - self._began) // 20), SECOND)
            if now >= deadline:
                return False


_FIRST_LOOK, _EXIT = SECOND // 50, SECOND // 1000
_POLL_EVERY = SECOND // 20  # where no descriptor tells of the end
_LONGEST_WAIT = 3600 * SECOND


def wait(
    target: Target,
    progress: Progress | None,
    tree: Watched | None = None,
    until: int | None = None,
    stop: StopRequest | None = None,
) -> None:
    """Wait until a process ends, a moment on ``time.monotonic_ns`` has come, or the user wants to stop."""
    with _any_of(target.descriptor, stop.descriptor if stop is not None else None) as descriptor:
        wakes = descriptor is not None and target.descriptor is not None
        while stop is None or not stop.made:
            now = time.monotonic_ns()
            if target.ended() or (until is not None and now >= until):
                return
            due = now + (_LONGEST_WAIT if wakes else _POLL_EVERY)
            if progress is not None and progress.next_due is not None:
                due = min(due, progress.next_due)
            if until is not None:
                due = min(due, until)
            if tree is not None:
                tree.until(due, descriptor)
            elif descriptor is not None:
                readable([descriptor], max(0, due - now))
            else:
                time.sleep(max(0, due - now) / SECOND)
            if progress is not None:
                progress.poll()


@contextmanager
def _any_of(*descriptors: int | None) -> Iterator[int | None]:
    """A descriptor that is readable when one of some others is; None where the system has no epoll."""
    if not hasattr(select, "epoll"):
        yield None
        return
    with select.epoll() as epoll:
        for descriptor in descriptors:
            if descriptor is not None:
                epoll.register(descriptor, select.EPOLLIN)
        yield epoll.fileno()


class Child:
    """A child of this process, as a target of ``wait``: a context manager. Its end is noticed, but it is not reaped."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self.descriptor: int | None
        try:
            self.descriptor = os.pidfd_open(process.pid)
        except (AttributeError, OSError):
            self.descriptor = None

    def ended(self) -> bool:
        """Whether it has ended."""
        return self.ended_by(0)

    def ended_by(self, due: int) -> bool:
        """Whether it has ended, once it has or a moment on ``time.monotonic_ns`` has come."""
        left = max(0, due - time.monotonic_ns())
        if self.descriptor is not None:
            return bool(readable([self.descriptor], left))
        try:
            return self._process.wait(left / SECOND) is not None
        except subprocess.TimeoutExpired:
            return False

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        if self.descriptor is not None:
            os.close(self.descriptor)
