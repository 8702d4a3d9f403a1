"""Work that is handed over: it hangs under who handed it over, by known sizes of blocks of memory."""

import json
import subprocess
import sys

import pytest

from engines import CLOSE, MIB, TRACERS, environment

pytestmark = pytest.mark.usefixtures("native_only")

HEAD = """
import asyncio
import json
import mmap
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import memkit

MIB = 1 << 20
blocks = []

def touch(size):
    block = mmap.mmap(-1, round(size * MIB))
    for page in range(0, len(block), mmap.PAGESIZE):
        block[page] = 1
    blocks.append(block)

def show(recording):
    recording = recording.hiding()
    names, found = {}, []
    for call in recording.calls:
        names[call.id] = [*names.get(call.parent, []), call.function.name]
        path = [name for name in names[call.id] if name not in ("<module>", "<thread MainThread>")]
        found.append(["/".join(path), call.calls, call.growth / MIB, bool(call.handed)])
    print(json.dumps(found))
"""


@pytest.fixture(params=TRACERS)
def tracer(request):
    return request.param


class Found(dict):
    """By path: calls and growth in MiB."""

    def sizes(self, *paths):
        return [round(self[path][1], 3) for path in paths]


@pytest.fixture
def runs(tracer, tmp_path):
    """A function that runs a text after ``HEAD`` and returns what ``show`` printed, by path, the last of several."""

    def run(text, **more):
        words = [sys.executable, "-c", HEAD + text]
        done = subprocess.run(
            words, capture_output=True, text=True, env=environment(tracer, **more), timeout=120, cwd=tmp_path
        )
        assert (done.returncode, done.stderr) == (0, "")
        found = [
            Found({path: (calls, growth) for path, calls, growth, _ in json.loads(line)})
            for line in done.stdout.splitlines()
        ]
        return found[0] if len(found) == 1 else found

    return run


def about(*sizes, within=CLOSE / MIB):
    return [pytest.approx(size, abs=within) for size in sizes]


SEVERAL = CLOSE / MIB
"""MiB by which growth may be off where threads run at the same time: a huge page can be credited to another."""


# -- threads and their pools -------------------------------------------------------------------------------------------


def test_what_a_pool_does_is_below_who_submitted_it(runs):
    shown, by_thread = runs(
        """
def work(size):
    touch(size)

def load(pool):
    pool.submit(work, 60).result()
    barrier = threading.Barrier(2)
    list(pool.map(in_turn, [30, 30]))

def in_turn(size):
    barrier.wait()  # so that both threads do one
    with lock:
        work(size)

def other(pool):
    pool.submit(work, 5).result()

lock, barrier = threading.Lock(), threading.Barrier(2)
with memkit.record(calls=True) as run:
    with ThreadPoolExecutor(2) as pool:
        load(pool)
        other(pool)
show(run.recording)
show(run.recording.by_thread())
"""
    )
    pool = "load/<thread pool>"
    assert shown.sizes(pool, f"{pool}/work", f"{pool}/in_turn/work", "other/<thread pool>/work") == about(
        *(120, 60, 60, 5), within=SEVERAL
    )
    assert shown.sizes("load") == about(120, within=2 * SEVERAL)  # it starts the threads, and what that takes is its own
    assert [shown[path][0] for path in (pool, f"{pool}/work", f"{pool}/in_turn", "other/<thread pool>")] == [3, 1, 2, 1]
    assert by_thread.sizes("load", "other") == about(0, 0)
    threads = {path: sizes for path, sizes in by_thread.items() if path.startswith("<thread ThreadPool")}
    assert sum(growth for path, (_, growth) in threads.items() if "/" not in path) == pytest.approx(125, abs=SEVERAL)


