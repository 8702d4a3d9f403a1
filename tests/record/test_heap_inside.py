"""What each line and path allocated in the spans of each label, and what of it stays: to the byte."""

import asyncio
import json
import signal
import subprocess
import sys
import threading

import pytest

import memkit
from memkit.model import from_document
from memkit.system import engine

pytestmark = [
    pytest.mark.skipif(engine.NAME != "native", reason="allocators are counted by the native engine"),
    pytest.mark.usefixtures("native_only", "no_garbage"),
]

EMPTY = sys.getsizeof(b"")
KIB, MIB = 1 << 10, 1 << 20
kept = []


def keep(size):
    kept.append(bytes(size))


def drop(size):
    return len(bytes(size))


def late():
    return kept.pop()


FIRST = keep.__code__.co_firstlineno
KEEPS, DROPS = FIRST + 1, drop.__code__.co_firstlineno + 1


@pytest.fixture(autouse=True)
def forget():
    kept.clear()
    kept.extend([None] * 1000)  # a list that does not grow: its room is no block of a test's
    del kept[:]
    yield
    kept.clear()


def recorded(work, *arguments, **how):
    with memkit.record(heap=True, **(how or {"lines": [keep, drop, late]})) as run:
        work(*arguments)
    return run.recording


def of_line(recording, label, line):
    return next((each.heap for each in recording.heap_inside(label) if each.line == line), None)


def whole(recording, label):
    return sum(each.heap.alive for each in recording.span_heaps if label in each.labels)


def two_labels():
    for _ in range(10):
        with memkit.span("a"):
            keep(10_000)
            drop(MIB)
        with memkit.span("b"):
            keep(3_000)
    keep(777)


@pytest.mark.own_process
def test_a_line_counts_for_the_label_of_the_span_that_it_runs_in():
    found = recorded(two_labels)
    assert of_line(found, "a", DROPS).allocated >= 10 * (MIB + EMPTY)
    assert of_line(found, "a", DROPS).alive == 0
    room = of_line(found, "a", KEEPS).alive - 10 * (10_000 + EMPTY)
    assert 0 <= room < 2000  # of the list, which is below its most
    assert 0 <= of_line(found, "b", KEEPS).alive - 10 * (3_000 + EMPTY) < 2000
    assert of_line(found, "b", DROPS) is None
    (line,) = [line for line in found.lines if line.number == KEEPS]  # with what is in no span
    assert 0 <= line.own_heap.alive - 10 * (13_000 + 2 * EMPTY) - 777 - EMPTY < 3000


@pytest.mark.own_process
def test_a_path_counts_for_the_label_of_the_span_that_it_runs_in():
    found = recorded(two_labels, calls=[two_labels])
    (path,) = [each for each in found.heap_inside("a") if each.path[-1].name == "keep"]
    assert path.line is None
    assert 0 <= path.heap.alive - 10 * (10_000 + EMPTY) < 2000
    (call,) = [call for call in found.calls if call.function.name == "keep"]
    assert 0 <= call.own_heap.alive - 10 * (13_000 + 2 * EMPTY) - 777 - EMPTY < 3000


@pytest.mark.own_process
def test_lines_and_paths_together_count_the_same():
    found = recorded(two_labels, lines=[keep, drop], calls=[two_labels])
    (path,) = [each for each in found.heap_inside("a") if each.path[-1].name == "keep" and each.line is None]
    assert path.heap.alive == of_line(found, "a", KEEPS).alive >= 10 * (10_000 + EMPTY)


def test_what_is_freed_later_is_freed_for_the_label_that_allocated_it():
    def work():
        with memkit.span("a"):
            keep(MIB)
        with memkit.span("b"):
            late()

    heap = of_line(recorded(work), "a", KEEPS)
    assert heap.freed >= MIB and heap.alive < KIB


