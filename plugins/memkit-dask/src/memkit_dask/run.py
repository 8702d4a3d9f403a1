"""``with memkit_dask.record(client) as run:`` from beginning to end, at the client."""

from __future__ import annotations

import inspect
import os
import shutil
import tempfile
import uuid
from collections.abc import Coroutine
from typing import Any

import memkit
from memkit_dask.cluster import Clock, Cluster, Prefix, Word, Worker
from memkit_dask.files import ProcessFiles, folder_of
from memkit_dask.nanny import NannyWatch
from memkit_dask.scheduler import SchedulerKeeper
from memkit_dask.sending import measured_clock
from memkit_dask.worker import WorkerRecorder

_OWN = ("path", "follow", "children")  # options of memkit.record() that the run sets for each process


def record(client: Any, folder: str | os.PathLike[str] | None = None, *, shared: bool = False, **options: Any) -> Run:
    """Record a Dask cluster: its workers, its scheduler and the process of the client.

    ::

        with memkit_dask.record(client) as run:
            result = frame.groupby("key").sum().compute()
        print(run)
        run.recording.page("cluster.html")

    ``client`` is a ``distributed.Client``; where it is asynchronous, write ``async with``. ``folder`` is where the files are
    kept that the processes write; without one they go into a temporary folder until they are read. ``shared`` is whether all
    machines reach that folder by the same path, so that they write there; else their files come by way of the scheduler.
    Further options are those of ``memkit.record``, for all processes: ``heap="spans"`` counts what each task allocates, by
    which tasks can be told apart that run at the same time. Raises ``UsageError`` for arguments that make no sense.
    """
    if not hasattr(client, "register_plugin"):
        raise memkit.UsageError(f"record() takes a client of Dask, not {client!r}: write memkit_dask.record(Client(...))")
    for name in _OWN:
        if name in options:
            raise memkit.UsageError(f"record() takes no {name}={options[name]!r}: each process of a cluster records itself")
    if shared and folder is None:
        raise memkit.UsageError(
            "record(shared=True) needs the folder that all machines reach: record(client, '/shared/run')"
        )
    memkit.record(**options)  # refuse here what every worker would refuse
    return Run(client, None if folder is None else os.path.abspath(os.fspath(folder)), shared, options)


