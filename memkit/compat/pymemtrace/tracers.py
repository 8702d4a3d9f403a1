"""``Profile`` and ``Trace``: what this thread calls, or runs line by line, and what memory was at it."""

from __future__ import annotations

import operator
import os
import sys

from memkit.compat.pymemtrace.textlog import OWN, TextLog, arguments, path_or_none, text_or_none
from memkit.system import engine

_HEAD = "HDR: {:<12} {:<6}  {:<12} {:<8} {:<80} {:>4} {:<32} {:>12} {:>12}".format(
    "Event", "dEvent", "Clock", "What", "File", "Line", "Function", "RSS", "dRSS"
)


class _Tracer(TextLog):
    def __init__(self, *given, **named):
        values = arguments({"d_rss_trigger": -1, "message": None, "filepath": None}, given, named)
        trigger = operator.index(values["d_rss_trigger"])
        self._trigger = os.sysconf("SC_PAGESIZE") if trigger < 0 else trigger
        super().__init__(text_or_none(values["message"], 2), path_or_none(values["filepath"]))

    def write_to_log(self, text: str) -> None:
        """Write a line as it is. Raises ``OSError`` before and after the block."""
        self._check(text, "write_to_log")
        self._write(f"{text}\n")

    def _open(self, path):
        try:
            super()._open(path)
        except OSError:
            print(f"Can not open writable file for cpyTraceFileWrapper at {path}", file=sys.stderr)
            raise RuntimeError(f"py_attach_{self.kind}_function(): Could not attach {self.kind} function.") from None

    def _begin(self, frame):
        with engine.compiled("an event log"):
            from memkit.native.tracing import gate
            from memkit.native.tracing.event_log import EventLog

        gate.chosen()
        kinds = {"calls": self.kind == "profile", "lines": self.kind == "trace"}
        meter = engine.Meter("rss")
        self._log = EventLog(self._journal, meter, trigger=self._trigger, padded=True, own=tuple(OWN), **kinds)
        self._log.mark(b"FRST: ", frame)
        self._log.start(False)

    def _end(self, frame):
        self._log.stop()
        self._log.mark(b"LAST: ", frame, True)
        self._log.close()

    def _suspend(self):
        self._log.pause()

    def _resume(self):
        self._log.resume()

    def _head(self):
        return _HEAD

    def _now(self):
        from time import process_time

        number = self._log.events + 1
        return f"  {number:<12} +{number - self._log.last:<6} {process_time():<12.6f}"


class Profile(_Tracer):
    """Logs the calls and returns of this thread, of Python and of C functions: a context manager.

    ``Profile(d_rss_trigger=-1, message=None, filepath=None)``: an event is written where resident memory differs by that
    many bytes from what it was at the last one that was written; -1 is the size of a page, 0 every event. The message
    stands at the beginning of the log. Without a path the log gets a name of its own in the current folder.
    """

    kind, letter = "profile", "P"
    detaching = "Detaching this profile file wrapper. New file:"
    attaching = "Re-attaching this profile file wrapper."


class Trace(_Tracer):
    """Logs the lines, calls, returns and exceptions of this thread: a context manager with the arguments of ``Profile``."""

    kind, letter = "trace", "T"
    detaching = "Detaching this trace file wrapper. New file:"
    attaching = "Re-attaching this trace file wrapper."


OWN.append(_Tracer.__init__.__code__.co_filename)
