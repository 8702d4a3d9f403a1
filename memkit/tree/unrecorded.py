"""Processes that a program starts and that are not recorded: how many were seen, and how large they were at least.

They are looked for rarely, so that this costs next to nothing: what came and went between two looks is missing.
"""

from __future__ import annotations

import os
import sys

from memkit.base import clocks, own_code
from memkit.base.descriptors import readable
from memkit.model.file_format import row
from memkit.system import engine, processes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from memkit.base.protocols import ProcessSource

own_code.uninterruptible |= {__file__, processes.__file__}  # it runs as a recording ends
_SECOND = 1_000_000_000
_FIRST, _SHARE = _SECOND // 50, 20  # the next look comes when 1/20 of the time has passed again, at most after a second
_MOST = 1000


class Unrecorded:
    """The processes that one has started since a moment on ``time.monotonic_ns``, as far as they were seen.

    It can be given to ``wait`` as its tree.
    """

    exiting = False  # it is not told of what ends

    def __init__(self, pid: int, since: int, source: ProcessSource | None = None) -> None:
        self._pid, self._since, self._source = pid, since, source
        self._seen: dict[tuple[int, float], tuple[int, str]] = {}  # pid and when it began: memory and command
        self._due = since + _FIRST

    def until(self, deadline: int, descriptor: int | None = None) -> bool:
        """Look now and then until a moment, or until a descriptor is readable; return whether it is."""
        waited_for = [] if descriptor is None else [descriptor]
        while (now := clocks.monotonic_ns()) < deadline:
            if now >= self._due:
                self.look()
                pause = min(max(_FIRST, (now - self._since) // _SHARE), _SECOND)
                self._due = now + max(pause, 100 * (clocks.monotonic_ns() - now))
            if descriptor in readable(waited_for, max(0, min(self._due, deadline) - now)):
                return True
        return False

    def look(self) -> None:
        """See which there are, and how large each has been."""
        source = self._source = self._source or processes.here()
        children, waiting = source.kinship(), [self._pid]
        for parent in waiting:
            for pid in children(parent):
                reading = source.read(pid)
                if reading is None or pid == os.getpid() or pid in waiting:
                    continue
                waiting.append(pid)
                key = pid, reading.born
                known = self._seen.get(key)
                is_older = known is None and source.began(reading.born) + source.tick < self._since
                if reading.over or is_older or (known is None and len(self._seen) >= _MOST):
                    continue
                command = source.command(pid) or (known[1] if known else f"({reading.name})")
                self._seen[key] = max(reading.mark or reading.rss, known[0] if known else 0), command

    def rows(self) -> bytes:
        """A row for each that was seen."""
        return b"".join(row("unrecorded", pid, memory, command) for (pid, _), (memory, command) in self._seen.items())


def children_of_this_process(since: int) -> bytes:
    """The rows about those that this process has started since a moment on ``time.monotonic_ns``, and that live."""
    if sys.platform != "linux" or engine.NAME != "native":
        return b""
    found = Unrecorded(os.getpid(), since, processes.Proc())
    try:
        found.look()
    except OSError:  # the program is out of descriptors, for instance
        return b""
    return found.rows()
