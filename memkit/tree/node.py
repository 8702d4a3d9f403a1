"""One process of a tree, and its rows: its memory, written only when that changes."""

from __future__ import annotations

from memkit.model.file_format import row
from memkit.tree.share_estimate import ShareEstimate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from memkit.base.protocols import ProcessSource
    from memkit.system.pidfd import Pidfd
    from memkit.system.processes import Reading

_YOUNG = 5_000_000  # nanoseconds


class Node:
    """A process of the tree. Times are nanoseconds since the recording began."""

    __slots__ = (
        *("born", "command", "exited", "handle", "image", "mark", "pid", "reading", "refused", "root", "share"),
        *("_first", "_memory", "_unchanged_until", "_written_at", "began", "new_image"),
    )

    def __init__(self, pid: int, began: int, root: bool, forked: bool) -> None:
        self.pid, self.began, self.root = pid, began, root
        self.share = ShareEstimate(forked)
        self.born: float | None = None
        """When it began, in the system's own measure: with its number what tells it from any other."""
        self.image: object = None
        self.reading: Reading | None = None
        self.handle: Pidfd | None = None
        self.exited: int | None = None
        """When its main thread ended, on the monotonic clock."""
        """How often it was checked since then whether it has ended."""
        self.command = ""
        self.new_image: tuple[int, str] | None = None
        """When it executed another program, and the short name of that, until its command line is known."""
        self.mark = 0
        """The high-water mark of its memory that has been written."""
        self.refused = False
        """Whether its shares may not be read."""
        self._memory: int | None = None  # in its last row
        self._written_at = 0  # when that was
        self._unchanged_until: int | None = None  # until when it was the same, if that is not written yet
        self._first: tuple[Reading, int] | None = None  # the first reading, and when, as long as the process is young

    def is_young(self, moment: int) -> bool:
        """Whether it may be about to execute a program, and share all memory with its parent until then (vfork)."""
        return self.share.forked and self._memory is None and moment - self.began < _YOUNG

    def is_over(self, reading: Reading | None, source: ProcessSource) -> bool:
        """Whether it has ended. Where it cannot be read, as with no descriptor left, it lives as long as it is listed."""
        if reading is None:
            return not source.lists(self.pid)
        return reading.over or reading.born != self.born

    def take(self, reading: Reading, moment: int, meter: str) -> bytes:
        """Keep a reading, and return the rows of what has changed."""
        self.reading = reading
        if self.is_young(moment):
            self._first = self._first or (reading, moment)
            return b""
        return self._first_rows(meter) + self._rows(reading, moment, meter)

    def last(self, meter: str) -> bytes:
        """The row that says until when memory was as in the row before; empty if there is nothing to say."""
        return self._first_rows(meter) + self._unchanged_row()

    def _first_rows(self, meter: str) -> bytes:
        """The rows of the first reading of a young process, once it is known to keep the memory that it was forked with."""
        if self._first is None:
            return b""
        (reading, moment), self._first = self._first, None
        return self._rows(reading, moment, meter) if self.share.forked else b""

    def _rows(self, reading: Reading, moment: int, meter: str) -> bytes:
        memory = self._measured(reading, meter)
        if memory is None:
            return b""
        peak = memory
        if reading.mark and meter == "rss":
            if reading.mark > self.mark:
                peak = max(peak, reading.mark)
            self.mark = reading.mark
        if memory == self._memory and peak == memory:
            self._unchanged_until = moment if moment > self._written_at else None
            return b""
        rows = self._unchanged_row() + self._sample(moment, memory, peak - memory)
        self._memory, self._written_at = memory, moment
        return rows

    def _unchanged_row(self) -> bytes:
        if self._unchanged_until is None or self._memory is None:
            return b""
        moment, self._unchanged_until = self._unchanged_until, None
        return self._sample(moment, self._memory, 0)

    def _measured(self, reading: Reading, meter: str) -> int | None:
        if meter in ("pss", "uss") and not self.share.known:
            return None
        name = "anonymous" if meter == "anon" else meter
        memory: int | None = getattr(self.share if meter in ("pss", "uss") else reading, name)
        return memory

    def _sample(self, moment: int, memory: int, rise: int) -> bytes:
        return row("sample", moment, memory, rise, *(() if self.root else (self.pid,)))


def unnamed(elder: Node | None, reading: Reading | None) -> str:
    """What a process runs whose command line is empty, because it is ending."""
    if elder is not None and (reading is None or reading.forked):
        return elder.command
    return f"({reading.name})" if reading is not None else ""


def has_image_of(elder: Node | None, reading: Reading | None) -> bool:
    """Whether a process runs the program of its parent, and so was forked and has not executed another."""
    if elder is None or reading is None:
        return False
    return reading.parent == elder.pid and reading.image is not None and reading.image == elder.image
