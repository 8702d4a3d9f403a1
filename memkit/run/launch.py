"""Starting the measured process, waiting for its end, and adding to the recording how it ended.

While the program runs, its parent only waits, forwards signals, watches what the program starts, and shows progress.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from functools import partial
from typing import NamedTuple

from memkit.base import own_code
from memkit.base.errors import JournalError
from memkit.base.stderr import to_stderr
from memkit.model import file_format
from memkit.record.settings import RunSettings
from memkit.run.group_watch import GroupWatch
from memkit.run.orphans import reaped
from memkit.run.replaced import Replaced, can_be_seen
from memkit.run.signals import forwarding
from memkit.run.waiting import Beside, Child, wait
from memkit.system.oom import Kills, outlive
from memkit.tree.unrecorded import Unrecorded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from memkit.record.watch_folder import AwaitedFiles
    from memkit.run.progress import Progress
    from memkit.run.signals import Handler
    from memkit.tree.watch import OutsideTree

_FLAGS = {"script": (), "input": (), "module": ("-m",), "code": ("-c",)}  # by the mode of a program
_BOOTSTRAP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "bootstrap.py")


class Program(NamedTuple):
    """What is to be run."""

    mode: str
    """``script``, ``input``, ``module`` or ``code``; ``program`` for a command that is not Python."""
    target: str
    arguments: list[str]

    @property
    def words(self) -> str:
        """How a user types it, in one line."""
        flag = _FLAGS.get(self.mode, ())
        return " ".join(" ".join([*flag, self.target, *self.arguments]).split())


class Exit(NamedTuple):
    """How a process ended, as its parent saw it."""

    code: int | None
    signal: int | None
    out_of_memory: dict[str, object] | None
    """Which count of out-of-memory kills rose meanwhile, as the fields of a ``memkit.OutOfMemory``; the process itself was
    killed if ``SIGKILL`` ended it."""
    recorded: bool = False
    """Whether it began its recording before it ended."""
    unwritten: tuple[object, ...] = ()
    """The row that says how it ended, if that could not be added to the recording."""

    @property
    def status(self) -> int:
        """The exit code for a shell: 128 + N after signal N."""
        return 128 + self.signal if self.signal is not None else self.code or 0


def command(program: Program, settings: RunSettings, interpreter: list[str] | None = None) -> list[str]:
    """The command line that runs a program under measurement; ``memkit.run.execute.main`` reads it.

    ``interpreter`` is the interpreter with its flags; without it, this one with the flags that it was started with.
    """
    interpreter = interpreter or [sys.executable, *interpreter_flags(sys.orig_argv[1:])]
    return [*interpreter, _BOOTSTRAP, program.mode, program.target, *settings.to_words(), "--", *program.arguments]


def as_typed(words: list[str]) -> list[str]:
    """The words of a process; of one that ``command`` started those of the program, as if it ran by itself."""
    start = next((place for place, word in enumerate(words) if own_code.starts_a_program(word)), None)
    if start is None or len(words) < start + 4 or words[start + 1] not in _FLAGS or "--" not in words[start + 3 :]:
        return words
    arguments = words[words.index("--", start + 3) + 1 :]
    return [*words[:start], *_FLAGS[words[start + 1]], words[start + 2], *arguments]


def interpreter_flags(words: list[str]) -> list[str]:
    """The interpreter's own options, at the beginning of its arguments."""
    flags: list[str] = []
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
    """The command line of the program itself."""
    interval: int
    """Nanoseconds from poll to poll, 0 for an interval that grows."""
    meter: str


def launch(
    words: list[str],
    awaited: file_format.Awaited | AwaitedFiles,
    progress: Progress | None = None,
    children: Children | None = None,
    *,
    followed: bool = False,
    environment: dict[str, str] | None = None,
    afterwards: Handler | None = None,
) -> Exit:
    """Run a command to its end and add to its recording, which is ``awaited``, how it ended.

    ``progress`` is shown meanwhile. ``children`` is how the processes that it starts are recorded, if at all. ``followed``
    is whether other processes write into the recording themselves. ``environment`` is that of the command, if it is not
    ours. ``afterwards`` is that of ``forwarding``.
    """
    kills = Kills()
    began = time.monotonic_ns()
    one_file = awaited if isinstance(awaited, file_format.Awaited) else None
    tree_of = _tree_of_later_process(one_file, children, followed) if children and one_file else None
    with forwarding(afterwards) as forward_to:
        # The program inherits all descriptors: a shell's <(...), a socket of socket activation.
        process = subprocess.Popen(words, close_fds=False, env=environment)
        outlived = outlive(process.pid)
        forward_to(process)
        if progress:
            progress.pid = process.pid
        tree = tree_of(process.pid) if tree_of is not None else Unrecorded(process.pid, began)
        replaced = Replaced(process.pid, one_file, tree) if one_file and can_be_seen() and not followed else None
        group = GroupWatch(process.pid)
        looks: list[Callable[[], object]] = [group.look, *([replaced.look] if replaced is not None else [])]
        if not isinstance(awaited, file_format.Awaited):
            looks.append(partial(awaited.look, process.pid))
        _wait(process, progress, tree, Beside(tree, looks))
        group.look(last=True)
    exit = exit_of(process, kills)
    shared = followed or (replaced is not None and replaced.end(exit.code, exit.signal))
    origin = awaited.origin(process.pid)
    if origin is not None:
        rows = (file_format.segment(0) if shared else b"") + group.rows(origin)
        exit = _added(exit, awaited.path, origin, rows + (tree.rows() if isinstance(tree, Unrecorded) else b""))
    outlived()
    return exit


def _added(exit: Exit, path: str, origin: int, rows: bytes) -> Exit:
    """Add how a program ended to the recording that began at ``origin``, after further rows."""
    ended = "exit", time.monotonic_ns() - origin, exit.code, exit.signal, exit.out_of_memory
    try:
        file_format.append(path, *ended, head=rows)
    except OSError as error:
        to_stderr(f"how it ended could not be added to {path!r}: {error.strerror}")
        return exit._replace(recorded=True, unwritten=ended)
    return exit._replace(recorded=True)


def _tree_of_later_process(awaited: file_format.Awaited, children: Children, followed: bool) -> Callable[[int], OutsideTree]:
    """Makes the tree of a process that this thread starts afterwards, and that inherits the kernel's events."""
    from memkit.tree.watch import OutsideTree, events_of_threads

    events = events_of_threads()
    return lambda pid: OutsideTree(pid, awaited, *children, followed, events)


def exit_of(process: subprocess.Popen[bytes], kills: Kills | None = None) -> Exit:
    """How a process has ended; ``kills`` are those since it was started, if they are to be told."""
    code, killed = (process.returncode, None) if process.returncode >= 0 else (None, -process.returncode)
    return Exit(code, killed, kills.risen() if kills is not None else None)


def _wait(
    process: subprocess.Popen[bytes], progress: Progress | None, tree: OutsideTree | Unrecorded, watched: Beside
) -> None:
    """Wait for the end of a process, and reap it."""
    with Child(process) as child, reaped(process.pid):
        wait(child, progress, watched)
    process.wait()
    if isinstance(tree, Unrecorded):
        return
    try:
        tree.close()
    except JournalError as error:
        to_stderr(str(error))
