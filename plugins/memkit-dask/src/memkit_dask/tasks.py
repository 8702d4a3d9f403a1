"""A task of Dask as a span."""

from __future__ import annotations

from typing import Any

from dask.utils import key_split

import memkit
from memkit_dask.running import RunningTasks


class SpannedTask:
    """A task that is a span while it runs, labelled by the prefix of its key. To Dask it is the task."""

    __slots__ = ("_key", "_running", "_task", "_worker")

    def __init__(self, task: Any, key: object, worker: str, running: RunningTasks | None) -> None:
        self._task, self._key, self._worker, self._running = task, key, worker, running

    @classmethod
    def wrap(cls, worker: Any, key: object, running: RunningTasks | None = None) -> None:
        """Make one of a task that a worker is about to run."""
        task = worker.state.tasks.get(key)
        if task is not None and task.run_spec is not None and not isinstance(task.run_spec, cls):
            task.run_spec = cls(task.run_spec, key, str(worker.name), running)

    def __call__(self, values: Any = ()) -> Any:
        if self._task.is_coro:
            return self._awaited(values)
        slot = self._begin()
        try:
            with self._span():
                return self._task(values)
        finally:
            self._end(slot)

    async def _awaited(self, values: Any) -> Any:
        slot = self._begin()
        try:
            with self._span():
                return await self._task(values)
        finally:
            self._end(slot)

    def _span(self) -> memkit.span:
        return memkit.span(key_split(self._key), key=str(self._key), worker=self._worker)

    def _begin(self) -> int:
        return 0 if self._running is None else self._running.begin(self._worker, str(self._key))

    def _end(self, slot: int) -> None:
        if self._running is not None:
            self._running.end(slot)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._task, name)

    def __repr__(self) -> str:
        return repr(self._task)

    def __reduce__(self) -> tuple[Any, ...]:
        return _itself, (self._task,)  # to a process of a pool, which is not recorded


def _itself(task: Any) -> Any:
    return task
