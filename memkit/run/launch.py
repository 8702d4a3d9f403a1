"""Starting the measured process, waiting for it, and naming how it ended.

The parent of a program under memkit does nothing while the program runs but wait, pass signals on, and call the
plugins that want to look about once a second.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import NamedTuple

from memkit.base import own_code
from memkit.base.descriptors import readable
from memkit.base.errors import JournalError
from memkit.base.units import SECOND
from memkit.model import file_format
from memkit.run.signals import Listener
from memkit.system.oom import Kills

_FLAGS = {"script": (), "input": (), "module": ("-m",), "code": ("-c",)}  # mode -> how an interpreter is told of it
_BOOTSTRAP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "bootstrap.py")
_FORWARDED = ("SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2")
_OF_TERMINALS = ("SIGINT", "SIGQUIT")
_LOOK_EVERY = SECOND
_NAP = SECOND // 20


class Program(NamedTuple):
    """What is to be run."""

    mode: str
    """``script``, ``input``, ``module`` or ``code``; ``program`` for a command that is not Python."""
    target: str
    arguments: list[str]

    @property
    def words(self) -> str:
        """How somebody would type it, in one line."""
        flag = _FLAGS.get(self.mode, ())
        return " ".join(" ".join([*flag, self.target, *self.arguments]).split())


class Exit(NamedTuple):
    """How a process ended, as its parent saw it."""

    code: int | None
    signal: int | None
    out_of_memory: str | None
    """Which count of kills for want of memory rose meanwhile: the process itself is meant where ``SIGKILL`` ended it."""
    recorded: bool = False
    """Whether it lived to begin its recording."""
    unwritten: tuple = ()
    """The row that says how it ended, where that did not reach the recording."""

    @property
    def status(self) -> int:
        """The exit code for a shell: 128 + N after signal N."""
        return self.code if self.signal is None else 128 + self.signal


def command(program: Program, settings: dict[str, str], interpreter: list[str] | None = None) -> list[str]:
    """The words that start a program under measurement, with the flags that this interpreter was started with.

    ``settings`` are those of ``memkit.run.execute.main``; ``interpreter`` is another one, with its flags.
    """
    interpreter = interpreter or [sys.executable, *interpreter_flags(sys.orig_argv[1:])]
    words = [f"{name}={value}" for name, value in settings.items()]
    return [*interpreter, _BOOTSTRAP, program.mode, program.target, *words, "--", *program.arguments]


def as_typed(words: list[str]) -> list[str]:
    """The words of a process; of one that ``command`` started those of the program, as if it ran by itself."""
    start = next((place for place, word in enumerate(words) if own_code.is_of_any(word)), None)
    if start is None or len(words) < start + 4 or words[start + 1] not in _FLAGS or "--" not in words[start + 3 :]:
        return words
    arguments = words[words.index("--", start + 3) + 1 :]
    return [*words[:start], *_FLAGS[words[start + 1]], words[start + 2], *arguments]


def interpreter_flags(words: list[str]) -> list[str]:
    """The interpreter's own options at the beginning of its command line."""
    flags = []
    rest = iter(words)
    for word in rest:
        if not word.startswith("-") or word == "-":
            break
        if word.startswith("--"):
            flags.append(word)
            if word == "--check-hash-based-pycs":
                flags.append(next(rest))
            continue
        for place, letter in enumerate(word[1:], 1):
            if letter in "cm":
                return [*flags, word[:place]] if place > 1 else flags
            if letter in "WX":
                flags.append(word)
                if place == len(word) - 1:
                    flags.append(next(rest))
                break
        else:
            flags.append(word)
    return flags


class Children(NamedTuple):
    """How the processes that a program starts are to be recorded."""

    command: str
    """What the program itself runs, in one line."""
    interval: int
    """Nanoseconds from look to look, 0 for a beat that grows."""
    meter: str


