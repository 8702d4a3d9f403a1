"""Processes that do a program's work, told apart by what they do: several of the same kind are shown as one.

The kind is told by a function of a library that only such processes run, where all calls were traced, else by the command.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable

from memkit.model.calls import Call, Function
from memkit.model.metadata import About

_KINDS = (  # the end of a file, a function in it, and what a process is that runs it, the nearest to the work first
    ("/xdist/remote.py", "WorkerInteractor.pytest_runtestloop", "pytest-xdist worker"),
    ("/xdist/remote.py", "remote_initconfig", "pytest-xdist worker"),
    ("/joblib/externals/loky/process_executor.py", "_process_worker", "joblib worker"),
    ("/loky/process_executor.py", "_process_worker", "loky worker"),
    ("/concurrent/futures/process.py", "_process_worker", "process pool worker"),
    ("/billiard/pool.py", "Worker.workloop", "Celery worker"),
    ("/gunicorn/workers/base.py", "Worker.init_process", "gunicorn worker"),
    ("/uvicorn/_subprocess.py", "subprocess_started", "uvicorn worker"),
    ("/multiprocessing/pool.py", "worker", "process pool worker"),
    ("/joblib/externals/loky/backend/resource_tracker.py", "main", "joblib resource tracker"),
    ("/loky/backend/resource_tracker.py", "main", "loky resource tracker"),
    ("/multiprocessing/resource_tracker.py", "main", "resource tracker"),
    ("/multiprocessing/process.py", "BaseProcess._bootstrap", "multiprocessing process"),
    ("/multiprocessing/forkserver.py", "main", "fork server"),
    ("/django/utils/autoreload.py", "start_django", "reloaded Django server"),
    ("/werkzeug/_reloader.py", "run_with_reloader", "reloaded server"),
)
_LOOPS = ("_process_worker", "worker")  # those of them that run what they get, whatever it is
_NAMES = frozenset(name for _, name, _ in _KINDS)
_SPAWNED, _SPAWNING = "multiprocessing process", {"uvicorn": "uvicorn worker"}
"""What is spawned, unless a program of this name has spawned it, which spawns nothing else."""
_COMMANDS = (  # the same by a part of the command
    ("joblib.externals.loky.backend.popen_loky", "joblib worker"),
    ("resource_tracker import main", "resource tracker"),
    ("multiprocessing.forkserver import main", "fork server"),
    ("multiprocessing.spawn import spawn_main", _SPAWNED),
    ("import sys;exec(eval(sys.stdin.readline()))", "execnet process"),
    ("-m pyspark.daemon", "PySpark process"),  # and the workers that it forks
    ("-m pyspark.worker", "PySpark worker"),
    ("/ray/_private/workers/default_worker.py", "Ray worker"),
)
TOLD = frozenset(kind for _, kind in _COMMANDS) | {kind for *_, kind in _KINDS} | {"forked process"}
"""What processes are for, where that is known."""
_LONGEST = 30


def is_loop(function: Function) -> bool:
    """Whether a function is that by which a worker of a pool runs what it gets."""
    file = function.file.replace("\\", "/")
    return function.name in _LOOPS and any(name == function.name and file.endswith(end) for end, name, _ in _KINDS)


def kind_of(about: About, calls: Iterable[Call], others: Collection[tuple[int, tuple[str, ...]]]) -> str:
    """What a process is for, as a noun without an article. One of the others, a pid and its ``argv``, has started it."""
    found = {(call.function.name, call.function.file) for call in calls if call.function.name in _NAMES}
    for file, name, kind in _KINDS:
        if any(name == each and path.replace("\\", "/").endswith(file) for each, path in found):
            return kind
    for part, kind in _COMMANDS:
        if part in about.command:
            starter = next((argv for pid, argv in others if pid == about.parent), ()) if kind == _SPAWNED else ()
            return _SPAWNING.get(_program(starter), kind)
    if about.parent is not None and (about.parent, about.argv) in others:
        return "forked process"
    return f"{_program(about.argv)[:_LONGEST]} process".lstrip()


def kind_by_command(command: str) -> str | None:
    """What a process is for, where a library starts it by a command that says so; else None."""
    return next((kind for part, kind in _COMMANDS if part in command), None)


def _program(argv: Iterable[str]) -> str:
    words = [word for word in argv if not word.startswith("-")]
    return os.path.basename(words[0].split()[0]) if words and words[0].split() else ""
