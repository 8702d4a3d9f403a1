"""Those who look at a recording while it is made: plugins once a second, the status line more often."""

from __future__ import annotations

import time
from contextlib import contextmanager

from memkit.base.errors import FormatError
from memkit.base.plugins import Plugins
from memkit.model import file_format
from memkit.model.reader import Reader
from memkit.run import status_line, terminal

FOLLOW_EVERY = 1.0


class Onlookers:
    """What is to be called with the recording in ``path`` meanwhile, and how often. True if there is any."""

    def __init__(self, path: str):
        self.pid = None
        """The process that the recording will be of: another's is an older one, which is about to be replaced."""
        self._path = path
        self._reader = None
        self._each = []  # [seconds, when next, function]

    def add(self, every: float, look) -> None:
        """Have ``look`` called with the ``Reader`` of the recording every so many seconds."""
        self._each.append([every, time.monotonic() + every, look])

    def __bool__(self):
        return bool(self._each)

    @property
    def wait(self) -> float | None:
        """Seconds until the next is to be called; None where there is nobody."""
        return max(0.0, min(due for _, due, _ in self._each) - time.monotonic()) if self._each else None

    def look(self) -> None:
        """Call those whose time has come."""
        for each in self._each:
            if time.monotonic() >= each[1]:
                if self._advanced():
                    each[2](self._reader)
                each[1] = time.monotonic() + each[0]

    def _advanced(self) -> bool:
        """Whether there is a recording yet, all of which has been read."""
        try:
            if self._reader is None:
                origin = file_format.origin(self._path)
                if origin is None or origin[0] != self.pid:
                    return False
                self._reader = Reader(self._path)
            self._reader.advance()
        except (FormatError, ValueError, OSError):  # the program has not got so far, or removed it
            return False
        return self._reader.rows is not None

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()


@contextmanager
def onlookers(path: str, plugins: Plugins, options, complain):
    """Those who look at the recording in ``path``; ``complain`` is told in a line where there is nothing to draw on."""
    them = Onlookers(path)
    if plugins.has("memkit_follow"):
        them.add(FOLLOW_EVERY, lambda reader: plugins.follow(reader.recording(), options))
    try:
        if not options.live:
            yield them
            return
        with terminal.bottom_row() as row:
            if row is None:
                complain("--live: there is no terminal to draw on, so nothing is drawn")
            else:
                status = status_line.Status(status_line.can_show_blocks())
                them.add(status_line.EVERY, lambda reader: status.look(reader.rows) and row.show(status.text))
            yield them
    finally:
        them.close()
