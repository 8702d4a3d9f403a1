"""Python programs that a recorded one starts, and that record themselves into the same file.

A forked child continues its parent's recording from the fork hook in ``active``. A spawned one finds ``MEMKIT_FOLLOW`` in
its environment and, first on ``PYTHONPATH``, the folder ``run/inject``, whose ``sitecustomize`` calls
``run.follow_entry.begin``. Each process writes into the file of the recording, and begins each write with a row that
says which process it is.
"""

from __future__ import annotations

import os
import sys

from memkit.base.errors import JournalError, MemkitError, UsageError
from memkit.base.shadows import resource_module
from memkit.base.stderr import to_stderr
from memkit.model import file_format
from memkit.record import exit_status
from memkit.record.settings import RunSettings, Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any, Protocol

    class ChildRecorder(Protocol):
        """The recorder of a child process."""

        @property
        def running(self) -> bool: ...
        @property
        def is_mine(self) -> bool: ...
        def start(self) -> bool: ...
        def stop(self, *ending: object) -> None: ...


VARIABLE = "MEMKIT_FOLLOW"
FOLDER = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "run", "inject")
_SEPARATOR = "\x1f"  # between the words of the settings: no path or target has one
_PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"

_flushed: tuple[int, Any, Callable[[], object]] | None = None
"""The process, the sampler and what flushes, where SIGTERM flushes before it ends the process."""
_set_by_program: ChildEnvironment | None = None  # rather than by memkit-run


class OwnChildren:
    """What a process knows, as its recording ends, of the children that were not recorded.

    ``supervised`` is whether ``memkit-run`` began the recording with the program: then all its children count.
    """

    def __init__(self, since: int, supervised: bool) -> None:
        self._since = since
        self._before = (0, 0) if supervised else _waited_for()

    def rows(self) -> bytes:
        """The rows about those that live, and about those that have ended and were waited for."""
        rows = b""
        if _has_children():  # under memkit-run too: its last look may be long ago
            from memkit.tree.unrecorded import children_of_this_process

            rows = children_of_this_process(self._since)
        faults, largest = _waited_for()
        return rows + file_format.row("waited_for", largest) if faults > self._before[0] else rows


def _has_children() -> bool:
    """Whether this process has children that it has not waited for. This waits for none."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except (AttributeError, OSError):
        return False
    return True


def _waited_for() -> tuple[int, int]:
    """Page faults of the children of this process that have ended, and the highest memory of any.

    Of each that includes what its parent had when it was started.
    """
    resource = resource_module()
    if resource is None:
        return 0, 0
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_minflt + used.ru_majflt, used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


class ChildEnvironment:
    """The two environment variables that make spawned children record themselves, set as long as a recording runs.

    ``settings`` are for the child. ``by_program`` is whether the program itself asked for it, not ``memkit-run``: only one
    recording of the program's own can be followed, and it comes before the one that ``memkit-run`` makes.
    """

    def __init__(self, settings: Settings, by_program: bool) -> None:
        if _set_by_program is not None:
            raise UsageError("children of this process follow another recording already: only one can be followed")
        self._by_program = by_program
        before = os.environ.get("PYTHONPATH")
        self._ours = {
            VARIABLE: _SEPARATOR.join([_PYTHON, *_child_settings(settings).to_words()]),
            "PYTHONPATH": FOLDER + (os.pathsep + before if before else ""),
        }
        self._before: dict[str, str | None] = {VARIABLE: os.environ.get(VARIABLE), "PYTHONPATH": before}
        self._is_set = False

    def set(self) -> None:
        """Set the variables."""
        global _set_by_program
        if self._by_program:
            _set_by_program = self
        os.environ.update(self._ours)
        self._is_set = True

    def restore(self) -> None:
        """Set the variables back to what they were, except those that the program has changed meanwhile."""
        global _set_by_program
        if _set_by_program is self:
            _set_by_program = None
        if not self._is_set:
            return
        for name, value in self._ours.items():
            before = self._before[name]
            if os.environ.get(name) != value:
                continue
            if before is None:
                del os.environ[name]
            else:
                os.environ[name] = before


def _child_settings(settings: Settings) -> RunSettings:
    """The settings as a spawned child is to find them: targets as text, and whether ``@profile`` needs no import."""
    if not isinstance(settings.meter, str):
        raise UsageError("record(follow=True) needs a meter with a name: spawned children find it by that")
    profile = "" if hasattr(sys.modules["builtins"], "profile") else None
    texts = {name: _texts(getattr(settings, name)) for name in ("lines", "calls")}
    return RunSettings(**{**vars(settings), **texts, "profile": profile})


def _texts(targets: object) -> object:
    return targets.texts() if hasattr(targets, "texts") else targets


def settings_from_environment() -> RunSettings:
    """The settings that the parent has left for this process. Raises what tells that it was somebody else's text."""
    _, *words = os.environ[VARIABLE].split(_SEPARATOR)
    settings = RunSettings.from_words(words)
    if not settings.path:
        raise UsageError("it names no recording")
    return settings


