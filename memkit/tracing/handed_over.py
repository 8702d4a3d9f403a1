"""Through which functions work passes from one thread or task to another, so that it hangs under who handed it over.

Nothing is patched: the tracer of calls notices these functions as it does all others, when they are called. Each is known by
its file, below the folder of the standard library or of installed packages, and by its qualified name. ``GIVES`` says in
which local variable the work is that a function hands over, ``BEGINS`` in which one the work is that it begins.

What hands it over is the innermost caller outside the libraries that pass work on for others, and wait for it
(``_MACHINERY``).
"""

from __future__ import annotations

import os
import sys

from memkit.system import engine as engines

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType

with engines.compiled("tracing of lines and calls"):
    from memkit.native.tracing.handed_over import ROLES

THREAD = "<thread>"
POOL = "<thread pool>"
TASK = "<task>"
PROCESSES = "<process pool>"

_FUTURES = "concurrent/futures/thread.py"
_POOL = "multiprocessing/pool.py"
_ANYIO = "anyio/_backends/_asyncio.py"
_TRIO_THREADS = "trio/_core/_thread_cache.py"
_POOLS = (_FUTURES, _POOL, _ANYIO, _TRIO_THREADS)
_TRIO_TASK = "<attrs generated methods trio._core._run.Task>"

WATCHED: dict[tuple[str, str], tuple[int, str | None, str]] = {
    # Threads. A thread begins with its first event, whichever function that is of.
    ("threading.py", "Thread.start"): (ROLES["gives"], "self", THREAD),
    # ThreadPoolExecutor, and so loop.run_in_executor and asyncio.to_thread.
    (_FUTURES, "_WorkItem.__init__"): (ROLES["gives"], "self", POOL),
    (_FUTURES, "_WorkItem.run"): (ROLES["begins"], "self", POOL),
    # Tasks. A task begins, and goes on, when the frame of its coroutine does.
    ("asyncio/base_events.py", "BaseEventLoop.create_task"): (ROLES["gives coroutine"], "coro", TASK),
    ("asyncio/tasks.py", "create_task"): (ROLES["gives coroutine"], "coro", TASK),
    ("asyncio/tasks.py", "ensure_future"): (ROLES["gives coroutine"], "coro_or_future", TASK),
    ("asyncio/taskgroups.py", "TaskGroup.create_task"): (ROLES["gives coroutine"], "coro", TASK),
    ("asyncio/runners.py", "Runner.run"): (ROLES["gives coroutine"], "coro", TASK),
    (_TRIO_TASK, "__init__"): (ROLES["gives coroutine"], "coro", TASK),
    # multiprocessing.pool.ThreadPool, and so joblib's threads. What a worker calls is the work.
    (_POOL, "ApplyResult.__init__"): (ROLES["gives job"], "self", POOL),
    (_POOL, "IMapIterator.__init__"): (ROLES["gives job"], "self", POOL),
    (_POOL, "worker"): (ROLES["dispatches"], "job", POOL),
    (_POOL, "mapstar"): (ROLES["is dispatched"], None, POOL),
    (_POOL, "starmapstar"): (ROLES["is dispatched"], None, POOL),
    # anyio.to_thread and trio.to_thread, which have threads of their own.
    ("queue.py", "Queue.put_nowait"): (ROLES["gives"] | ROLES["for machinery"], "item", POOL),
    (_ANYIO, "WorkerThread.run"): (ROLES["dispatches"], "item", POOL),
    (_TRIO_THREADS, "ThreadCache.start_thread_soon"): (ROLES["gives"], "fn", POOL),
    (_TRIO_THREADS, "WorkerThread._handle_job"): (ROLES["dispatches"], "fn", POOL),
    # Processes. What they do is found by a reader, in what they recorded themselves: see memkit.model.handed_out.
    ("concurrent/futures/process.py", "ProcessPoolExecutor.submit"): (ROLES["to processes"], "fn", PROCESSES),
    ("joblib/externals/loky/process_executor.py", "ProcessPoolExecutor.submit"): (ROLES["to processes"], "fn", PROCESSES),
    ("loky/process_executor.py", "ProcessPoolExecutor.submit"): (ROLES["to processes"], "fn", PROCESSES),
    (_POOL, "Pool.apply_async"): (ROLES["to processes"], "func", PROCESSES),
    (_POOL, "Pool._map_async"): (ROLES["to processes"], "func", PROCESSES),
    (_POOL, "Pool.imap"): (ROLES["to processes"], "func", PROCESSES),
    (_POOL, "Pool.imap_unordered"): (ROLES["to processes"], "func", PROCESSES),
}
"""File and qualified name -> the function's part, the local variable, and what stands for the work."""

_LIBRARIES = ("anyio", "trio", "joblib", "loky")
_MODULES = ("threading.py", "queue.py", "selectors.py", "socket.py", "socketserver.py", "subprocess.py")
_MACHINERY = (*_MODULES, "concurrent/", "asyncio/", "multiprocessing/", *(f"{name}/" for name in _LIBRARIES))
_STANDARD = os.path.dirname(os.__file__) + os.sep
_COROUTINE = 0x80 | 0x200  # CO_COROUTINE, CO_ASYNC_GENERATOR


def part_of(code: CodeType) -> tuple[int, str | None, str | None]:
    """What a code object does with work that is handed over: a role, the local variable, and what stands for the work."""
    place = place_of(code.co_filename)
    role, local, kind = WATCHED.get((place, code.co_qualname), (0, None, None))
    if place.startswith(_MACHINERY) or place == _TRIO_TASK:
        role |= ROLES["machinery"]
    if place.startswith("joblib/"):
        role |= ROLES["is dispatched"]
    if code.co_flags & _COROUTINE:
        role |= ROLES["coroutine"]
    return role, local, kind


def is_machinery(code: CodeType) -> bool:
    """Whether code belongs to a library that passes work on for others."""
    return bool(part_of(code)[0] & ROLES["machinery"])


def is_pool(code: CodeType) -> bool:
    """Whether code belongs to a library that has threads work for others."""
    return place_of(code.co_filename) in _POOLS


def place_of(file: str) -> str:
    """The path of a file of the standard library or of one of the libraries, below their folders; of others empty."""
    if file.startswith("<"):
        return file
    if file.startswith(_STANDARD):
        place = file[len(_STANDARD) :].replace(os.sep, "/")
        if not place.startswith(("site-packages/", "dist-packages/")):
            return place
    for name in _LIBRARIES:
        init = getattr(sys.modules.get(name), "__file__", None)
        if init and file.startswith(folder := os.path.dirname(init) + os.sep):
            return f"{name}/{file[len(folder) :]}".replace(os.sep, "/")
    return ""
