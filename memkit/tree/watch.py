"""Waiting for what happens in a process tree, and looking at it when there is something to see."""

from __future__ import annotations

import _signal
import _thread
import os
import sys
import time

from memkit.base.descriptors import identity, readable
from memkit.base.errors import MeterError, lost_rows
from memkit.model import file_format
from memkit.system import engine, processes
from memkit.system.oom import Kills
from memkit.tree.pss import Budget
from memkit.tree.tree import Tree

_MILLISECOND = 1_000_000
_SECOND = 1000 * _MILLISECOND
_LISTENING_SHARE = 0.05  # events may take this part of the time; when they take more they wait for a while
_LISTENING_START, _LISTENING_MOST, _DEAF = 20 * _MILLISECOND, 50 * _MILLISECOND, 5 * _MILLISECOND
_UNBEGUN = 2 * _MILLISECOND


def family_of(threads=(0,)) -> tuple:
    """What tells of the births and ends of all that some threads start, and None; or None, and why there is none.

    ``threads`` are their numbers, 0 for the thread that calls.
    """
    if engine.NAME != "native":
        return None, engine.REASON
    try:
        from memkit.native.sampling.process_events import Family

        return Family(threads), None
    except (ImportError, MeterError) as error:
        return None, str(error)


def family_around(pid: int, source) -> tuple:
    """The same for a process that runs already, and for all that it has started so far."""
    if not isinstance(source, processes.Proc):
        return None, engine.REASON
    found, children = [pid], source.kinship()
    for each in found:
        found += [child for child in children(each) if child not in found and child != os.getpid()]
    return family_of([thread for each in found for thread in source.threads(each)])


class Watch:
    """A tree that is looked at while somebody waits for something else."""

    def __init__(self, tree: Tree):
        self.tree = tree
        self._listening = Budget(_LISTENING_SHARE, _LISTENING_START, _LISTENING_MOST)

    def until(self, deadline: int, descriptor: int | None = None) -> bool:
        """Watch until a moment on ``time.monotonic_ns``, or until a descriptor is readable; return whether it is."""
        while True:
            began = time.thread_time_ns()
            due = self.tree.look()
            self._listening.spend(time.thread_time_ns() - began)
            now = time.monotonic_ns()
            if now >= deadline:
                return bool(descriptor is not None and readable([descriptor]))
            others = self.tree.descriptors
            if not self._listening.allows(now):
                others, due = [], max(due, now + _DEAF)
            wanted = others if descriptor is None else [descriptor, *others]
            if descriptor in readable(wanted, max(0, min(due, deadline) - now)):
                return True


class Outside:
    """Watches what a process has started that records itself into a file: rows are added to that, once it is there.

    ``command`` is what it runs, ``followed`` is whether what it starts writes into the file itself;
    ``family`` is what ``family_of`` gave to the thread that started the process, before it did.
    """

    def __init__(self, pid: int, path: str, command: str, interval: int, meter: str, followed: bool, family: tuple):
        self._pid, self._path, self._command = pid, path, command
        self._followed = followed
        self._settings = interval, meter, *family
        self._journal = None
        self._watch = None
        self._failed = False

    def until(self, deadline: int, descriptor: int | None = None) -> bool:
        """As ``Watch.until``. Nothing that goes wrong with looking keeps it from waiting."""
        while True:
            now = time.monotonic_ns()
            if now >= deadline:
                return False
            try:
                if self._watch is not None or self._begin():
                    return self._watch.until(deadline, descriptor)
                pause = _UNBEGUN
            except Exception as error:
                self._give_up(error)
                pause = _SECOND
            waited_for = [] if descriptor is None else [descriptor]
            if descriptor in readable(waited_for, min(pause, deadline - now)):
                return True

    def _give_up(self, error):
        self._watch, self._failed = None, True
        print(f"memkit: what it starts is no longer recorded: {type(error).__name__}: {error}", file=sys.stderr)

    def _begin(self) -> bool:
        found = None if self._failed else file_format.origin(self._path)
        if found is None or found[0] != self._pid:
            return False
        interval, meter, family, seen = self._settings
        try:
            file = os.open(self._path, os.O_WRONLY | os.O_APPEND | getattr(os, "O_BINARY", 0))
        except OSError:
            return False
        self._journal = engine.Journal(file, self._path)
        if self._followed:
            self._journal.begin_writes_with(file_format.segment(0))
        tree = Tree(
            self._pid,
            self._journal,
            processes.here(),
            origin=found[1],
            command=self._command,
            interval=interval,
            meter=meter,
            family=family,
            seen=seen,
            kills=Kills(self._pid),
        )
        self._watch = Watch(tree)
        return True

    def close(self) -> None:
        """Look for the last time. Raises ``JournalError`` if rows were lost."""
        try:
            if self._watch is not None or self._begin():
                self._watch.tree.close()
        except Exception as error:
            self._give_up(error)
        if self._journal is None:
            return
        self._journal.close()
        if self._journal.error:
            raise lost_rows(self._journal, repr(self._path), "rows about what it started")


