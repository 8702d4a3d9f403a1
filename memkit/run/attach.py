"""Attaching to a running process: finding it, and recording it until it ends or the user stops the recording."""

from __future__ import annotations

import os
import signal
import time
from contextlib import contextmanager

from memkit.base.errors import MeterError, UsageError
from memkit.base.units import cut_apart, parse_interval
from memkit.model.file_format import Awaited
from memkit.run.external import ExternalProcess, ExternalRecording
from memkit.run.group_watch import GroupWatch
from memkit.run.launch import as_typed, interpreter_flags
from memkit.run.status_line import shortened
from memkit.run.waiting import Beside, wait
from memkit.system import engine, processes
from memkit.tree.unrecorded import Unrecorded
from memkit.tree.watch import OutsideTree, events_of_tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    import psutil

    from memkit.run.progress import Progress
    from memkit.run.signals import Handler

_STOPPING = ("SIGINT", "SIGTERM", "SIGHUP")
_LONGEST_COMMAND = 110  # columns, in a list of processes


# -- finding it --------------------------------------------------------------------------------------------------------


def find(word: str, meter: str) -> ExternalProcess:
    """The process with a number, or the only one with a word in its name or command line. Raises ``UsageError``.

    A number below 1 is refused, and not searched for as a word. The search leaves out this process, its ancestors and
    memkit's commands.
    """
    if meter not in engine.METERS:
        raise UsageError(f"meter {meter!r} cannot be read from outside; there are {', '.join(engine.METERS)}")
    if word.isascii() and word.removeprefix("-").isdecimal():
        return _with_pid(int(word), meter)
    if not word:
        raise UsageError("the name of the process is empty")
    matches, refusals = [], []
    for process, found in _with_word(word):
        refusal = _refusal(process, meter)
        if refusal is None:
            matches.append(found)
        else:
            refusals.append(refusal)
    if len(matches) == 1:
        return matches[0]
    if matches:
        commands = cut_apart((" ".join(each.argv) for each in matches), _LONGEST_COMMAND)
        pairs = zip(matches, commands)
        lines = "\n".join(f"{each.pid:>8}  {shortened(command, _LONGEST_COMMAND)}" for each, command in pairs)
        raise UsageError(
            f"{len(matches)} processes have {word!r} in their name or command; give the number of one:\n{lines}"
        )
    if refusals:
        raise UsageError(refusals[0])
    raise UsageError(f"there is no process with {word!r} in its name or command")


def _with_word(word: str) -> Iterator[tuple[psutil.Process, ExternalProcess]]:
    """The processes that have a word in their name or command line."""
    import psutil

    left_out = {os.getpid(), *(process.pid for process in psutil.Process().parents())}
    for process in psutil.process_iter():
        found = None if process.pid in left_out else _external(process)
        if found and (word in _name(process) or word in " ".join(found.argv)) and not _is_memkit(found):
            yield process, found


def _with_pid(pid: int, meter: str) -> ExternalProcess:
    import psutil

    if pid < 1:
        raise UsageError(f"{pid} is no process ID: give one from 1 on, or a part of the name or command line of a process")
    if pid == os.getpid():
        raise UsageError(f"process {pid} is this memkit itself")
    try:
        process = psutil.Process(pid)
    except (psutil.Error, OverflowError):
        process = None
    found = None if process is None else _external(process)
    if found is None:
        raise UsageError(f"there is no process {pid}")
    refusal = _refusal(process, meter)
    if refusal is not None:
        raise UsageError(refusal)
    return found


def _external(process: psutil.Process) -> ExternalProcess | None:
    """The process with its command line; None if it has just ended."""
    import psutil

    try:
        words = _words(process)
        if words is None:
            return None
        return ExternalProcess(process.pid, process.ppid(), tuple(as_typed(words)) if any(words) else (process.name(),))
    except psutil.Error:
        return None


