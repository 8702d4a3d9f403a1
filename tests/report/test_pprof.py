"""``--pprof``: the rules of pprof's ``profile.proto``, by a reader of its own, and that nothing is lost."""

import os
from dataclasses import replace

import pytest

import memkit
from memkit.model.calls import Call, Function, Handed
from memkit.model.heap import NO_SAMPLES, Heap, HeapErrors
from memkit.model.heap_paths import HeapPath
from memkit.report.reporters import pprof
from memkit.report.transforms import MOST_LEVELS

import profile_proto

MIB = 1 << 20
MS = 1_000_000
MAIN = "<thread MainThread>"
ROOT = (MAIN, "", 0)


def made(recording, by=None):
    return profile_proto.profile(b"".join(pprof.profile(recording, by)))


def stacks(found, name):
    """The names of the stack of each sample with a value of a type, outermost first, and that value."""
    return [
        ([function for function, _, _ in reversed(each.stack)], each.values[name])
        for each in found.samples
        if each.values[name]
    ]


def test_each_path_is_a_sample_of_what_it_did_itself_innermost_first(called):
    found = made(called((0, MAIN, 0, 1, 0), (1, "a", 2, 1, 5), (2, "b", 3, 1, 0), (1, "c", 1, 1, 7), (2, "a", -1, 1, 1)))
    assert found.types == [("growth", "bytes"), ("freed", "bytes"), ("rise", "bytes"), ("time", "nanoseconds")]
    a, b, c = ("a", "load.py", 10), ("b", "load.py", 10), ("c", "load.py", 10)
    assert [each.stack for each in found.samples] == [[a, ROOT], [b, a, ROOT], [c, ROOT], [a, c, ROOT]]
    assert [each.values["growth"] for each in found.samples] == [2 * MIB, 3 * MIB, MIB, 0]
    assert [each.values["freed"] for each in found.samples] == [0, 0, 0, MIB]
    assert [each.values["time"] for each in found.samples] == [5 * MS, 0, 7 * MS, MS]


def test_the_sums_are_those_of_the_recording(called):
    recording = called(
        *((0, MAIN, 0.5, 1, 3), (1, "main", 2, 1, 30), (2, "read", 40, 1, 900), (2, "clean", -12, 3, 400)),
        *((0, "<thread worker>", 1, 1, 9), (1, "main", -70, 9, 7)),
    )
    totals = made(recording).totals
    roots = [call for call in recording.calls if call.parent is None]
    assert totals["growth"] - totals["freed"] == sum(call.growth for call in roots)
    assert totals["time"] == sum(call.time for call in roots)


def test_a_function_has_its_place_unless_it_is_in_c(called):
    [sample] = made(called((0, MAIN, 0, 1, 0), (1, "/a/b.py:f", 0, 1, 0), (2, "numpy.ones", 1, 1, 0))).samples
    assert sample.stack == [("numpy.ones", "", 0), ("f", "/a/b.py", 10), ROOT]
    assert sample.lines == [0, 10, 0]


def test_a_recursion_has_its_function_as_often_as_it_was_entered(called):
    [sample] = made(called((0, MAIN, 0, 1, 0), (1, "walk", 0, 1, 0), (2, "walk", 0, 1, 0), (3, "walk", 1, 1, 0))).samples
    assert [name for name, _, _ in sample.stack] == ["walk", "walk", "walk", MAIN]


def test_what_is_very_deep_counts_as_the_call_at_the_greatest_depth(called):
    recording = called((0, MAIN, 0, 1, 0), *((1 + k, "walk", 0, 1, 0) for k in range(5000)), (5001, "keep", 1))
    [sample] = made(recording).samples
    assert [name for name, _, _ in sample.stack] == [*["walk"] * (MOST_LEVELS - 1), MAIN]