class Run:
    """A cluster that is recorded; ``record()`` returns it. What is known is there once it has ended."""

    recording: memkit.Recording
    """All processes as one recording: the client's first. Their commands name the worker, its address and its machine."""
    workers: tuple[Worker, ...] = ()
    """Each process of a worker, in the order in which they began."""
    prefixes: tuple[Prefix, ...] = ()
    """The tasks by the prefixes of their keys, those first that rose highest."""
    words: tuple[Word, ...] = ()
    """What Dask warned of, in its own words and in order of time."""
    clocks: tuple[Clock, ...] = ()
    """By how much the clock of each process was off the scheduler's, and how exactly that is known."""
    missing: tuple[str, ...] = ()
    """What could not be brought home, and why."""

    def __init__(self, client: Any, folder: str | None, shared: bool, options: dict[str, Any]) -> None:
        self._client, self._folder, self._options = client, folder, options
        self._shared = folder if shared else None
        self._id = uuid.uuid4().hex[:12]
        self._name = f"memkit-dask-{self._id}"

    def __str__(self) -> str:
        return self._cluster.text if hasattr(self, "_cluster") else f"<memkit_dask.Run {self._id}: not ended>"

    def __enter__(self) -> Run:
        if getattr(self._client, "asynchronous", False):
            raise memkit.UsageError("the client is asynchronous: write async with memkit_dask.record(client)")
        _at_once(self.__aenter__())
        return self

    def __exit__(self, *error: object) -> None:
        _at_once(self.__aexit__(*error))

    async def __aenter__(self) -> Run:
        client = self._client
        if getattr(client, "status", None) != "running":
            raise memkit.UsageError(
                f"the client is {getattr(client, 'status', 'none')}: record() needs one that is connected"
            )
        self._place = folder_of(self._id, self._folder) if self._folder else tempfile.mkdtemp(prefix="memkit-dask-")
        try:
            self._files = ProcessFiles.join(self._id, self._place, self._options)
        except BaseException:
            self._clear()
            raise
        try:
            await _done(client.register_plugin(SchedulerKeeper(self._id, self._shared, self._options, client.id)))
            clock = await _done(client.sync(measured_clock, client.scheduler))
            self._files.write("client", clock)
            await _done(client.register_plugin(NannyWatch(self._id, self._shared)))
            await _done(client.register_plugin(WorkerRecorder(self._id, self._shared, self._options)))
        except BaseException as error:
            await self._end()
            self._clear()
            if isinstance(error, ImportError) or "ModuleNotFoundError" in str(error):
                told = f"a machine of the cluster cannot load memkit-dask, which all of them need: {error}"
                raise memkit.MemkitError(told) from error
            raise
        return self

    async def __aexit__(self, *error: object) -> None:
        missing = await self._end()
        self._cluster = cluster = Cluster.read(self._place, self._id)
        self.missing = (*missing, *cluster.missing)
        self.recording, self.workers, self.prefixes = cluster.recording, cluster.workers, cluster.prefixes
        self.words, self.clocks = cluster.words, cluster.clocks
        self._clear()

    def _clear(self) -> None:
        if self._folder is None:
            shutil.rmtree(self._place, ignore_errors=True)

    async def _end(self) -> list[str]:
        """Stop recording everywhere, and have all files here; returns what went wrong."""
        client, wrong = self._client, []
        for ended in (
            lambda: client.unregister_worker_plugin(self._name),
            lambda: client.unregister_worker_plugin(self._name, nanny=True),
            self._fetch,
            lambda: client.unregister_scheduler_plugin(self._name),
            self._take,
            lambda: client.run(_forget, self._id),
            lambda: client.run(_forget, self._id, nanny=True),
            lambda: client.run_on_scheduler(_forget, self._id),
        ):
            try:
                await _done(ended())
            except Exception as error:  # the cluster, or a part of it, is gone: Dask raises whatever a machine has raised
                wrong.append(f"what other machines had may not be here, since the cluster could not be asked: {error}")
        return wrong[:1]

    def _take(self) -> None:
        """Have here what is on this machine and was not sent: a nanny that starts a worker just now is told nothing."""
        self._files.end()
        for kind in ("", "-kept") if self._shared is None else ():
            folder = folder_of(self._id, None, kind)
            for name in os.listdir(folder):
                here = os.path.join(self._place, name)
                if not os.path.exists(here) or os.path.getsize(here) < os.path.getsize(os.path.join(folder, name)):
                    shutil.copy(os.path.join(folder, name), here)
            shutil.rmtree(folder, ignore_errors=True)

    async def _fetch(self) -> None:
        """Bring here what the scheduler has, in pieces."""
        client, call = self._client, self._client.scheduler
        sizes = await _done(client.sync(call.memkit_dask_end, run=self._id))
        for name in sizes:
            here = os.path.join(self._place, name)
            with open(here, "ab") as file:
                while data := await _done(client.sync(call.memkit_dask_fetch, run=self._id, name=name, offset=file.tell())):
                    file.write(data)
        await _done(client.sync(call.memkit_dask_forget, run=self._id))


def _forget(run: str) -> None:
    """Delete what a machine has of a run."""
    shutil.rmtree(folder_of(run, None), ignore_errors=True)


async def _done(result: Any) -> Any:
    """What an asynchronous client is awaited for, and another has returned."""
    return await result if inspect.isawaitable(result) else result


def _at_once(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run to its end a coroutine that awaits nothing."""
    try:
        coroutine.send(None)
    except StopIteration as ended:
        return ended.value
    raise RuntimeError("the client of Dask did not wait")
