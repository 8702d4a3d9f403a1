"""Tasks as spans in workers that are recorded by ``memkit-run --follow``, where Dask preloads this module in each."""

from __future__ import annotations

from typing import Any

from distributed.diagnostics.plugin import WorkerPlugin

from memkit_dask.tasks import SpannedTask


class SpannedTasks(WorkerPlugin):
    """Makes each task of a worker a span."""

    name = "memkit-dask-spans"

    def setup(self, worker: Any) -> None:
        """Begin."""
        self._worker = worker

    def transition(self, key: Any, start: str, finish: str, **_: Any) -> None:
        """A task that is about to run shall be a span."""
        if finish == "executing":
            SpannedTask.wrap(self._worker, key)


async def dask_setup(worker: Any) -> None:
    """What Dask calls as it starts a worker."""
    await worker.plugin_add(plugin=SpannedTasks())