def test_spans_know_what_they_allocated_and_not_what_they_kept():
    def work():
        with memkit.span("a") as span:
            drop(MIB)
        spans.append(span)

    spans = []
    found = recorded(work)
    assert MIB < spans[0].allocated < MIB + 10 * KIB
    assert (spans[0].freed, spans[0].kept, spans[0].heap_peak) == (None, None, None)
    (row,) = found.spans
    assert (row.allocated, row.freed, row.heap_peak) == (spans[0].allocated, None, None)
    assert found.span_sums[0].allocated.total == spans[0].allocated
    assert found.span_sums[0].kept is None


@pytest.mark.own_process
def test_tasks_that_take_turns_do_not_get_each_others_bytes():
    async def handle(label, size):
        with memkit.span(label):
            for _ in range(5):
                keep(size)
                await asyncio.sleep(0)

    async def main():
        await asyncio.gather(*(handle(f"r{number % 7}", 10_000 + number % 7) for number in range(70)))

    found = recorded(lambda: asyncio.run(main()))
    rooms = sum(of_line(found, f"r{each}", KEEPS).alive - 50 * (10_000 + each + EMPTY) for each in range(7))
    assert all(of_line(found, f"r{each}", KEEPS).alive >= 50 * (10_000 + each + EMPTY) for each in range(7))
    assert rooms < 16 * KIB  # of the one list


def test_threads_have_each_their_own_span():
    def handle(number):
        ready.wait()
        for _ in range(50):
            with memkit.span(f"t{number}"):
                drop(100_000 + number)

    ready = threading.Barrier(4)
    threads = [threading.Thread(target=handle, args=[number]) for number in range(4)]

    def work():
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    found = recorded(work)
    for number in range(4):
        heap = of_line(found, f"t{number}", DROPS)
        assert heap.alive == 0
        assert 0 <= heap.allocated - 50 * (100_000 + number + EMPTY) < 50 * 100


def test_a_span_inside_another_counts_for_both_labels_and_once_in_all():
    def work():
        with memkit.span("out"), memkit.span("in"):
            keep(MIB)

    found = recorded(work)
    assert of_line(found, "out", KEEPS) == of_line(found, "in", KEEPS)
    assert MIB <= whole(found, "out") == whole(found, "in") <= found.heap.alive


def test_a_kill_keeps_what_lines_in_spans_have_allocated(tmp_path):
    (tmp_path / "program.py").write_text("""
import os, signal, sys, memkit
box = []
def keep(): box.append(bytes(1000))
with memkit.record("killed.mk", heap=True, lines=[keep], interval=0.001) as run:
    for _ in range(200):
        with memkit.span("GET /"):
            keep()
    run.flush()
    os.kill(os.getpid(), signal.SIGKILL)
""")
    done = subprocess.run([sys.executable, "program.py"], cwd=tmp_path, check=False)
    assert done.returncode == -signal.SIGKILL
    (line,) = [each for each in memkit.read(str(tmp_path / "killed.mk")).heap_inside("GET /") if each.line == 4]
    assert line.heap.alive >= 200 * (1000 + EMPTY)


ROWS = [
    ["heap_counting", "python", 0, 1, None, None],
    ["function", 0, "/src/shop.py", "remember", 10],
    ["heap_lines", 1, None, 0, 10, 5],
    ["span_label", 1, None, "GET /"],
    ["span_label", 2, 1, "query"],
    ["heap_in_span", 1, None, 2, 9000, 0, 1, 0, 9000, 0, 0],
    ["heap_in_span", 1, None, 3, 100, 0, 1, 0, 100, 0, 0],
    ["span_sums", "GET /", 500, 0, None, None, None, None, None, None, [25], []],
    ["heap_in_span", 1, None, 3, 300, 0, 3, 0, 300, 0, 0],
    ["span_sums", "GET /", 1000, 0, None, None, None, None, None, None, [25], []],
    ["heap_in_span", 1, None, 3, 500, 50, 5, 1, 500, 0, 40],
    ["heap_in_span", 1, None, None, 7, 0, 1, 0, 7, 0, 0],
    ["heap_in_span", 2, None, 3, 60, 20, 6, 2, 60, 0, 10],
    ["span_sums", "GET /", 2000, 0, None, None, None, None, None, None, [25], []],
    ["heap", None, 3, 1000, 1, 2, 1, 0, 0, 1],
]


