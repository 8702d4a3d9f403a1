"""What runs in each worker: its recording, spans of its tasks, and what Dask knows of its memory."""

from __future__ import annotations

import time
from typing import Any

import dask
from distributed.diagnostics.plugin import WorkerPlugin
from tornado.ioloop import PeriodicCallback

from memkit_dask.files import ProcessFiles, folder_of, left_behind
from memkit_dask.sending import measured_clock, send
from memkit_dask.tasks import SpannedTask

_LOOK = 100
"""Milliseconds from one look at Dask's count to the next."""
_SEND = 1000
"""Milliseconds after which what was recorded since is sent home: as much may be lost with a machine."""


class WorkerRecorder(WorkerPlugin):
    """Records a worker from when it is there until it leaves, or is no longer recorded."""

    def __init__(self, run: str, folder: str | None, options: dict[str, Any]) -> None:
        self.name = f"memkit-dask-{run}"
        self._run, self._folder, self._options = run, folder, options

    async def setup(self, worker: Any) -> None:
        """Begin. The worker runs nothing that it is given meanwhile without being recorded."""
        self._worker = worker
        self._files = files = ProcessFiles.join(self._run, self._folder, self._options)
        self._known: tuple[int, int] | None = None
        self._there: dict[str, int] = {}  # how much of its files has been sent
        self._callbacks = [PeriodicCallback(self._look, _LOOK)]
        for task in worker.state.executing:
            self.transition(task.key, "", "executing")
        clock = await measured_clock(worker.scheduler)
        files.write("worker", str(worker.name), worker.address, _thresholds(worker), clock)
        if self._folder is None:
            self._callbacks.append(PeriodicCallback(self._send, _SEND))
        for callback in self._callbacks:
            callback.start()
        self._look()

    async def teardown(self, worker: Any) -> None:
        """End, and send home the rest."""
        for callback in self._callbacks:
            callback.stop()
        self._look()
        self._files.write("left", str(worker.name), worker.status.name)
        names = self._files.names
        self._files.leave()
        if self._folder is None:
            folder = folder_of(self._run, None)
            await send(worker.scheduler, self._run, self._files.folder, names)
            if worker.nanny is None:  # nobody else looks after what was killed here
                await send(worker.scheduler, self._run, folder, left_behind(folder))

    def transition(self, key: Any, start: str, finish: str, **_: Any) -> None:
        """A task that is about to run shall be a span; after the last for now, what was recorded shall be in the file."""
        state = self._worker.state
        if finish in ("memory", "error") and not state.executing and not state.ready:
            self._files.flush_if_cheap()
        if finish == "executing":
            SpannedTask.wrap(self._worker, key, self._files.tasks)

    def _look(self) -> None:
        """Write what Dask counts, if it has changed: bytes of results in memory, and of those on disk."""
        worker = self._worker
        spilled = getattr(worker.data, "spilled_total", (0, 0))
        known = worker.state.nbytes - spilled[0], spilled[0]
        if known != self._known:
            self._known = known
            self._files.write("memory", str(worker.name), *known)

    async def _send(self) -> None:
        began = time.monotonic()
        self._files.flush()
        await send(self._worker.scheduler, self._run, self._files.folder, self._files.names, self._there)
        if time.monotonic() - began > _SEND / 1000:  # a slow line is left free for half of the time at least
            self._callbacks[-1].callback_time = 2000 * (time.monotonic() - began)


def _thresholds(worker: Any) -> dict[str, int]:
    """The bytes at which Dask does something, by what it does; without those that it does not look at."""
    memory = worker.memory_manager
    shares = {
        "target": memory.memory_target_fraction,
        "spill": memory.memory_spill_fraction,
        "pause": memory.memory_pause_fraction,
        "terminate": worker.nanny and dask.config.get("distributed.worker.memory.terminate"),
    }
    if not memory.memory_limit:
        return {}
    return {
        "limit": memory.memory_limit,
        **{what: int(share * memory.memory_limit) for what, share in shares.items() if share},
    }