class Inside:
    """A thread that watches the descendants of the very process it runs in, for ``record(children=True)``."""

    def __init__(self, journal, origin: int, interval: int, meter: str):
        source = processes.here()
        me = os.getpid()
        family, why = family_around(me, source)
        self._tree = Tree(
            me,
            journal,
            source,
            origin=origin,
            interval=interval,
            meter=meter,
            family=family,
            seen=why,
            kills=Kills(),
            guest=True,
        )
        self._watch = Watch(self._tree)
        self._stopping = False
        self._done = None
        self._wake = None

    def start(self) -> None:
        """Look for the first time, and begin to watch."""
        self._tree.look()
        self.resume()

    def resume(self) -> None:
        """Start the thread, unless it runs."""
        if self._done is not None:
            return
        self._stopping = False
        self._wake = Pipe()
        self._done = _thread.allocate_lock()
        self._done.acquire()
        with signals_blocked():
            _thread.start_new_thread(self._run, (self._done, self._wake))

    def pause(self) -> None:
        """End the thread, so that a fork finds none."""
        if self._done is None:
            return
        self._stopping = True
        self._wake.write()
        self._done.acquire()
        self._done = None
        self._wake.close()

    def stop(self) -> None:
        """End the thread, and look for the last time."""
        self.pause()
        self._tree.close()

    def _run(self, done, wake) -> None:
        try:
            while not self._stopping:
                end = wake.end
                # Where the program has closed what wakes us, the flag is looked at now and then.
                self._watch.until(time.monotonic_ns() + (_SECOND if end is not None else _DEAF), end)
        except Exception as error:
            if sys.stderr is not None:
                print(f"memkit: its children are no longer recorded: {type(error).__name__}: {error}", file=sys.stderr)
        finally:
            done.release()


class signals_blocked:
    """While a thread is started: signals are for the threads of the program, and interrupt what these wait for."""

    def __enter__(self):
        if hasattr(_signal, "pthread_sigmask"):
            self._before = _signal.pthread_sigmask(_signal.SIG_SETMASK, _signal.valid_signals())

    def __exit__(self, *_):
        if hasattr(_signal, "pthread_sigmask"):
            _signal.pthread_sigmask(_signal.SIG_SETMASK, self._before)


class Pipe:
    """What wakes a thread, in a process that may close any descriptor and use its number again."""

    def __init__(self):
        try:
            self._ends = os.pipe()
        except OSError:
            self._ends = ()
        self._what = [identity(end) for end in self._ends]

    @property
    def end(self) -> int | None:
        """What to wait for, or None where it is there no longer."""
        import select

        return self._ends[0] if self._ours(0) and self._ours(1) and hasattr(select, "poll") else None

    def write(self) -> None:
        if self._ours(1):
            os.write(self._ends[1], b".")

    def close(self) -> None:
        for number in range(len(self._ends)):
            if self._ours(number):
                os.close(self._ends[number])
        self._ends = ()

    def _ours(self, number: int) -> bool:
        return bool(self._ends) and identity(self._ends[number]) == self._what[number]