def test_a_thread_is_below_who_started_it(runs):
    shown, by_thread = runs(
        """
def work():
    touch(10)

class Own(threading.Thread):
    def run(self):
        touch(7)

def start():
    for thread in (threading.Thread(target=work), threading.Thread(target=work, name="x"), Own(), threading.Timer(0, work)):
        thread.start()
        thread.join()

with memkit.record(calls=True) as run:
    start()
show(run.recording)
show(run.recording.by_thread())
"""
    )
    assert shown.sizes("start/<thread>", "start/<thread>/work", "start/<thread>/Own.run") == about(37, 30, 7, within=SEVERAL)
    assert shown["start/<thread>"][0] == 4
    assert by_thread.sizes("<thread x>/work", "start") == about(10, 0, within=SEVERAL)


def test_a_thread_that_ran_before_is_nobodys(runs):
    shown = runs(
        """
def work():
    begun.set()
    go.wait()
    touch(5)

begun, go = threading.Event(), threading.Event()
thread = threading.Thread(target=work, name="early")
thread.start()
begun.wait()
with memkit.record(calls=True) as run:
    go.set()
    thread.join()
show(run.recording)
"""
    )
    assert next(path for path, (_, growth) in shown.items() if growth > 4).startswith("<thread early>")


def test_work_that_hands_over_work_is_below_it(runs):
    shown = runs(
        """
def outer():
    touch(6)
    pool.submit(inner).result()

def inner():
    touch(9)
    thread = threading.Thread(target=touch, args=(12,))
    thread.start()
    thread.join()

def load():
    pool.submit(outer).result()

with memkit.record(calls=True) as run, ThreadPoolExecutor(2) as pool:
    load()
show(run.recording)
"""
    )
    inner = "load/<thread pool>/outer/<thread pool>/inner"
    assert shown.sizes("load/<thread pool>", inner, f"{inner}/<thread>/touch") == about(27, 21, 12, within=SEVERAL)


def test_work_that_hands_over_its_like_makes_no_endless_path(runs):
    shown = runs(
        """
def again(count):
    touch(0.5)
    if count:
        pool.submit(again, count - 1)
    else:
        done.set()

def load():
    pool.submit(again, 50)
    done.wait()

done = threading.Event()
with memkit.record(calls=True) as run, ThreadPoolExecutor(2) as pool:
    load()
show(run.recording)
"""
    )
    first = "load/<thread pool>/again"
    assert shown.sizes(first, f"{first}/<thread pool>/again") == about(25.5, 25, within=SEVERAL)
    assert shown[f"{first}/<thread pool>/again"][0] == 50


def test_work_that_fails_or_never_begins_leaves_the_rest_right(runs):
    shown = runs(
        """
def fail():
    touch(4)
    raise ValueError

def wait():
    begun.set()
    go.wait()

def load(pool):
    for _ in range(3):
        assert isinstance(pool.submit(fail).exception(), ValueError)
    begun.clear()
    waiting = pool.submit(wait)
    begun.wait()
    never = [pool.submit(touch, 100) for _ in range(3)]
    assert all(each.cancel() for each in never)
    go.set()
    waiting.result()
    pool.submit(touch, 9).result()

begun, go = threading.Event(), threading.Event()
with memkit.record(calls=True) as run, ThreadPoolExecutor(1) as pool:
    load(pool)
show(run.recording)
"""
    )
    pool = "load/<thread pool>"
    assert shown.sizes(pool, f"{pool}/fail", f"{pool}/touch") == about(21, 12, 9, within=SEVERAL)
    assert [shown[path][0] for path in (f"{pool}/fail", f"{pool}/touch")] == [3, 1]


def test_a_pool_of_multiprocessing_is_below_who_gave_it_jobs(runs):
    shown = runs(
        """
from multiprocessing.pool import ThreadPool

def one(pool):
    pool.apply(touch, (5,))
    pool.apply_async(touch, (6,)).get()

def many(pool):
    pool.map(touch, [1] * 10)
    pool.starmap(touch, [(1,)] * 3)
    assert len(list(pool.imap_unordered(touch, [2] * 3))) == 3

with memkit.record(calls=True) as run, ThreadPool(1) as pool:
    one(pool)
    many(pool)
show(run.recording)
"""
    )
    sizes = shown.sizes("one/<thread pool>/touch", "many/<thread pool>/touch")
    assert sizes == about(11, 19, within=SEVERAL)  # the pool's own threads run, too
    assert [shown[f"{name}/<thread pool>/touch"][0] for name in ("one", "many")] == [2, 16]


