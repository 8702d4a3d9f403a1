"""The heap by samples: unbiased estimates, errors that hold what they promise, and whole stacks, in every thread."""

import gzip
import json
import math
import os
import re
import sys
import threading
from dataclasses import replace
from itertools import repeat

import pytest

import memkit
from memkit.base.errors import MeterError, UsageError
from memkit.model.heap import HeapErrors
from memkit.report.page.source_text import Texts
from memkit.system import engine, preload

if engine.NAME != "native":
    pytest.skip("allocators are sampled by the native engine", allow_module_level=True)

from memkit.native.sampling.sampled_heap import SampledHeap

import profile_proto

EMPTY = sys.getsizeof(b"")  # a bytes object of n bytes is n larger
KIB, MIB = 1 << 10, 1 << 20
SEEDS = range(1, 201)
kept = []


@pytest.fixture(autouse=True)
def nothing_kept():
    yield
    kept.clear()


def recorded(function, distance="sampled:4KiB", **settings):
    """The recording of a call of a function."""
    with memkit.record(heap=distance, **settings) as run:
        function()
    return run.recording


def heap_of(recording, name):
    """What all paths of a function have allocated themselves."""
    (found,) = [each for each in recording.called if each.function.name.rpartition(".")[2] == name]
    return found.own_heap


def is_near(estimate, truth, error, times=5):
    """Whether an estimate is what it should be; of five standard errors one in two million is off."""
    return 0 < error < truth and abs(estimate - truth) <= times * error


# -- the truth, over many seeds ----------------------------------------------------------------------------------------

DISTANCE = 4 * KIB
PLACES = {"small": list(range(20_000)), "middle": list(range(1000)), "large": list(range(20)), "moved": list(range(300))}
PLACES["two_lines"] = list(range(20_000))
SLOTS = {name: [None] * len(places) for name, places in PLACES.items()}
ZEROS = {size: bytes(size) for size in (100, 3000, 150_000)}


def small():
    slots = SLOTS["small"]
    for place in PLACES["small"]:  # which are there: nothing else is allocated
        slots[place] = bytes(100)


def middle():
    slots = SLOTS["middle"]
    for place in PLACES["middle"]:
        slots[place] = bytes(3000)


def large():
    slots = SLOTS["large"]
    for place in PLACES["large"]:
        slots[place] = bytes(150_000)


def moved():
    slots = SLOTS["moved"]
    for place in PLACES["moved"]:
        slots[place] = [None]
        slots[place] *= 1000  # the room for one is moved


def temporary():
    for _ in repeat(None, 20_000):
        bytes(100)


def freed():
    for name in ("small", "middle", "large"):
        slots = SLOTS[name]
        for place in PLACES[name]:
            if not place & 1:
                slots[place] = None


def two_lines():
    slots = SLOTS["two_lines"]
    for place in PLACES["two_lines"]:
        if place & 1:
            slots[place] = bytes(200)
        else:
            slots[place] = bytes(400)


LINES = {("two_lines", 4): 10_000 * (200 + EMPTY), ("two_lines", 6): 10_000 * (400 + EMPTY)}
LIST = sys.getsizeof([]) + (0 if hasattr(sys, "_is_gil_enabled") and not sys._is_gil_enabled() else 16)  # and its gc head
TRUTH = {  # bytes allocated, bytes alive, blocks allocated
    "small": (20_000 * (100 + EMPTY), 10_000 * (100 + EMPTY), 20_000),
    "middle": (1000 * (3000 + EMPTY), 500 * (3000 + EMPTY), 1000),
    "large": (20 * (150_000 + EMPTY), 10 * (150_000 + EMPTY)),
    "temporary": (20_000 * (100 + EMPTY), 0, 20_000),
}


