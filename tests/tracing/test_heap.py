"""What is allocated and freed, by line and by path: to the byte, against sizes that are known and against tracemalloc."""

import ctypes
import dataclasses
import gc
import json
import os
import re
import signal
import subprocess
import sys
import threading

import pytest

import memkit
from memkit.base.errors import MeterError, UsageError
from memkit.report.reporters import heap
from memkit.system import engine

import profile_proto

pytestmark = pytest.mark.skipif(engine.NAME != "native", reason="allocators are counted by the native engine")

EMPTY = sys.getsizeof(b"")  # a bytes object of n bytes is n larger
KIB, MIB = 1 << 10, 1 << 20
kept = []


@pytest.fixture(autouse=True)
def nothing_kept():
    yield
    kept.clear()


def recorded(function, **settings):
    """The recording of a call of a function, under the tracers that are asked for."""
    with memkit.record(heap=True, **settings) as run:
        function()
    return run.recording


def call_of(recording, name):
    """The one path of a function by its name."""
    (found,) = [call for call in recording.calls if call.function.name.rpartition(".")[2] == name]
    return found


def line_of(recording, text):
    """The traced line that has a text in it; before Python 3.12 a comprehension in it is a function of its own."""
    lines = [line for line in recording.lines if text in memkit.Source(line.function.file, None).line(line.number).strip()]
    return min(lines, key=lambda line: "<" in line.function.name)


# -- sizes that are known --------------------------------------------------------------------------------------------


def keeps_and_drops():
    kept.append(bytes(5 << 20))
    bytes(3 << 20)
    freed = bytes(2 << 20)
    kept.append(bytes(1 << 20))
    del freed


def test_what_a_call_allocates_and_frees_is_told_to_the_byte(tracer):
    call = call_of(recorded(keeps_and_drops, calls=True), "keeps_and_drops")
    large = 11 * MIB + 4 * EMPTY
    assert large <= call.allocated < large + KIB  # and the list of what is kept
    assert 6 * MIB + 2 * EMPTY <= call.alive < 6 * MIB + KIB
    assert 5 * MIB + 2 * EMPTY <= call.temporary == call.freed < 5 * MIB + KIB  # the list may have moved
    assert call.allocated - call.freed == call.alive
    assert 4 <= call.blocks <= 9
    assert call.own_heap == call.heap


def test_what_a_line_allocates_and_frees_is_told_to_the_byte(tracer):
    recording = recorded(keeps_and_drops, lines=keeps_and_drops)
    dropped, freed = line_of(recording, "bytes(3"), line_of(recording, "freed = ")
    assert (dropped.allocated, dropped.alive, dropped.temporary) == (3 * MIB + EMPTY, 0, 3 * MIB + EMPTY)
    assert (freed.allocated, freed.freed, freed.temporary) == (2 * MIB + EMPTY, 2 * MIB + EMPTY, 0)  # by another line
    assert (line_of(recording, "bytes(1 << 20)").alive, line_of(recording, "del freed").allocated) == (MIB + EMPTY, 0)


def inner():
    kept.append(bytes(1 << 20))
    return bytes(2 << 20)


def outer():
    kept.append(inner())
    kept.append(bytes(4 << 20))


def test_sums_of_calls_and_lines_include_what_they_called(tracer):
    recording = recorded(outer, calls=True, lines=[inner, outer])
    call, below = call_of(recording, "outer"), call_of(recording, "inner")
    assert 7 * MIB <= call.alive < 7 * MIB + 2 * KIB and 4 * MIB <= call.own_heap.alive < 4 * MIB + KIB
    assert 3 * MIB <= below.alive < 3 * MIB + KIB
    line = line_of(recording, "kept.append(inner())")
    assert 3 * MIB <= line.alive < 3 * MIB + KIB and line.own_heap.alive < KIB
    assert (
        line_of(recording, "return bytes(2").alive == line_of(recording, "return bytes(2").own_heap.alive == 2 * MIB + EMPTY
    )


def recursive(depth):
    kept.append(bytes(KIB))
    if depth:
        recursive(depth - 1)


def test_of_a_recursion_each_byte_counts_once_by_line(tracer):
    recording = recorded(lambda: recursive(9), lines=recursive)
    assert line_of(recording, "kept.append(bytes(KIB))").alive >= 10 * (KIB + EMPTY)
    assert line_of(recording, "kept.append(bytes(KIB))").alive < 10 * (KIB + EMPTY) + KIB
    assert line_of(recording, "recursive(depth - 1)").alive == 0


def small_ones():
    kept.extend([b"x" * (n % 16 + 1) for n in range(1000)])
    kept.extend([object() for _ in range(1000)])


def test_small_blocks_are_told_to_the_byte(tracer):
    recording = recorded(small_ones, lines=small_ones)
    sizes = sum(sys.getsizeof(b"x" * (n % 16 + 1)) for n in range(1000) if n % 16)  # one of a byte is there already
    assert sizes <= line_of(recording, "n % 16").alive < sizes + 20 * KIB
    assert 1000 * sys.getsizeof(object()) <= line_of(recording, "object()").alive < 1000 * sys.getsizeof(object()) + 20 * KIB


def a_thousand():
    held = [None] * 1000
    for place in range(1000):
        held[place] = object()
    kept.append(held)
    for place in range(0, 1000, 2):
        held[place] = None


