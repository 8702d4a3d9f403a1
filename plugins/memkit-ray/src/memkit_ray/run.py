"""``with memkit_ray.record() as run:`` from beginning to end, in the driver."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Mapping
from dataclasses import replace
from types import TracebackType
from typing import Any, NamedTuple

import memkit
from memkit_ray import nodes
from memkit_ray.cluster import Worker, merged, named, on_one_clock, told_of_task, worker_of
from memkit_ray.worker import HOOK, VARIABLE

_OWN = ("path", "children", "limit", "on_limit")
"""Options of ``memkit.record`` that make no sense for all processes of a cluster."""
_WRITTEN = 0.5
"""Seconds after which a worker has written what it did: it writes four times a second."""


def record(folder: str | os.PathLike[str] | None = None, **options: Any) -> Run:
    """Record a Ray cluster: its workers, and the driver.

    ::

        with memkit_ray.record() as run:
            ray.init(runtime_env=run.runtime_env())
            results = ray.get([train.remote(part) for part in parts])
        print(run)
        memkit.report(run.recording, html="cluster.html")

    Each worker writes a file into ``folder`` on its node, which may be one that all nodes share; it is kept. Without it that
    is a temporary folder of each node, whose files are brought to the driver when the block ends. More options are those
    of ``memkit.record``, for all processes: ``heap="spans"`` counts what each task allocates. Raises ``UsageError`` for
    arguments that make no sense.
    """
    for name in _OWN:
        if name in options:
            raise memkit.UsageError(f"record() takes no {name}={options[name]!r}: each process of a cluster records itself")
    memkit.record(**{name: value for name, value in options.items() if name != "follow"})  # refuse here what workers would
    try:
        json.dumps(options)
    except TypeError as error:
        raise memkit.UsageError(f"workers are told the options as text, and one is none: {error}") from None
    return Run(None if folder is None else os.path.abspath(os.fspath(folder)), options)


class Run:
    """A cluster that is recorded; ``record()`` returns it. What is known is there once it has ended."""

    recording: memkit.Recording
    """All processes as one recording, the driver's first. The names of the others are those of their nodes."""
    workers: tuple[Worker, ...] = ()
    """The workers, those first that rose highest."""
    clocks: tuple[nodes.Clock, ...] = ()
    """By how much the clocks of nodes on other hosts were off the driver's, which is allowed for in ``recording``."""
    missing: tuple[str, ...] = ()
    """What could not be brought home or is not known, and why."""

    def __init__(self, folder: str | None, options: dict[str, Any]) -> None:
        self._kept, self._options = folder is not None, options
        self._id = uuid.uuid4().hex[:12]
        self._folder = folder or os.path.join(tempfile.gettempdir(), f"memkit-ray-{self._id}")
        self._driver: memkit.Recorder | None = None

    def runtime_env(self, **more: Any) -> dict[str, Any]:
        """The runtime environment in which workers record themselves, with what else there is to be in it.

        Give it to ``ray.init``; one that a task or an actor has of its own is added to it by Ray.
        """
        if "worker_process_setup_hook" in more:
            hook = more["worker_process_setup_hook"]
            raise memkit.UsageError(f"Ray runs one hook: call memkit_ray.worker.begin() in {hook!r}, and set {VARIABLE}")
        variables = more.pop("env_vars", None) or {}
        if not isinstance(variables, Mapping):
            raise memkit.UsageError(f"env_vars are a dict of texts, not {variables!r}")
        settings = json.dumps({"run": self._id, "folder": self._folder, "options": self._options})
        return {**more, "worker_process_setup_hook": HOOK, "env_vars": {**variables, VARIABLE: settings}}

    def __enter__(self) -> Run:
        os.makedirs(self._folder, mode=0o700, exist_ok=True)
        name = f"{self._id}-{nodes.DRIVER}-{os.getpid()}.memkit"
        self._driver = memkit.record(os.path.join(self._folder, name), **self._options)
        self._driver.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        assert self._driver is not None
        self._driver.__exit__(kind, error, trace)
        driver = self._driver.recording
        assert driver is not None
        ended = time.time()
        with tempfile.TemporaryDirectory(prefix="memkit-ray-") as here:
            told = self._gather(here)
            found = []
            for left in nodes.left(here):
                if left.recording is None:
                    told.missing.append(left.reason)
                    continue
                recording = on_one_clock(left.recording, told.clocks.get(left.node))
                if recording.about.began < ended:  # later ones were started to bring this home
                    host = told.names.get(left.node) or recording.about.host or left.node[:6]
                    worker = worker_of(left.worker, host, recording, told.ends.get(left.worker), left.running)
                    found.append((worker, recording))
        self.workers = tuple(sorted((worker for worker, _ in found), key=lambda worker: -(worker.peak or 0)))
        self.clocks, self.missing = tuple(told.clocks.values()), tuple(told.missing)
        own, *children = driver.processes
        unrecorded = tuple(each for each in driver.unrecorded if not _is_of_ray(each.command))
        driver = replace(driver, processes=(own._replace(name="driver"), *children), unrecorded=unrecorded)
        together = merged([driver, *(named(recording, worker) for worker, recording in found)])
        self.recording = replace(together, source=self._folder if self._kept else None)
        if not self._kept:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _gather(self, here: str) -> _Told:
        """Have the files of all workers here, and what Ray tells. What fails is missing: the program goes on."""
        time.sleep(_WRITTEN)
        for name in nodes.listed(self._folder, self._id):
            shutil.copy(os.path.join(self._folder, name), here)
        told = _Told({}, {}, {}, [])
        if not nodes.the_ray().is_initialized():
            told.missing.append("Ray was shut down before: how workers ended is not known, nor what is on other nodes")
            return told
        try:
            told.names.update(nodes.node_names())
            told.ends.update(nodes.ends())
        except Exception as error:  # what is not public in Ray may be another in the next release
            told.missing.append(f"this Ray does not tell how workers ended: {error!r}")
        try:
            clocks, missing = nodes.bring_here(self._folder, self._id, here, keep=self._kept)
            told.clocks.update(clocks)
            told.missing.extend(missing)
        except Exception as error:  # the cluster is gone
            told.missing.append(f"what is on other nodes could not be brought home: {error!r}")
        return told

    def __str__(self) -> str:
        if not hasattr(self, "recording"):
            return "<memkit_ray.Run, not ended>"
        killed = sum(worker.end is not None and worker.end.out_of_memory for worker in self.workers)
        monitor = f", {killed} killed by Ray's memory monitor" if killed else ""
        hosts = len({worker.node for worker in self.workers})
        where = f" on {hosts} nodes" if hosts > 1 else ""
        head = f"{len(self.workers):,} worker{'' if len(self.workers) == 1 else 's'}{where}{monitor}"
        tasks = sorted(self.recording.span_sums, key=lambda sums: -(sums.rise.worst if sums.rise else 0))
        lines = [*map(str, self.workers), *map(told_of_task, tasks), *map(str, self.clocks)]
        return "\n".join([head, *(f"  {line}" for line in lines), *(f"missing: {text}" for text in self.missing)])


class _Told(NamedTuple):
    """What Ray told when the run had ended."""

    names: dict[str, str]
    ends: dict[str, nodes.End]
    clocks: dict[str, nodes.Clock]
    missing: list[str]


def _is_of_ray(command: str) -> bool:
    """Whether a process is one of Ray's own, such as its raylet, which no option of a recording reaches."""
    return command.startswith("ray::") or f"{os.sep}ray{os.sep}" in command