def estimates(seed, distance=DISTANCE):
    """What is estimated of each function in one run."""
    for slots in SLOTS.values():
        slots[:] = [None] * len(slots)
    samples = SampledHeap(distance, seed)
    samples.start()
    samples.begin()
    for function in (small, middle, large, moved, temporary, two_lines, freed):
        function()
    samples.stop()
    found = {}
    for (text, line), sums in samples.estimates().items():
        _, name, first = json.loads(f"[{text}]") if text else ("", "", 0)
        if name in PLACES or name in TRUTH:
            found[name, line - first] = sums
            before = found.get(name, ((0, 0),) * 3)
            found[name] = tuple((one[0] + other[0], one[1] + other[1]) for one, other in zip(before, sums))
    return found


@pytest.fixture(scope="module")
def runs():
    return [estimates(seed) for seed in SEEDS]


@pytest.mark.parametrize("name", TRUTH)
def test_the_mean_of_many_estimates_is_the_truth_to_1_percent(runs, name):
    for field, truth in enumerate(TRUTH[name]):
        mean = sum(run[name][field][0] for run in runs) / len(runs)
        assert abs(mean - truth) <= 0.01 * truth + 1e-3


@pytest.mark.parametrize("name", ["small", "middle", "temporary"])
@pytest.mark.parametrize("field", range(3), ids=["allocated", "alive", "blocks"])
def test_the_truth_is_within_two_errors_in_90_to_99_percent(runs, name, field):
    if (truth := TRUTH[name][field]) == 0:
        assert all(run[name][field] == pytest.approx((0, 0), abs=1e-3) for run in runs)
        return
    within = [abs(run[name][field][0] - truth) <= 2 * math.sqrt(run[name][field][1]) for run in runs]
    assert 0.90 <= sum(within) / len(runs) <= 0.99


@pytest.mark.parametrize("place", LINES, ids=["one", "other"])
def test_the_lines_of_a_function_are_told_apart_without_bias(runs, place):
    found = [run[place][0] for run in runs]
    assert sum(estimate for estimate, _ in found) / len(found) == pytest.approx(LINES[place], rel=0.01)
    within = [abs(estimate - LINES[place]) <= 2 * math.sqrt(variance) for estimate, variance in found]
    assert 0.90 <= sum(within) / len(within) <= 0.99


def test_errors_are_as_large_as_estimates_scatter(runs):
    for name in ("small", "middle", "temporary"):
        found = [run[name][0] for run in runs]
        scatter = math.sqrt(sum((estimate - TRUTH[name][0]) ** 2 for estimate, _ in found) / len(found))
        error = math.sqrt(sum(variance for _, variance in found) / len(found))
        assert 0.85 <= scatter / error <= 1.15


def test_blocks_much_larger_than_the_distance_are_told_exactly(runs):
    for run in runs:
        allocated, alive, _ = run["large"]  # blocks: the one of what goes through the places is small
        assert (allocated[0], alive[0]) == pytest.approx(TRUTH["large"][:2], rel=0.005)
        assert math.sqrt(allocated[1]) < 0.005 * allocated[0] and math.sqrt(alive[1]) < 1


def test_a_block_that_is_moved_is_freed_and_allocated_anew(runs):
    alive = [run["moved"][1][0] for run in runs]
    assert sum(alive) / len(alive) == pytest.approx(300 * 8000, rel=0.01)  # 8 bytes each, and little for the lists
    allocated = [run["moved"][0][0] for run in runs]
    assert sum(allocated) / len(allocated) == pytest.approx(300 * (8000 + 8 + LIST), rel=0.01)


def test_a_seed_gives_the_same_samples_again():
    assert estimates(7)["small"] == estimates(7)["small"] != estimates(8)["small"]


# -- recordings --------------------------------------------------------------------------------------------------------


def fills():
    kept.append(list(map(bytes, repeat(1000, 5000))))  # a comprehension is a function of its own before Python 3.12
    bytes(3_000_000)


def calls_it():
    fills()


