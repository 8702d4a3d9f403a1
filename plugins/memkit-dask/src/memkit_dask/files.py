"""What a process of a cluster writes: its recording, and beside it a log of what Dask said and knew, a JSON array a line.

========  =======================================  ==============================================================
client    clock                                    when the client begins
scheduler address                                  when the scheduler is recorded
nanny     address, clock                           when a nanny begins to watch
worker    name, address, thresholds, clock         when a worker begins: bytes by what Dask does there
left      name, status                             when it leaves, or is no longer recorded
memory    name, managed, spilled                   when Dask's own count has changed: bytes in memory and on disk
read      address, pid, bytes                      by the scheduler: what a nanny read before it killed a worker
words     logger, level, text                      what Dask logged
exit      pid, code                                by the nanny: how a process of a worker ended
========  =======================================  ==============================================================

Before these each row has the time, in nanoseconds since the epoch by the clock of its machine.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import tempfile
import time
import uuid
from typing import Any, ClassVar

import memkit
from memkit_dask.running import RunningTasks

RECORDING, LOG, TASKS = ".memkit", ".log", ".tasks"
_PAUSE = 200
PIECE = 1 << 20
"""Bytes of a file that are sent at once."""


def folder_of(run: str, given: str | None, kind: str = "") -> str:
    """The folder of a run on this machine, which only its user can read unless it was given."""
    folder = given or os.path.join(tempfile.gettempdir(), f"memkit-dask-{run}{kind}")
    os.makedirs(folder, mode=0o700, exist_ok=True)
    return folder


def check_name(name: str) -> str:
    """The name of a file of such a folder. Raises ``ValueError`` for any other."""
    if os.path.basename(name) != name or not name.endswith((RECORDING, LOG, TASKS)):
        raise ValueError(f"{name!r} is no file of memkit-dask's")
    return name


def host_and_pid(stem: str) -> tuple[str, int]:
    """The machine and the process that a file is of, by its name without its kind."""
    begun, pid, _ = stem.rsplit("-", 2)
    return begun.partition("-")[2], int(pid)


def left_behind(folder: str) -> list[str]:
    """The files of processes that are no more."""
    return [name for name in sorted(os.listdir(folder)) if not os.path.exists(f"/proc/{host_and_pid(name)[1]}")]


class ProcessFiles:
    """What this process writes for one run; workers, a nanny, the scheduler and the client may share a process."""

    _all: ClassVar[dict[str, ProcessFiles]] = {}

    def __init__(self, run: str, folder: str) -> None:
        self.folder, self._run, self._users = folder, run, 0
        self.stem = f"{run}-{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._log = os.open(
            os.path.join(folder, self.stem + LOG), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600
        )
        self._words = _Words(self)
        self._recorder: memkit.Recorder | None = None
        self._flushed = self._pause = 0.0
        self.tasks: RunningTasks | None = None
        logging.getLogger("distributed").addHandler(self._words)

    @classmethod
    def join(cls, run: str, folder: str | None, options: dict[str, Any] | None = None) -> ProcessFiles:
        """Those of this process, which is recorded if there are options for that."""
        found = cls._all.get(run)
        if found is None:
            found = cls._all[run] = cls(run, folder_of(run, folder))
        found._users += 1
        try:
            if options is not None and found._recorder is None:
                found._record(options)
        except BaseException:
            found.leave()
            raise
        return found

    def _record(self, options: dict[str, Any]) -> None:
        recorder = memkit.record(os.path.join(self.folder, self.stem + RECORDING), **options)
        recorder.start()
        self._recorder = recorder
        self.tasks = RunningTasks(os.path.join(self.folder, self.stem + TASKS))

    @property
    def names(self) -> list[str]:
        """The names of its files, that of the recording first."""
        return [self.stem + kind for kind in ((RECORDING, LOG) if self._recorder is not None else (LOG,))]

    def write(self, kind: str, *values: object) -> None:
        """Append a row to the log, at once: nothing of it is lost when the process is killed."""
        os.write(self._log, json.dumps([time.time_ns(), kind, *values]).encode() + b"\n")

    def flush(self) -> None:
        """Have in the file what was recorded so far."""
        if self._recorder is not None and self._recorder.running:
            began = time.monotonic()
            self._recorder.flush()
            self._flushed = time.monotonic()
            self._pause = (self._flushed - began) * _PAUSE

    def flush_if_cheap(self) -> None:
        """The same, unless the last time was so short ago that it would take more than 1/200 of the time."""
        if time.monotonic() - self._flushed > self._pause:
            self.flush()

    def leave(self) -> None:
        """End what the last of its users leaves."""
        self._users -= 1
        if self._users <= 0:
            self.end()

    @property
    def ended(self) -> bool:
        """Whether nothing more is written."""
        return self._log < 0

    def end(self) -> None:
        """End it for all of its users."""
        if self.ended:
            return
        self._all.pop(self._run, None)
        logging.getLogger("distributed").removeHandler(self._words)
        log, self._log = self._log, -1
        os.close(log)
        if self._recorder is not None:
            self._recorder.stop()
        if self.tasks is not None:
            self.tasks.close()


class _Words(logging.Handler):
    """What Dask warns of, in its own words."""

    def __init__(self, files: ProcessFiles) -> None:
        super().__init__(logging.WARNING)
        self._files = files

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = " ".join(record.getMessage().split())
            self._files.write("words", record.name, record.levelname, text)
        except OSError:  # a full disk: the program goes on
            pass