def test_blocks_are_counted_one_by_one(tracer):
    recording = recorded(a_thousand, lines=a_thousand)
    size = sys.getsizeof(object())
    line = line_of(recording, "= object()")
    assert (line.blocks, line.allocated, line.heap.blocks_freed) == (1000, 1000 * size, 500)
    assert (line.freed, line.alive, line.temporary) == (500 * size, 500 * size, 0)


def grows():
    block = bytearray()
    for _ in range(100):
        block += bytes(10 * KIB)
    kept.append(block)


def test_a_block_that_is_moved_counts_as_freed_and_allocated(tracer):
    call = call_of(recorded(grows, calls=True), "grows")
    assert 1000 * KIB <= call.alive < 1200 * KIB
    assert call.allocated - call.freed == call.alive
    assert call.allocated > 1000 * KIB + 1000 * KIB  # the parts, and it has moved


def generator():
    for _ in range(3):
        yield bytes(1 << 20)


def uses_generator():
    kept.extend(generator())


def test_a_generator_has_what_it_allocates_itself(tracer):
    recording = recorded(uses_generator, calls=True, lines=[generator, uses_generator])
    assert call_of(recording, "generator").alive >= 3 * (MIB + EMPTY)
    assert call_of(recording, "uses_generator").own_heap.alive < KIB
    assert line_of(recording, "yield bytes(1 << 20)").own_heap.alive == 3 * (MIB + EMPTY)


# -- other threads, other owners -------------------------------------------------------------------------------------


def test_what_another_thread_frees_is_freed_of_who_allocated_it(tracer):
    def makes():
        kept.append(bytes(3 * MIB))

    def drops():
        kept.clear()

    def both():
        makes()
        thread = threading.Thread(target=drops)
        thread.start()
        thread.join()

    recording = recorded(both, calls=True)
    made = call_of(recording, "makes")
    assert made.freed >= 3 * MIB + EMPTY and made.alive < KIB and made.temporary < KIB
    assert call_of(recording, "drops").allocated < KIB