def test_threads_of_joblib_are_below_who_gave_them_work(runs):
    pytest.importorskip("joblib")
    shown = runs(
        """
from joblib import Parallel, delayed

def load():
    Parallel(2, backend="threading")(delayed(touch)(3) for _ in range(4))

Parallel(2, backend="threading")(delayed(touch)(0.1) for _ in range(4))
with memkit.record(calls=True) as run:
    load()
show(run.recording)
"""
    )
    assert shown["load/<thread pool>/touch"][0] == 4
    assert shown.sizes("load") == [pytest.approx(12, abs=1)]


# -- tasks -------------------------------------------------------------------------------------------------------------


def test_tasks_that_interleave_are_below_who_made_them(runs):
    shown, by_thread = runs(
        """
async def job(size):
    for _ in range(4):
        touch(size / 4)
        await asyncio.sleep(0)

async def deep(size):
    await job(size)

def odd():
    tasks = []
    for size in (1, 3, 5, 7, 9):
        tasks.append(asyncio.ensure_future(job(size)))
    return tasks

async def even():
    tasks = [asyncio.get_running_loop().create_task(deep(2))]
    for size in (4, 6, 8, 10):
        tasks.append(asyncio.create_task(deep(size)))
    return tasks

async def main():
    await asyncio.gather(*odd(), *await even())

with memkit.record(calls=True) as run:
    asyncio.run(main())
show(run.recording)
show(run.recording.by_thread())
"""
    )
    main = "<task>/main"
    odd, even = f"{main}/odd/<task>", f"{main}/even/<task>"
    paths = [main, f"{odd}/job", f"{even}/deep", f"{even}/deep/job", f"{even}/deep/job/touch"]
    assert shown.sizes(*paths) == about(55, 25, 30, 30, 30)
    assert [shown[path][0] for path in (odd, even, f"{odd}/job", f"{even}/deep/job/touch")] == [5, 5, 5, 20]
    assert by_thread.sizes("job", "deep/job", "main") == about(25, 30, 0)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="task groups came with Python 3.11")
def test_a_task_group_and_threads_are_below_the_coroutine(runs):
    shown = runs(
        """
async def job(size):
    touch(size)
    await asyncio.sleep(0)
    touch(size)

async def group():
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(job(3))
        tasks.create_task(job(4))

async def threads():
    await asyncio.to_thread(touch, 5)
    await asyncio.get_running_loop().run_in_executor(None, touch, 6)
    with ThreadPoolExecutor(1) as pool:
        await asyncio.get_running_loop().run_in_executor(pool, touch, 7)

async def main():
    await group()
    await threads()

with memkit.record(calls=True) as run:
    asyncio.run(main())
show(run.recording)
"""
    )
    paths = "group/<task>/job", "threads/<thread pool>/touch"
    assert shown.sizes(*(f"<task>/main/{path}" for path in paths)) == about(14, 18, within=SEVERAL)
    assert [shown[f"<task>/main/{path}"][0] for path in paths] == [2, 3]


def test_cancelled_tasks_leave_the_rest_right(runs):
    shown = runs(
        """
async def job(size):
    touch(size)
    await asyncio.sleep(0)

async def stopped():
    touch(3)
    try:
        await asyncio.sleep(100)
    finally:
        touch(1)

async def cancel(coroutine, steps):
    task = asyncio.create_task(coroutine)
    for _ in range(steps):
        await asyncio.sleep(0)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        await asyncio.create_task(job(2))

async def awaiting():
    await stopped()

async def main():
    await asyncio.gather(*(job(1) for _ in range(5)))
    await cancel(job(100), 0)
    await cancel(stopped(), 1)
    await cancel(awaiting(), 1)

with memkit.record(calls=True) as run:
    asyncio.run(main())
show(run.recording)
"""
    )
    cancel = "<task>/main/cancel"
    paths = f"{cancel}/<task>/job", f"{cancel}/<task>/stopped", f"{cancel}/<task>/awaiting/stopped", "<task>/main/<task>/job"
    assert shown.sizes(*paths) == about(6, 4, 4, 5)
    assert shown.sizes("<task>") == about(19)


