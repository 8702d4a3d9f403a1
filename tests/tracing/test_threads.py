"""Threads that touch memory at the same time: each path and each line has what its own thread took."""

import pytest

from engines import GATES, MIB, TRACERS, allowed

pytestmark = pytest.mark.usefixtures("native_only")

HEAD = """
import concurrent.futures
import ctypes
import json
import mmap
import threading

import memkit

MIB = 1 << 20
kept = []

def room(size):
    block = mmap.mmap(-1, size * MIB, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_NOHUGEPAGE"):
        block.madvise(mmap.MADV_NOHUGEPAGE)
    kept.append(block)
    return block        # the last one that is kept may be another thread's

def without_the_gil(block):
    ctypes.memset(ctypes.addressof(ctypes.c_char.from_buffer(block)), 1, len(block))

def with_the_gil(block):
    for place in range(0, len(block), mmap.PAGESIZE):
        block[place] = 1

def worker(number, size, touch):
    made = {}
    text = f"def work_{number}():\\n    block = room({size})\\n    all_begun.wait()\\n    {touch}(block)\\n"
    exec(compile(text, "workers.py", "exec"), globals(), made)
    return made[f"work_{number}"]

def grown(recording):
    found = {}
    for call in recording.calls:
        found[call.function.name] = found.get(call.function.name, 0) + call.growth
    return found
"""


@pytest.fixture(params=[(tracer, gate) for tracer in TRACERS for gate in GATES], ids="-".join)
def engine(request):
    allowed(request.param[1])
    return request.param


def close_to(size):
    """2 % or 1 MiB, whichever is more."""
    return pytest.approx(size * MIB, abs=max(0.02 * size * MIB, MIB))


