"""Running a program that need not be Python, recorded from outside with all that it starts."""

from __future__ import annotations

import os
import shlex
import subprocess

from memkit.errors import MemkitError, UsageError
from memkit.launch import Exit, Program, exit_of, signals_are_the_programs
from memkit.observed import Another, Observed, wait
from memkit.tree.watch import Outside, family_of

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
        observed = _observed(process, words, path, interval, meter, complain)
        forward_to(process)
        if observed is not None:
            _watch(
                observed, onlookers, Outside(process.pid, path, " ".join(words), interval, meter, False, family), complain
            )
        process.wait()
    exit = exit_of(process, {}, [])
    if observed is None:
        return exit
    try:
        observed.end(exit.code, exit.signal)
    except MemkitError as error:
        complain(str(error))
    return exit._replace(recorded=True)


def _started(words: list[str]) -> subprocess.Popen:
    """The process, once it runs the command and nothing of ours."""
    try:
        return subprocess.Popen(words, close_fds=False)
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        shell = (
            f"; for a line of a shell write --program sh -c {shlex.quote(words[0])}" if missing and " " in words[0] else ""
        )
        refusal = UsageError(f"cannot run {words[0]!r}: {error.strerror}{shell}")
        refusal.code = NOT_FOUND if missing else NOT_EXECUTABLE
        raise refusal from None


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
