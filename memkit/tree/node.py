"""The processes of a tree, each with what was written about it last."""

from __future__ import annotations

from memkit.model.file_format import row
from memkit.tree.pss import Part

_YOUTH = 5_000_000  # nanoseconds


class Member:
    """A process of the tree."""

    __slots__ = (
        *(
            "at",
            "began",
            "born",
            "checks",
            "command",
            "exited",
            "first",
            "handle",
            "held",
            "image",
            "mark",
            "part",
            "pid",
            "reading",
        ),
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
        self.first = None
        """The first reading of it and when that was, as long as it is young."""
        self.refused = False
        """Whether its shares may not be read."""

    def young(self, moment: int) -> bool:
        """Whether it may be about to execute a program, and have its parent's very memory until then (vfork)."""
        return self.part.forked and self.written is None and moment - self.began < _YOUTH

    def take(self, reading, moment: int, meter: str) -> bytes:
        """Note how it is, and return rows with what is new about its memory."""
        self.reading = reading
        if self.young(moment):
            self.first = self.first or (reading, moment)
            return b""
        return self._first(meter) + self._rows(reading, moment, meter)

    def last(self, meter: str) -> bytes:
        """A row that says until when memory was what it was in the row before; empty where that says nothing new."""
        return self._first(meter) + self._held()

    def _first(self, meter):
        """What was seen of it while it was young, now that it turned out to be its own."""
        if self.first is None:
            return b""
        (reading, moment), self.first = self.first, None
        return self._rows(reading, moment, meter) if self.part.forked else b""

    def _rows(self, reading, moment, meter):
        memory = self._measured(reading, meter)
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
        rows = self._held() + self._sample(moment, memory, peak - memory)
        self.written, self.at = memory, moment
        return rows

    def _held(self):
        if self.held is None:
            return b""
        moment, self.held = self.held, None
        return self._sample(moment, self.written, 0)

    def _measured(self, reading, meter):
        if meter in ("pss", "uss"):
            return getattr(self.part, meter) if self.part.known else None
        return getattr(reading, meter)

    def _sample(self, moment, memory, rise):
        return row("sample", moment, memory, rise, *(() if self.root else (self.pid,)))