@pytest.fixture
def read(tmp_path, made_up):
    """A function that reads some rows as a recording."""

    def recording(rows):
        with memkit.record(str(tmp_path / "whole.mk")):
            pass
        first, *_ = (tmp_path / "whole.mk").read_text().splitlines()
        file = tmp_path / "rows.mk"
        file.write_text("\n".join([first, *map(json.dumps, rows)]) + "\n")
        return memkit.read(str(file))

    return recording


def test_what_was_kept_once_comes_after_what_grew_in_the_second_half(read):
    found = read(ROWS)
    line, once = found.heap_inside("GET /")
    assert (line.path[0].name, line.line, line.grown) == ("remember", 12, 150 + 40)
    assert line.heap == memkit.Heap(560, 70, 560, 50, 11, 3)
    assert (once.line, once.grown, once.heap.alive) == (11, 0, 9000)
    assert [(each.labels, each.grown) for each in found.span_heaps] == [(("GET /",), 157), (("GET /", "query"), 40)]
    assert {line.number: line.own_heap.alive for line in found.lines} == {}
    assert found.heap.elsewhere.alive == 7


def test_a_document_has_the_lines_inside_spans_and_reads_back(read, tmp_path):
    found = read(ROWS)
    memkit.report(found, json=str(tmp_path / "a.json"), quiet=True)
    document = json.loads((tmp_path / "a.json").read_text())
    first = document["span_heaps"][0]
    assert (first["labels"], first["grown"], first["inside"][0]["line"]) == (["GET /"], 157, 11)
    assert from_document.read(str(tmp_path / "a.json")).span_heaps == found.span_heaps


def test_damaged_rows_are_left_out_and_counted(read):
    found = read([*ROWS[:6], ["heap_in_span", 1, None, 3, 5], ["heap_in_span", "x", None, 3, *range(8)]])
    assert found.unread == 2
    assert [each.line for each in found.heap_inside("GET /")] == [11]


def test_the_sums_of_two_processes_are_added(read):
    found = read(ROWS)
    both = memkit.model.merging.merge([found, found])
    assert both.heap_inside("GET /")[0].grown == 2 * 190
    assert both.span_heaps[0].heap.alive == 2 * found.span_heaps[0].heap.alive


ORACLE = """
import random, memkit
def one(box, size): box.append(bytes(size))
def two(box, size): box.append(bytearray(size))
def work(seed):
    rng, model = random.Random(seed), {}
    live = []
    for step in range(1000):
        label = rng.choice("abc")
        with memkit.span(label):
            for _ in range(rng.randrange(3)):
                size, maker, box = rng.randrange(600, 5000), rng.choice((one, two)), []
                maker(box, size)
                live.append((label, maker.__name__, size, box))
        while len(live) > 200:
            live.pop(rng.randrange(len(live)))
    return live
"""


@pytest.mark.own_process
@pytest.mark.parametrize("by", ["lines", "calls", "both"])
def test_a_slow_model_of_what_is_alive_agrees_to_the_byte(by, tmp_path):
    names = {}
    exec(compile(ORACLE, "oracle.py", "exec"), names)
    makers = [names["one"], names["two"]]
    how = {
        "lines": {"lines": makers},
        "calls": {"calls": [names["work"]]},
        "both": {"lines": makers, "calls": [names["work"]]},
    }
    live = []
    found = recorded(lambda: live.extend(names["work"](7)), **how[by])
    for label in "abc":
        for maker in ("one", "two"):
            sizes = [size for where, name, size, _ in live if (where, name) == (label, maker)]
            for of_lines in (True, False):
                inside = [
                    each
                    for each in found.heap_inside(label)
                    if each.path[-1].name == maker and (each.line is not None) == of_lines
                ]
                if by == "both" or (by == "lines") == of_lines:
                    (one,) = inside
                    assert alive_of(maker, sizes) == one.heap.alive
                else:
                    assert not inside
    blocks = sum(each.heap.alive for each in found.span_heaps)
    assert sum(alive_of(maker, [size for _, name, size, _ in live if name == maker]) for maker in ("one", "two")) <= blocks


