"""Lines by path of a heap that was sampled: what they add up to, without libraries, and in a merge."""

import json
import math
from dataclasses import replace

import memkit
from memkit.model.calls import LOST, Call, Function
from memkit.model.heap import NO_SAMPLES, Heap, HeapErrors
from memkit.model.heap_paths import HeapPath, heap_lines, heap_paths

ROOT, MAIN, CALLBACK = Function("", "<all threads>", 0), Function("/src/a.py", "main", 1), Function("/src/a.py", "key", 9)
LIBRARY = Function("/usr/lib/python3.13/heapq.py", "nsmallest", 40)


def heap(size):
    return Heap(size, 0, size, None, 1, 0, HeapErrors(3, 0, 3, 3, 0, 0))


def call(id, parent, function, size=0):
    own = heap(size) if size else NO_SAMPLES
    return Call(id, parent, function, 0, 0, 0, 0, 0, 0, 0, 0, heap=own, own_heap=own)


CALLS = (call(1, None, ROOT), call(2, 1, MAIN, 10), call(5, 2, LIBRARY, 500), call(6, 5, CALLBACK, 70))
PATHS = (
    HeapPath(3, None, MAIN, 2, 2, heap(10)),
    HeapPath(4, None, MAIN, 3, 2, NO_SAMPLES),
    HeapPath(7, 4, LIBRARY, 41, 5, heap(200)),
    HeapPath(8, 4, LIBRARY, 42, 5, heap(300)),
    HeapPath(9, 7, CALLBACK, 10, 6, heap(30)),
    HeapPath(10, 8, CALLBACK, 10, 6, heap(40)),
)


def recording(made_up, pid=4242):
    return replace(made_up((0, 20), pid=pid), calls=CALLS, heap_paths=PATHS, heap_lines=heap_lines(PATHS))


def sizes(lines):
    return {(line.function.name, line.number): (line.heap.alive, line.own_heap.alive) for line in lines}


def test_lines_add_up_what_they_called():
    assert sizes(heap_lines(PATHS)) == {
        ("main", 2): (10, 10),
        ("main", 3): (570, 0),
        ("key", 10): (70, 70),
        ("nsmallest", 41): (230, 200),
        ("nsmallest", 42): (340, 300),
    }


def test_of_a_recursion_the_innermost_line_has_it():
    paths = (HeapPath(1, None, MAIN, 2, None, NO_SAMPLES), HeapPath(2, 1, MAIN, 3, None, heap(5)))
    assert sizes(heap_lines(paths)) == {("main", 2): (0, 0), ("main", 3): (5, 5)}


def test_what_hidden_lines_allocated_counts_for_the_line_that_called_them(made_up):
    hidden = recording(made_up).hiding()
    assert sizes(hidden.heap_lines) == {("main", 2): (10, 10), ("main", 3): (570, 500), ("key", 10): (70, 70)}
    assert [(path.parent, path.number, path.call, path.own_heap.alive) for path in hidden.heap_paths] == [
        (None, 2, 2, 10),
        (None, 3, 2, 500),
        (4, 10, 6, 70),
    ]
    (key,) = [path for path in hidden.heap_paths if path.function is CALLBACK]
    assert key.own_heap.errors.alive == math.hypot(3, 3)
    assert sum(path.own_heap.alive for path in hidden.heap_paths) == sum(each.own_heap.alive for each in hidden.calls)


def test_where_paths_are_not_known_the_lines_of_hidden_files_are_left_out(made_up):
    hidden = replace(recording(made_up), heap_paths=()).hiding()
    assert sizes(hidden.heap_lines) == {("main", 2): (10, 10), ("main", 3): (570, 0), ("key", 10): (70, 70)}


def test_in_a_merge_paths_lead_to_the_calls_of_their_process(made_up):
    one, other = recording(made_up), recording(made_up, pid=7)
    both = memkit.merge([one, replace(other, processes=(other.processes[0]._replace(pid=7),))])
    calls = {each.id: each for each in both.calls}
    assert len(both.heap_paths) == 12 and len({path.id for path in both.heap_paths}) == 12
    assert {calls[path.call].process for path in both.heap_paths[:6]} == {None}
    assert {calls[path.call].process for path in both.heap_paths[6:]} == {7}
    assert all(calls[path.call].function == path.function for path in both.heap_paths)
    assert sizes(heap_lines(both.heap_paths)) == sizes(both.heap_lines)


def test_in_a_merge_with_one_whose_paths_are_not_known_no_line_is_lost(made_up):
    one, other = recording(made_up), replace(recording(made_up, pid=7), heap_paths=())
    both = memkit.merge([one, replace(other, processes=(other.processes[0]._replace(pid=7),))])
    assert both.heap_paths == ()
    assert sizes(both.hiding().heap_lines)[("main", 3)] == (2 * 570, 0)


def test_rows_that_are_lost_leave_the_others():
    found = [(3, None, 0, 2, 2, heap(10)), (4, 3, 8, 5, 9, heap(20))]
    paths = heap_paths(found, {0: MAIN}, {1: None, 2: 1})
    assert [(path.function, path.call) for path in paths] == [(MAIN, None), (LOST, None)]
    assert sizes(heap_lines(paths)) == {("main", 2): (30, 10)}
    renamed = tuple(path._replace(function=path.function._replace()) for path in paths)  # as where names are redacted
    assert sizes(heap_lines(renamed)) == {("main", 2): (30, 10)}


def test_a_line_that_was_written_is_read_with_its_path(made_up, tmp_path):
    with memkit.record(str(tmp_path / "whole.mk")):
        pass
    rows = [
        ["heap_counting", "python, c", 1, 1, None, 512],
        ["function", 0, *ROOT],
        ["function", 1, *MAIN],
        ["function", 2, *CALLBACK],
        ["call", 2, None, 0, 0, 0, 0, 0, 0],
        ["call", 3, 2, 1, 0, 0, 0, 0, 0],
        ["heap_lines", 4, None, 1, 2, 1],
        ["call", 5, 3, 2, 0, 0, 0, 0, 0],
        ["heap_lines", 6, 4, 2, 10, 1],
        ["heap_lines", 6, 99, 1, 77, 1],
        ["heap", 5, 6, 900, 200, 3, 1, 800, None, None],
        ["heap_errors", 5, 6, 30, 20, 10, 10, 1, 1],
    ]
    file = tmp_path / "rows.mk"
    file.write_text("\n".join([(tmp_path / "whole.mk").read_text().splitlines()[0], *map(json.dumps, rows)]) + "\n")
    found = memkit.read(str(file))
    errors = HeapErrors(30, 20, 10, 10, 1, 1)
    assert found.heap_paths == (
        HeapPath(4, None, MAIN, 2, 3, NO_SAMPLES),
        HeapPath(6, 4, CALLBACK, 10, 5, Heap(900, 200, 800, None, 3, 1, errors)),
    )
    assert sizes(found.heap_lines) == {("main", 2): (700, 0), ("key", 10): (700, 700)}