def test_a_recording_has_the_stacks_of_what_was_allocated():
    recording = recorded(calls_it)
    assert recording.heap.sampled == 4 * KIB and recording.heap.alive_error > 0
    (call,) = [call for call in recording.calls if call.function.name == "fills"]
    known = {each.id: each for each in recording.calls}
    assert known[call.parent].function.name == "calls_it"
    (root,) = [each for each in recording.calls if each.parent is None]
    assert root.function.name == "<all threads>"
    own = heap_of(recording, "fills")
    assert is_near(own.alive, 5000 * (1000 + EMPTY), own.errors.alive)
    assert own.allocated - own.alive >= 3_000_000 and own.freed == own.allocated - own.alive
    assert (call.temporary, own.temporary, call.calls, call.time) == (None, None, 0, 0)
    assert recording.call_tracing is None and recording.tracing is None


def test_who_makes_an_object_is_the_caller_of_its_init():
    class Made:
        def __init__(self):
            self.held = bytearray(64 * KIB)

    def makes():
        made = kept.append
        for _ in range(200):  # from some time on through a frame of the interpreter's own
            made(Made())

    recording = recorded(makes)
    names = {each.id: each.function.name.rpartition(".")[2] for each in recording.calls}
    assert {names[each.parent] for each in recording.calls if names[each.id] == "__init__"} == {"makes"}
    assert all(each.function.line for each in recording.calls if each.parent is not None)


def test_sums_of_calls_and_their_errors_include_what_they_called():
    def both():
        kept.append(list(map(bytes, repeat(2000, 500))))
        fills()

    recording = recorded(both)
    (outer,) = [call for call in recording.calls if call.function.name.endswith("both")]
    (inner,) = [call for call in recording.calls if call.function.name == "fills"]
    own = outer.own_heap
    assert outer.alive == own.alive + inner.alive
    assert outer.heap.errors.alive == pytest.approx(math.hypot(own.errors.alive, inner.heap.errors.alive))


def test_errors_of_independent_sums_add_up_as_squares():
    one, other = HeapErrors(*[3] * 6), HeapErrors(*[4] * 6)
    assert one.plus(other) == HeapErrors(*[5] * 6)
    assert one.plus(other).minus(other) == pytest.approx(one)
    whole = memkit.Heap(10, 1, 2, None, 3, 1, one).plus(memkit.Heap(20, 2, 3, None, 4, 1, other))
    assert whole == memkit.Heap(30, 3, 5, None, 7, 2, HeapErrors(*[5] * 6))
    assert whole.plus(memkit.Heap(*[0] * 6)) == whole


def test_what_every_thread_allocates_is_sampled():
    def work():
        kept.append(list(map(bytes, repeat(1000, 3000))))

    def four():
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    recording = recorded(four)
    found = [call for call in recording.calls if call.function.name.endswith("work")]
    assert len(found) == 1  # a path, whichever thread it is of
    assert is_near(found[0].alive, 4 * 3000 * (1000 + EMPTY), found[0].heap.errors.alive)


def test_what_another_thread_frees_is_freed_of_who_allocated_it():
    def both():
        fills()
        thread = threading.Thread(target=kept.clear)
        thread.start()
        thread.join()

    own = heap_of(recorded(both), "fills")
    assert own.freed > 7_000_000
    assert own.alive <= 5 * own.errors.alive  # now and then the list itself is sampled, which Python keeps in a free list


def test_the_distance_of_a_recording_before_leaves_nothing_behind():
    recorded(fills, "sampled:1GiB")
    own = heap_of(recorded(fills, "sampled:1KiB"), "fills")
    assert is_near(own.alive, 5000 * (1000 + EMPTY), own.errors.alive)
    assert own.errors.alive < 0.05 * own.alive


def test_every_block_can_be_counted_after_and_before_samples():
    for _ in range(2):
        assert is_near((own := heap_of(recorded(fills), "fills")).alive, 5000 * (1000 + EMPTY), own.errors.alive)
        kept.clear()
        with memkit.record(heap=True) as run:
            calls_it()
        assert 5000 * (1000 + EMPTY) <= heap_of(run.recording, "fills").alive < 5000 * (1000 + EMPTY) + 64 * KIB
        assert run.recording.heap.sampled is None and heap_of(run.recording, "fills").errors is None
        kept.clear()


