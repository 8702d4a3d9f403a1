"""The event log: each call, return, line and exception at which memory had changed, written as CSV as it happens."""

from __future__ import annotations

import os

from memkit.base import own_code, paths
from memkit.base.errors import JournalError, MeterError, UsageError, lost_rows
from memkit.base.units import parse_bytes
from memkit.model.file_format import EVENT_LOG_HEAD as HEAD
from memkit.record import active, exit_status, files, script_end
from memkit.system import engine
from memkit.tracing import new_threads
from memkit.tracing.new_threads import NewThreads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType, TracebackType

    from memkit.native.tracing.event_log import EventLog as Log


own_code.uninterruptible |= {__file__, new_threads.__file__}
_KIND = "event log"


class EventLog:
    """Writes events of all threads into a CSV file as they happen: a context manager, or ``start`` and ``stop``.

    ::

        with memkit.EventLog("load.csv", trigger="64KiB"):
            load()
        for row in memkit.read_log("load.csv"): ...

    ``trigger`` is the least change of memory since the last row for which another row is written: bytes, or text such as
    ``"1MiB"``. The default is the size of a page; 0 writes every event. The first event is always written.
    ``lines=False`` leaves out ``LINE`` and ``EXCEPT``, which cost the most.

    An event log that exists is replaced, any other file refused. Raises ``UsageError``, or ``MeterError`` where the compiled
    modules are missing; ``stop`` raises ``JournalError`` if rows were lost.
    """

    def __init__(self, path: str | os.PathLike[str], *, trigger: str | int | None = None, lines: bool = True) -> None:
        if engine.NAME != "native":
            raise MeterError(f"events can be logged with the native engine only; this is the portable one: {engine.REASON}")
        self.path = paths.absolute(path)
        self._trigger = os.sysconf("SC_PAGESIZE") if trigger is None else parse_bytes(trigger)
        self._lines = lines
        own = (EventLog.__init__, active.install_hooks, exit_status.at_exit, script_end.watch)
        self._left_out = [function.__code__.co_filename for function in own]
        self._log: Log | None = None
        self._journal: engine.Journal | None = None
        self._new_threads: list[NewThreads] = []

    @property
    def running(self) -> bool:
        """Whether it is writing."""
        return self in active.others

    @property
    def events(self) -> int:
        """How many events have happened, written or not."""
        return self._log.events if self._log is not None else 0

    def leave_out(self, code: CodeType) -> None:
        """Write no events of code from the file that this code object comes from."""
        self._left_out.append(code.co_filename)

    def start(self) -> None:
        """Begin a new log. Raises ``UsageError`` if the file cannot be written, or is being written already."""
        with engine.compiled("an event log"):
            from memkit.native.tracing import event_log, gate

        gate.probe(os.environ.get("MEMKIT_GATE", ""))
        with active.lock:
            if self.running:
                raise UsageError(f"{self.path!r} is being written: stop the log before starting it again")
            self._journal = files.begun_table(self.path, ",".join(HEAD), _KIND)
            try:
                self._begin(event_log.EventLog, self._journal)
            except BaseException:
                self._release()
                raise

    def _begin(self, log: type[Log], journal: engine.Journal) -> None:
        self._log = None  # release the one of the last start first
        self._log = log(
            journal,
            engine.Meter("rss"),
            trigger=self._trigger,
            calls=True,
            lines=self._lines,
            padded=False,
            own=tuple(self._left_out),
        )
        active.install_hooks()
        active.others.append(self)
        self._hook_new_threads()
        self._log.start(True)

    def _hook_new_threads(self) -> None:
        assert self._log is not None
        for hook, kind in ((self._log.calls, "profile"), (self._log.lines, "trace")):
            if hook is not None:
                self._new_threads.append(NewThreads(kind, hook, hook.tell))

    def pause(self) -> None:
        """Ignore events, without counting them, until ``resume``."""
        if self._log is not None and self.running:
            self._log.pause()

    def resume(self) -> None:
        """Go on after ``pause``."""
        if self._log is not None and self.running:
            self._log.resume()

    def stop(self) -> None:
        """End the log, unless it is not running, as in a forked child. Raises ``JournalError`` if rows were lost."""
        with active.lock:
            if not self.running:
                return
            self._release()
        if self._journal is not None and self._journal.error:
            raise lost_rows(self._journal, repr(self.path))

    def end(self, *_: object) -> None:
        """End with the process."""
        self.stop()

    def before_fork(self) -> None:
        """A log has no thread of its own."""

    def after_fork_in_parent(self) -> None:
        """The log goes on as it was."""

    def after_fork_in_child(self) -> None:
        """The log is the parent's."""
        self._release()

    def __enter__(self) -> EventLog:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        try:
            self.stop()
        except JournalError:
            if error is None:  # the program's own exception matters more
                raise

    def _release(self) -> None:
        """Stop tracing, and close the file."""
        if self in active.others:
            active.others.remove(self)
        if self._log is not None:
            self._log.stop()
            self._log.close()
        for each in self._new_threads:
            each.stop()
        self._new_threads = []
        if self._journal is not None:
            self._journal.close()


def checked(text: str) -> str:
    """The absolute path of a log that can be written: not of a file that is something else. Raises ``UsageError``."""
    if text in ("", "-"):
        raise UsageError(f"an event log is a file, not {text!r}: give it a name")
    return files.table_path(text, ",".join(HEAD), _KIND)