def test_the_profile_tells_when_and_of_what_it_was_made(called):
    found = made(called((0, MAIN, 1), argv=("jobs/load.py", "data  1.csv")))
    assert (found.file, found.symbolized) == ("jobs/load.py", (1, 1, 1))
    assert (found.began, found.duration) == (1_700_000_000 * 10**9, 5 * MS)
    assert found.period == ("space", "bytes", 1)
    assert found.comments == [f"memkit: {memkit.__version__}", "program: jobs/load.py data 1.csv", "meter: rss"]
    assert made(called((0, MAIN, 1), argv=("-m", "jobs", "-v"))).file == "jobs"


# -- what it opens with ------------------------------------------------------------------------------------------------


@pytest.fixture
def counted(called):
    """A recording of two paths whose heap was counted."""
    recording = called((0, MAIN, 0, 1, 0), (1, "a", 2, 1, 5), (2, "b", 0, 1, 0))
    own = [Heap(0, 0, 0, 0, 0, 0), Heap(100, 70, 60, 20, 9, 4), Heap(1000, 1000, 1, 2, 5, 5)]
    calls = [call._replace(own_heap=heap, heap=heap) for call, heap in zip(recording.calls, own)]
    return replace(recording, calls=tuple(calls))


@pytest.mark.parametrize("by", ["growth", "rise", "peak", "time"])
def test_the_file_opens_with_what_is_asked_for(called, by):
    recording = called((0, MAIN, 0, 1, 0, 10, 20, 20), (1, "main", 2, 1, 5, 30, 15, 15))
    found = made(recording, by)
    assert found.shown == by
    main = {"growth": 2 * MIB, "rise": 15 * MIB, "peak": 20 * MIB, "time": 5 * MS}[by]
    assert stacks(found, by)[-1] == ([MAIN, "main"], main)


def test_files_can_be_compared_whatever_they_open_with(called, counted):
    for recording, keys in ((called((0, MAIN, 2)), ("rise", "time")), (counted, ("growth", "temporary"))):
        assert {tuple(made(recording, by).types) for by in keys} == {tuple(made(recording).types)}


def test_the_file_opens_with_rises_where_nothing_grew(called):
    assert made(called((0, MAIN, 0, 1, 0), (1, "main", 0, 1, 5, 30, 15, 15))).shown == "rise"
    assert made(called((0, MAIN, 0, 1, 0), (1, "main", 0, 1, 5))).shown == "time"


def test_where_heap_was_counted_its_values_are_called_as_go_calls_them(counted):
    found = made(counted)
    assert found.types[:2] == [("alloc_objects", "count"), ("alloc_space", "bytes")]
    assert found.types[2:4] == [("inuse_objects", "count"), ("inuse_space", "bytes")]
    assert found.shown == "inuse_space"
    heap = ("alloc_objects", "alloc_space", "inuse_objects", "inuse_space", "heap_peak", "temporary")
    values = {each.stack[0][0]: [each.values[name] for name in heap] for each in found.samples}
    assert values == {"a": [9, 100, 5, 30, 60, 20], "b": [5, 1000, 0, 0, 1, 2]}