def test_nothing_is_sampled_once_a_recording_has_ended():
    samples = SampledHeap(KIB, 1)
    samples.start()
    samples.begin()
    middle()
    samples.stop()
    before = samples.estimates()
    fills()
    SLOTS["middle"][:] = [None] * 1000
    assert samples.estimates() == before


def test_requests_that_nobody_can_fulfil_stop_no_sampling():
    def asks():
        for _ in range(8):
            with pytest.raises(MemoryError):
                bytearray(1 << 62)

    asks()  # by the hooks of a recording before
    own = heap_of(recorded(lambda: (asks(), fills())), "fills")
    assert is_near(own.alive, 5000 * (1000 + EMPTY), own.errors.alive)


def test_a_block_that_cannot_be_moved_is_alive_still():
    def fails():
        grown = [None] * 100_000
        kept.append(grown)
        with pytest.raises(MemoryError):
            grown *= 1 << 40

    own = heap_of(recorded(fails, "sampled:1KiB"), "fails")
    assert 800_000 <= own.alive < 900_000


def deep(depth):
    if depth:
        deep(depth - 1)
    else:
        fills()


def test_a_stack_that_is_very_deep_loses_its_outermost_calls():
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(5000)
    try:
        recording = recorded(lambda: deep(2000))
    finally:
        sys.setrecursionlimit(limit)
    assert is_near((own := heap_of(recording, "fills")).alive, 5000 * (1000 + EMPTY), own.errors.alive)
    known, depth = {call.id: call for call in recording.calls}, 0
    call = max((call for call in recording.calls if call.function.name == "fills"), key=lambda call: call.alive)
    while call.parent is not None:
        call, depth = known[call.parent], depth + 1
    assert depth == 512


def test_functions_that_are_made_anew_keep_their_names_apart():
    def makes():
        for number in range(300):
            space = {"kept": kept}
            exec(f"def made_{number:03}():\n    kept.append(bytes(40_000))", space)
            space[f"made_{number:03}"]()

    recording = recorded(makes, "sampled:1KiB")
    found = {each.function.name: each.alive for each in recording.called if each.function.name.startswith("made_")}
    assert len(found) == 300
    assert all(40_000 <= alive < 45_000 for alive in found.values())


def test_names_in_any_script_are_told():
    text, file = "def größe_和():\n    kept.append(bytes(100_000))\ngröße_和()", 'a "b"\\ü😀.py'
    recording = recorded(lambda: exec(compile(text, file, "exec"), {"kept": kept}))
    assert ("größe_和", file) in {(call.function.name, call.function.file) for call in recording.calls}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_samples_nothing(script, plain):
    program = """
import memkit, os
kept = []
with memkit.record(heap="sampled:1KiB") as run:
    kept.append([bytes(1000) for _ in range(3000)])
    child = os.fork()
    if not child:
        del kept[:]
        more = [bytes(1000) for _ in range(3000)]
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    del kept[:]
alive = sum(call.own_heap.alive for call in run.recording.calls)
assert alive < 100_000, alive
"""
    done = plain(script(program))
    assert done.returncode == 0, done.stderr


def test_another_tool_may_hook_the_allocators_between_recordings(script, plain):
    program = """
import memkit, tracemalloc
kept = []
def fills():
    kept.append(list(map(bytes, [1000] * 5000)))
def is_right():
    kept.clear()
    with memkit.record(heap="sampled:1KiB") as run:
        fills()
    (call,) = [call for call in run.recording.calls if call.function.name == "fills"]
    return abs(call.alive - 5000 * 1033) < 5 * call.heap.errors.alive < 600_000
assert is_right()
tracemalloc.start()
assert is_right(), "above it"
tracemalloc.stop()
assert is_right(), "without it"
tracemalloc.start()
kept.clear()
with memkit.record(heap=True, calls=True) as run:
    tracemalloc.stop()
    fills()
(call,) = [call for call in run.recording.calls if call.function.name == "fills"]
assert 5000 * 1033 <= call.alive < 5000 * 1033 + 100_000, "by the hooks that it put back"
"""
    run = plain(script(program))
    assert run.returncode == 0, run.stderr


