"""What a tracer keeps of each thread: its rings and peaks are freed once, whatever happens to the thread."""

import pytest

pytest.importorskip("memkit.native.tracing.thread_state", reason="the compiled modules are not built here")

pytestmark = pytest.mark.usefixtures("native_only")

FORKED = """
import json
import mmap
import os
import threading
import memkit

def work():
    kept = [0]
    return kept

def work_and_wait():
    work()
    at_work.wait()
    go_on.wait()

pages = []
os.register_at_fork(after_in_child=lambda: pages.extend(mmap.mmap(-1, mmap.PAGESIZE) for _ in range(64)))
at_work, go_on = threading.Barrier(4), threading.Event()
threads = [threading.Thread(target=work_and_wait) for _ in range(3)]
with memkit.record(%s) as run:
    work()
    for thread in threads:
        thread.start()
    at_work.wait()
    child = os.fork()
    if not child:
        for page in pages:
            page[:] = b"x" * mmap.PAGESIZE
        os._exit(0)
    _, status = os.waitpid(child, 0)
    go_on.set()
    for thread in threads:
        thread.join()
print(json.dumps([status, run.recording.ending.kind]))
"""


@pytest.mark.parametrize("traced", ["lines=work", "calls=True"])
def test_a_child_keeps_maps_at_the_addresses_of_its_parents_rings(python, tracer, traced):
    flags = ("-W", "ignore::DeprecationWarning")  # of a fork with other threads about
    assert python(FORKED % traced, tracer, flags=flags) == [0, "ok"]


FAILING = """
import json
import os
import threading
import time
import memkit
from _testcapi import remove_mem_hooks, set_nomemory

def work():
    kept = 0
    return kept

def work_where_one_allocation_fails(which):
    set_nomemory(which, which + 1)
    try:
        for _ in range(3):
            work()
    except (MemoryError, SystemError):  # the interpreter itself may come to lack a frame to trace
        pass
    finally:
        remove_mem_hooks()
    over.release()
    end.wait()

def descriptors():
    return len(os.listdir("/proc/self/fd"))

over, end = threading.Semaphore(0), threading.Event()
threads = [threading.Thread(target=work_where_one_allocation_fails, args=(which,)) for which in range(40)]
with memkit.record(%s) as run:
    work()
    before = descriptors()
    for thread in threads:  # which all live on, so that none goes on with what was taken for another
        thread.start()
        over.acquire()
    end.set()
    for thread in threads:
        thread.join()
    while descriptors() > before:  # a thread ends a moment after it was joined
        time.sleep(0.001)
hits = {line.hits for line in run.recording.lines}
calls = sum(call.calls for call in run.recording.calls if call.function.name == "work")
print(json.dumps(min(hits, default=calls)))
"""


@pytest.mark.parametrize("traced", ["lines=work", "calls=True"])
def test_a_failed_allocation_loses_only_that_event(python, tracer, traced):
    pytest.importorskip("_testcapi", reason="needs the interpreter's own test modules, which can have allocations fail")
    assert 100 < python(FAILING % traced, tracer) <= 1 + 40 * 3
