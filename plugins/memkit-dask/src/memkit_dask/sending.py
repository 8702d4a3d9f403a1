"""Files on their way home: by the scheduler's own transport, in bounded pieces, each of which may be lost."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from typing import Any

from memkit_dask.files import PIECE

_ASKED = 5  # how often the scheduler is asked what time it is: the fastest answer is the most exact


async def measured_clock(scheduler: Any) -> tuple[int, int]:
    """Nanoseconds by which the scheduler's clock is ahead of this machine's, and by how many that may be off."""
    found = []
    for _ in range(_ASKED):
        before = time.time_ns()
        its = await scheduler.memkit_dask_clock()
        after = time.time_ns()
        found.append(((after - before) // 2 + 1, its - (before + after) // 2))
    error, offset = min(found)
    return offset, error


async def send(scheduler: Any, run: str, folder: str, names: Iterable[str], there: dict[str, int] | None = None) -> None:
    """Send what the scheduler does not have yet of some files. ``there`` is how much it has of each, as far as is known."""
    there = {} if there is None else there
    for name in names:
        if name not in there:
            there[name] = await scheduler.memkit_dask_keep(run=run, name=name, offset=0, data=b"")
        try:
            with open(os.path.join(folder, name), "rb") as file:
                file.seek(there[name])
                while data := file.read(PIECE):
                    there[name] = await scheduler.memkit_dask_keep(run=run, name=name, offset=there[name], data=data)
                    file.seek(there[name])
        except FileNotFoundError:
            continue
