"""Attaching to a process that runs already: finding it, and recording it until it ends or somebody stops that."""

from __future__ import annotations

import os
import signal
import time
from contextlib import contextmanager

from memkit.base.errors import MeterError, UsageError
from memkit.base.units import parse_interval, parse_time
from memkit.run.external import Another, Observed, wait
from memkit.run.launch import as_typed, interpreter_flags
from memkit.run.status_line import shown
from memkit.system import engine, processes
from memkit.tree.watch import Outside, family_around

INSIDE = ("--lines", "--calls", "--c-calls", "--call-log", "--trigger", "--follow", "--limit", "--no-peak-reset")
"""Options of ``memkit-run`` that act in the interpreter of the program."""
_STOPPING = ("SIGINT", "SIGTERM", "SIGHUP")
_LONGEST = 110


def add_attach_options(parser) -> None:
    """Add the options of ``memkit attach``; plugins add theirs."""
    parser.usage = f"{parser.prog} [options] (PID | NAME)"
    parser.add_argument("process", metavar="PID|NAME", help="a process: its number, or a part of its name or command line")
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help="record into FILE, not into one here that is named after the process and the time",
    )
    parser.add_argument(
        "--duration", metavar="TIME", type=_duration, help="end the recording after so long, such as 60 or 10min"
    )
    parser.add_argument(
        "--interval",
        metavar="SECONDS",
        type=parse_interval,
        default="auto",
        help="time from sample to sample, such as 0.01 or 10ms; auto (the default) begins at 1 ms and grows with time",
    )
    parser.add_argument(
        "--meter", metavar="NAME", default="rss", help="what to measure: rss (the default), pss, uss, vms or swap"
    )
    parser.add_argument(
        "--children", action="store_true", help="record all that the process has started, too, and what they use together"
    )
    parser.add_argument(
        "--live", action="store_true", help="show memory now, its peak and what is left on the bottom row of the terminal"
    )


def refuse_inside(words: list[str]) -> None:
    """Refuse options of ``memkit-run`` that cannot be had from outside. Raises ``UsageError``."""
    for word in words:
        if word.partition("=")[0] in INSIDE:
            raise UsageError(
                f"{word}: a process that runs already is looked at from outside, so there is none of that; "
                "start it with memkit-run instead"
            )


def _duration(text):
    time = parse_time(text)
    if time <= 0:
        raise UsageError(f"--duration {text!r}: give it some time, such as 60 or 10min, or leave it out")
    return time


# -- finding it --------------------------------------------------------------------------------------------------------


def find(word: str, meter: str) -> Another:
    """The process of a number, or the one whose name or command line has a word in it. Raises ``UsageError``.

    This process is not among them, nor are those that it was started by, nor others of memkit's commands.
    """
    if meter not in engine.METERS:
        raise UsageError(f"meter {meter!r} cannot be read from outside; there are {', '.join(engine.METERS)}")
    if word.isascii() and word.isdecimal():
        return _numbered(int(word), meter)
    if not word:
        raise UsageError("the name of the process is empty")
    fitting, refusals = [], []
    for process, found in _with(word):
        refusal = _refusal(process, meter)
        if refusal is None:
            fitting.append(found)
        else:
            refusals.append(refusal)
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        lines = "\n".join(f"{process.pid:>8}  {shown(' '.join(process.argv), _LONGEST)}" for process in fitting)
        raise UsageError(
            f"{len(fitting)} processes have {word!r} in their name or command; give the number of one:\n{lines}"
        )
    if refusals:
        raise UsageError(refusals[0])
    raise UsageError(f"there is no process with {word!r} in its name or command")


def _with(word: str):
    """The processes that have a word in their name or command line, as psutil's and as ours."""
    import psutil

    around = {os.getpid(), *(process.pid for process in psutil.Process().parents())}
    for process in psutil.process_iter():
        found = None if process.pid in around else _another(process)
        if found and (word in _name(process) or word in " ".join(found.argv)) and not _is_memkit(found):
            yield process, found