def _words(process: psutil.Process) -> list[str] | None:
    """The command line of a process; None if it has just ended. If only its main thread has ended, another thread has it."""
    import psutil

    try:
        words: list[str] = process.cmdline()
        if words:
            return words
    except psutil.AccessDenied:
        return []
    except psutil.Error:
        if not process.is_running():
            return None
    tid = processes.here().memory_tid(process.pid)
    try:
        return list(psutil.Process(tid).cmdline()) if tid != process.pid else []
    except psutil.Error:
        return []


def _name(process: psutil.Process) -> str:
    import psutil

    try:
        return str(process.name())
    except psutil.Error:
        return ""


def _refusal(process: psutil.Process, meter: str) -> str | None:
    """Why the memory of a process cannot be read, in one line; None if it can."""
    import psutil

    try:
        engine.Meter(meter, processes.here().memory_tid(process.pid))
    except MeterError as error:
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                return f"process {process.pid} is a zombie: it has exited, but its parent has not reaped it"
            if not process.cmdline() and not process.memory_info().vms:
                return f"process {process.pid} ({process.name()}) is a kernel thread: it has no memory of its own"
            theirs = f"process {process.pid} ({process.name()}) of user {process.username()}"
        except psutil.Error:
            return str(error)
        return f"{theirs}: {error}"
    return None


def _is_memkit(process: ExternalProcess) -> bool:
    """Whether a process is one of memkit's commands. What ``memkit-run`` has started is not."""
    first, *rest = process.argv
    flags = interpreter_flags([*rest, ""])  # the last word may look like an option of Python's that takes an argument
    script, *more = rest[len(flags) :] or [""]
    ran = more[:1] if script == "-m" else [script.removeprefix("-m")]
    return any(os.path.basename(word).removesuffix(".exe") in ("memkit", "memkit-run") for word in (first, *ran))


# -- recording it ------------------------------------------------------------------------------------------------------


def record(
    process: ExternalProcess,
    path: str,
    options: argparse.Namespace,
    progress: Progress,
    afterwards: Handler | None = None,
) -> None:
    """Record a process until it ends, a signal asks to stop, or ``options.duration`` is over.

    ``afterwards`` is that of ``stopped_by_signals``.
    """
    interval, awaited = parse_interval(options.interval), Awaited(path)
    with stopped_by_signals(afterwards) as stop:
        try:
            recording = ExternalRecording(process, path, interval, options.meter)
        except MeterError as error:
            raise UsageError(str(error)) from None
        progress.pid = process.pid
        until = None if options.duration is None else time.monotonic_ns() + options.duration
        tree = tree_of(process, awaited, interval, options.meter) if options.children else Unrecorded(process.pid, since=0)
        try:
            group = GroupWatch(process.pid)
            wait(recording, progress, Beside(tree, [group.look]), until, stop)
            group.look(last=True)
            recording.add(group.rows(recording.began))
            if isinstance(tree, Unrecorded):
                recording.add(tree.rows())
            else:
                tree.close()
        finally:
            recording.end(*recording.ending()) if recording.ended() else recording.detach()


def tree_of(process: ExternalProcess, awaited: Awaited, interval: int, meter: str) -> OutsideTree:
    """The processes that a process has started, which are recorded with it."""
    events = events_of_tree(process.pid, processes.here())
    return OutsideTree(process.pid, awaited, " ".join(process.argv), interval, meter, False, events)


class StopRequest:
    """Whether a signal has asked to stop; the descriptor is readable then."""

    def __init__(self) -> None:
        self.made = False
        self.descriptor, self._write = os.pipe()

    def make(self, *_: object) -> None:
        """A signal handler."""
        if not self.made:
            self.made = True
            os.write(self._write, b"x")

    def close(self) -> None:
        """Close the pipe."""
        os.close(self.descriptor)
        os.close(self._write)


@contextmanager
def stopped_by_signals(afterwards: Handler | None = None) -> Iterator[StopRequest]:
    """Ctrl-C, SIGTERM and SIGHUP end the recording in order.

    ``afterwards`` is their handler when it has ended; without one, they have those that they had.
    """
    request, before = StopRequest(), {}
    for name in _STOPPING:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            before[number] = signal.signal(number, request.make)
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, afterwards or handler)
        request.close()
