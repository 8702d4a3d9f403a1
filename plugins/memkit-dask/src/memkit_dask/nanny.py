"""What runs in each nanny: it sees how its workers end, and sends home what those left behind that were killed."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Any

from distributed.diagnostics.plugin import NannyPlugin
from tornado.ioloop import PeriodicCallback

from memkit_dask.files import TASKS, ProcessFiles, folder_of, left_behind
from memkit_dask.sending import measured_clock, send

_LOOK = 100


class NannyWatch(NannyPlugin):
    """Watches the processes of one worker from their nanny."""

    def __init__(self, run: str, folder: str | None) -> None:
        self.name = f"memkit-dask-{run}"
        self._run, self._folder = run, folder

    async def setup(self, nanny: Any) -> None:
        """Begin."""
        self._nanny, self._watched = nanny, None
        self._files = ProcessFiles.join(self._run, self._folder)
        self._files.write("nanny", nanny.address_safe, await measured_clock(nanny.scheduler))
        self._callback = PeriodicCallback(self._look, _LOOK)
        self._callback.start()
        self._look()

    def _look(self) -> None:
        """Be told when the process ends that there is now."""
        if self._files.ended:  # of a run that ended while it started a worker, so that it was not told
            self._callback.stop()
            return
        process = self._nanny.process
        if process is None or process.pid is None:
            return
        self._pid = process.pid
        if process is self._watched:  # the next process, of the same object
            return
        self._watched, before = process, process.on_exit

        def on_exit(code: int) -> None:
            with suppress(OSError):  # the log is closed, or the disk full
                self._files.write("exit", self._pid, code)
            if before is not None:
                before(code)

        process.on_exit = on_exit

    async def teardown(self, nanny: Any) -> None:
        """Send home what is here and did not come by itself."""
        self._callback.stop()
        if self._files.ended:
            return
        self._files.leave()
        if self._folder is None:  # not that of the client, if this is its process
            folder = folder_of(self._run, None)
            gone = left_behind(folder)  # what those that go on are in changes still
            names = [name for name in sorted(os.listdir(folder)) if name in gone or not name.endswith(TASKS)]
            await send(nanny.scheduler, self._run, folder, names)