def heap_of_samples(size, blocks=1):
    return Heap(size, size // 4, size // 2, None, blocks, 0, HeapErrors(1, 1, 1, 1, 1, 1))


@pytest.fixture
def sampled(made_up):
    """A recording of a sampled heap: ``main`` at line 2 called ``fill`` at 11 and 12, and at line 3 once more at 12."""
    main, fill = Function("/src/a.py", "main", 1), Function("/src/a.py", "fill", 10)
    paths = (
        HeapPath(4, None, main, 2, 2, NO_SAMPLES),
        HeapPath(5, 4, fill, 11, 3, heap_of_samples(100)),
        HeapPath(6, 4, fill, 12, 3, heap_of_samples(2000, 2)),
        HeapPath(7, None, main, 3, 2, heap_of_samples(48)),
        HeapPath(8, 7, fill, 12, 3, heap_of_samples(400)),
    )
    # for the last 8000 of ``fill`` there was no room to keep the line
    owns = NO_SAMPLES, heap_of_samples(48), heap_of_samples(100 + 2000 + 400 + 8000, 5)
    functions = Function("", "<all threads>", 0), main, fill
    calls = [
        Call(id, id - 1 or None, function, 0, 0, 0, 0, 0, 0, 0, 0, heap=own, own_heap=own)
        for id, (function, own) in enumerate(zip(functions, owns), 1)
    ]
    return replace(made_up((0, 20)), calls=tuple(calls), heap_paths=paths)


def test_where_heap_was_sampled_each_call_is_at_its_line(sampled):
    found = made(sampled)
    root, main, fill = ("<all threads>", "", 0), ("main", "/src/a.py", 1), ("fill", "/src/a.py", 10)
    assert [(each.stack, each.lines, each.values["alloc_space"]) for each in found.samples] == [
        ([main, root], [3, 0], 48),
        ([fill, main, root], [11, 2, 0], 100),
        ([fill, main, root], [12, 2, 0], 2000),
        ([fill, main, root], [12, 3, 0], 400),
        ([fill, main, root], [10, 1, 0], 8000),
    ]
    assert found.samples[2].values == {
        "alloc_objects": 2,
        "alloc_space": 2000,
        "inuse_objects": 2,
        "inuse_space": 1500,
        "heap_peak": 1000,
    }


def test_what_lines_allocated_adds_up_to_what_their_calls_did(sampled):
    totals = made(sampled).totals
    owns = [call.own_heap for call in sampled.calls]
    assert totals["alloc_space"] == sum(heap.allocated for heap in owns)
    assert totals["inuse_space"] == sum(heap.alive for heap in owns)
    assert totals["alloc_objects"] == sum(heap.blocks for heap in owns)


def test_lines_of_hidden_files_are_at_the_line_that_called_them(sampled):
    library = Function("/usr/lib/python3.13/json/decoder.py", "decode", 10)
    main, *others = sampled.calls[1:]
    calls = (sampled.calls[0], main, *(each._replace(function=library) for each in others))
    paths = (each if each.call == 2 else each._replace(function=library) for each in sampled.heap_paths)
    found = made(replace(sampled, calls=calls, heap_paths=tuple(paths)).hiding())
    assert [(each.lines, each.values["alloc_space"]) for each in found.samples] == [
        ([2, 0], 2100),
        ([3, 0], 448),
        ([1, 0], 8000),
    ]


@pytest.mark.parametrize(
    ("by", "name"),
    [("heap", "inuse_space"), ("heap-peak", "heap_peak"), ("allocated", "alloc_space"), ("temporary", "temporary")],
)
def test_the_file_can_open_with_each_sum_of_the_heap(counted, by, name):
    found = made(counted, by)
    assert found.shown == name
    assert found.totals[name] == sum(memkit.heaps.own(call, by) for call in counted.calls)


# -- threads and processes ---------------------------------------------------------------------------------------------


def test_a_sample_tells_its_thread_and_its_process(called):
    recording = called((0, MAIN, 1), (1, "main", 1), (0, "<thread worker-1>", 1))
    calls = [call._replace(thread=8, process=77) if call.id == 2 else call for call in recording.calls]
    main, inside, other = made(replace(recording, calls=tuple(calls))).samples
    assert main.labels == inside.labels == {"thread": "MainThread", "thread_id": 7, "pid": 4242}
    assert other.labels == {"thread": "worker-1", "thread_id": 8, "pid": 77}


def test_threads_that_are_shown_as_one_have_a_name_and_no_number(called, tmp_path):
    recording = called(*((0, f"<thread Thread-{number} (serve)>", 1) for number in range(9)), (0, MAIN, 1))
    memkit.report(recording, pprof=tmp_path / "a.pb.gz", quiet=True)
    many, main = profile_proto.read(tmp_path / "a.pb.gz").samples
    assert (many.labels, many.values["growth"]) == ({"thread": "Thread-* (serve)"}, 9 * MIB)
    assert main.labels == {"thread": "MainThread", "thread_id": 7, "pid": 4242}


def handing(called, process=None):
    """A recording in which ``main`` has handed ``work`` over."""
    recording = called((0, MAIN, 1), (1, "main", 1), (2, "<work>", 1), (3, "work", 1))
    root, main, handed, work = recording.calls
    handed = handed._replace(handed=Handed(None, Function("", "<thread worker-1>", 0)), thread=8, process=process)
    return replace(recording, calls=(root, main, handed, work._replace(thread=8, process=process)))


def test_work_that_was_handed_over_is_of_no_certain_thread(called):
    *_, handed, work = made(handing(called)).samples
    assert handed.labels == work.labels == {"pid": 4242}
    *_, handed, work = made(handing(called, process=77)).samples
    assert handed.labels == work.labels == {}


def test_by_thread_work_is_of_the_thread_that_did_it(called, tmp_path):
    memkit.report(handing(called), pprof=tmp_path / "a.pb.gz", by_thread=True, quiet=True)
    found = profile_proto.read(tmp_path / "a.pb.gz").samples
    assert [each.labels for each in found if each.stack[0][0] == "work"] == [
        {"thread": "worker-1", "thread_id": 8, "pid": 4242}
    ]


# -- files -------------------------------------------------------------------------------------------------------------


def test_the_same_recording_makes_the_same_bytes(called, tmp_path, capfdbinary):
    recording = called((0, MAIN, 0), (1, "main", 2), (2, "numpy.ones", 3))
    memkit.report(recording, pprof=tmp_path / "a.pb.gz", quiet=True)
    memkit.report(recording, pprof=tmp_path / "other.name", quiet=True)
    memkit.report(recording, pprof="-", quiet=True)
    first = (tmp_path / "a.pb.gz").read_bytes()
    assert first == (tmp_path / "other.name").read_bytes() == capfdbinary.readouterr().out
    assert first[:8] == b"\x1f\x8b\x08\x00\x00\x00\x00\x00"  # gzip, without a name and without a date


def test_libraries_are_counted_with_their_callers_unless_all_is_asked_for(called, tmp_path):
    recording = called((0, MAIN, 0), (1, "main", 1), (2, "/usr/lib/python3.13/json/__init__.py:loads", 2))
    memkit.report(recording, pprof=tmp_path / "a.pb.gz", quiet=True)
    assert stacks(profile_proto.read(tmp_path / "a.pb.gz"), "growth") == [([MAIN, "main"], 3 * MIB)]
    memkit.report(recording, pprof=tmp_path / "a.pb.gz", show_all=True, quiet=True)
    assert stacks(profile_proto.read(tmp_path / "a.pb.gz"), "growth")[-1] == ([MAIN, "main", "loads"], 2 * MIB)


def test_numbers_that_are_too_large_are_the_largest_that_there_are(called):
    recording = called((0, MAIN, 1))
    [call] = recording.calls
    huge = call._replace(own_growth=1 << 70, growth=1 << 70)
    assert made(replace(recording, calls=(huge,))).totals["growth"] == (1 << 63) - 1


def test_nothing_to_write_is_one_clear_error(made_up, called, tmp_path):
    with pytest.raises(memkit.MemkitError, match="--pprof has nothing to write: no calls were traced; record with --calls"):
        memkit.report(made_up((0, 10)), pprof=tmp_path / "a.pb.gz", quiet=True)
    with pytest.raises(memkit.MemkitError, match="--pprof takes one recording, not 2"):
        memkit.report([called(), called()], pprof=tmp_path / "a.pb.gz", quiet=True)
    with pytest.raises(memkit.MemkitError, match="--by heap: no heap was counted by calls; record with --heap --calls"):
        memkit.report(called((0, MAIN, 1)), pprof=tmp_path / "a.pb.gz", by="heap", quiet=True)
    assert os.listdir(tmp_path) == []


def test_a_name_with_a_control_character_is_escaped(called):
    [sample] = made(called((0, MAIN, 0, 1, 0), (1, "/a/\x1b[1m.py:f\x07", 1, 1, 0))).samples
    assert sample.stack[0] == (r"f\x07", r"/a/\x1b[1m.py", 10)