def _numbered(pid: int, meter: str) -> Another:
    import psutil

    if pid == os.getpid():
        raise UsageError(f"process {pid} is this memkit itself")
    try:
        process = psutil.Process(pid) if pid else None
    except (psutil.Error, OverflowError):
        process = None
    found = process and _another(process)
    if not found:
        raise UsageError(f"there is no process {pid}")
    refusal = _refusal(process, meter)
    if refusal is not None:
        raise UsageError(refusal)
    return found


def _another(process) -> Another | None:
    """A process of psutil's; None where it has just gone."""
    import psutil

    try:
        words = _words(process)
        if words is None:
            return None
        return Another(process.pid, process.ppid(), tuple(as_typed(words)) if any(words) else (process.name(),))
    except psutil.Error:
        return None


def _words(process) -> list[str] | None:
    """The command line of a process, of one whose main thread has ended by another thread; None where it has just gone."""
    import psutil

    try:
        if words := process.cmdline():
            return words
    except psutil.AccessDenied:
        return []
    except psutil.Error:
        if not process.is_running():
            return None
    tid = processes.here().memory_tid(process.pid)
    try:
        return psutil.Process(tid).cmdline() if tid != process.pid else []
    except psutil.Error:
        return []


def _name(process) -> str:
    import psutil

    try:
        return process.name()
    except psutil.Error:
        return ""


def _refusal(process, meter: str) -> str | None:
    """Why the memory of a process cannot be read, in a line; None where it can."""
    import psutil

    try:
        engine.Meter(meter, processes.here().memory_tid(process.pid))
    except MeterError as error:
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                return f"process {process.pid} has ended already, and waits for its parent to ask how"
            if not process.cmdline() and not process.memory_info().vms:
                return f"process {process.pid} ({process.name()}) is a part of the kernel: it has no memory of its own"
            theirs = f"process {process.pid} ({process.name()}) of user {process.username()}"
        except psutil.Error:
            return str(error)
        return f"{theirs}: {error}"
    return None


def _is_memkit(process: Another) -> bool:
    """Whether a process is a command of memkit's; what ``memkit-run`` has started is not."""
    first, *rest = process.argv
    flags = interpreter_flags([*rest, ""])  # any program may end with an option to which Python's own would have a word
    script, *more = rest[len(flags) :] or [""]
    ran = more[:1] if script == "-m" else [script.removeprefix("-m")]
    return any(os.path.basename(word).removesuffix(".exe") in ("memkit", "memkit-run") for word in (first, *ran))


# -- recording it ------------------------------------------------------------------------------------------------------


def record(process: Another, path: str, options, onlookers) -> None:
    """Record a process until it ends, a signal asks to stop, or its time is up."""
    interval = options.interval
    with _asked_to_stop() as asked:
        try:
            observed = Observed(process, path, interval, options.meter)
        except MeterError as error:
            raise UsageError(str(error)) from None
        onlookers.pid = process.pid
        until = None if options.duration is None else time.monotonic_ns() + options.duration
        tree = _tree(process, path, interval, options.meter) if options.children else None
        try:
            wait(observed, onlookers, tree, until, asked)
            if tree is not None:
                tree.close()
        finally:
            observed.end(*observed.ending()) if observed.ended() else observed.detach()


def _tree(process: Another, path: str, interval: int, meter: str) -> Outside:
    family = family_around(process.pid, processes.here())
    return Outside(process.pid, path, " ".join(process.argv), interval, meter, False, family)


class Asked:
    """Whether a signal has asked to stop."""

    def __init__(self):
        self.yet = False
        self.descriptor, self._wake = os.pipe()

    def stop(self, *_):
        if not self.yet:
            self.yet = True
            os.write(self._wake, b"x")

    def close(self):
        os.close(self.descriptor)
        os.close(self._wake)


@contextmanager
def _asked_to_stop():
    """While a process is recorded: Ctrl-C, SIGTERM and SIGHUP end the recording in order."""
    asked, before = Asked(), {}
    for name in _STOPPING:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            before[number] = signal.signal(number, asked.stop)
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        asked.close()
