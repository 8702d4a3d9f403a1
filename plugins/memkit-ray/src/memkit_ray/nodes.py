"""What Ray tells of its nodes and of how workers ended, and the files that these left on the nodes."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any, NamedTuple

import memkit
from memkit_ray.running import running
from memkit_ray.worker import RUNNING, SUFFIX

DRIVER = "driver"
"""What stands in the name of the file of the driver where others have their node."""


class End(NamedTuple):
    """How a worker stands, in Ray's words."""

    alive: bool
    type: str
    """Such as ``INTENDED_SYSTEM_EXIT``, ``SYSTEM_ERROR`` or ``NODE_OUT_OF_MEMORY``."""
    detail: str
    time: float | None
    """In seconds since the epoch; None where it lives or Ray does not know."""

    @property
    def out_of_memory(self) -> bool:
        """Whether Ray's memory monitor killed it."""
        return self.type == "NODE_OUT_OF_MEMORY"

    @property
    def words(self) -> str:
        """Ray's words in a line; of its memory monitor those that say why."""
        lines = self.detail.splitlines() or [""]
        if not self.out_of_memory:
            return lines[0].partition(" Some common causes")[0]
        return next((line.partition(": ")[2] for line in lines if line.startswith("OOM kill reason: ")), lines[0])


class Clock(NamedTuple):
    """By how many seconds the clock of a node is ahead of the driver's."""

    node: str
    ahead: float
    error: float
    """By how much that can be wrong."""

    def __str__(self) -> str:
        ahead, error = (memkit.units.show_time(round(abs(each) * memkit.units.SECOND)) for each in (self.ahead, self.error))
        return f"the clock of {self.node} is {ahead} {'behind' if self.ahead < 0 else 'ahead of'} the driver's, ±{error}"


def clock_of(node: str, ask: Callable[[], float]) -> Clock:
    """What ``ask`` tells of a clock elsewhere: the answer that was there soonest is off by half its time at most."""
    found = []
    for _ in range(_ASKED):
        before, told, after = time.time(), ask(), time.time()
        found.append(Clock(node, told - (before + after) / 2, (after - before) / 2))
    return min(found, key=lambda clock: clock.error)


def the_ray() -> Any:
    """Ray, whose types no checker follows."""
    return import_module("ray")


def node_names() -> dict[str, str]:
    """What each node of the cluster is called, by its id: its host, and where that has several a part of the id, too."""
    nodes = {node["NodeID"]: node["NodeManagerHostname"] for node in the_ray().nodes()}
    alike = list(nodes.values())
    return {id: name if alike.count(name) == 1 else f"{name} {id[:6]}" for id, name in nodes.items()}


def ends() -> dict[str, End]:
    """How each worker stands, by its id. Raises what Ray raises, whose table of workers is not public."""
    state = import_module("ray._private.state").state
    gcs_pb2, common_pb2 = (import_module(f"ray.core.generated.{name}_pb2") for name in ("gcs", "common"))
    gone = {node["NodeID"] for node in the_ray().nodes() if not node["Alive"]}
    found = {}
    for row in state._connect_and_get_accessor().get_worker_table():
        worker = gcs_pb2.WorkerTableData.FromString(row)
        kind = common_pb2.WorkerExitType.Name(worker.exit_type)
        ended = None if worker.is_alive or not worker.end_time_ms else worker.end_time_ms / 1000
        end = End(worker.is_alive, kind, worker.exit_detail, ended)
        if worker.is_alive and worker.worker_address.node_id.hex() in gone:
            end = End(False, "NODE_DIED", "its node is gone", None)
        found[worker.worker_address.worker_id.hex()] = end
    return found


def bring_here(folder: str, run: str, into: str, *, keep: bool) -> tuple[dict[str, Clock], list[str]]:
    """Copy what workers of a run left in a folder of each node into one here, and ``keep`` it there or delete it.

    Returns the clocks of nodes on other hosts, by the ids of these, and what could not be brought, and why.
    """
    ray, on = the_ray(), import_module("ray.util.scheduling_strategies").NodeAffinitySchedulingStrategy
    names, missing, clocks = node_names(), [], {}
    for node in ray.nodes():
        id, on_it = node["NodeID"], on(node["NodeID"], soft=False)
        if not node["Alive"] and any(name.startswith(f"{run}-{id}-") for name in os.listdir(into)):
            continue  # what it wrote is here: the folder is one of this machine
        if not node["Alive"]:
            missing.append(f"node {names[id]} is gone, and with it what its workers recorded in {folder}")
            continue

        def there(function: Callable[..., Any], *args: str, on_it: object = on_it) -> Any:
            task = ray.remote(function).options(num_cpus=0, scheduling_strategy=on_it)
            return ray.get(task.remote(*args), timeout=_PATIENCE)

        try:
            for name in there(listed, folder, run):
                path = os.path.join(into, os.path.basename(name))
                if not os.path.exists(path):
                    data = there(_content, folder, name)
                    with open(path, "wb") as file:
                        file.write(data)
            if node["NodeManagerHostname"] != socket.gethostname():
                clocks[id] = clock_of(names[id], lambda: float(there(_now)))
            if not keep:
                there(_delete, folder)
        except (ray.exceptions.RayError, OSError) as error:
            reason = str(error).strip().splitlines()[-1:] or [type(error).__name__]
            missing.append(f"node {names[id]}: {reason[0]}; what its workers recorded is in {folder} there")
    return clocks, missing


_PATIENCE = 60.0
"""Seconds that a node is waited for."""
_ASKED = 7
"""How often a clock is asked for: the first answers come from a worker that has just started."""


def listed(folder: str, run: str) -> list[str]:
    """The files that workers of a run have written into a folder of this node, where there may be others."""
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    own = [name for name in names if name.startswith(f"{run}-") and name.endswith((SUFFIX, RUNNING))]
    return [name for name in own if not name.startswith(f"{run}-{DRIVER}-")]


def _content(folder: str, name: str) -> bytes:
    with open(os.path.join(folder, name), "rb") as file:
        return file.read()


def _now() -> float:
    return time.time()


def _delete(folder: str) -> None:
    """Delete what is there, and leave an empty file: workers that start later do not record themselves any more."""
    shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(OSError):
        open(folder, "x").close()


class Left(NamedTuple):
    """What a worker has left."""

    node: str
    worker: str
    recording: memkit.Recording | None
    reason: str
    """Why there is no recording."""
    running: tuple[str, ...]
    """The labels of the tasks that it was in."""


def left(folder: str) -> Iterator[Left]:
    """What each worker has left in a folder here."""
    for name in sorted(os.listdir(folder)):
        stem, suffix = os.path.splitext(name)
        _, node, worker = stem.split("-", 2)
        if suffix != SUFFIX:
            continue
        tasks = running(os.path.join(folder, stem + RUNNING))
        try:
            yield Left(node, worker, memkit.read(os.path.join(folder, name)), "", tasks)
        except memkit.FormatError as error:
            yield Left(node, worker, None, str(error), tasks)
