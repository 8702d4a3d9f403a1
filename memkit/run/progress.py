"""What is called with a recording while it is made: plugins about once a second, the status line more often."""

from __future__ import annotations

import time
from contextlib import contextmanager

from memkit.base.errors import FormatError
from memkit.base.plugins import Plugins
from memkit.base.units import SECOND
from memkit.model import file_format
from memkit.model.reader import Reader
from memkit.run import status_line, terminal

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

FOLLOW_EVERY = SECOND
"""Nanoseconds between two calls of ``memkit_follow``."""


class _Task:
    """A function that is called with the reader of the recording again and again."""

    def __init__(self, every: int, function: Callable[[Reader], object]) -> None:
        self.every, self.function = every, function
        self.due = time.monotonic_ns() + every


class Progress:
    """The functions to be called with the recording in ``path`` while it is made, and when. True if there are any."""

    def __init__(self, path: str) -> None:
        self.pid: int | None = None
        """The process that the recording is of. A recording of another is an earlier one, about to be replaced."""
        self._awaited = file_format.Awaited(path)
        self._reader: Reader | None = None
        self._tasks: list[_Task] = []

    def add(self, every: int, function: Callable[[Reader], object]) -> None:
        """Have a function called with the ``Reader`` of the recording every so many nanoseconds."""
        self._tasks.append(_Task(every, function))

    def __bool__(self) -> bool:
        return bool(self._tasks)

    @property
    def next_due(self) -> int | None:
        """When the next function is to be called, on ``time.monotonic_ns``; None if there is none."""
        return min((task.due for task in self._tasks), default=None)

    def poll(self) -> None:
        """Call the functions that are due."""
        for task in self._tasks:
            if time.monotonic_ns() >= task.due:
                reader = self._advanced()
                if reader is not None:
                    task.function(reader)
                task.due = time.monotonic_ns() + task.every

    def _advanced(self) -> Reader | None:
        """The reader, which has read all rows so far; None if there is no recording yet."""
        try:
            if self._reader is None:
                if self._awaited.origin(self.pid) is None:
                    return None
                self._reader = Reader(self._awaited.path)
            self._reader.advance()
        except (FormatError, ValueError, OSError):  # the program has not begun the file, or has removed it
            return None
        return self._reader if self._reader.rows is not None else None

    def close(self) -> None:
        """Close the file."""
        if self._reader is not None:
            self._reader.close()


@contextmanager
def progress_of(
    path: str, plugins: Plugins, options: argparse.Namespace, complain: Callable[[str], object]
) -> Iterator[Progress]:
    """The progress that the options ask for; ``complain`` gets one line if there is no terminal for the status line."""
    progress = Progress(path)
    if plugins.has("memkit_follow"):
        progress.add(FOLLOW_EVERY, lambda reader: plugins.follow(reader.recording(), options))
    try:
        if not options.live:
            yield progress
            return
        with terminal.bottom_row() as row:
            if row is None:
                complain("--live: there is no terminal to draw on, so nothing is drawn")
            else:
                _add_status_line(progress, row)
            yield progress
    finally:
        progress.close()


def _add_status_line(progress: Progress, row: terminal.BottomRow) -> None:
    status = status_line.StatusLine(status_line.can_show_blocks())

    def draw(reader: Reader) -> None:
        if reader.rows is not None and status.update(reader.rows):
            row.show(status.text)

    progress.add(status_line.EVERY, draw)
