"""What runs in the scheduler: it keeps what the others send until the client fetches it, and tells the time."""

from __future__ import annotations

import logging
import os
import shutil
import time
from contextlib import suppress
from typing import Any, ClassVar

from distributed.diagnostics.plugin import SchedulerPlugin

from memkit_dask.files import PIECE, ProcessFiles, check_name, folder_of


class SchedulerKeeper(SchedulerPlugin):
    """Records the scheduler's process, and answers those who send and fetch."""

    _all: ClassVar[dict[str, SchedulerKeeper]] = {}

    def __init__(self, run: str, folder: str | None, options: dict[str, Any], client: str) -> None:
        self.name = f"memkit-dask-{run}"
        self._run, self._folder, self._options, self._client = run, folder, options, client

    async def start(self, scheduler: Any) -> None:
        """Begin."""
        self._all[self._run] = self
        for answer in (clock, keep, end, fetch, forget):
            scheduler.handlers[f"memkit_dask_{answer.__name__}"] = answer
        self.files = ProcessFiles.join(self._run, self._folder, self._options)
        self.files.write("scheduler", scheduler.address)

    def log_event(self, topic: str, msg: Any) -> None:
        """A nanny has read too much memory, which is the last that is known of a worker that it kills."""
        if topic == "worker-restart-memory" and not self.files.ended:
            self.files.write("read", msg["worker"], msg["pid"], msg["rss"])

    def remove_client(self, scheduler: Any, client: str) -> None:
        """The client has died, or was closed, before it ended the run: nobody else would."""
        if client == self._client and self._run in self._all:
            scheduler.loop.add_callback(self._abandon, scheduler)

    async def _abandon(self, scheduler: Any) -> None:
        for unregister in (scheduler.unregister_worker_plugin, scheduler.unregister_nanny_plugin):
            with suppress(ValueError, OSError):
                await unregister(None, name=self.name)
        end(self._run)
        with suppress(ValueError):
            scheduler.remove_plugin(self.name)
        where = self._folder or _kept(self._run)
        logging.getLogger("distributed.memkit_dask").warning(
            "The client of a recording is gone; what was recorded is in %s", where
        )


def _kept(run: str) -> str:
    if not run.isalnum():
        raise ValueError(f"{run!r} is no run of memkit-dask's")
    return folder_of(run, None, "-kept")


def clock() -> int:
    """The time here, in nanoseconds since the epoch."""
    return time.time_ns()


def keep(run: str, name: str, offset: int, data: bytes) -> int:
    """Append a piece to a file, where it goes on from what is here; returns how much is here then."""
    with open(os.path.join(_kept(run), check_name(name)), "ab") as file:
        if file.tell() == offset:
            file.write(data)
        return file.tell()


def end(run: str) -> dict[str, int]:
    """End the recording of the scheduler's process; returns the names and sizes of all files that are here."""
    keeper = SchedulerKeeper._all.pop(run, None)
    if keeper is not None:
        folder, names = keeper.files.folder, keeper.files.names
        keeper.files.leave()
        if keeper._folder is None:
            for name in names:
                shutil.copy(os.path.join(folder, name), _kept(run))
    return {name: os.path.getsize(os.path.join(_kept(run), name)) for name in os.listdir(_kept(run))}


def fetch(run: str, name: str, offset: int) -> bytes:
    """A piece of a file; nothing at its end."""
    with open(os.path.join(_kept(run), check_name(name)), "rb") as file:
        file.seek(offset)
        return file.read(PIECE)


def forget(run: str) -> None:
    """Delete the files of a run that are here."""
    shutil.rmtree(_kept(run), ignore_errors=True)
