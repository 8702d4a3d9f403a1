"""The heap by spans: every block counts for the innermost span of its context, to the byte."""

import asyncio
import contextlib
import contextvars
import ctypes
import gc
import os
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

import memkit
from memkit.system import engine

from engines import exactly, forks

pytestmark = [
    pytest.mark.skipif(engine.NAME != "native", reason="allocators are counted by the native engine"),
    pytest.mark.usefixtures("no_garbage"),
]

EMPTY = sys.getsizeof(b"")  # a bytes object of n bytes is n larger
KIB, MIB = 1 << 10, 1 << 20


def alive(recording):
    """What is alive of each label, whatever it is inside."""
    found = {}
    for each in recording.span_heaps:
        found[each.labels[-1]] = found.get(each.labels[-1], 0) + each.heap.alive
    return found


def only(recording, *labels):
    (found,) = [each.heap for each in recording.span_heaps if each.labels == labels]
    return found


# -- one span ----------------------------------------------------------------------------------------------------------


@pytest.mark.own_process
def test_a_span_knows_what_it_allocated_freed_and_kept():
    slots, two, three = [None, None], 2 * MIB, 3 * MIB  # a large number is a block, too
    with memkit.record(heap="spans") as run:
        before = bytes(5 * MIB)
        with memkit.span("once"):
            pass
        with memkit.span("work") as one:
            slots[0] = bytes(two)
            slots[1] = bytes(three)
            slots[1] = None
            del before
    _, row = run.recording.spans
    passing = one.freed - (3 * MIB + EMPTY)
    assert 0 <= passing < 200  # Python 3.11 makes a tuple for the arguments of a call
    assert (one.allocated, one.kept) == (5 * MIB + 2 * EMPTY + passing, 2 * MIB + EMPTY)
    assert 5 * MIB + 2 * EMPTY <= one.heap_peak <= one.allocated
    assert (row.allocated, row.freed, row.kept, row.heap_peak) == (one.allocated, one.freed, one.kept, one.heap_peak)
    assert only(run.recording, "work").alive == 2 * MIB + EMPTY


@pytest.mark.own_process
def test_what_is_freed_once_the_span_is_over_counts_for_its_label_alone():
    slots = [None]
    with memkit.record(heap="spans") as run:
        with memkit.span("first") as first:
            slots[0] = bytes(MIB)
        with memkit.span("second") as second:
            slots[0] = None
    assert first.kept == MIB + EMPTY
    assert first.freed < 200
    assert second.allocated == second.freed < 200
    assert only(run.recording, "first").freed == MIB + EMPTY + first.freed


def test_the_peak_is_of_what_the_span_has_alive_itself():
    slots = [bytes(MIB)]
    with memkit.record(heap="spans"), memkit.span("work") as one:
        slots[0] = None
        for _ in range(10):
            slots[0] = bytes(300 * KIB)
            slots[0] = None
        slots[0] = bytes(100 * KIB)
    assert one.heap_peak == pytest.approx(300 * KIB, abs=KIB)
    assert one.kept == 100 * KIB + EMPTY


def test_a_block_that_grows_moves_to_the_span_in_which_it_does():
    with memkit.record(heap="spans") as run:
        with memkit.span("small") as small:
            grows = bytearray(100 * KIB)
        with memkit.span("large") as large:
            grows += bytes(2 * MIB)
    assert small.kept == pytest.approx(100 * KIB, abs=200)
    assert large.kept >= 2 * MIB
    assert only(run.recording, "small").alive < 200
    del grows


@pytest.mark.own_process
def test_spans_of_the_same_label_one_after_the_other_are_told_apart():
    slots = [None] * 3000
    with memkit.record(heap="spans") as run:
        kept = []
        for number in range(3000):
            with memkit.span("turn") as one:
                slots[number] = bytes(number)
                slots[number - 7] = None
            kept.append(one.kept)
    sizes = [EMPTY + number for number in range(3000)]
    assert kept[10:] == sizes[10:]
    assert only(run.recording, "turn").alive == sum(sizes[-7:])


def test_without_heap_nothing_is_known_of_it():
    with memkit.record() as run, memkit.span("work") as one:
        pass
    assert (one.allocated, one.freed, one.kept, one.heap_peak) == (None, None, None, None)
    assert (run.recording.spans[0].kept, run.recording.span_heaps) == (None, ())


# -- spans inside others -------------------------------------------------------------------------------------------------