def test_interpreters_with_a_gil_each_are_sampled_too():
    interpreters = pytest.importorskip("_interpreters")
    code = "def fills():\n    for _ in range(250):\n        bytes(1000)\nfor _ in range(400):\n    fills()\n"

    def both():
        made = [interpreters.create("isolated") for _ in range(2)]
        threads = [threading.Thread(target=interpreters.exec, args=(each, code)) for each in made]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for each in made:
            interpreters.destroy(each)

    recording = recorded(both)
    own = heap_of(recording, "fills")
    assert is_near(own.allocated, 2 * 400 * 250 * (1000 + EMPTY), own.errors.allocated)


def lines_of(recording, function):
    """What is estimated of the lines of a function, by their number below the one where it begins."""
    first = function.__code__.co_firstlineno
    lines = [line for line in recording.heap_lines if line.function.name == function.__qualname__]
    return {line.number - first: line for line in lines}


def keeps(size):
    made = [
        bytes(size),
        bytes(2 * size),
    ]
    kept.append(made[0])


def passes_on():
    for size in (3 * MIB, 2 * MIB):
        keeps(size)
    keeps(MIB)


def test_each_line_tells_what_it_allocated_with_and_without_what_it_called():
    recording = recorded(passes_on)
    lines, callers = lines_of(recording, keeps), lines_of(recording, passes_on)
    assert lines[2].own_heap.alive == pytest.approx(6 * MIB, abs=100 * KIB)
    assert lines[2].own_heap.allocated == pytest.approx(6 * MIB, abs=100 * KIB)
    assert (lines[3].heap.alive, lines[3].own_heap.allocated) == (0, pytest.approx(12 * MIB, abs=100 * KIB))
    assert callers[2].heap.alive == pytest.approx(5 * MIB, abs=100 * KIB)
    assert callers[3].heap.alive == pytest.approx(1 * MIB, abs=100 * KIB)
    assert callers[2].own_heap.alive < 100 * KIB
    assert sum(line.own_heap.alive for line in recording.heap_lines) == sum(call.own_heap.alive for call in recording.calls)


def goes_down(depth):
    if depth:
        goes_down(depth - 1)
    kept.append(bytes(MIB))


def test_of_a_recursion_each_byte_counts_once_on_the_innermost_line():
    lines = lines_of(recorded(lambda: goes_down(4)), goes_down)
    assert lines[3].heap.alive == lines[3].own_heap.alive == pytest.approx(5 * MIB, abs=100 * KIB)
    assert 2 not in lines or abs(lines[2].heap.alive) < 100 * KIB


def branches(depth):
    bytes(5000)
    if depth:
        branches(depth - 1)
        branches(depth - 1)


def test_where_there_is_no_room_for_lines_paths_are_told_still():
    samples = SampledHeap(64, 1)
    samples.start()
    samples.begin()
    branches(16)
    samples.stop()
    found = [
        (line > 0, sums[0][0])
        for (text, line), sums in samples.estimates().items()
        if text and json.loads(f"[{text}]")[1] == "branches"
    ]
    with_lines, without = (sum(size for known, size in found if known is wanted) for wanted in (True, False))
    assert with_lines > 0 < without
    assert with_lines + without == pytest.approx((2**17 - 1) * (5000 + EMPTY), rel=0.01)


def test_lines_can_be_traced_beside():
    recording = recorded(calls_it, lines=calls_it)
    assert [line.heap for line in recording.lines] == [None]
    assert lines_of(recording, calls_it)
    assert heap_of(recording, "fills").alive > 0


