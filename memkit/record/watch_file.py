"""The recording in one file of a watch, and how it goes on in the next one."""

from __future__ import annotations

import os

from memkit.base import clocks, own_code
from memkit.model import file_format
from memkit.record import limit_guard, resolve
from memkit.record.recorder import Recorder
from memkit.record.settings import Settings
from memkit.system import engine

own_code.uninterruptible |= {__file__}


class WatchFile(Recorder):
    """The recording in one file. ``near`` is whether more is recorded, near a limit."""

    def __init__(self, settings: Settings, near: bool, argv: list[str] | None) -> None:
        super().__init__(settings, argv=argv)
        self.near = near
        self._earlier: WatchFile | None = None
        self._inode = 0

    def begin(self, earlier: WatchFile | None) -> None:
        """Begin, and end the earlier file: nothing is lost between them, and no span is in both."""
        self._goes_on_from = self._earlier = earlier if earlier is not None and earlier.running else None
        if self._counting and self._earlier is not None and self._earlier._tracing is None:
            resolve.prepare_heap(takes_balances=False)
        try:
            self.start()
            self._inode = os.stat(self.path or "").st_ino
            if self._earlier is not None:
                self._earlier._end_of_file(self)
        finally:
            self._goes_on_from = self._earlier = None

    def _start_tracing(self) -> None:
        """Sample the heap; what the earlier file's recording samples already goes on, with its sums."""
        earlier = self._earlier
        if earlier is None or earlier._tracing is None or not self._counting:
            super()._start_tracing()
            return
        from memkit.tracing.session import TracingSession

        self._tracing = TracingSession(self._journal, self._sampler, engine.Meter("rss"), self.started)
        self._tracing.go_on_with_heap(earlier._tracing)
        earlier._tracing = None

    def _end_of_file(self, following: WatchFile) -> None:
        """The recording has gone on in ``following``. Spans that are open here end here, however late."""
        self._halt()
        if self._tracing is not None:
            self._tracing.flush()
            self._tracing.close()
            self._tracing = None
        self._journal.text(file_format.row("end", clocks.monotonic_ns() - self.started, "continued"))
        self._journal.flush()
        self.spans.end_later(following.spans, self._journal.close)

    def size(self) -> int | None:
        """Bytes in the file; None where it is not there any more, or is another's."""
        try:
            found = os.stat(self.path or "")
        except OSError:
            return None
        return found.st_size if found.st_ino == self._inode else None

    @property
    def failed(self) -> bool:
        """Whether rows were lost: a full disk may have room again, in another file."""
        return bool(self._journal.error)

    def write_stacks(self) -> None:
        """Write where all threads are, and all that is known, at once."""
        time = clocks.monotonic_ns() - self.started
        self._journal.text(file_format.row("snapshot", time, 1) + limit_guard.Bound.stacks(time))
        self.flush()
