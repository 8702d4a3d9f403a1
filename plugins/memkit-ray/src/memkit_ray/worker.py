"""In a worker of Ray: its recording, in which each task is a span."""

from __future__ import annotations

import contextlib
import functools
import inspect
import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import AbstractContextManager
from importlib import import_module
from typing import Any

import memkit
from memkit_ray.running import RunningTasks

HOOK = "memkit_ray.worker.begin"
VARIABLE = "MEMKIT_RAY"
"""The environment variable that tells a worker how to record itself."""
SUFFIX, RUNNING = ".memkit", ".running"


def begin() -> None:
    """Record this worker: ``worker_process_setup_hook``. Where that is not possible, a line says so and the worker works."""
    try:
        if VARIABLE not in os.environ:
            raise memkit.UsageError(f"{VARIABLE} is not set: give ray.init(runtime_env=run.runtime_env())")
        settings = json.loads(os.environ[VARIABLE])
        if os.path.isfile(settings["folder"]):
            return  # the run is over
        context = import_module("ray").get_runtime_context()
        os.makedirs(settings["folder"], mode=0o700, exist_ok=True)
        path = os.path.join(settings["folder"], f"{settings['run']}-{context.get_node_id()}-{context.get_worker_id()}")
        memkit.record(path + SUFFIX, **settings["options"]).start()
        _tell_tasks_apart(RunningTasks(path + RUNNING))
    except Exception as error:  # Ray ends a worker whose hook fails
        why = error if isinstance(error, memkit.MemkitError) else repr(error)
        print(f"memkit-ray: worker {os.getpid()} does not record itself as asked: {why}", file=sys.stderr)


def _tell_tasks_apart(tasks: RunningTasks) -> None:
    """Make each task a span. What runs tasks is not public in Ray: it asks for their function once, here."""
    manager: Any = import_module("ray._private.worker").global_worker.function_actor_manager
    look_up, known = manager.get_execution_info, {}

    def get_execution_info(job_id: Any, descriptor: Any) -> Any:
        info = look_up(job_id, descriptor)
        if descriptor.module_name.startswith("memkit_ray."):
            return info
        if descriptor.function_id not in known:
            label = ".".join(filter(None, (descriptor.class_name, descriptor.function_name)))
            known[descriptor.function_id] = info._replace(function=spanned(label, info.function, tasks))
        return known[descriptor.function_id]

    manager.get_execution_info = get_execution_info


def spanned(label: str, function: Callable[..., Any], tasks: RunningTasks) -> Callable[..., Any]:
    """The function of a task, each call of which is a span, and is among those that the worker is in.

    That of an actor's method has the attributes ``name`` and ``method``, by which Ray tells coroutines from others. Methods
    of Ray's own are left alone.
    """
    method = getattr(function, "method", None)
    if method is not None and getattr(function, "name", "").startswith("__ray"):
        return function

    @contextlib.contextmanager
    def task() -> Iterator[None]:
        with tasks.task(label), memkit.span(label):
            yield

    wrapped: Callable[..., Any] = functools.wraps(function)(_of_its_kind(function, method or function, task))
    return wrapped


def _of_its_kind(
    function: Callable[..., Any], method: Callable[..., Any], task: Callable[[], AbstractContextManager[None]]
) -> Callable[..., Any]:
    """What calls a function within a task, and is a coroutine function or a generator as the method is."""
    if inspect.iscoroutinefunction(method):

        async def coroutine(*args: Any, **kwargs: Any) -> Any:
            with task():
                return await function(*args, **kwargs)

        return coroutine
    if inspect.isasyncgenfunction(method):

        async def asynchronous(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
            with task():
                async for each in function(*args, **kwargs):
                    yield each

        return asynchronous
    if inspect.isgeneratorfunction(method):

        def generator(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
            with task():
                return (yield from function(*args, **kwargs))

        return generator

    def plain(*args: Any, **kwargs: Any) -> Any:
        with task():
            return function(*args, **kwargs)

    return plain
