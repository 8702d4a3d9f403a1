"""What is allocated from one moment to another is counted to the byte, without a recording."""

import ctypes
import gc
import os
import random
import subprocess
import sys
import sysconfig
import threading
import tracemalloc

import pytest

import memkit
from memkit.base.errors import MeterError
from memkit.system import engine

from engines import forks

pytestmark = [
    pytest.mark.skipif(engine.NAME != "native", reason="allocators are counted by the native engine"),
    pytest.mark.usefixtures("no_garbage"),
]

EMPTY = sys.getsizeof(b"")  # a bytes object of n bytes is n larger
KIB, MIB = 1 << 10, 1 << 20


@pytest.fixture
def counter():
    with memkit.HeapCounter() as counter:
        yield counter


@pytest.mark.own_process
def test_each_stretch_has_its_own_blocks(counter):
    two, three, slots = 2 * MIB, 3 * MIB, [None] * 3  # a large number is a block, too
    slots[2] = bytes(two)
    counter.begin()
    slots[0] = bytes(two)
    slots[1] = bytes(three)
    slots[1] = slots[2] = None
    first = counter.end()
    slots[1] = bytes(three)  # between two
    counter.begin()
    slots[0] = slots[1] = None
    second = counter.end()
    passing = first.allocated - (5 * MIB + 2 * EMPTY)
    assert 0 <= passing < 200  # some Pythons make a tuple for the arguments of a call
    assert first.kept == 2 * MIB + EMPTY
    assert 5 * MIB + 2 * EMPTY <= first.peak <= first.allocated
    assert second.kept == 0 and second.allocated < 200


def test_small_blocks_count_whoever_had_their_addresses_before(counter):
    for _ in range(3):
        before = [bytes(90) for _ in range(1000)]
        counter.begin()
        made = [bytes(90) for _ in range(1000)]
        del before
        found = counter.end()
        assert abs(found.kept - sys.getsizeof(made) - 1000 * (90 + EMPTY)) < KIB  # the list itself may be a used one
        del made  # between two


@pytest.mark.own_process
def test_blocks_freed_between_two_stretches_leave_nothing_behind(counter):
    chance, slots, sizes = random.Random(5), [None] * 400, (2, 8, 40, 90, 300, 470, 600, 5000)
    for _ in range(9):
        before, during = ([(chance.randrange(400), chance.choice(sizes)) for _ in range(1000)] for _ in range(2))
        for slot, size in before:  # some take the place of those of a stretch before, and have their addresses next
            slots[slot] = bytes(size)
        counter.begin()
        for slot, size in during:
            slots[slot] = bytes(size)
        found = counter.end()
        of_slot, alive, peak, allocated = {}, 0, 0, 0
        for slot, size in during:
            allocated += size + EMPTY
            alive += size + EMPTY  # the one before is freed once there is the next
            peak = max(peak, alive)
            alive -= of_slot.get(slot, 0)
            of_slot[slot] = size + EMPTY
        assert 0 <= found.kept - alive < 200
        assert 0 <= found.peak - peak < 200
        assert 0 <= found.allocated - allocated < 200


def test_a_block_that_grows_counts_once(counter):
    counter.begin()
    made = bytearray()
    for _ in range(400):
        made.extend(bytes(50))
    found = counter.end()
    assert abs(found.kept - sys.getsizeof(made)) < KIB
    assert found.allocated > 3 * found.kept


def hooked():
    """What Python's allocators for objects and for other memory are."""
    found = []
    for domain in (1, 2):
        fields = (ctypes.c_void_p * 5)()
        ctypes.pythonapi.PyMem_GetAllocator(domain, fields)
        found.append(list(fields))
    return found


@pytest.mark.own_process
@pytest.mark.skipif(bool(sysconfig.get_config_var("Py_GIL_DISABLED")), reason="a thread may be in a hook at any time")
def test_between_two_stretches_python_allocates_as_ever():
    memkit.HeapCounter().close()  # what recorded before may have left hooks that pass on
    before = hooked()
    with memkit.HeapCounter() as counter:
        assert hooked() == before
        for _ in range(2):
            counter.begin()
            during = hooked()
            counter.end()
            assert during != before
            assert hooked() == before