def test_a_task_that_makes_the_next_makes_no_endless_path(runs):
    shown = runs(
        """
async def crawl(count):
    touch(0.5)
    if count:
        tasks.append(asyncio.create_task(crawl(count - 1)))

async def main():
    tasks.append(asyncio.create_task(crawl(40)))
    while tasks:
        await tasks.pop()

tasks = []
with memkit.record(calls=True) as run:
    asyncio.run(main())
show(run.recording)
"""
    )
    first = "<task>/main/<task>/crawl"
    assert shown.sizes(first, f"{first}/<task>/crawl") == about(20.5, 20)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_tasks_and_threads_of_anyio_are_below_who_made_them(runs, backend):
    pytest.importorskip("anyio")
    pytest.importorskip(backend)
    shown = runs(
        f"""
import anyio

async def child(size):
    touch(size)
    await anyio.sleep(0)
    touch(size)

async def main():
    async with anyio.create_task_group() as group:
        group.start_soon(child, 2)
        group.start_soon(child, 3)
    await anyio.to_thread.run_sync(touch, 12)

anyio.run(anyio.sleep, 0, backend={backend!r})
with memkit.record(calls=True) as run:
    anyio.run(main, backend={backend!r})
show(run.recording)
"""
    )
    main = "<task>/main"
    assert shown.sizes(f"{main}/<task>/child", f"{main}/<thread pool>/touch") == about(10, 12, within=SEVERAL)
    assert [shown[f"{main}/{path}"][0] for path in ("<task>/child", "<thread pool>/touch")] == [2, 1]


# -- targets, and ends -------------------------------------------------------------------------------------------------


def test_work_of_a_target_is_traced_wherever_it_is_done(runs):
    shown = runs(
        """
def work(size):
    touch(size)

def load(pool):
    pool.submit(work, 15).result()
    thread = threading.Thread(target=work, args=(9,))
    thread.start()
    thread.join()

def other(pool):
    pool.submit(work, 100).result()

pool = ThreadPoolExecutor(1)
pool.submit(len, "").result()
with memkit.record(calls=load) as run:
    other(pool)
    load(pool)
show(run.recording)
"""
    )
    assert shown.sizes("load/<thread pool>/work", "load/<thread>/work") == about(15, 9, within=SEVERAL)
    assert not any("other" in path or growth > 50 for path, (_, growth) in shown.items() if "/" in path)


def test_a_recording_may_end_while_work_is_handed_over(runs):
    shown = runs(
        """
def work():
    begun.set()
    go.wait()
    touch(1)

def load(pool):
    waiting = []
    for _ in range(20):
        waiting.append(pool.submit(work))
    return waiting

for turn in range(10):
    begun, go = threading.Event(), threading.Event()
    with ThreadPoolExecutor(2) as pool:
        with memkit.record(calls=True) as run:
            waiting = load(pool)
            begun.wait()
        go.set()
        assert [each.result() for each in waiting] == [None] * 20
show(run.recording)
"""
    )
    assert shown["load/<thread pool>/work"][0] in (1, 2)


@pytest.mark.skipif(sys.platform != "linux", reason="forks")
def test_a_fork_in_a_worker_harms_nobody(runs):
    shown = runs(
        """
import os
import warnings

warnings.simplefilter("ignore")

def forks():
    pid = os.fork()
    if not pid:
        thread = threading.Thread(target=touch, args=(2,))
        thread.start()
        thread.join()
        os._exit(7)
    touch(2)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

def load(pool):
    assert pool.submit(forks).result() == 7

with memkit.record(calls=True) as run, ThreadPoolExecutor(1) as pool:
    load(pool)
show(run.recording)
"""
    )
    assert shown["load/<thread pool>/forks/touch"][0] == 1
