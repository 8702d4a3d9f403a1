"""The event log: each call, return, line and exception at which memory had changed, written as CSV as it happens."""

from __future__ import annotations

import _thread
import atexit
import os
import sys

from memkit.base import own_code, paths
from memkit.base.errors import JournalError, MeterError, UsageError, in_a_line, lost_rows
from memkit.base.units import parse_bytes
from memkit.model.file_format import EVENT_LOG_HEAD as HEAD
from memkit.record import files
from memkit.system import engine

TYPE_CHECKING = False
if TYPE_CHECKING:
    from memkit.native.tracing.event_log import EventLog as Log

own_code.uninterruptible.add(__file__)
_KIND = "event log"

_active: list[EventLog] = []
_lock = _thread.RLock()
_hooked = False


class EventLog:
    """Writes events into a CSV file as they happen, in all threads: a context manager, or ``start`` and ``stop``.

    ::

        with memkit.EventLog("load.csv", trigger="64KiB"):
            load()
        for row in memkit.read_log("load.csv"): ...

    ``trigger`` is by how many bytes memory must differ from what it was at the last row for the next row to be written: a
    whole number, or text such as ``"1MiB"``; without it the size of a page; 0 writes every event. The first event is
    written always. ``lines=False`` leaves out ``LINE`` and ``EXCEPT``, which cost the most.

    A file that has something else in it is left alone. Raises ``UsageError``, or ``MeterError`` where nothing was compiled;
    ``stop`` raises ``JournalError`` if rows were lost.
    """

    def __init__(self, path: str | os.PathLike[str], *, trigger: str | int | None = None, lines: bool = True):
        if engine.NAME != "native":
            raise MeterError(f"events can be logged with the native engine only; this is the portable one: {engine.REASON}")
        self.path = paths.absolute(path)
        self._trigger = os.sysconf("SC_PAGESIZE") if trigger is None else parse_bytes(trigger)
        self._lines = lines
        self._own = [EventLog.__init__.__code__.co_filename]
        self._log = None
        self._journal = None
        self._threads = ()

    @property
    def running(self) -> bool:
        """Whether it writes now."""
        return self in _active

    @property
    def events(self) -> int:
        """How many events there were, written or not."""
        return self._log.events if self._log is not None else 0

    def leave_out(self, code) -> None:
        """Say nothing of the events in the file that a code object comes from."""
        self._own.append(code.co_filename)

    def start(self) -> None:
        """Begin a new log. Raises ``UsageError`` where it cannot be written, or is being written."""
        with engine.compiled("an event log"):
            from memkit.native.tracing import event_log, gate

        gate.probe(os.environ.get("MEMKIT_GATE", ""))
        with _lock:
            if self.running:
                raise UsageError(f"{self.path!r} is being written: stop the log before starting it again")
            self._journal = files.begun_table(self.path, ",".join(HEAD), _KIND)
            try:
                self._begin(event_log.EventLog)
            except BaseException:
                self._let_go()
                raise

    def _begin(self, log: type[Log]) -> None:
        self._log = None  # that of the time before
        self._log = log(
            self._journal,
            engine.Meter("rss"),
            trigger=self._trigger,
            calls=True,
            lines=self._lines,
            padded=False,
            own=tuple(self._own),
        )
        _install_hooks()
        _active.append(self)
        self._follow_threads()
        self._log.start(True)

    def pause(self) -> None:
        """Let events go by, uncounted, until ``resume``."""
        if self.running:
            self._log.pause()

    def resume(self) -> None:
        """Go on after ``pause``."""
        if self.running:
            self._log.resume()

    def stop(self) -> None:
        """End the log. Harmless when it is not running, as in a forked child. Raises ``JournalError`` if rows were lost."""
        with _lock:
            if not self.running:
                return
            self._let_go()
        if self._journal.error:
            raise lost_rows(self._journal, repr(self.path))

    def __enter__(self) -> EventLog:
        self.start()
        return self

    def __exit__(self, kind, error, _) -> None:
        try:
            self.stop()
        except JournalError:
            if error is None:  # the program's own exception matters more
                raise

    # -- threads that start later ------------------------------------------------------------------------------------

    def _follow_threads(self) -> None:
        import threading

        self._threads = []
        for seat, name in ((self._log.calls, "profile"), (self._log.lines, "trace")):
            if seat is not None:
                before = getattr(threading, f"_{name}_hook")
                join = _joining(seat, getattr(sys, f"set{name}"), before)
                getattr(threading, f"set{name}")(join)
                self._threads.append((name, join, before))

    def _let_go(self) -> None:
        """Leave nothing at work, and hold nothing of the file."""
        if self in _active:
            _active.remove(self)
        if self._log is not None:
            self._log.stop()
            self._log.close()
        for name, join, before in self._threads:
            threading = sys.modules["threading"]
            if getattr(threading, f"_{name}_hook") is join:
                getattr(threading, f"set{name}")(before)
        self._threads = ()
        self._journal.close()


def _joining(seat, put, before):
    """What a new thread calls at its first event: it takes the thread in, behind whatever was to be called there."""

    def join(frame, event, argument):
        put(before)  # this function itself was put there, and is not to be passed on to
        if seat.take():
            seat(frame, event, argument)
        elif before is not None:
            return before(frame, event, argument)

    return join


# -- files -----------------------------------------------------------------------------------------------------------


def checked(text: str) -> str:
    """The absolute path of a log that can be written: no file that is something else. Raises ``UsageError``."""
    if text in ("", "-"):
        raise UsageError(f"an event log is a file, not {text!r}: give it a name")
    return files.table_path(text, ",".join(HEAD), _KIND)


# -- what happens to the process ---------------------------------------------------------------------------------------


def _install_hooks() -> None:
    global _hooked
    if not _hooked:
        _hooked = True
        atexit.register(_at_exit)
        os.register_at_fork(after_in_child=_in_child)


def _at_exit() -> None:
    failed = []
    for log in list(_active):
        try:
            log.stop()
        except Exception as error:  # the others are to end, too
            failed.append(error)
    if sys.stderr is not None:
        for error in failed:
            print(f"memkit: {in_a_line(error)}", file=sys.stderr)


def _in_child() -> None:
    global _lock
    _lock = _thread.RLock()
    for log in list(_active):
        log._let_go()
