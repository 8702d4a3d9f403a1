"""Which tasks a worker is in: a file that is written as one begins or ends, and is there however the worker is killed."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator

_SIZE = 4096
_CUT = b"..."


class RunningTasks:
    """The labels of the tasks that a worker is in, in a file, each ended by a line feed, and a zero at the end."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        self._labels: list[bytes] = []
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def task(self, label: str) -> Iterator[None]:
        """The worker is in a task."""
        text = label.encode()
        with self._lock:
            self._labels.append(text)
            self._write()
        try:
            yield
        finally:
            with self._lock:
                self._labels.remove(text)
                self._write()

    def _write(self) -> None:
        text = b"".join(each + b"\n" for each in self._labels[:_SIZE])
        if len(text) >= _SIZE:
            text = text[: _SIZE - len(_CUT) - 2] + _CUT + b"\n"
        with contextlib.suppress(OSError):  # a full disk: the task runs
            os.pwrite(self._file, text + b"\0", 0)


def running(path: str) -> tuple[str, ...]:
    """The labels in such a file; none where there is no file."""
    try:
        with open(path, "rb") as file:
            text = file.read(_SIZE).partition(b"\0")[0]
    except OSError:
        return ()
    return tuple(text.decode(errors="replace").splitlines())
