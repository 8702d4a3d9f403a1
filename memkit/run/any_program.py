"""Running a program that need not be Python, recorded from outside with all that it starts."""

from __future__ import annotations

import errno
import os
import shlex
import shutil
import subprocess

from memkit.base.errors import MemkitError, UsageError
from memkit.run.external import Another, Observed, wait
from memkit.run.launch import Exit, Program, exit_of, signals_are_the_programs
from memkit.tree.watch import Outside, family_of, signals_blocked

_LONGEST = 256  # bytes of a first line that the kernel looks at
NOT_FOUND, NOT_EXECUTABLE = 127, 126
"""Exit codes, as a shell gives them."""


def run(program: Program, path: str, interval: int, meter: str, onlookers, complain) -> Exit:
    """Run a program to its end, and record it into ``path``.

    ``complain`` is told in a line what could not be recorded: the program runs all the same. Raises ``UsageError`` where the
    command cannot be run, with the exit code for that as its ``code``.
    """
    words = [program.target, *program.arguments]
    family = family_of()  # before it is started: it inherits what tells of it
    with signals_are_the_programs() as forward_to:
        process = _started(words)
        with signals_blocked():  # or a thread that samples would take those that are listened for below
            observed = _observed(process, words, path, interval, meter, complain)
        forward_to(process)
        if observed is not None:
            _watch(
                observed, onlookers, Outside(process.pid, path, " ".join(words), interval, meter, False, family), complain
            )
        process.wait()
    exit = exit_of(process)
    if observed is None:
        return exit
    try:
        observed.end(exit.code, exit.signal)
    except MemkitError as error:
        complain(str(error))
        exit = exit._replace(unwritten=getattr(error, "unwritten", ()))
    return exit._replace(recorded=True)


def _started(words: list[str]) -> subprocess.Popen:
    """The process, once it runs the command and nothing of ours."""
    try:
        return subprocess.Popen(words, close_fds=False)
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        refusal = UsageError(f"cannot run {words[0]!r}: {_why(words[0]) if missing else error.strerror}")
        refusal.code = NOT_FOUND if missing else NOT_EXECUTABLE
        raise refusal from None


def _why(command: str) -> str:
    """Why there is nothing to be run, in words: of a file that is there, what is to run it is not."""
    path = shutil.which(command)
    if path is None:
        shell = f"; for a line of a shell write --program sh -c {shlex.quote(command)}" if " " in command else ""
        return os.strerror(errno.ENOENT) + shell
    try:
        with open(path, "rb") as file:
            first = file.readline(_LONGEST)
    except OSError:
        first = b""
    words = first[2:].split() if first.startswith(b"#!") else []
    if words:
        return f"there is no {os.fsdecode(words[0])!r}, which its first line names to run it"
    return "what it needs to be run, such as the loader of its libraries, is not there"


def _observed(process, words, path, interval, meter, complain) -> Observed | None:
    try:
        return Observed(Another(process.pid, os.getpid(), tuple(words)), path, interval, meter, fresh=True)
    except MemkitError as error:
        complain(f"{words[0]!r} runs, but is not recorded: {error}")
        return None


def _watch(observed: Observed, onlookers, tree: Outside, complain) -> None:
    if onlookers:
        onlookers.pid = observed.process.pid
    wait(observed, onlookers, tree)
    try:
        tree.close()
    except MemkitError as error:
        complain(str(error))