@pytest.mark.own_process
def test_a_span_has_what_spans_inside_it_have():
    slots = [None] * 4
    with memkit.record(heap="spans") as run, memkit.span("outer") as outer:
        slots[0] = bytes(1000)
        with memkit.span("inner") as inner:
            slots[1], slots[2] = bytes(2000), bytes(4000)
            slots[2] = None
        slots[3] = bytes(8000)
        slots[1] = None
    assert (inner.kept, inner.heap_peak) == (2000 + EMPTY, 6000 + 2 * EMPTY)
    own = outer.kept - (9000 + 2 * EMPTY)  # the object that is the inner span
    assert 0 <= own < 500
    assert outer.heap_peak == 11000 + 3 * EMPTY + own
    assert only(run.recording, "outer").alive == 9000 + 2 * EMPTY + own
    assert only(run.recording, "outer", "inner").alive == 0


@pytest.mark.own_process
def test_what_many_spans_inside_keep_and_lose_is_exact_for_the_one_around():
    slots = [None] * 2000
    with memkit.record(heap="spans") as run:
        for _ in range(3):
            with memkit.span("batch") as batch:
                for number in range(2000):
                    with memkit.span("item"):
                        slots[number] = bytes(1000 + number)
                for number in range(0, 2000, 2):
                    slots[number] = None
                number = None
            expected = sum(1000 + number + EMPTY for number in range(1, 2000, 2))
            assert abs(batch.kept - expected) <= 64  # an object of a free list: an integer on Python 3.14
            assert batch.heap_peak >= sum(1000 + number + EMPTY for number in range(2000))
    assert abs(only(run.recording, "batch", "item").alive - expected) <= 64


def test_labels_beyond_what_is_told_apart_are_one():
    slots = [None] * 5000
    with memkit.record(heap="spans") as run:
        for number in range(5000):
            with memkit.span(f"label {number}") as one:
                slots[number] = bytes(100)
            assert one.kept == 100 + EMPTY
    found = alive(run.recording)
    assert len(found) == 4095
    assert found["<more spans>"] == (5000 - 4094) * (100 + EMPTY)
    assert sum(found.values()) == 5000 * (100 + EMPTY)


# -- contexts ------------------------------------------------------------------------------------------------------------


def test_a_thousand_tasks_that_take_turns_are_told_apart_to_the_byte():
    tasks = 1000
    slots = [None] * (2 * tasks)

    async def handle(number):
        with memkit.span(f"route {number % 10}"):
            slots[number] = bytes(1000 + number)
            await asyncio.sleep(0)
            drops = bytes(50_000 + number)
            await asyncio.sleep(0)
            slots[tasks + number] = bytes(300 + number)
            await asyncio.sleep(0)
            del drops

    async def main():
        await asyncio.gather(*map(handle, range(tasks)))

    asyncio.run(main())  # what is made once is made now
    slots[:] = [None] * len(slots)
    with memkit.record(heap="spans") as run:
        asyncio.run(main())
        gc.collect()
    expected = {}
    for number in range(tasks):
        label = f"route {number % 10}"
        expected[label] = expected.get(label, 0) + sys.getsizeof(slots[number]) + sys.getsizeof(slots[tasks + number])
    assert exactly(alive(run.recording), expected)
    assert all(span.overlapped for span in run.recording.spans)
    assert run.recording.heap.unbooked == 0


def test_tasks_that_a_span_begins_count_for_it_and_later_for_its_label():
    slots = [None] * 2

    async def later():
        slots[0] = bytes(MIB)
        await asyncio.sleep(0.01)
        slots[1] = bytes(2 * MIB)

    async def main():
        with memkit.span("request") as request:
            task = asyncio.get_running_loop().create_task(later())
            await asyncio.sleep(0)
        with memkit.span("request"):
            await task
        return request

    with memkit.record(heap="spans") as run:
        request = asyncio.run(main())
    assert MIB < request.kept < MIB + 10 * KIB
    _, second = run.recording.spans
    assert second.allocated < 10 * KIB
    assert only(run.recording, "request").alive >= 3 * MIB


def test_threads_count_where_the_context_is_carried_into_them():
    slots = [None] * 3

    def work(number, size):
        slots[number] = bytes(size)

    async def main():
        with memkit.span("thread") as one:
            await asyncio.to_thread(work, 0, 3 * MIB)
        return one

    with memkit.record(heap="spans") as run, ThreadPoolExecutor(1) as pool:
        in_thread = asyncio.run(main())
        with memkit.span("pool") as in_pool:
            pool.submit(memkit.carry(work), 1, 2 * MIB).result()
            pool.submit(work, 2, MIB).result()
    assert 3 * MIB < in_thread.kept < 3 * MIB + 100 * KIB
    assert 2 * MIB < in_pool.kept < 2 * MIB + 100 * KIB
    assert run.recording.heap.elsewhere.alive >= MIB


def test_what_is_carried_must_be_callable():
    with pytest.raises(TypeError, match="5 cannot be called"):
        memkit.carry(5)


