"""The processes of a tree, each with what was written about it last."""

from __future__ import annotations

from memkit.journal import row
from memkit.totals import Part


class Member:
    """A process of the tree."""

    __slots__ = (
        *("at", "began", "born", "checks", "command", "exited", "handle", "held", "image", "mark", "part", "pid", "reading"),
        *("refused", "root", "unnamed", "written"),
    )

    def __init__(self, pid: int, began: int, root: bool, forked: bool):
        self.pid, self.began, self.root = pid, began, root
        self.part = Part(forked)
        self.born = self.image = self.reading = self.handle = None
        self.exited = None
        """When its main thread is known to have ended."""
        self.checks = 0
        """How often it was looked at since."""
        self.command = ""
        self.unnamed = None
        """When it began to run another program, and the short name of that, while its words are not known."""
        self.mark = 0
        """The system's mark of its memory, up to which all has been written."""
        self.written = self.at = self.held = None
        """Memory in its last row, and when that was; when it was seen to be that still."""
        self.refused = False
        """Whether its shares may not be read."""

    def take(self, reading, moment: int, meter: str) -> bytes:
        """Note how it is, and return rows with what is new about its memory."""
        self.reading = reading
        memory = self._measured(meter)
        if memory is None:
            return b""
        peak = memory
        if reading.mark and meter == "rss":
            if reading.mark > self.mark:
                peak = max(peak, reading.mark)
            self.mark = reading.mark
        if memory == self.written and peak == memory:
            self.held = moment if moment > self.at else None
            return b""
        rows = self.last() + self._sample(moment, memory, peak - memory)
        self.written, self.at = memory, moment
        return rows

    def last(self) -> bytes:
        """A row that says until when memory was what it was in the row before; empty where that says nothing new."""
        if self.held is None:
            return b""
        moment, self.held = self.held, None
        return self._sample(moment, self.written, 0)

    def _measured(self, meter):
        if meter in ("pss", "uss"):
            return getattr(self.part, meter) if self.part.known else None
        return getattr(self.reading, meter)

    def _sample(self, moment, memory, rise):
        return row("sample", moment, memory, rise, *(() if self.root else (self.pid,)))
