"""Process 1 of a container: it inherits every process whose parent has ended, and has to reap those that end.

A program that runs as process 1 itself does that, or not, as it likes; under memkit-run it is not process 1, and cannot.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from contextlib import contextmanager

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_GRACE = 0.2  # seconds: who has started a process here may be about to wait for it


@contextmanager
def reaped(program: int) -> Iterator[None]:
    """Reap what ends and has no other parent, as long as a program runs; nothing happens where this is not process 1."""
    if os.getpid() != 1:
        yield
        return
    from memkit.base.threads import signals_blocked

    reaper = _Reaper(program)
    with signals_blocked():  # they are for whoever forwards them
        threading.Thread(target=reaper.run, name="memkit orphans", daemon=True).start()
    try:
        yield
    finally:
        reaper.stopping = True


class _Reaper:
    """Waits for children that have ended; ``program`` is left to whoever waits for it."""

    def __init__(self, program: int) -> None:
        self._program = program
        self._seen: set[int] = set()
        self.stopping = False

    def run(self) -> None:
        """Reap until it is told to stop."""
        from memkit.system import processes

        source = processes.here()
        while not self.stopping:
            with contextlib.suppress(ChildProcessError):
                os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
            time.sleep(_GRACE)
            ended = set()
            for pid in source.kinship()(os.getpid()):
                reading = source.read(pid)
                if pid != self._program and reading is not None and reading.over:
                    ended.add(pid)
            for pid in ended & self._seen if not self.stopping else ():
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)
            self._seen = ended
