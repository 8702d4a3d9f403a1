"""Watching a process tree: poll it when something has happened or an interval is over, while waiting for something else."""

from __future__ import annotations

import os

from memkit.base import clocks
from memkit.base.descriptors import identity, readable
from memkit.base.errors import MeterError, in_a_line, lost_rows
from memkit.base.stderr import to_stderr
from memkit.base.threads import SystemThread, signals_blocked, wait_for_end
from memkit.model import file_format
from memkit.system import engine, processes
from memkit.system.oom import Kills
from memkit.tree.budget import Budget
from memkit.tree.tree import Tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from memkit.base.protocols import ProcessEvents, ProcessSource
    from memkit.model.file_format import Awaited
    from memkit.system.engine import Journal

    EventsOrReason = tuple[ProcessEvents | None, str | None]  # the events, or why there are none

_MILLISECOND = 1_000_000
_SECOND = 1000 * _MILLISECOND
_EVENTS_SHARE = 0.05  # of the time may be spent on events; beyond that they are left waiting for a while
_EVENTS_START, _EVENTS_MOST, _EVENTS_PAUSE = 20 * _MILLISECOND, 50 * _MILLISECOND, 5 * _MILLISECOND
_UNTIL_FILE = 2 * _MILLISECOND  # between two checks whether the recording has begun


def events_of_threads(threads: Sequence[int] = (0,)) -> EventsOrReason:
    """The kernel's events of all processes that some threads start, and None; or None, and why there are none.

    ``threads`` are their ids, 0 for the calling thread.
    """
    if engine.NAME != "native":
        return None, engine.REASON
    try:
        from memkit.native.sampling.process_events import ProcessEvents

        return ProcessEvents(threads), None
    except (ImportError, MeterError) as error:
        return None, str(error)


def events_of_tree(pid: int, source: ProcessSource) -> EventsOrReason:
    """The same for a running process and all its descendants."""
    if not isinstance(source, processes.Proc):
        return None, engine.REASON
    found, children = [pid], source.kinship()
    for each in found:
        found += [child for child in children(each) if child not in found and child != os.getpid()]
    return events_of_threads([thread for each in found for thread in source.threads(each)])