def alive_of(maker, sizes):
    """What the objects and the room of a list with one element take, as their allocators were asked."""
    object_of = (lambda size: size + EMPTY) if maker == "one" else (lambda size: size + 1 + sys.getsizeof(bytearray()))
    return sum(map(object_of, sizes)) + len(sizes) * ROOM


def _room():
    box = []
    before = sys.getsizeof(box)
    box.append(None)
    return sys.getsizeof(box) - before


ROOM = _room()


# -- where the answer is not the obvious one -----------------------------------------------------------------------------


def test_spans_inside_each_other_that_end_with_what_they_hold_do_not_leak():
    def visit(depth, into):
        with memkit.span("visit"):
            into.append(bytearray(2000))
            for _ in range(3 if depth else 0):
                visit(depth - 1, into)

    [sums] = recorded(visit, 7, [], calls=True).span_sums
    assert sums.number > 1500 and sums.leak is None


def test_a_long_span_beside_short_ones_of_its_label_is_no_leak_of_theirs():
    turns = [threading.Semaphore(0), threading.Semaphore(0)]

    def long():
        held = []
        with memkit.span("job"):
            for _ in range(100):
                turns[0].acquire()
                held.append(bytearray(100_000))
                turns[1].release()

    def work():
        thread = threading.Thread(target=long)
        thread.start()
        for _ in range(100):
            turns[0].release()
            turns[1].acquire()
            for _ in range(20):
                with memkit.span("job"):
                    bytearray(1000)
        thread.join()

    [sums] = recorded(work, calls=True).span_sums
    assert sums.number == 2001 and sums.leak is None


def test_a_thread_that_has_run_no_traced_line_counts_in_its_spans():
    allocated = []

    def work():
        with memkit.span("request") as span:
            kept.append(bytes(MIB))
        allocated.append(span.allocated)

    def in_a_thread():
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()

    recording = recorded(in_a_thread)
    assert MIB <= allocated[0] < MIB + 4 * KIB
    [found] = recording.span_heaps
    assert found.labels == ("request",) and found.heap.alive >= MIB


def test_more_lines_than_have_numbers_count_for_the_last_that_has_one(tmp_path):
    text = "def f(size):\n    if size is None: return\n    kept.append(bytes(size))\n" + "    if size is None: pass\n" * 400
    text += "def g():\n" + "    f(None)\n" * 1400 + "    f(5_000_000)\n"
    (tmp_path / "mod.py").write_text(text)
    names = {"kept": kept}
    exec(compile(text, str(tmp_path / "mod.py"), "exec"), names)
    recording = recorded(names["g"], lines=[str(tmp_path / "mod.py")])
    assert sum(line.own_heap.allocated for line in recording.lines) >= 5_000_000


def test_a_label_whose_naming_was_interrupted_is_named_by_its_next_span(monkeypatch):
    from memkit.model import file_format

    real = file_format.row

    def interrupted(kind, *values):
        if kind != "span_label":
            return real(kind, *values)
        monkeypatch.setattr(file_format, "row", real)
        raise InterruptedError

    def work():
        monkeypatch.setattr(file_format, "row", interrupted)
        with pytest.raises(InterruptedError), memkit.span("request"):
            pass
        with memkit.span("request"):
            kept.append(bytes(MIB))

    [found] = recorded(work, calls=True).span_heaps
    assert found.labels == ("request",) and found.heap.alive >= MIB