def launch(words: list[str], path: str, onlookers=None, children: Children | None = None, *, followed: bool = False) -> Exit:
    """Run a command to its end and add to the recording in ``path`` how it ended.

    ``onlookers`` are called meanwhile: see ``supervisor.onlookers``. ``children`` is whether and how what it starts is
    recorded, too. ``followed`` is whether other processes write into the recording themselves.
    """
    kills = Kills()
    watched_as = _watching(path, children, followed) if children else None
    with signals_are_the_programs() as forward_to:
        # Inherited descriptors are the program's: a shell's <(...), a socket that was activated.
        process = subprocess.Popen(words, close_fds=False)
        forward_to(process)
        if onlookers:
            onlookers.pid = process.pid
        _wait(process, onlookers, watched_as and watched_as(process.pid))
    exit = exit_of(process, kills)
    origin = file_format.origin(path)
    if origin is None or origin[0] != process.pid:
        return exit
    ended = "exit", time.monotonic_ns() - origin[1], exit.code, exit.signal, exit.out_of_memory
    try:
        file_format.append(path, *ended, head=file_format.segment(0) if followed else b"")
    except OSError as error:
        print(f"memkit: how it ended could not be added to {path!r}: {error.strerror}", file=sys.stderr)
        return exit._replace(recorded=True, unwritten=ended)
    return exit._replace(recorded=True)


def _watching(path: str, children: Children, followed: bool):
    """What makes the watch of a process that is started afterwards, by this thread: it inherits what tells of it."""
    from memkit.tree.watch import Outside, family_of

    family = family_of()
    return lambda pid: Outside(pid, path, *children, followed, family)


def exit_of(process: subprocess.Popen, kills: Kills | None = None) -> Exit:
    """How a process has ended; ``kills`` are those since it was started, if they are to be told."""
    code, killed = (process.returncode, None) if process.returncode >= 0 else (None, -process.returncode)
    return Exit(code, killed, kills and kills.risen())


def _wait(process: subprocess.Popen, onlookers, watch) -> None:
    """Wait for the end of a process, look at what it starts, and let others look at the recording."""
    if not onlookers and watch is None:
        process.wait()
        return
    with end_of(process) as ended:
        while not ended(time.monotonic_ns() + (round(onlookers.wait * SECOND) if onlookers else _LOOK_EVERY), watch):
            if onlookers:
                onlookers.look()
    process.wait()
    if watch is None:
        return
    try:
        watch.close()
    except JournalError as error:
        print(f"memkit: {error}", file=sys.stderr)


@contextmanager
def end_of(process: subprocess.Popen):
    """A function that waits until a moment for the end of a process, watching its tree if any, and says whether it came."""
    try:
        fd = os.pidfd_open(process.pid)
    except (AttributeError, OSError):

        def ended(due, watch=None):  # it looks twenty times a second
            try:
                if watch is not None:
                    watch.until(min(due, time.monotonic_ns() + _NAP))
                return process.wait(0 if watch is not None else (due - time.monotonic_ns()) / SECOND) is not None
            except subprocess.TimeoutExpired:
                return False

        yield ended
        return

    def ended(due, watch=None):
        if watch is not None:
            return watch.until(due, fd)
        return bool(readable([fd], max(0, due - time.monotonic_ns())))

    try:
        yield ended
    finally:
        os.close(fd)


@contextmanager
def signals_are_the_programs():
    """While a program runs: what a terminal sends reaches it without us, what is sent to us alone is passed on."""
    started, waiting = [], []

    def forward(number, _):
        (started[0].send_signal if started else waiting.append)(number)

    def forward_to(process):
        started.append(process)
        for number in waiting:
            process.send_signal(number)
        listener.start()  # now, since what it holds back would be held back in the program

    handlers = dict.fromkeys(_FORWARDED, forward) | dict.fromkeys(_OF_TERMINALS, lambda *_: None)
    before = {}
    for name, handler in handlers.items():
        number = getattr(signal, name, None)
        # One that was ignored from the start (nohup) is ignored by the program too; a handler would undo that.
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            before[number] = signal.signal(number, handler)
    numbers = {getattr(signal, name, None) for name in _OF_TERMINALS} & before.keys()
    listener = Listener(numbers, lambda number: started[0].send_signal(number))
    try:
        yield forward_to
    finally:
        listener.stop()
        for number, handler in before.items():
            signal.signal(number, handler)
