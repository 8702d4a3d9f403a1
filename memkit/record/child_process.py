"""Python programs that a recorded one starts, and that record themselves into the same file.

A forked child goes on where its parent stood, by the hook in ``ongoing``. One that is spawned finds ``MEMKIT_FOLLOW`` in
its environment and, first on ``PYTHONPATH``, the folder ``run/inject`` whose ``sitecustomize`` calls ``begin``. Both write
into the file of the recording, each write begun with a ``part`` row.
"""

from __future__ import annotations

import os
import sys

from memkit.base.errors import JournalError, MemkitError, UsageError
from memkit.record import exit_status

VARIABLE = "MEMKIT_FOLLOW"
FOLDER = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "run", "inject")
SEPARATOR = "\x1f"  # between settings: no path or target has one
_PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"


_invited = None  # by the program itself, and not by whoever measures it


class Invitation:
    """What tells spawned children to follow: two variables of the environment, as long as a recording goes on.

    A program that is followed, or that ``memkit-run`` follows, may invite as it does without that: the nearest counts.
    """

    def __init__(self, recorder):
        if _invited is not None:
            raise UsageError("children of this process follow another recording already: only one can be followed")
        self._is_the_programs = recorder.arguments["argv"] is None
        words = [_PYTHON, *(f"{name}={value}" for name, value in _settings(recorder).items())]
        before = os.environ.get("PYTHONPATH")
        self._mine = {VARIABLE: SEPARATOR.join(words), "PYTHONPATH": FOLDER + (os.pathsep + before if before else "")}
        self._before = {VARIABLE: os.environ.get(VARIABLE), "PYTHONPATH": before}
        self._sent = False

    def send(self) -> None:
        """Have it in the environment from now on."""
        global _invited
        if self._is_the_programs:
            _invited = self
        os.environ.update(self._mine)
        self._sent = True

    def withdraw(self) -> None:
        """Leave the environment as it was, but for what the program changed itself."""
        global _invited
        if _invited is self:
            _invited = None
        for name, value in self._mine.items() if self._sent else ():
            if os.environ.get(name) == value:
                if self._before[name] is None:
                    del os.environ[name]
                else:
                    os.environ[name] = self._before[name]


def _settings(recorder) -> dict[str, str]:
    """What a spawned child is told, to make a recorder like this one."""
    given = recorder.arguments
    if not isinstance(given["meter"], str):
        raise UsageError("record(follow=True) needs a meter with a name: spawned children find it by that")
    told = {"path": recorder.path, "interval": str(given["interval"]), "meter": given["meter"]}
    switches = {
        "c_calls": given["c_calls"],
        "no_peak_reset": not given["peak_reset"],
        "all_calls": recorder.call_targets is True,
        "profile": hasattr(sys.modules["builtins"], "profile"),
    }
    told |= {name: "" for name, wanted in switches.items() if wanted}
    for name, targets in (("lines", recorder.targets), ("calls", recorder.call_targets)):
        if targets is not None and targets is not True:
            told[name] = "\n".join(targets.texts())
    return told


def start(recorder) -> None:
    """Start the recording of a child; where that cannot be, say so in a line and let the program run."""
    try:
        recorder.start()
    except (MemkitError, OSError) as error:
        if sys.stderr is not None:
            print(f"memkit: process {os.getpid()} does not record itself: {error}", file=sys.stderr)
        return
    if "--multiprocessing-fork" in sys.orig_argv:  # it was spawned
        _learn_from_multiprocessing(__import__("threading"))
    if "multiprocessing.util" in sys.modules:
        sys.modules["multiprocessing.util"].register_after_fork(recorder, _end_with_multiprocessing)


def _end_with_multiprocessing(recorder) -> None:
    """Have ``multiprocessing`` end a recording in the child that it has just forked, the last thing that it does.

    Until Python 3.12 such a child runs no exit hooks of Python.
    """
    if recorder.running and recorder.is_mine:
        sys.modules["multiprocessing.util"].Finalize(None, stop, args=(recorder,), exitpriority=-1000)
        _learn_from_multiprocessing(sys.modules["threading"])


def _learn_from_multiprocessing(threading) -> None:
    """Have it tell how its worker ends while it knows: it waits for threads then, and has forgotten it by the exit hooks."""

    def learn():
        exit_status.told = exit_status.of_worker() or exit_status.told

    register = getattr(threading, "_register_atexit", None)
    if register is not None:
        register(learn)


def stop(recorder) -> None:
    """End the recording of a child that ends, saying how."""
    try:
        recorder.stop(*(exit_status.of_worker() or exit_status.at_exit()))
    except JournalError as lost:
        if sys.stderr is not None:
            print(f"memkit: {lost}", file=sys.stderr)