@pytest.mark.own_process
@pytest.mark.parametrize("first", ["tracer", "counter"])
def test_another_tool_may_trace_allocations_meanwhile(counter, first):
    if first == "tracer":
        tracemalloc.start()
    counter.begin()
    if first == "counter":
        tracemalloc.start()
    made = bytes(MIB)
    assert len(made) <= counter.end().kept < len(made) + 100 * KIB
    assert tracemalloc.get_traced_memory()[0] >= MIB
    counter.begin()
    made = bytes(MIB)
    assert len(made) <= counter.end().kept < len(made) + 100 * KIB
    tracemalloc.stop()
    counter.begin()
    made = bytes(MIB)
    assert len(made) <= counter.end().kept < len(made) + 100 * KIB


def test_garbage_is_collected_before_more_than_so_much_is_told(counter):
    def cycle():
        one = [bytes(MIB)]
        one.append(one)

    gc.disable()
    try:
        counter.begin()
        cycle()
        without = counter.end(2 * MIB)
        counter.begin()
        cycle()
        with_collection = counter.end(MIB)
    finally:
        gc.enable()
    assert without.kept >= MIB
    assert with_collection.kept < 10 * KIB
    assert with_collection.peak >= MIB


def test_all_threads_count(counter):
    slots = []
    counter.begin()
    thread = threading.Thread(target=lambda: slots.append(bytes(3 * MIB)))
    thread.start()
    thread.join()
    assert 3 * MIB < counter.end().kept < 3 * MIB + 100 * KIB


def test_only_one_can_count_at_a_time(counter):
    counter.begin()
    with pytest.raises(memkit.MeterError, match="being recorded already"):
        memkit.HeapCounter()
    with pytest.raises(memkit.MeterError, match="being recorded already"), memkit.record(heap="spans"):
        pass
    counter.end()
    counter.close()
    with memkit.record(heap="spans"), memkit.span("work") as one:
        pass
    assert one.allocated is not None
    counter.begin()
    kept = bytes(MIB)
    assert len(kept) + EMPTY <= counter.end().kept < len(kept) + KIB


def test_a_stretch_that_was_closed_has_no_count(counter):
    counter.begin()
    counter.close()
    with pytest.raises(memkit.MeterError, match="not counted from the beginning"):
        counter.end()


@forks
def test_a_forked_process_begins_anew(counter):
    counter.begin()
    pid = os.fork()
    if pid == 0:
        try:
            counter.end()
        except memkit.MeterError:
            counter.begin()
            kept = bytes(MIB)
            os._exit(0 if len(kept) + EMPTY <= counter.end().kept < len(kept) + KIB else 2)
        os._exit(1)
    assert os.waitpid(pid, 0)[1] == 0
    kept = bytes(MIB)
    assert counter.end().kept >= len(kept)


def test_it_needs_the_native_engine(python, monkeypatch):
    monkeypatch.setenv("MEMKIT_ENGINE", "portable")
    text = """if True:
        import json, memkit
        try:
            memkit.HeapCounter()
        except memkit.MeterError as error:
            print(json.dumps(str(error)))
    """
    assert "needs the native engine" in python(text)


def test_a_stretch_may_be_of_another_thread_than_the_counter(counter):
    found = []

    def work():
        counter.begin()
        made = bytes(MIB)
        found.append(counter.end())
        del made

    for _ in range(2):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert [count.kept >= MIB for count in found] == [True, True]


def test_who_closes_it_is_not_left_out_of_what_is_counted_next():
    counter = memkit.HeapCounter()
    thread = threading.Thread(target=counter.close)
    thread.start()
    thread.join()
    with pytest.raises(MeterError):
        counter.end()
    with memkit.record(heap="spans"), memkit.span("next") as one:
        made = bytes(MIB)
    assert one.kept >= len(made)


def test_one_thread_may_begin_a_stretch_and_another_end_it(counter):
    thread = threading.Thread(target=counter.begin)
    thread.start()
    thread.join()
    made = bytes(MIB)
    assert 0 <= counter.end().kept - sys.getsizeof(made) < 64 * KIB


@pytest.mark.skipif(sys.version_info < (3, 13), reason="such interpreters are made from 3.13 on")
def test_another_interpreter_that_runs_between_two_stretches_is_told_of():
    text = """
import _interpreters, memkit
with memkit.HeapCounter() as counter:
    counter.begin()
    counter.end()
    other = _interpreters.create("isolated")
    try:
        counter.begin()
    except memkit.MeterError as error:
        print(error)
    _interpreters.destroy(other)
    counter.begin()
    kept = bytes(1 << 20)
    print(counter.end().kept >> 20)
"""
    done = subprocess.run([sys.executable, "-c", text], stdout=subprocess.PIPE, text=True, check=True)
    lines = done.stdout.splitlines()
    assert "another interpreter" in lines[0] and lines[1:] == ["1"]