def test_two_recordings_cannot_count_at_once():
    with memkit.record(heap="sampled"), pytest.raises(MeterError, match="heap is being recorded already"):
        memkit.record(heap="sampled").start()


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("some", "heap 'some': write sampled, sampled:64KiB or spans, or no value to count every block"),
        ("sampled:", "heap 'sampled:': write sampled"),
        ("sampled:x", "'x' is not a size"),
        ("sampled:8", "a byte can be sampled in 64 bytes to 1 GiB"),
        ("sampled:2GiB", "a byte can be sampled in 64 bytes to 1 GiB"),
        (3, "heap 3: write sampled"),
    ],
)
def test_what_is_no_way_to_sample_is_refused(wrong, told):
    with pytest.raises(UsageError, match=re.escape(told)):
        memkit.record(heap=wrong)


def test_calls_cannot_be_traced_beside():
    with pytest.raises(UsageError, match="a heap that is sampled has calls of its own"):
        memkit.record(heap="sampled", calls=True)


# -- reports -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole():
    found = recorded(calls_it, "sampled:64KiB")
    kept.clear()
    return found


def test_each_number_is_told_with_its_error(whole, capsys):
    memkit.report(whole, quiet=False)
    out = capsys.readouterr().out
    size = r"\d+\.\d [KM]iB ±\d+(\.\d)? ([KM]i)?B"
    assert re.search(rf"\nheap: {size} alive at the end, {size} at the peak, of Python's allocators", out)
    assert re.search(rf"\n *{size} +\d+%  fills  test_heap_sampled.py:\d+ < calls_it", out)
    assert re.search(rf"\n *{size} +\d+% +[\d,]+ ±[\d,]+  fills  test_heap_sampled.py:\d+ < calls_it", out)
    assert "\nsampled, one in 64.0 KiB; ± is one standard error; " in out
    assert "to the byte" not in out and "temporary" not in out


def test_json_and_csv_carry_estimates_and_errors(whole, tmp_path):
    memkit.report(whole, quiet=True, json=tmp_path / "a.json", csv_calls=tmp_path / "a.csv")
    told = json.loads((tmp_path / "a.json").read_text())
    assert (told["heap"]["sampled"], told["heap"]["alive"]) == (64 * KIB, whole.heap.alive)
    assert told["heap"]["alive_error"] == whole.heap.alive_error > 0
    (call,) = [call for call in told["calls"] if call["function"]["name"] == "fills"]
    own = heap_of(whole, "fills")
    assert call["own_heap"]["errors"] == own.errors._asdict()
    assert (call["own_heap"]["allocated"], call["own_heap"]["temporary"]) == (own.allocated, None)
    head, *rows = [line.split(",") for line in (tmp_path / "a.csv").read_text().splitlines()]
    (row,) = [dict(zip(head, row)) for row in rows if "fills" in row]
    assert (int(row["alive_bytes"]), int(row["alive_error_bytes"])) == (own.alive, round(own.errors.alive))
    assert (row["temporary_bytes"], int(row["blocks_error"])) == ("", round(own.errors.blocks))


def test_lines_are_told_on_the_console_in_json_and_on_the_page(whole, tmp_path, capsys):
    memkit.report(whole, quiet=False, json=tmp_path / "a.json", html=tmp_path / "a.html")
    out = capsys.readouterr().out
    size = r"\d+\.\d [KM]iB ±\d+(\.\d)? ([KM]i)?B"
    title = "\nthe lines that allocated most of what is alive at the end, with what they called\n"
    number = fills.__code__.co_firstlineno + 1
    assert re.search(rf"\n *{size} +\d+% +{size}  test_heap_sampled.py:{number}  fills\n", out[out.index(title) :])
    line = lines_of(whole, fills)[1]
    (told,) = [
        each
        for each in json.loads((tmp_path / "a.json").read_text())["heap_lines"]
        if (each["function"]["name"], each["number"]) == ("fills", number)
    ]
    assert (told["number"], told["heap"]["alive"]) == (number, line.heap.alive)
    assert told["own_heap"]["errors"]["alive"] == line.own_heap.errors.alive > 0
    (text,) = [piece for pieces in Texts(whole).of_files.values() for first, piece, _ in pieces if first == number - 1]
    assert "kept.append(list(map(bytes" in text[1] and (tmp_path / "a.html").stat().st_size > 10_000


