"""memory_profiler's backends: choosing one that works here, and reading memory with it."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

from memkit.base import clocks
from memkit.record.memory_reader import BACKENDS, MIB, Reader, children_of
from memkit.system import engine

if TYPE_CHECKING:
    import psutil


def choose_backend(new_backend: str | None = None) -> str:
    """The requested backend if it works here; otherwise the first that does, with a warning.

    Raises ``KeyError`` for an unknown name.
    """
    usable = {name: _works(name) for name in BACKENDS}
    if new_backend is None:
        return next(name for name, works in usable.items() if works)
    if new_backend not in usable:
        raise KeyError(new_backend)
    if usable[new_backend]:
        return new_backend
    instead = next(name for name, works in usable.items() if works)
    warnings.warn(f"{new_backend} can not be used, {instead} used instead", stacklevel=2)
    return instead


def _works(name: str) -> bool:
    return BACKENDS[name] in engine.METERS if BACKENDS[name] else name != "posix" or os.name == "posix"


def reading(pid: int, backend: str, include_children: bool) -> tuple[float, float]:
    """MiB of a process, -1 for this one, and the time of the reading."""
    memory = (Reader(None if pid in (-1, os.getpid()) else pid, backend, include_children).read() or 0) / MIB
    return memory, clocks.time()


def _get_memory(
    pid: int, backend: str, timestamps: bool = False, include_children: bool = False, filename: str | None = None
) -> float | tuple[float, float]:
    """MiB of a process now, -1 for this one; with ``timestamps`` a tuple with the time."""
    found = reading(pid, backend, include_children)
    return found if timestamps else found[0]


def _get_child_memory(
    process: int | psutil.Process, meminfo_attr: str | None = None, memory_metric: int | str = 0
) -> Iterator[tuple[int, float]]:
    """PID and MiB of each descendant of a process, which is a PID, -1 for this one, or psutil's object."""
    pid = process if isinstance(process, int) else process.pid
    meter = memory_metric if isinstance(memory_metric, str) else "rss"
    for child, size in children_of(None if pid == -1 else pid, meter):
        yield child, size / MIB
