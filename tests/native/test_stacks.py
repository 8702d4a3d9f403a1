"""Where threads are, read without the GIL, against what Python itself says of threads that stand still."""

import asyncio
import json
import os
import sys
import sysconfig
import threading
import time

import pytest

pytest.importorskip("memkit.native.sampling.stacks", reason="the compiled modules are not built here")

from memkit.native.journal import Journal
from memkit.native.sampling.stacks import unreadable_because, write_stacks

pytestmark = pytest.mark.skipif(
    unreadable_because() is not None and bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
    reason="a free-threaded Python keeps instructions for each thread",
)


@pytest.fixture
def stacks(tmp_path):
    """A function that reads all stacks now: the native number of a thread -> name and frames."""
    rows = Journal(os.open(tmp_path / "j", os.O_WRONLY | os.O_CREAT | os.O_APPEND), str(tmp_path / "j"))

    def read():
        os.truncate(tmp_path / "j", 0)
        assert write_stacks(rows) == len(sys._current_frames())
        rows.flush()
        return {
            row[2]: (row[3], [tuple(frame) for frame in row[4]])
            for row in map(json.loads, (tmp_path / "j").read_text().splitlines())
        }

    yield read
    rows.close()


def frames_of(ident):
    """What Python says, the innermost first."""
    frame, found = sys._current_frames()[ident], []
    while frame is not None:
        found.append((frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_qualname))
        frame = frame.f_back
    return found[:64]


class Parked:
    """A thread that runs some code until that waits, and stays there."""

    def __init__(self, text, name="<parked>"):
        self.leave, here = threading.Event(), threading.Event()

        def wait():
            here.set()
            self.leave.wait()

        space = {"wait": wait, "asyncio": asyncio}
        code = compile(text, name, "exec")
        self.thread = threading.Thread(target=exec, args=(code, space))
        self.thread.start()
        here.wait()
        while frames_of(self.thread.ident)[0][2] != "Condition.wait":
            time.sleep(0.001)


SHAPES = {
    "function": "def f():\n    x = 1\n\n    wait()\nf()",
    "recursion": "def f(n):\n    return f(n - 1) if n else wait()\nf(30)",
    "deep recursion": "def f(n):\n    return f(n - 1) if n else wait()\nf(200)",
    "generator": "def g():\n    yield 1\n    yield wait()\nlist(g())",
    "nested generators": "def g():\n    yield wait()\ndef h():\n    yield from g()\nsum(x or 0 for x in h())",
    "coroutine": "async def a():\n    wait()\nasync def b():\n    await a()\nasyncio.run(b())",
    "method": "class C:\n    class D:\n        def m(self):\n            wait()\nC.D().m()",
    "call from C": "list(map(lambda _: wait(), [1]))",
    "sort key": "sorted([1, 2], key=lambda x: wait() or x)",
    "with": "class W:\n    def __enter__(self):\n        wait()\n    __exit__ = lambda *_: None\nwith W():\n    pass",
    "comprehension": "x = [\n    wait()\n    for _ in [1]\n]",
    "many lines": "x = [\n" + "1,\n" * 3000 + "wait()\n]",
    "far down": "\n" * 70_000 + "def f():\n" + "    y = 2\n" * 2000 + "    wait()\n" + "    y = 2\n" * 100 + "f()",
    "loop back": "for n in range(3):\n    if n == 2:\n        wait()\n    y = (n\n        + 1)",
    "except": "try:\n    1 / 0\nexcept ZeroDivisionError:\n    wait()\nfinally:\n    pass",
    "class body": "class K:\n    a = 1\n    b = wait()",
    "objects": "class C:\n    def __init__(self, n):\n        n < 99 or wait()\nfor n in range(100):\n    C(n)",
    "latin": "def übung():\n    wait()\nübung()",
    "greek": "def λάμδα():\n    wait()\nλάμδα()",
}


@pytest.mark.parametrize("shape", SHAPES)
def test_the_stack_of_a_waiting_thread_is_the_one_that_python_has(stacks, shape):
    parked = Parked(SHAPES[shape])
    try:
        name, frames = stacks()[parked.thread.native_id]
        assert frames == frames_of(parked.thread.ident)
        assert name is None
    finally:
        parked.leave.set()
        parked.thread.join()


@pytest.mark.parametrize("file", ['a "quoted\\name"\n', "ütf", "ελληνικά", "🐍", "x" * 300])
def test_any_name_of_a_file_survives(stacks, file):
    parked = Parked("wait()", file)
    try:
        assert file in [frame[0] for frame in stacks()[parked.thread.native_id][1]]
    finally:
        parked.leave.set()
        parked.thread.join()


def test_the_frames_of_every_python_that_is_supported_are_known():
    assert unreadable_because() is None


def test_a_very_long_file_name_keeps_its_end(stacks):
    parked = Parked("wait()", "/folder" * 200 + "/file.py")
    try:
        (long,) = [frame[0] for frame in stacks()[parked.thread.native_id][1] if "folder" in frame[0]]
        assert len(long) == 400 and long.endswith("/folder/file.py")
    finally:
        parked.leave.set()
        parked.thread.join()


def test_the_calling_thread_is_included_and_the_main_thread_named(stacks):
    line = sys._getframe().f_lineno + 1
    name, frames = stacks()[threading.main_thread().native_id]
    assert name == "MainThread"
    functions = [frame[2] for frame in frames]
    assert (__file__, line, "test_the_calling_thread_is_included_and_the_main_thread_named") in frames
    assert functions.index("stacks.<locals>.read") == 0


def test_threads_that_call_and_return_all_the_time_are_read_safely(stacks):
    """What is told of them is told right: each call was made by the one that follows it."""
    over = threading.Event()

    def leaf(n):
        return n

    def branch(n):
        return leaf(n) + (branch(n - 1) if n else 0)

    def busy():
        while not over.is_set():
            branch(20)

    threads = [threading.Thread(target=busy) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(60):
            found = stacks()
            for thread in threads:
                functions = [frame[2].rpartition(".")[2] for frame in found.get(thread.native_id, (None, []))[1]]
                if "busy" in functions:
                    assert set(functions[: functions.index("busy")]) <= {"leaf", "branch", "is_set"}
                    assert functions[functions.index("busy") :] == ["busy", "run", "_bootstrap_inner", "_bootstrap"]
    finally:
        over.set()
        for thread in threads:
            thread.join()


def test_threads_that_start_and_end_are_read_safely(tmp_path):
    rows = Journal(os.open(tmp_path / "j", os.O_WRONLY | os.O_CREAT | os.O_APPEND), str(tmp_path / "j"))
    for _ in range(300):
        threads = [threading.Thread(target=lambda: None) for _ in range(4)]
        for thread in threads:
            thread.start()
        assert write_stacks(rows) >= 1
        for thread in threads:
            thread.join()
    rows.close()
    assert all(json.loads(line)[0] == "stack" for line in (tmp_path / "j").read_text().splitlines())