def dives(depth):
    if depth:
        dives(depth - 1)
    else:
        kept.append(list(map(bytes, [1000] * 5000)))


def test_what_recurs_has_the_error_of_what_it_allocated():
    lines = lines_of(recorded(lambda: dives(20)), dives)
    called, own = lines[2].heap, lines[4].own_heap
    assert called.alive == 0 and own.alive > 4 * MIB
    assert called.errors.alive < own.errors.alive / 100


def test_a_recording_that_lost_the_rows_of_its_calls_is_reported(tmp_path, capsys):
    with memkit.record(tmp_path / "whole.memkit", heap="sampled:64KiB"):
        fills()
    rows = (tmp_path / "whole.memkit").read_text().splitlines(keepends=True)
    (tmp_path / "lost.memkit").write_text("".join(row for row in rows if not row.startswith('["call",')))
    memkit.report(memkit.read(tmp_path / "lost.memkit"), quiet=False)
    told = capsys.readouterr()
    assert "fills" in told.out and "failed" not in told.err


def test_pictures_and_stacks_are_by_heap(whole, tmp_path):
    outputs = {"folded": tmp_path / "a.txt", "speedscope": tmp_path / "a.json", "pprof": tmp_path / "a.pb.gz"}
    memkit.report(whole, quiet=True, **outputs)
    (line,) = [line for line in outputs["folded"].read_text().splitlines() if ";fills" in line]
    assert int(line.rpartition(" ")[2]) == heap_of(whole, "fills").alive
    profiles = [profile["name"] for profile in json.loads(outputs["speedscope"].read_text())["profiles"]]
    assert not {"growth", "time", "temporary"} & {name.partition(" ")[0] for name in profiles}
    assert b"inuse_space" in (packed := gzip.decompress(outputs["pprof"].read_bytes())) and b"growth" not in packed


def test_a_profile_has_the_lines_that_allocated(tmp_path):
    recording = recorded(passes_on)
    memkit.report(recording, quiet=True, pprof=tmp_path / "a.pb.gz")
    profile = profile_proto.read(tmp_path / "a.pb.gz")
    first, caller = keeps.__code__.co_firstlineno, passes_on.__code__.co_firstlineno
    places = {
        (each.lines[0] - first, each.lines[1] - caller): each for each in profile.samples if each.stack[0][0] == "keeps"
    }
    assert places[2, 2].values["inuse_space"] == pytest.approx(5 * MIB, abs=100 * KIB)
    assert places[2, 3].values["inuse_space"] == pytest.approx(MIB, abs=100 * KIB)
    assert profile.totals["inuse_space"] == sum(call.own_heap.alive for call in recording.calls)


@pytest.mark.parametrize("by", ["growth", "time", "temporary"])
def test_a_picture_cannot_be_by_what_was_not_sampled(whole, tmp_path, by):
    with pytest.raises(UsageError, match=f"--by {by}: .*sampled"):
        memkit.report(whole, quiet=True, folded=tmp_path / "a.txt", by=by)


def test_lines_of_several_processes_are_added_up(whole):
    other = replace(whole, about=whole.about._replace(pid=1), processes=(whole.processes[0]._replace(pid=1),))
    line = lines_of(whole, fills)[1]
    both = lines_of(memkit.merge([whole, other]), fills)[1]
    assert both.heap.alive == 2 * line.heap.alive
    assert both.heap.errors.alive == pytest.approx(math.sqrt(2) * line.heap.errors.alive)