def without_heap(environment: dict[str, str]) -> dict[str, str]:
    """The same environment for a program that counts its heap in a recording of its own, which it can do in one only."""
    words = environment.get(VARIABLE, "").split(_SEPARATOR)
    kept = [word for word in words if word != "heap=yes"]
    return environment if kept == words else {**environment, VARIABLE: _SEPARATOR.join(kept)}


def begun(start: Callable[[], object]) -> bool:
    """Whether the recording of a child could be started; if not, one line says so and the program runs."""
    try:
        start()
        return True
    except (MemkitError, OSError) as error:
        to_stderr(f"process {os.getpid()} does not record itself: {error}")
        return False


def start(recorder: ChildRecorder) -> None:
    """Start the recording of a child; if that is not possible, say so in one line and let the program run."""
    if not begun(recorder.start):
        return
    if "--multiprocessing-fork" in sys.orig_argv:  # multiprocessing has spawned it
        _note_end_of_worker(__import__("threading"))
    if "multiprocessing.util" in sys.modules:
        sys.modules["multiprocessing.util"].register_after_fork(recorder, _stop_with_multiprocessing)


def flush_when_terminated(sampler: Any, on: bool, flush: Callable[[], object] = lambda: None) -> None:
    """Whether SIGTERM, which nobody handles, flushes before it ends this process: pools end their workers with it.

    Where the program handles it for a while, ``flush`` is called as it sets the default again, and all is as before then.
    """
    global _flushed
    if sampler.engine != "native":
        return
    if on:
        _flushed = os.getpid(), sampler, flush
    elif _flushed is not None and _flushed[1] is sampler:
        _flushed = None
    sampler.flush_when_terminated(on, _program_handles_it if on else None)


def _program_handles_it() -> None:
    from memkit.record import set_back

    set_back.look_for(_is_set_back)


def _is_set_back() -> None:
    if _flushed is not None and _flushed[0] == os.getpid():
        _, sampler, flush = _flushed
        flush()
        sampler.flush_when_terminated(True)


def _stop_with_multiprocessing(recorder: ChildRecorder) -> None:
    """Have ``multiprocessing`` stop the recording as the last thing in the child that it has just forked.

    Until Python 3.12 such a child does not run ``atexit`` hooks.
    """
    if recorder.running and recorder.is_mine:
        sys.modules["multiprocessing.util"].Finalize(None, _stop, args=(recorder,), exitpriority=-1000)
        _note_end_of_worker(sys.modules["threading"])


def _note_end_of_worker(threading: ModuleType) -> None:
    """Note how the worker ends when Python waits for its threads: by the ``atexit`` hooks that is no longer known."""

    def note() -> None:
        exit_status.told = exit_status.of_worker() or exit_status.told

    register = getattr(threading, "_register_atexit", None)
    if register is not None:
        register(note)


def _stop(recorder: ChildRecorder) -> None:
    """Stop the recording of a child that ends, with how it ends."""
    try:
        recorder.stop(*(exit_status.of_worker() or exit_status.at_exit()))
    except JournalError as lost:
        to_stderr(str(lost))
