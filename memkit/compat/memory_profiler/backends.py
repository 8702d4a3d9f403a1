"""memory_profiler's backends: which there are, and one number of each."""

from __future__ import annotations

import os
import time
import warnings

from memkit.record.memory_reader import BACKENDS, MIB, Reader, children_of
from memkit.system import engine


def choose_backend(new_backend=None):
    """The name of a backend that works here: the one that is asked for, or the first of those that do, with a warning.

    Raises ``KeyError`` for a name that is none.
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


def _works(name):
    return BACKENDS[name] in engine.METERS if BACKENDS[name] else name != "posix" or os.name == "posix"


def _get_memory(pid, backend, timestamps=False, include_children=False, filename=None):
    """MiB of a process now, -1 for this one; with ``timestamps`` a tuple with the time."""
    memory = (Reader(None if pid in (-1, os.getpid()) else pid, backend, include_children).read() or 0) / MIB
    return (memory, time.time()) if timestamps else memory


def _get_child_memory(process, meminfo_attr=None, memory_metric=0):
    """Process number and MiB of each descendant of a process, by number, -1 for this one, or of psutil."""
    pid = getattr(process, "pid", process)
    meter = memory_metric if isinstance(memory_metric, str) else "rss"
    for child, size in children_of(None if pid == -1 else pid, meter):
        yield child, size / MIB
