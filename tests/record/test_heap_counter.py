"""What is allocated from one moment to another is counted to the byte, without a recording."""

import gc
import os
import sys
import threading

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