def test_a_span_can_take_what_is_allocated_in_no_other_anywhere():
    slots, nowhere = [], contextvars.Context()

    def work(size):
        slots.append(bytes(size))

    def in_thread(size, label=None):
        def run():
            with memkit.span(label) if label else contextlib.nullcontext():
                work(size)

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()

    kept = []
    with memkit.record(heap="spans"):
        for _ in range(3):
            with memkit.span.everywhere("test") as one:
                in_thread(3 * MIB)
                nowhere.run(work, 2 * MIB)
                work(MIB)
                in_thread(5 * MIB, "elsewhere")
                with memkit.span.everywhere("inner") as inner:
                    nowhere.run(work, 2 * MIB)
                nowhere.run(work, MIB)
            kept.append((one.kept / MIB, inner.kept / MIB))
            in_thread(7 * MIB)  # after it
            with memkit.span("plain") as plain:
                nowhere.run(work, MIB)
            assert plain.kept < KIB
    assert kept == [pytest.approx((9, 2), abs=0.02)] * 3


def test_a_carried_function_runs_in_several_threads_at_once():
    inside = threading.Barrier(3)
    variable = contextvars.ContextVar("variable", default=0)

    def work(number):
        variable.set(number)
        inside.wait()
        return variable.get()

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(memkit.carry(work), range(3))) == [0, 1, 2]
    assert variable.get() == 0


def test_c_code_without_the_gil_counts_for_the_span_of_its_thread(tmp_path):
    text = """if True:
        import ctypes, memkit
        malloc = ctypes.CDLL(None).malloc
        malloc.restype, malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
        with memkit.span("c") as one:
            place = malloc(1_234_567)
        assert 1_234_567 <= one.kept < 1_234_567 + 2000, one.kept
    """
    subprocess.run([sys.executable, "-m", "memkit", "run", "-q", "--heap=spans", "-c", text], check=True, cwd=tmp_path)


@pytest.mark.skipif(not shutil.which("cc"), reason="no C compiler")
def test_what_is_first_in_a_span_counts_for_it_without_the_gil(tmp_path):
    code = b"#include <stdlib.h>\nvoid *last; void take(void) { last = malloc(1 << 20); }"  # arguments would be blocks first
    subprocess.run(["cc", "-shared", "-fPIC", "-xc", "-", "-o", "takes.so"], input=code, check=True, cwd=tmp_path)
    text = """if True:
        import ctypes, memkit
        take = ctypes.CDLL("./takes.so").take
        take.restype = None
        one, other = memkit.span("one"), memkit.span("other")
        with one:
            take()
            with other:
                take()
            take()
        take()
        assert [one.kept >> 20, other.kept >> 20] == [3, 1], (one.kept, other.kept)
    """
    subprocess.run([sys.executable, "-m", "memkit", "run", "-q", "--heap=spans", "-c", text], check=True, cwd=tmp_path)


@pytest.mark.own_process
def test_a_thread_is_in_no_span_once_that_of_everywhere_is_over():
    began, go, kept = threading.Event(), threading.Event(), []

    def work():
        kept.append(bytes(KIB))
        began.set()
        go.wait()
        kept.append(bytes(2 * MIB))

    with memkit.record(heap="spans") as run:
        with memkit.span.everywhere("all"):
            thread = threading.Thread(target=work)
            thread.start()
            began.wait()
        kept.append(bytes(MIB))
        go.set()
        thread.join()
    assert only(run.recording, "all").allocated < MIB <= 3 * MIB <= run.recording.heap.elsewhere.allocated


@forks
def test_a_forked_child_is_in_no_span_of_its_parent():
    with memkit.record(heap="spans"), memkit.span("parent"):
        pid = os.fork()
        if pid == 0:
            with memkit.span("child") as one:
                pass
            os._exit(one.allocated is not None)
        assert os.waitpid(pid, 0)[1] == 0


def test_a_span_that_outlives_its_recording_counts_nothing_in_the_next():
    run = memkit.record(heap="spans")
    run.start()
    with memkit.span("first"):
        run.stop()
        with memkit.record(heap="spans") as after:
            kept = ctypes.create_string_buffer(MIB)
    assert after.recording.span_heaps == ()
    assert after.recording.heap.elsewhere.alive >= MIB
    del kept


def test_two_recordings_cannot_count_at_once():
    with memkit.record(heap="spans"), pytest.raises(memkit.MeterError, match="heap is being recorded already"):
        memkit.record(heap=True).start()
    with memkit.record(heap="spans"), memkit.span("again") as one:
        kept = bytes(1000)
    assert one.kept == 1000 + EMPTY
    del kept


def test_what_is_no_kind_of_heap_is_refused():
    with pytest.raises(memkit.UsageError, match="heap 'span': write sampled"):
        memkit.record(heap="span")
