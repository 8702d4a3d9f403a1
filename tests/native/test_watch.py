"""What a tracer keeps of each thread: its rings and peaks are given back once, whatever befalls the thread."""

import pytest

pytest.importorskip("memkit.native.watch", reason="the compiled modules are not built here")

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
def test_a_forked_child_keeps_what_it_maps_where_the_rings_of_other_threads_were(python, tracer, traced):
    flags = ("-W", "ignore::DeprecationWarning")  # of a fork with other threads about
    assert python(FORKED % traced, tracer, flags=flags) == [0, "ok"]
