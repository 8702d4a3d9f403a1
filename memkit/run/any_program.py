"""Running any program, Python or not: it is recorded from outside, with all processes that it starts."""

from __future__ import annotations

import errno
import os
import shlex
import shutil
import subprocess

from memkit.base.errors import MemkitError, UsageError
from memkit.base.threads import signals_blocked
from memkit.model.file_format import Awaited
from memkit.run.external import EndingNotWritten, ExternalProcess, ExternalRecording
from memkit.run.group_watch import GroupWatch
from memkit.run.launch import Exit, Program, exit_of
from memkit.run.orphans import reaped
from memkit.run.signals import forwarding
from memkit.run.waiting import Beside, wait
from memkit.system.oom import outlive
from memkit.tree.watch import OutsideTree, events_of_threads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from memkit.run.progress import Progress
    from memkit.run.signals import Handler

_SHEBANG_BYTES = 256  # of a first line that the kernel reads
NOT_FOUND, NOT_EXECUTABLE = 127, 126
"""Exit codes, as a shell gives them."""


class CannotRun(UsageError):
    """The command cannot be run; ``code`` is the exit code that a shell has for that."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


def run(
    program: Program,
    path: str,
    interval: int,
    meter: str,
    progress: Progress,
    complain: Callable[[str], object],
    afterwards: Handler | None = None,
) -> Exit:
    """Run a program to its end, and record it into ``path``. ``afterwards`` is that of ``forwarding``.

    What cannot be recorded is one line to ``complain``, and the program runs all the same. Raises ``CannotRun``.
    """
    words = [program.target, *program.arguments]
    awaited = Awaited(path)
    events = events_of_threads()  # before the program is started: it inherits them
    with forwarding(afterwards) as forward_to:
        process = _started(words)
        outlived = outlive(process.pid)
        with signals_blocked():  # or the sampling thread would handle signals that the listener waits for
            recording = _recording(process, words, path, interval, meter, complain)
        forward_to(process)
        if recording is not None:
            tree = OutsideTree(process.pid, awaited, " ".join(words), interval, meter, False, events)
            group = GroupWatch(process.pid)
            _wait(recording, progress, tree, group, complain)
            group.look(last=True)
            recording.add(group.rows(recording.began))
        process.wait()
    exit = exit_of(process)
    if recording is None:
        outlived()
        return exit
    try:
        recording.end(exit.code, exit.signal)
    except MemkitError as error:
        complain(str(error))
        if isinstance(error, EndingNotWritten):
            exit = exit._replace(unwritten=error.unwritten)
    outlived()
    return exit._replace(recorded=True)


def _started(words: list[str]) -> subprocess.Popen[bytes]:
    """The process, once it has executed the command."""
    try:
        return subprocess.Popen(words, close_fds=False)
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        reason = _why_not_found(words[0]) if missing else error.strerror
        raise CannotRun(f"cannot run {words[0]!r}: {reason}", NOT_FOUND if missing else NOT_EXECUTABLE) from None


def _why_not_found(command: str) -> str:
    """Why a command was not found. If its file exists, its interpreter or loader does not."""
    path = shutil.which(command)
    if path is None:
        shell = f"; for a line of a shell write --program sh -c {shlex.quote(command)}" if " " in command else ""
        return os.strerror(errno.ENOENT) + shell
    try:
        with open(path, "rb") as file:
            first = file.readline(_SHEBANG_BYTES)
    except OSError:
        first = b""
    words = first[2:].split() if first.startswith(b"#!") else []
    if words:
        return f"there is no {os.fsdecode(words[0])!r}, which its first line names to run it"
    return "what it needs to be run, such as the loader of its libraries, is not there"


def _recording(
    process: subprocess.Popen[bytes],
    words: list[str],
    path: str,
    interval: int,
    meter: str,
    complain: Callable[[str], object],
) -> ExternalRecording | None:
    target = ExternalProcess(process.pid, os.getpid(), tuple(words))
    try:
        return ExternalRecording(target, path, interval, meter, fresh=True)
    except MemkitError as error:
        complain(f"{words[0]!r} runs, but is not recorded: {error}")
        return None


def _wait(
    recording: ExternalRecording,
    progress: Progress,
    tree: OutsideTree,
    group: GroupWatch,
    complain: Callable[[str], object],
) -> None:
    progress.pid = recording.process.pid
    with reaped(recording.process.pid):
        wait(recording, progress, Beside(tree, [group.look]))
    try:
        tree.close()
    except MemkitError as error:
        complain(str(error))