def test_several_processes_are_told_together(whole):
    together = memkit.model.heap.together([whole.heap, whole.heap])
    assert together.alive == 2 * whole.heap.alive
    assert together.alive_error == pytest.approx(math.sqrt(2) * whole.heap.alive_error)
    assert together.sampled == whole.heap.sampled


# -- memkit-run --------------------------------------------------------------------------------------------------------

IN_C = """
import ctypes, mmap
malloc, free = ctypes.CDLL(None).malloc, ctypes.CDLL(None).free
malloc.restype, malloc.argtypes, free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
def in_c():
    return [malloc(1000) for _ in range(20_000)]
def in_python():
    return [bytes(1000) for _ in range(20_000)]
def small():
    return [str(number) for number in range(200_000)]
def mapped():
    return mmap.mmap(-1, 5 << 20)
blocks, kept, more, map = in_c(), in_python(), small(), mapped()
for block in blocks[::2]:
    free(block)
"""


@pytest.mark.skipif(preload.why_not() is not None, reason=str(preload.why_not()))
def test_memkit_run_samples_the_c_library_too(memkit_run, script):
    run = memkit_run("--heap=sampled:8KiB", script(IN_C), options=())
    assert run.returncode == 0, run.stderr
    assert (
        "of Python's allocators and the C library's; 5.0 MiB of what is alive are maps" in run.stderr
    )  # no arenas of Python's
    assert "sampled, one in 8.0 KiB; ± is one standard error" in run.stderr
    found = {call.function.name: call for call in run.recording.calls}
    assert "memkit" not in "".join(call.function.file for call in run.recording.calls if "/memkit/" in call.function.file)
    of_c, of_python = found["in_c"], found["in_python"]
    lists = 8 * 20_000 + 20_000 * sys.getsizeof(1 << 40)  # at most: ints that are addresses, and their list
    assert 10_000_000 - 5 * of_c.heap.errors.alive <= of_c.alive <= 10_000_000 + lists * 1.2 + 5 * of_c.heap.errors.alive
    assert is_near(of_python.alive, 20_000 * (1000 + EMPTY) + 8 * 20_000, of_python.heap.errors.alive)
    texts = sum(sys.getsizeof(str(number)) for number in range(200_000)) + 8 * 200_000
    assert is_near(found["small"].alive, texts, found["small"].heap.errors.alive)
    assert 5 * MIB <= found["mapped"].alive < 5 * MIB + 64 * KIB


def test_memkit_run_refuses_what_does_not_go_together(memkit_run, script):
    program = script("pass")
    for words, told in (
        (["--heap=some"], "heap 'some': write sampled, sampled:64KiB or spans, or no value to count every block"),
        (
            ["--heap=sampled", "--calls"],
            "--heap=sampled reads stacks and traces no calls: leave out --calls, or write --heap",
        ),
        (["--heap=sampled", "--c-calls"], "--c-calls goes with --calls"),
    ):
        run = memkit_run(*words, program)
        assert run.returncode == 2
        assert told in run.stderr and "Traceback" not in run.stderr


def test_a_killed_program_leaves_its_estimates(memkit_run, script):
    program = "import os, time\nkept = [bytes(9 << 20)]\ntime.sleep(1)\nos.kill(os.getpid(), 9)"
    recording = memkit_run("--heap=sampled", script(program)).recording
    assert recording.heap.alive >= 9 * MIB
    assert max(call.own_heap.alive for call in recording.calls) >= 9 * MIB


def test_processes_that_are_followed_are_sampled_too(memkit_run, script):
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
    recording = memkit_run("--heap=sampled", "--follow", script(program)).recording
    assert (recording.heap.processes, recording.heap.sampled) == (2, 512 * KIB)
    assert sum(call.own_heap.alive for call in recording.calls if call.function.name == "fills") >= 10 * MIB


def test_a_program_behaves_the_same_when_it_is_sampled(same, script):
    same(script("import sys\nprint(sum(range(1000)), sys.getallocatedblocks() > 0)\nsys.exit(3)"), "--heap=sampled:1KiB")
