"""Which tasks run just now, in a file that does not grow: of a worker that is killed it tells what it ran."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress

_SLOT = 512
"""Bytes for a key; of a longer one the beginning is kept."""


class RunningTasks:
    """The slots of the tasks of a process: a task has one from when it begins until it ends."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._free: list[int] = []
        self._number = 0

    def begin(self, worker: str, key: str) -> int:
        """Write that a task begins; returns its slot."""
        try:
            slot = self._free.pop()
        except IndexError:
            slot, self._number = self._number, self._number + 1
        text = f"{worker}\n{key}".encode()[: _SLOT - 1]
        self._write(slot, text.ljust(_SLOT - 1, b"\0"))
        return slot

    def end(self, slot: int) -> None:
        """Write that it has ended."""
        self._write(slot, b"\0")
        self._free.append(slot)

    def _write(self, slot: int, text: bytes) -> None:
        with suppress(OSError):  # a full disk, or the recording has ended: the task goes on
            os.pwrite(self._file, text, slot * _SLOT)

    def close(self) -> None:
        """Delete it: nothing died."""
        file, self._file = self._file, -1
        os.close(file)
        os.unlink(self._path)


def read(path: str) -> Iterator[tuple[str, str]]:
    """The workers and keys of the tasks that ran when the process was killed."""
    with open(path, "rb") as file:
        while slot := file.read(_SLOT):
            worker, _, key = slot.rstrip(b"\0").decode(errors="replace").partition("\n")
            if key:
                yield worker, key