def test_each_thread_has_its_own_paths(tracer):
    def first():
        kept.append(bytes(MIB))

    def second():
        kept.append(bytes(2 << 20))

    def both():
        threads = [threading.Thread(target=target) for target in (first, second) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    recording = recorded(both, calls=True)
    alive = {name: sum(c.alive for c in recording.calls if c.function.name.endswith(name)) for name in ("first", "second")}
    assert 4 * MIB <= alive["first"] < 4 * MIB + KIB
    assert 8 * MIB <= alive["second"] < 8 * MIB + KIB


def test_what_was_allocated_before_is_not_counted_as_freed(tracer):
    before = [bytes(MIB) for _ in range(5)]
    recording = recorded(before.clear, calls=True)
    assert recording.heap.alive >= 0
    assert all(call.alive >= 0 and call.freed <= call.allocated for call in recording.calls)


def test_memkit_does_not_count_what_it_allocates_itself(tracer):
    def nothing():
        pass

    recording = recorded(nothing, calls=True, lines=nothing)
    assert call_of(recording, "nothing").allocated == 0
    assert recording.heap.alive < 16 * KIB
    assert sum(line.allocated for line in recording.lines) == 0


def busy():
    for number in range(100_000):
        number * number


def test_the_numbers_of_events_are_no_memory_of_the_program(tracer):
    """An interpreter makes an object for the line of each event; a sum of small numbers makes none in the end."""
    line = line_of(recorded(busy, lines=busy), "number * number")
    assert line.alive == 0
    assert line.blocks <= 100_100


def arrays():
    import numpy

    kept.append(numpy.ones(1_000_000))
    numpy.ones(500_000)


def test_the_data_of_arrays_counts_where_numpy_asks_python_for_it(tracer):
    numpy = pytest.importorskip("numpy")
    if tuple(map(int, numpy.__version__.split(".")[:2])) < (2, 5):
        pytest.skip("numpy before 2.5 asks the C library")
    recording = recorded(arrays, calls=True, lines=arrays)
    kept_line, dropped = line_of(recording, "kept.append(numpy"), line_of(recording, "numpy.ones(500_000)")
    assert 8_000_000 <= kept_line.alive < 8_004_000
    assert 4_000_000 <= dropped.temporary < 4_004_000 and dropped.alive < KIB


def fails():
    library = ctypes.pythonapi
    library.PyMem_Malloc.restype = library.PyMem_Realloc.restype = ctypes.c_void_p
    library.PyMem_Realloc.argtypes = ctypes.c_void_p, ctypes.c_size_t
    library.PyMem_Free.argtypes = (ctypes.c_void_p,)
    block = library.PyMem_Malloc(MIB)
    assert library.PyMem_Realloc(block, 1 << 62) is None
    kept.append(block)


def test_a_block_that_cannot_be_moved_is_alive_still(tracer):
    call = call_of(recorded(fails, calls=True), "fails")
    ctypes.pythonapi.PyMem_Free(ctypes.c_void_p(kept.pop()))
    assert MIB <= call.own_heap.alive < MIB + 64 * KIB
    assert call.allocated - call.freed == call.alive


def raw_blocks():
    library = ctypes.pythonapi
    library.PyMem_RawMalloc.restype, library.PyMem_RawMalloc.argtypes = ctypes.c_void_p, (ctypes.c_size_t,)
    library.PyMem_RawFree.restype, library.PyMem_RawFree.argtypes = None, (ctypes.c_void_p,)
    made = [library.PyMem_RawMalloc(17 + n % 48) for n in range(200_000)]
    for block in made[::2]:
        library.PyMem_RawFree(block)
    kept.extend(made[1::2])


def test_small_blocks_at_any_address_are_told_to_the_byte(tracer):
    """Some lie across the end of a stretch of 1 MiB, for which their sizes are kept."""
    call = call_of(recorded(raw_blocks, calls=True), "raw_blocks")
    for block in kept:
        ctypes.pythonapi.PyMem_RawFree(block)
    numbers = call.alive - sum(17 + n % 48 for n in range(1, 200_000, 2))
    assert 32 * 100_000 <= numbers < 60 * 100_000  # addresses are numbers, in a list
    assert call.freed >= sum(17 + n % 48 for n in range(0, 200_000, 2))


def rises():
    block = bytes(20 << 20)
    more = [bytes(102400) for _ in range(50)]
    del block, more
    kept.append(bytes(MIB))


def left(depth):
    return leaf() if not depth else (left(depth - 1), right(depth - 1))


def right(depth):
    return leaf() if not depth else (left(depth - 1), right(depth - 1))


def leaf():
    return [None]  # its item is a block of 8 bytes


def many_paths():
    kept.append([[None, None, None, number] for number in range(100_000)])  # blocks of 32 bytes
    kept.clear()
    left(15)


def test_blocks_where_larger_ones_were_are_not_taken_for_them():
    recording = recorded(many_paths, calls=True)
    assert len(recording.calls) > 90_000
    assert not [call for call in recording.calls if call.own_heap.blocks_freed > call.own_heap.blocks]
    by_path = sum(call.own_heap.alive for call in recording.calls)
    assert by_path + recording.heap.elsewhere.alive == recording.heap.alive


def test_what_was_alive_at_the_peak_is_known_within_a_hundredth(tracer):
    recording = recorded(rises, lines=rises, calls=True)
    whole = 20 * MIB + 50 * 100 * KIB
    assert 0.98 * whole <= recording.heap.peak <= whole + 64 * KIB
    assert (
        0 <= line_of(recording, "block = bytes").alive_at_peak - 20 * MIB - EMPTY <= 64
    )  # a trace function is given numbers
    assert 0.9 * 50 * 100 * KIB <= line_of(recording, "more = [").alive_at_peak <= 51 * 100 * KIB
    assert line_of(recording, "kept.append(bytes(MIB))").alive_at_peak < KIB
    assert sum(call.own_heap.alive_at_peak for call in recording.calls) == recording.heap.peak


# -- the whole of it -------------------------------------------------------------------------------------------------

PROGRAM = """
import json

kept = {}

class Node:
    def __init__(self, value, left=None):
        self.value, self.left = value, left

def strings():
    kept["s"] = [str(i) * 3 for i in range(1000, 3000)]

def nodes():
    last = None
    for i in range(500):
        last = Node(i + 1000, last)
    kept["n"] = last

def grows():
    a = bytearray()
    for i in range(100):
        a.extend(b"x" * 1000)
    kept["a"] = a
    kept["b"] = b"".join(bytes([i]) * 999 for i in range(200))

def drops():
    for key in range(0, 2000, 2):
        kept["s"][key] = None
    kept["n"] = None

def deep(n):
    if n:
        kept[n] = bytes(n * 10)
        deep(n - 1)

def main():
    strings()
    nodes()
    grows()
    drops()
    deep(30)
"""
BY_TRACEMALLOC = """
import gc, json, tracemalloc
import known
gc.collect()
gc.disable()
tracemalloc.start()
known.main()
found = tracemalloc.take_snapshot().statistics("lineno")
print(json.dumps({each.traceback[0].lineno: each.size for each in found if each.traceback[0].filename == known.__file__}))
"""
BY_MEMKIT = """
import gc, json, sys
import known, memkit
with memkit.record(heap=True, lines="known.py", calls=sys.argv[1] == "calls") as run:
    gc.collect()
    gc.disable()
    known.main()
found = dict.fromkeys({line.number for line in run.recording.lines}, 0)
for line in run.recording.lines:    # a line may be of several functions
    found[line.number] += line.own_heap.alive
print(json.dumps(found))
"""
FROM_FREE_LISTS = 600
"""Bytes by which a line may differ: objects in free lists were allocated by other lines, and memkit fills them otherwise."""


@pytest.mark.parametrize("calls", ["calls", "none"])
@pytest.mark.parametrize("allocator", ["", "malloc", "debug"])
def test_what_is_alive_by_line_is_what_tracemalloc_says(plain, script, tmp_path, monkeypatch, calls, allocator):
    monkeypatch.setenv("PYTHONMALLOC", allocator) if allocator else monkeypatch.delenv("PYTHONMALLOC", raising=False)
    (tmp_path / "known.py").write_text(PROGRAM)
    theirs, ours = (
        {int(line): size for line, size in json.loads(plain(script(text), calls).stdout).items()}
        for text in (BY_TRACEMALLOC, BY_MEMKIT)
    )
    for line in theirs.keys() | ours.keys():
        assert abs(theirs.get(line, 0) - ours.get(line, 0)) <= FROM_FREE_LISTS, (line, theirs.get(line), ours.get(line))
    assert sum(theirs.values()) > 300_000


def test_heap_alone_traces_all_calls(tracer):
    recording = recorded(outer)
    assert recording.call_tracing is not None
    assert recording.heap.counted.startswith("python")
    assert call_of(recording, "inner").alive >= 3 * MIB


def test_without_heap_nothing_is_told_of_it(tracer):
    with memkit.record(calls=True, lines=outer) as run:
        outer()
    recording = run.recording
    assert recording.heap is None
    assert {call.heap for call in recording.calls} == {line.heap for line in recording.lines} == {None}
    assert {call.alive for call in recording.calls} == {None}


def test_heap_can_be_recorded_again_and_again(tracer):
    for _ in range(3):
        kept.clear()
        call = call_of(recorded(keeps_and_drops, calls=True), "keeps_and_drops")
        assert 6 * MIB + 2 * EMPTY <= call.alive < 6 * MIB + KIB


def test_the_sites_of_an_earlier_recording_are_forgotten(tracer):
    """Sites are numbers, which the next recording gives anew: what a thread remembers of its last one is no longer true."""
    for first in (True, False):
        kept.clear()
        with memkit.record(heap=True, calls=True, lines=[inner, outer]) as run:
            if first:
                outer()
            kept.append(bytes(5 << 20))
            outer()
        recording = run.recording
        (root,) = [call for call in recording.calls if call.parent is None]
        assert 5 * MIB <= root.own_heap.alive < 5 * MIB + 4 * KIB
        assert sum(call.own_heap.alive for call in recording.calls) == recording.heap.alive


def test_two_recordings_cannot_count_at_once():
    with memkit.record(heap=True), pytest.raises(MeterError, match="heap is being recorded already"):
        memkit.record(heap=True).start()


def test_a_forked_child_counts_nothing(script, plain):
    program = """
import os, memkit
kept = []
def fills():
    kept.append(bytes(1 << 20))
with memkit.record(heap=True) as run:
    fills()
    child = os.fork()
    if not child:
        kept.append([bytes(100) for _ in range(10_000)])
        kept.clear()
        os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    fills()
(call,) = [call for call in run.recording.calls if call.function.name == "fills"]
assert 2 << 20 <= call.alive < (2 << 20) + 2000, call.heap
"""
    run = plain(script(program))
    assert run.returncode == 0, run.stderr


def test_another_tool_may_hook_the_allocators_between_recordings(script, plain):
    program = """
import memkit, tracemalloc
kept = []
def fills():
    kept.append(bytes(1 << 20))
def alive(**tracers):
    kept.clear()
    with memkit.record(heap=True, **tracers) as run:
        fills()
    rows = [*run.recording.calls, *run.recording.lines]
    return {row.alive for row in rows if row.function.name == "fills" and row.alive}
def whole(found):
    return found and all(1 << 20 <= alive < (1 << 20) + 300 for alive in found)
assert whole(alive(calls=True))
tracemalloc.start()
assert whole(alive(lines=[fills])), "above it"
tracemalloc.stop()
assert whole(alive(calls=True, lines=[fills])), "without it"
tracemalloc.start()
kept.clear()
with memkit.record(heap=True, calls=True) as run:
    tracemalloc.stop()
    fills()
(call,) = [call for call in run.recording.calls if call.function.name == "fills"]
assert whole({call.alive}), "by the hooks that it put back"
"""
    run = plain(script(program))
    assert run.returncode == 0, run.stderr


def test_blocks_that_there_is_no_memory_to_book_are_told(script, plain):
    program = """
import os, sys, memkit, resource
def fills():
    try:
        while True:
            kept.append(bytes(400))
    except MemoryError:
        pass
def unbooked(room):
    with memkit.record(heap=True, calls=True) as run:
        size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + room, -1))
        fills()
        resource.setrlimit(resource.RLIMIT_AS, (-1, -1))
        many = len(kept)
    (call,) = [call for call in run.recording.calls if call.function.name == "fills"]
    found = run.recording.heap.unbooked
    each = 2 if sys.version_info < (3, 12) else 1  # there a profile function is handed an object for append
    assert each * many <= call.blocks + found < each * many + 200, (call.blocks, found, many)
    if found > 100:
        memkit.report(run.recording)
kept = []
for room in range(600 << 10, 4600 << 10, 130 << 10):  # in some there is room for an arena and not for its shadow too
    child = os.fork()
    if not child:
        unbooked(room)
        break
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, room
"""
    run = plain(script(program))
    assert run.returncode == 0, run.stderr
    assert "blocks could not be counted: there was no memory for it" in run.stderr + run.stdout


def test_a_killed_program_leaves_what_it_had_allocated(memkit_run, script):
    program = "import os, time\nkept = [bytes(9 << 20)]\ntime.sleep(1)\nos.kill(os.getpid(), 9)"
    recording = memkit_run("--heap", script(program)).recording
    assert recording.ending.signal == signal.SIGKILL
    assert recording.heap.alive >= 9 * MIB
    assert max(call.own_heap.alive for call in recording.calls) >= 9 * MIB


@pytest.mark.parametrize("options", [["--heap"], ["--heap", "--lines"], ["--heap", "--calls", "--lines"]])
def test_memkit_run_reports_the_heap(memkit_run, script, options):
    run = memkit_run(*options, script("kept = [bytes(9 << 20)]\ndel kept\nkept = bytes(5 << 20)\n"), options=())
    assert run.returncode == 0
    assert re.search(
        r"\nheap: [56]\.\d MiB alive at the end, (9|10)\.\d MiB at the peak, of Python's allocators and the C library's",
        run.stderr,
    )
    assert 5 * MIB <= run.recording.heap.alive < 7 * MIB
    assert 9 * MIB <= run.recording.heap.peak < 11 * MIB


def test_a_program_behaves_the_same_under_heap(same, script):
    same(script("import sys\nprint(sum(range(1000)), sys.getallocatedblocks() > 0)\nsys.exit(3)"), "--heap")


def test_a_plain_program_cannot_be_asked_for_its_heap(memkit_run):
    run = memkit_run("--heap", "--program", "true")
    assert run.returncode == 2
    assert "--heap looks into the interpreter" in run.stderr


def test_the_heap_of_several_processes_is_told_together(memkit_run, script):
    program = """
import os
def fills(size):
    return bytes(size)
kept = fills(4 << 20)
child = os.fork()
if not child:
    more = fills(6 << 20)
else:
    os.waitpid(child, 0)
"""
    run = memkit_run("--heap", "--follow", script(program), options=())
    assert run.recording.heap.processes == 2
    assert 10 * MIB <= run.recording.heap.alive < 12 * MIB
    assert "at the peaks of 2 processes, whenever each was" in run.stderr
    assert sum(call.own_heap.alive for call in run.recording.calls if call.own_heap) == run.recording.heap.alive


def test_what_a_pool_of_processes_allocates_counts_once(memkit_run, script):
    program = """
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
kept = []
def job(size):
    kept.append(bytes(size))
if __name__ == "__main__":
    with ProcessPoolExecutor(2, mp_context=get_context("fork")) as pool:
        list(pool.map(job, [3 << 20, 4 << 20]))
"""
    recording = memkit_run("--heap", "--follow", script(program), options=()).recording
    for seen in (recording, recording.by_thread()):
        own = {call.function.name: call.own_heap.alive for call in seen.calls if call.own_heap.alive > MIB}
        assert set(own) == {"job"}
        assert sum(call.own_heap.alive for call in seen.calls) + seen.heap.elsewhere.alive == seen.heap.alive
    pools = [call for call in recording.calls if call.function.name == "<process pool>"]
    assert 7 * MIB <= sum(pool.alive for pool in pools) < 8 * MIB


def test_what_is_alive_is_told_and_not_what_an_allocator_keeps():
    recording = recorded(outer, calls=True, lines=[inner, outer])
    (told,) = [kind for kind in memkit.kinds.kinds_of_calls(recording.calls) if kind.name in ("stayed", "alive")]
    assert (told.words, told.what.function.name) == ("alive at the end: 4.0 MiB", "outer")
    (told,) = [kind for kind in memkit.kinds.kinds_of_lines(recording) if kind.name in ("stayed", "alive")]
    assert (told.words, told.what) == ("alive at the end: 4.0 MiB", line_of(recording, "kept.append(bytes(4"))


def test_functions_in_c_can_be_calls_of_the_heap(memkit_run, script):
    run = memkit_run("--heap", "--c-calls", script("text = ','.join(['x' * 1000] * 3000)\n"))
    assert run.returncode == 0, run.stderr
    call = max((call for call in run.recording.calls if call.function.name == "str.join"), key=lambda call: call.alive)
    assert call.alive == sys.getsizeof("x" * 3_002_999)


# -- what is made of it ----------------------------------------------------------------------------------------------


@pytest.fixture
def whole():
    return recorded(outer, calls=True, lines=[inner, outer])


@pytest.mark.parametrize("by", ["heap", "heap-peak", "allocated", "temporary"])
def test_pictures_and_stacks_can_be_by_heap(whole, tmp_path, by):
    memkit.report(whole, folded=str(tmp_path / "a.folded"), speedscope=str(tmp_path / "a.json"), by=by, quiet=True)
    memkit.report(whole, flame=str(tmp_path / "a.svg"), by=by, quiet=True)
    assert (tmp_path / "a.svg").stat().st_size > 1000
    profiles = {each["name"]: each for each in json.loads((tmp_path / "a.json").read_text())["profiles"]}
    document = json.loads((tmp_path / "a.json").read_text())
    assert document["profiles"][document["activeProfileIndex"]]["name"] == by
    assert profiles["heap"]["endValue"] == whole.heap.alive
    stacks = dict(line.rsplit(" ", 1) for line in (tmp_path / "a.folded").read_text().splitlines())
    if by != "temporary":
        assert sum(map(int, stacks.values())) >= 7 * MIB


def test_a_profile_of_pprof_has_the_sums_of_the_heap(whole, tmp_path):
    memkit.report(whole, pprof=tmp_path / "a.pb.gz", quiet=True)
    found = profile_proto.read(tmp_path / "a.pb.gz")
    assert found.shown == "inuse_space"
    assert found.totals["inuse_space"] == whole.heap.alive
    own = [call.own_heap for call in whole.calls]
    assert found.totals["alloc_space"] == sum(heap.allocated for heap in own) >= 7 * MIB
    assert found.totals["alloc_objects"] == sum(heap.blocks for heap in own)
    assert found.totals["inuse_objects"] == sum(heap.blocks - heap.blocks_freed for heap in own)
    assert found.totals["heap_peak"] == sum(heap.alive_at_peak for heap in own)
    assert found.totals["growth"] - found.totals["freed"] == sum(call.own_growth for call in whole.calls)


@pytest.mark.parametrize(
    ("key", "first", "second"),
    [("heap", "4.0 MiB", "3.0 MiB"), ("heap-peak", "4.0 MiB", "3.0 MiB"), ("allocated", "4.0 MiB", "3.0 MiB")],
)
def test_functions_can_be_listed_by_heap(whole, capsys, key, first, second):
    memkit.report(whole, sort=key)
    rows = "".join(capsys.readouterr()).partition(f"the functions that {heap.WHAT[key]}\n")[2].splitlines()
    assert rows[0].split()[-1] == "function"
    assert re.search(rf" {first} +\d+% .* outer  test_heap\.py:\d+$", rows[1])
    assert re.search(rf" {second} +\d+% .* inner  test_heap\.py:\d+$", rows[2])


def test_functions_can_be_sorted_by_heap_only_where_it_was_counted(tmp_path):
    with memkit.record(heap=True, lines=[outer]) as run:
        outer()
    with pytest.raises(UsageError, match=r"--sort heap: no heap was counted by calls; record with --heap --calls"):
        memkit.report(run.recording, sort="heap")


def test_a_program_that_runs_another_under_heap_leaves_that_its_own(memkit_run, script, tmp_path):
    inner = script("kept = bytes(3 << 20)\n", "inner.py")
    words = [sys.executable, "-m", "memkit", "run", "-q", "-o", "inner.memkit", "--heap", inner]
    outer = script(f"import subprocess\nkept = bytes(5 << 20)\nassert not subprocess.run({words!r}).returncode\n")
    run = memkit_run("--heap", "--follow", outer)
    assert (run.returncode, run.stderr) == (0, "")
    counted = memkit.read(tmp_path / "inner.memkit")
    assert 3 * MIB <= counted.heap.alive < 4 * MIB
    assert counted.heap.counted == run.recording.heap.counted
    assert run.recording.heap.processes == 2  # the program, and the second memkit-run
    assert len(run.recording.processes) == 3
    assert 5 * MIB <= max(call.own_heap.alive for call in run.recording.calls if call.own_heap) < 6 * MIB
    assert {call.heap for call in run.recording.calls if call.function.file.endswith("inner.py")} == {None}


def test_a_heap_that_is_refused_leaves_an_earlier_recording_alone(tmp_path):
    with memkit.record(tmp_path / "earlier.memkit"):
        pass
    before = (tmp_path / "earlier.memkit").read_bytes()
    with memkit.record(heap=True), pytest.raises(MeterError, match="heap is being recorded already"):
        memkit.record(tmp_path / "earlier.memkit", heap=True).start()
    assert (tmp_path / "earlier.memkit").read_bytes() == before


def test_rows_that_were_lost_are_told_with_the_heap():
    recording = recorded(outer, calls=True)
    assert heap.lost(recording) is None
    assert heap.total(recording).startswith("heap: 7.0 MiB alive at the end, ")
    more = recording.heap._replace(alive=recording.heap.alive + 5 * MIB)
    cut = dataclasses.replace(recording, heap=more, ending=memkit.Ending("unknown", finished=False))
    said = "5.0 MiB of the 12.0 MiB alive are of paths or lines that were not written: a kill, or a full disk"
    assert said in [line.plain for line in heap.page(cut)]
    assert said in memkit.mimebundle(cut)["text/html"]
    assert heap.lost(dataclasses.replace(cut, heap=recording.heap)) is None
    earlier = dataclasses.replace(cut, heap=recording.heap._replace(alive=2 * MIB))
    assert heap.lost(earlier) == "the recording breaks off between sums of one moment: 7.0 MiB alive by row, 2.0 MiB in all"


@pytest.mark.parametrize("by", [["--calls"], ["--lines"]], ids=" ".join)
def test_a_heap_that_is_cut_off_says_as_of_when_it_is(memkit_run, script, by):
    program = "import os, time\nkept = bytes(5 << 20)\ntime.sleep(0.6)\nos.kill(os.getpid(), 9)\n"
    run = memkit_run("--heap", *by, script(program), options=())
    assert re.search(r"\nsums     lines, calls and heap are as of \S+ \w+ before the end", run.stderr)
    assert re.search(r"\nheap: 5\.\d MiB alive \S+ \w+ before the end, 5\.\d MiB at the peak, ", run.stderr)
    assert "alive at the end" not in run.stderr


@pytest.mark.parametrize("mode", ["sampled:64KiB", "spans"])
def test_a_heap_that_is_not_traced_says_as_of_when_it_is(memkit_run, script, mode):
    program = "import os, time\nkept = bytes(5 << 20)\ntime.sleep(0.6)\nos.kill(os.getpid(), 9)\n"
    run = memkit_run(f"--heap={mode}", script(program), options=())
    (told,) = re.findall(r"\nsums     the heap is as of (\S+ \w+) before the end", run.stderr)
    assert re.search(rf"\nheap: 5\.\d MiB (±\S+ \w+ )?alive {told} before the end, ", run.stderr)
    assert ("\nthe paths that allocated most of what was alive " + told in run.stderr) == (mode != "spans")
    assert "alive at the end" not in run.stderr and "that were not written" not in run.stderr


HANDLERS = """
kept = []
def users(number):
    record = {"number": number, "text": "u" * 3000 + str(number)}
def orders(number):
    record = {"number": number, "text": "o" * 3000 + str(number)}
    kept.append(record)
def carts(number):
    record = {"number": number, "text": "c" * 3000 + str(number)}
def prices(number):
    record = {"number": number, "text": "p" * 3000 + str(number)}
for number in range(700):
    for handler in (users, orders, carts, prices):
        handler(number)
"""


def line_tables(source):
    """Bytes that Python 3.11 takes for the lines of a program's functions where they are traced: as much as for their code.

    They are made just before a function's first line, so the line that calls it allocates them.
    """
    functions = [each for each in compile(source, "", "exec").co_consts if hasattr(each, "co_code")]
    return sum(len(each.co_code) for each in functions) if sys.version_info < (3, 12) else 0


@pytest.mark.parametrize("by", [["--lines"], ["--lines", "--calls"]], ids=" ".join)
def test_the_line_that_leaks_is_first_of_those_that_allocated(memkit_run, script, by):
    path, tables = script(HANDLERS), line_tables(HANDLERS)
    recording = memkit_run("--heap", *by, path).recording
    for key in ("heap-peak", "heap"):
        ((*_, rows),) = [
            found for found in heap.lists(recording) if found.title.startswith(f"the lines that {heap.WHAT[key]}")
        ]
        (_, _, itself, above), (size, share, own, place) = (cells for cells, _ in rows[:2])
        assert above.endswith("  <module>")  # it calls the handlers
        assert itself.strip().removesuffix(" B") == (str(tables) if tables else "")
        assert place.endswith(f"{os.path.basename(path)}:6  orders") and own.strip() == size
        assert 90 < int(share.rstrip("%")) <= 100
    whole = sum(line.own_heap.alive for line in recording.lines) + recording.heap.elsewhere.alive
    assert by != ["--lines"] or whole == recording.heap.alive


def test_where_the_heap_is_not_by_lines_there_is_no_list_of_them(memkit_run, script):
    recording = memkit_run("--heap", script(HANDLERS)).recording
    assert [title for title, *_ in heap.lists(recording) if title.startswith("the lines")] == []


def test_a_heap_of_which_that_is_not_known_does_not_say_the_end(made_up):
    total = memkit.HeapTotal("python", 5 * MIB, 5 * MIB, 0)
    killed = memkit.Ending("killed", signal=9, finished=False)
    unknown = dataclasses.replace(made_up((0, 10)), heap=total, ending=killed)
    assert heap.total(unknown).startswith("heap: 5.0 MiB alive when it was last written, ")
    known = dataclasses.replace(made_up((0, 10), (30, 10)), heap=total._replace(as_of=10_000_000), ending=killed)
    assert heap.total(known).startswith("heap: 5.0 MiB alive 20.0 ms before the end, ")


def test_of_several_processes_the_age_of_the_first_is_told(made_up):
    def of(at, pid, as_of):
        total = memkit.HeapTotal("python", MIB, MIB, 0, as_of=as_of)
        return dataclasses.replace(made_up((0, 1), began=100.0 + at, clock=at * 10**9, pid=pid), heap=total)

    assert memkit.merge([of(1, 7, 9), of(0, 4242, 5)]).heap.as_of == 5
    assert memkit.merge([of(1, 7, 9), of(0, 4242, None)]).heap.as_of is None


room = [None] * 1000
places = list(range(1000))


def makes_a_thousand():
    for place in places:
        room[place] = bytes(KIB)


def drops_four_hundred():
    for place in places[:400]:
        room[place] = None


def both_of_these():
    makes_a_thousand()
    drops_four_hundred()


def test_the_blocks_of_a_path_are_those_that_are_alive(tracer):
    recording = recorded(both_of_these, calls=True)
    room[:] = [None] * 1000
    own = call_of(recording, "makes_a_thousand").own_heap
    size = KIB + EMPTY
    assert (own.allocated, own.freed, own.alive) == (1000 * size + own.temporary, 400 * size + own.temporary, 600 * size)
    assert own.blocks - own.blocks_freed == 600
    (rows,) = [rows for title, _, rows in heap.lists(recording) if title == f"the paths that {heap.WHAT['heap']}"]
    (cells,) = [cells for cells, _ in rows if cells[-1].startswith("makes_a_thousand")]
    assert (cells[0], cells[2]) == (memkit.units.show_bytes(600 * size), "600")


def test_what_resident_memory_grew_by_beyond_the_heap_is_told(memkit_run, script):
    program = """
def read():
    return [str(number) * 10 for number in range(600_000)]
few = read()[::200]
"""
    run = memkit_run("--heap", script(program), options=())
    told = re.search(r"\nresident memory grew by (\S+) MiB, (\S+) MiB more than what is alive: ", run.stderr)
    grew, more = map(float, told.groups())
    assert 40 < more < grew
    assert abs(grew - more - run.recording.heap.alive / MIB) < 0.2
    run = memkit_run("--heap", script("kept = [bytes(1 << 20) for _ in range(50)]\n"), options=())
    assert "more than what is alive" not in run.stderr


def test_a_picture_by_heap_needs_one(tmp_path):
    with memkit.record(calls=True) as run:
        outer()
    with pytest.raises(UsageError, match=r"^--by heap: no heap was counted by calls; record with --heap --calls"):
        memkit.report(run.recording, folded=str(tmp_path / "a.folded"), by="heap", quiet=True)


def test_csv_and_json_carry_the_heap(whole, tmp_path):
    import csv

    memkit.report(
        whole,
        csv_calls=str(tmp_path / "c.csv"),
        csv_lines=str(tmp_path / "l.csv"),
        json=str(tmp_path / "a.json"),
        quiet=True,
    )
    for name, rows in (("c.csv", whole.calls), ("l.csv", whole.lines)):
        with open(tmp_path / name, newline="") as file:
            found = list(csv.DictReader(file))
        assert sorted(int(row["alive_bytes"]) for row in found) == sorted(row.alive for row in rows)
        assert sorted(int(row["blocks"]) for row in found) == sorted(row.blocks for row in rows)
    document = json.loads((tmp_path / "a.json").read_text())
    assert document["heap"]["alive"] == whole.heap.alive
    assert {call["heap"]["alive"] for call in document["calls"]} == {call.alive for call in whole.calls}


def test_functions_over_all_paths_have_their_heap():
    def first():
        inner()

    def second():
        inner()

    def both():
        first()
        second()

    recording = recorded(both, calls=True)
    (found,) = [call for call in recording.called if call.function.name == "inner"]
    assert 6 * MIB <= found.allocated < 6 * MIB + 2 * KIB
    folded = recording.hiding(["nothing.py"], libraries=True)
    assert sum(call.own_heap.allocated for call in folded.calls) == sum(call.own_heap.allocated for call in recording.calls)


def test_a_recursion_counts_once_in_the_sum_of_a_function():
    recording = recorded(lambda: recursive(9), calls=True)
    (found,) = [call for call in recording.called if call.function.name == "recursive"]
    assert 10 * (KIB + EMPTY) <= found.alive < 10 * (KIB + EMPTY) + KIB


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_run_of_many_allocations_leaves_a_small_file(tmp_path):
    def churns():
        for _ in range(2_000_000):
            bytearray(100)

    gc.collect()
    with memkit.record(tmp_path / "a.memkit", heap=True, calls=True) as run:
        churns()
    assert run.recording.heap.alive < MIB
    assert call_of(run.recording, "churns").allocated >= 2_000_000 * 100
    assert os.path.getsize(tmp_path / "a.memkit") < 100 * KIB


@pytest.mark.skipif(sys.version_info < (3, 13), reason="interpreters with a GIL of their own have another module")
@pytest.mark.parametrize("begun", ["before", "meanwhile"])
def test_interpreters_with_a_gil_each_lose_no_block(begun):
    interpreters = pytest.importorskip("_interpreters")
    code = "for _ in range(6):\n    blocks = [bytes(100) for _ in range(100_000)]\n    del blocks\n"

    def both():
        made = made_before or [interpreters.create("isolated") for _ in range(2)]
        threads = [threading.Thread(target=interpreters.exec, args=(each, code)) for each in made]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for each in made:
            interpreters.destroy(each)

    made_before = [interpreters.create("isolated") for _ in range(2)] if begun == "before" else []
    recording = recorded(both, calls=True)
    by_path = sum(call.own_heap.alive for call in recording.calls if call.own_heap)
    assert recording.heap.alive == by_path + recording.heap.elsewhere.alive
    blocks = sum(call.own_heap.blocks for call in recording.calls if call.own_heap) + recording.heap.elsewhere.blocks
    numbers = 0 if sys.version_info >= (3, 14) else 99_000  # from there on Python has a free list for them
    assert 2 * 6 * (100_000 + numbers) <= blocks < 2 * 6 * 220_000


def test_a_limit_of_addresses_that_is_too_low_is_told_and_can_be_raised(script, tmp_path):
    program = script("""
import resource, memkit
import memkit.native.heap.heap_sums
before = resource.getrlimit(resource.RLIMIT_AS)
def fails():
    try:
        with memkit.record("low.memkit", heap=True):
            pass
    except memkit.MeterError as error:
        return "ulimit -v" in str(error)
with memkit.record("first.memkit"):
    pass
pages = int(open("/proc/self/statm").read().split()[0])
for room in (8, 30, 38, 46):
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + (room << 20), before[1]))
    assert fails(), room
resource.setrlimit(resource.RLIMIT_AS, before)
with memkit.record("high.memkit", heap=True) as run:
    kept = bytes(1 << 20)
assert run.recording.heap.alive > 1 << 20
""")
    done = subprocess.run([sys.executable, program], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
