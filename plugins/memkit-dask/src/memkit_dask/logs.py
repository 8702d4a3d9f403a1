"""The logs of the processes of a run, read; ``memkit_dask.files`` says what is in them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from typing import Any

from memkit_dask.files import LOG, TASKS, host_and_pid
from memkit_dask.running import read


class ProcessLog:
    """What a process wrote beside its recording, whose times are by the clock of its machine."""

    def __init__(self, path: str) -> None:
        self.stem = os.path.basename(path).removesuffix(LOG)
        self.host, self.pid = host_and_pid(self.stem)
        self.workers: dict[str, tuple[str, dict[str, int]]] = {}
        """The workers in it by their addresses: their names, and at how many bytes Dask does what."""
        self.is_client = False
        self._command: str | None = None
        self.clock: tuple[int, int] | None = None
        """Nanoseconds by which the scheduler's clock was ahead, and by how many that may be off."""
        self.left = False
        """Whether a worker in it left before the run had ended."""
        self.memory: list[tuple[int, str, int, int]] = []
        self.words: list[tuple[int, str, str, str]] = []
        self.reads: list[tuple[int, str, int]] = []
        """What nannies read before they killed a worker: when, its address, and bytes."""
        self.exits: list[tuple[int, int, int]] = []
        self.running: list[tuple[str, str]] = []
        """Workers, and the keys of the tasks that they ran when the process was killed."""
        tasks = path.removesuffix(LOG) + TASKS
        if os.path.exists(tasks):
            self.running = list(read(tasks))
        with open(path, "rb") as file:
            for line in file:
                self._take(line)

    def last_words(self, logs: Iterable[ProcessLog]) -> str | None:
        """The last that a nanny said about this process."""
        about = [words for log in logs if log.host == self.host for words in log.words if f"(pid={self.pid})" in words[3]]
        return max(about)[3] if about else None

    @property
    def name(self) -> str | None:
        """The name of the worker, or those of all; None where it is none."""
        return ", ".join(name for name, _ in self.workers.values()) or None

    @property
    def command(self) -> str | None:
        """What Dask calls it; None for the client and what is in its process, which has a command of its own."""
        return None if self.is_client else self._command

    def moment(self, time: int, began: int) -> int:
        """Nanoseconds since a moment by the scheduler's clock."""
        return max(0, time + (self.clock or (0, 0))[0] - began)

    def _take(self, line: bytes) -> None:
        try:
            time, kind, *values = json.loads(line)
            take: Callable[..., Any] = getattr(self, f"_{kind}")
            take(time, *values)
        except (ValueError, TypeError, AttributeError):  # the last line of a process that was killed
            pass

    def _worker(self, time: int, name: str, address: str, thresholds: dict[str, int], clock: list[int]) -> None:
        self.workers[address] = name, thresholds
        self._clocked(clock)
        self._command = self._command or f"Dask worker {name}"

    def _scheduler(self, time: int, address: str) -> None:
        self.clock, self._command = (0, 0), "Dask scheduler"

    def _client(self, time: int, clock: list[int]) -> None:
        self._clocked(clock)
        self.is_client = True

    def _nanny(self, time: int, address: str, clock: list[int]) -> None:
        self._clocked(clock)

    def _clocked(self, clock: list[int]) -> None:
        if self.clock is None:
            self.clock = clock[0], clock[1]

    def _left(self, time: int, name: str, status: str) -> None:
        self.left = self.left or status not in ("running", "paused")

    def _memory(self, time: int, name: str, managed: int, spilled: int) -> None:
        self.memory.append((time, name, managed, spilled))

    def _read(self, time: int, address: str, pid: int, size: int) -> None:
        self.reads.append((time, address, size))

    def _words(self, time: int, logger: str, level: str, text: str) -> None:
        self.words.append((time, logger, level, text))

    def _exit(self, time: int, pid: int, code: int) -> None:
        self.exits.append((time, pid, code))


def logs_in(folder: str, run: str) -> list[ProcessLog]:
    """All logs of a run in a folder."""
    names = sorted(name for name in os.listdir(folder) if name.startswith(f"{run}-") and name.endswith(LOG))
    return [ProcessLog(os.path.join(folder, name)) for name in names]