class TreeWatch:
    """Polls a tree while it waits for something else."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self._budget = Budget(_EVENTS_SHARE, _EVENTS_START, _EVENTS_MOST)

    def until(self, deadline: int, descriptor: int | None = None) -> bool:
        """Watch until a moment on ``time.monotonic_ns``, or until a descriptor is readable; return whether it is."""
        while True:
            began = clocks.thread_time_ns()
            due = self.tree.poll()
            self._budget.spend(clocks.thread_time_ns() - began)
            now = clocks.monotonic_ns()
            if now >= deadline:
                return bool(descriptor is not None and readable([descriptor]))
            events = self.tree.descriptors
            if not self._budget.allows(now):
                events, due = [], max(due, now + _EVENTS_PAUSE)
            wanted = events if descriptor is None else [descriptor, *events]
            if descriptor in readable(wanted, max(0, min(due, deadline) - now)):
                return True


class OutsideTree:
    """Watches the tree of another process, and adds its rows to the recording of that, once the file has begun.

    ``recording`` is awaited since before the process could begin it; ``command`` is the process's command line; ``followed``
    is whether its children write into the file, too; ``events`` is what ``events_of_threads`` returned to the thread that
    has started the process, before it did.
    """

    def __init__(
        self, pid: int, recording: Awaited, command: str, interval: int, meter: str, followed: bool, events: EventsOrReason
    ) -> None:
        self._pid, self._recording, self._command = pid, recording, command
        self._interval, self._meter = interval, meter
        self._followed = followed
        self._events, self._reason = events
        self._journal: Journal | None = None
        self._watch: TreeWatch | None = None
        self._failed = False

    @property
    def exiting(self) -> bool:
        """As ``Tree.exiting``."""
        return self._watch is not None and self._watch.tree.exiting

    def until(self, deadline: int, descriptor: int | None = None) -> bool:
        """As ``TreeWatch.until``. It goes on waiting if polling fails."""
        while True:
            now = clocks.monotonic_ns()
            if now >= deadline:
                return False
            try:
                watch = self._watch or self._begin()
                if watch is not None:
                    return watch.until(deadline, descriptor)
                pause = _UNTIL_FILE
            except Exception as error:
                self._give_up(error)
                pause = _SECOND
            waited_for = [] if descriptor is None else [descriptor]
            if descriptor in readable(waited_for, min(pause, deadline - now)):
                return True

    def shares_file(self) -> None:
        """From now on others write into the recording, too."""
        self._followed = True
        if self._journal is not None:
            self._journal.begin_writes_with(file_format.segment(0))

    def _give_up(self, error: Exception) -> None:
        self._watch, self._failed = None, True
        to_stderr(f"what it starts is no longer recorded: {in_a_line(error)}")

    def _begin(self) -> TreeWatch | None:
        """Begin to watch; None if the recording has not begun yet."""
        origin = None if self._failed else self._recording.origin(self._pid)
        if origin is None:
            return None
        try:
            file = os.open(self._recording.path, os.O_WRONLY | os.O_APPEND | getattr(os, "O_BINARY", 0))
        except OSError:
            return None
        self._journal = engine.Journal(file, self._recording.path)
        if self._followed:
            self._journal.begin_writes_with(file_format.segment(0))
        tree = Tree(
            self._pid,
            self._journal,
            processes.here(),
            origin=origin,
            command=self._command,
            interval=self._interval,
            meter=self._meter,
            events=self._events,
            reason=self._reason,
            kills=Kills(self._pid),
        )
        self._watch = TreeWatch(tree)
        return self._watch

    def close(self) -> None:
        """Poll for the last time. Raises ``JournalError`` if rows were lost."""
        try:
            watch = self._watch or self._begin()
            if watch is not None:
                watch.tree.close()
        except Exception as error:
            self._give_up(error)
        if self._journal is None:
            return
        self._journal.close()
        if self._journal.error:
            raise lost_rows(self._journal, repr(self._recording.path), "rows about what it started")


class TreeThread:
    """A thread that watches the descendants of its own process, for ``record(children=True)``."""

    def __init__(self, journal: Journal, origin: int, interval: int, meter: str) -> None:
        source = processes.here()
        me = os.getpid()
        events, reason = events_of_tree(me, source)
        self._tree = Tree(
            me,
            journal,
            source,
            origin=origin,
            interval=interval,
            meter=meter,
            events=events,
            reason=reason,
            kills=Kills(),
            in_process=True,
        )
        self._watch = TreeWatch(self._tree)
        self._stopping = False
        self._running: tuple[SystemThread, WakePipe] | None = None

    def start(self) -> None:
        """Poll for the first time, and start the thread."""
        self._tree.poll()
        self.resume()

    def resume(self) -> None:
        """Start the thread, unless it runs."""
        if self._running is not None:
            return
        self._stopping = False
        wake = WakePipe()
        with signals_blocked():
            self._running = SystemThread(lambda: self._run(wake)), wake

    def pause(self) -> None:
        """End the thread, as before a fork."""
        if self._running is None:
            return
        thread, wake = self._running
        self._stopping = True
        wake.write()
        wait_for_end(thread)
        self._running = None
        wake.close()

    def stop(self) -> None:
        """End the thread, and poll for the last time."""
        self.pause()
        self._tree.close()

    def _run(self, wake: WakePipe) -> None:
        try:
            while not self._stopping:
                end = wake.end
                # If the program has closed the pipe, the flag is polled.
                self._watch.until(clocks.monotonic_ns() + (_SECOND if end is not None else _EVENTS_PAUSE), end)
        except Exception as error:
            to_stderr(f"its children are no longer recorded: {in_a_line(error)}")


class WakePipe:
    """A pipe that wakes a thread, in a program that may close any descriptor and use its number again."""

    def __init__(self) -> None:
        self._ends: tuple[int, ...]
        try:
            self._ends = os.pipe()
        except OSError:
            self._ends = ()
        self._identities = [identity(end) for end in self._ends]

    @property
    def end(self) -> int | None:
        """The end to wait for; None if the program has closed it."""
        import select

        return self._ends[0] if self._is_ours(0) and self._is_ours(1) and hasattr(select, "poll") else None

    def write(self) -> None:
        """Wake the thread."""
        if self._is_ours(1):
            os.write(self._ends[1], b".")

    def close(self) -> None:
        """Close both ends, if they are still this pipe's."""
        for index in range(len(self._ends)):
            if self._is_ours(index):
                os.close(self._ends[index])
        self._ends = ()

    def _is_ours(self, index: int) -> bool:
        return bool(self._ends) and identity(self._ends[index]) == self._identities[index]