def sizes(count):
    return [3 + 60 * place // count for place in range(count)]


@pytest.mark.parametrize("touch", ["without_the_gil", "with_the_gil"])
@pytest.mark.parametrize("count", [2, 4, 8, 32])
def test_threads_that_take_memory_at_once_have_what_each_took(python, engine, count, touch):
    took, process = python(
        f"""{HEAD}
workers = [worker(number, size, {touch!r}) for number, size in enumerate({sizes(count)})]
all_begun = threading.Barrier({count})
threads = [threading.Thread(target=work) for work in workers]
with memkit.record(calls=True) as run:
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
recording = run.recording
everything = sum(call.own_growth for call in recording.calls)
print(json.dumps([grown(recording), everything - recording.growth]))
""",
        *engine,
    )
    for number, size in enumerate(sizes(count)):
        assert took[f"work_{number}"] == close_to(size), number
    assert abs(process) < MIB / 2


@pytest.mark.parametrize("count", [2, 8])
def test_work_in_a_pool_has_what_it_took(python, engine, count):
    took = python(
        f"""{HEAD}
workers = [worker(number, size, "without_the_gil") for number, size in enumerate({sizes(count)})]
all_begun = threading.Barrier({count})
with memkit.record(calls=True) as run:
    with concurrent.futures.ThreadPoolExecutor({count}) as pool:
        for future in [pool.submit(work) for work in workers]:
            future.result()
print(json.dumps(grown(run.recording)))
""",
        *engine,
    )
    for number, size in enumerate(sizes(count)):
        assert took[f"work_{number}"] == close_to(size), number


def test_a_line_has_what_its_own_thread_took(python, engine):
    took = python(
        f"""{HEAD}
def first():
    block = room(50)
    all_begun.wait()
    without_the_gil(block)

def second():
    block = room(20)
    all_begun.wait()
    without_the_gil(block)

def third():
    all_begun.wait()
    all_done.wait()

all_begun, all_done = threading.Barrier(3), threading.Event()
threads = [threading.Thread(target=work) for work in (first, second, third)]
with memkit.record(lines=[first, second, third]) as run:
    for thread in threads:
        thread.start()
    for thread in threads[:2]:
        thread.join()
    all_done.set()
    threads[2].join()
found = {{}}
for line in run.recording.lines:
    found[line.function.name] = found.get(line.function.name, 0) + line.growth
print(json.dumps(found))
""",
        *engine,
    )
    assert (took["first"], took["second"], took["third"]) == (close_to(50), close_to(20), close_to(0))


WITHOUT_PYTHON = """
def touch_in_native_thread():
    libc.pthread_create(ctypes.byref(thread), None, ctypes.cast(libc.strdup, ctypes.c_void_p), text)
    libc.pthread_join(thread, None)

libc = ctypes.CDLL(None)
libc.pthread_join.argtypes = ctypes.c_ulong, ctypes.c_void_p
thread = ctypes.c_ulong()
text = ctypes.create_string_buffer(b"x" * (40 * MIB))
"""


def test_what_a_thread_without_python_touches_goes_to_the_call_that_waits(python, engine):
    took = python(
        f"""{HEAD}{WITHOUT_PYTHON}
with memkit.record(calls=True) as run:
    touch_in_native_thread()
[call] = [call for call in run.recording.calls if call.function.name == "touch_in_native_thread"]
print(json.dumps([call.own_growth, call.about]))
""",
        *engine,
    )
    assert took == [close_to(40), close_to(40)]


def test_a_line_has_what_threads_outside_of_traced_code_touch_meanwhile(python, engine):
    took = python(
        f"""{HEAD}{WITHOUT_PYTHON}
def takes():
    without_the_gil(room(30))

def work():
    touch_in_native_thread()
    thread = threading.Thread(target=takes)
    thread.start()
    thread.join()

with memkit.record(lines=work) as run:
    work()
print(json.dumps([line.growth for line in run.recording.lines]))
""",
        *engine,
    )
    assert took[0] == close_to(40)
    assert took[2] + took[3] == close_to(30)


FREED = """
turn = threading.Semaphore(0), threading.Semaphore(0)

def take(size):
    block = mmap.mmap(-1, size * MIB, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with_the_gil(block)
    return block

def keeps():
    mine.append(take(50))
    turn[0].release()
    turn[1].acquire()           # the other thread takes and frees meanwhile

def frees():
    turn[0].acquire()
    block = take(70)
    del block
    turn[1].release()

mine = []
threads = [threading.Thread(target=keeps), threading.Thread(target=frees)]
with memkit.record(calls=True) as run:
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
found = {call.function.name: (call.growth, call.rise) for call in run.recording.calls}
print(json.dumps(found))
"""


def test_a_thread_that_only_waited_has_not_freed_what_another_did(python, engine):
    found = python(HEAD + FREED, *engine)
    assert found["keeps"] == [close_to(50), close_to(50)]
    assert found["frees"] == [pytest.approx(0, abs=MIB), close_to(70)]


DROPS = """
import asyncio

async def drops():
    block = room(20)
    kept.clear()
    with_the_gil(block)
    await asyncio.sleep(0)
    return len(block)

async def main():
    for _ in range(3):
        await asyncio.create_task(drops())

asyncio.run(asyncio.sleep(0))
with memkit.record(calls=True) as run:
    asyncio.run(main())
print(json.dumps(grown(run.recording)))
"""


def test_what_a_coroutine_held_while_it_was_suspended_it_gives_back(python, engine):
    found = python(HEAD + DROPS, *engine)
    assert found["drops"] == pytest.approx(0, abs=MIB)
    assert found["main"] == pytest.approx(0, abs=MIB)


APART = """
import concurrent.futures
import time

def waits():
    has_begun.release()
    while not is_over:
        time.sleep(0.002)

def takes(size):
    with_the_gil(room(size))

def takes_and_frees():
    for _ in range(3):
        take = room(20)
        with_the_gil(take)
        time.sleep(0.01)            # so that the other thread reads memory meanwhile
        kept.clear()
        del take
        time.sleep(0.01)

is_over = False
has_begun = threading.Semaphore(0)
began_before = threading.Semaphore(0)
older = threading.Thread(target=lambda: (began_before.acquire(), takes(20)))
older.start()
with memkit.record(lines=waits) as run:
    waiting = threading.Thread(target=waits)
    waiting.start()
    has_begun.acquire()
    WORK
    time.sleep(0.01)
    is_over = True
    began_before.release()
    waiting.join()
    older.join()
lines = run.recording.lines
print(json.dumps([sum(line.growth for line in lines), max(line.rise for line in lines)]))
"""


@pytest.mark.parametrize(
    "work",
    [
        "takes(40)",
        "begun = threading.Thread(target=takes, args=(40,)); begun.start(); begun.join()",
        "began_before.release(); older.join()",
        "takes_and_frees()",
    ],
    ids=["main", "new", "older", "freed"],
)
def test_a_line_that_sleeps_has_nothing_of_what_another_thread_does(python, engine, work):
    growth, rise = python(f"{HEAD}{APART.replace('WORK', work)}", *engine)
    assert abs(growth) < MIB
    assert rise < MIB


def test_a_line_has_what_a_pool_does_that_was_there_before(python, engine):
    took = python(
        f"""{HEAD}
def takes(size):
    without_the_gil(room(size))

def work():
    job = pool.submit(takes, 30)
    job.result()

with concurrent.futures.ThreadPoolExecutor(1) as pool:
    pool.submit(int).result()
    with memkit.record(lines=work) as run:
        work()
print(json.dumps(sum(line.growth for line in run.recording.lines)))
""",
        *engine,
    )
    assert took == close_to(30)
