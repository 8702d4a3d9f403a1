"""Work that was handed to other processes, as a reader sees it: below who handed it out, or in the process that did it."""

import json

import pytest

import memkit
from memkit.model.calls import Function, Handed

MIB = 1 << 20
POOL = "/usr/lib/python3.13/multiprocessing/pool.py"
EXECUTOR = "/usr/lib/python3.13/concurrent/futures/process.py"
FUNCTIONS = {
    "<thread MainThread>": "",
    "both": "/home/load.py",
    "one": "/home/load.py",
    "two": "/home/load.py",
    "work": "/home/load.py",
    "begin": "/home/load.py",
    "worker": POOL,
    "mapstar": POOL,
    "Pool.map": POOL,
    "_process_worker": EXECUTOR,
    "ProcessPoolExecutor.submit": EXECUTOR,
}
NAMES = list(FUNCTIONS)
BY_POOL, BY_EXECUTOR = "Pool.map", "ProcessPoolExecutor.submit"
MAIN = ((0, None, "<thread MainThread>", 1), (1, 0, "both", 2), (2, 1, "one", 4), (3, 1, "two", 8))
WORKER = (
    (0, None, "<thread MainThread>", 16),
    (1, 0, "worker", 32),
    (2, 1, "begin", 64),
    (3, 2, "work", 128),
    (4, 1, "mapstar", 256),
    (5, 4, "work", 512),
)


def rows(pid, parent, calls, given=(), files=FUNCTIONS):
    about = {"pid": pid, "parent": parent, "command": "x", "began": 0, "clock": pid, "meter": "rss", "engine": "native"}
    yield ["memkit", 1, {**about, "argv": ["x"], "host": "here"}]
    for number, (name, file) in enumerate(files.items()):
        yield ["function", number, file, name, 1]
    for id, above, name, grown in calls:  # each rose by what it and its callees grew by
        below = {id}
        total = 0
        for each, parent_id, _, size in calls:
            if each in below or parent_id in below:
                below.add(each)
                total += size
        yield ["call", id, above, NAMES.index(name), 7, 1, grown, grown * MIB, (pid * 10 + id) * MIB, *[total * MIB] * 2]
    for id, function, by in given:
        yield ["given", id, NAMES.index(function), NAMES.index(by)]


@pytest.fixture
def merged(tmp_path):
    """A function that merges recordings of processes, each given as the arguments of ``rows``."""

    def merge(*processes):
        found = []
        for place, process in enumerate(processes):
            path = tmp_path / f"{place}.memkit"
            path.write_text("".join(json.dumps(row) + "\n" for row in rows(*process)))
            found.append(memkit.read(path))
        return memkit.merge(found)

    return merge


def shown(recording):
    return [(depth, call.function.name, call.growth // MIB, call.rise // MIB) for depth, call in recording.walk()]


def test_work_of_another_process_is_below_who_gave_it(merged):
    assert shown(merged((1, 0, MAIN, [(2, "work", BY_POOL)]), (2, 1, WORKER))) == [
        (0, "<thread MainThread>", 527, 527),
        (1, "both", 526, 526),
        (2, "one", 516, 516),
        (3, "<process pool>", 512, 512),
        (4, "work", 512, 512),
        (2, "two", 8, 8),
        (0, "<process pool worker>", 496, 496),
        (1, "worker", 480, 480),
        (2, "begin", 192, 192),
        (3, "work", 128, 128),
        (2, "mapstar", 256, 256),
    ]


def test_by_thread_gives_back_what_each_process_did(merged):
    apart, given = (
        merged((1, 0, MAIN, given), (2, 1, WORKER)).by_thread()
        for given in ((), [(2, "work", BY_POOL), (3, "work", BY_POOL)])
    )
    assert [call._replace(id=0, parent=0) for _, call in apart.walk()] == [
        call._replace(id=0, parent=0) for _, call in given.walk()
    ]
    assert shown(apart) == shown(given)
    assert all(call.handed is call.alone is None for call in given.calls)


def test_ids_are_in_order_and_say_where_work_was_done(merged):
    calls = merged((1, 0, MAIN, [(2, "work", BY_POOL)]), (2, 1, WORKER)).calls
    assert [call.id for call in calls] == list(range(len(calls)))
    assert all(call.parent is None or call.parent < call.id for call in calls)
    (between,) = [call for call in calls if call.function.name == "<process pool>"]
    assert between.handed == Handed(8, Function("", "<process pool>", 0))
    assert (calls[8].function.name, calls[8].process, between.parent, between.process) == ("mapstar", 2, 2, 2)
    assert (between.calls, between.own_growth, between.growth // MIB) == (1, 0, 512)


@pytest.mark.parametrize(
    ("given", "parent"),
    [
        ([(2, "work", BY_POOL), (3, "work", BY_POOL)], "both"),
        ([(2, "work", BY_POOL), (3, "work", BY_EXECUTOR)], "one"),
        ([(2, "work", BY_POOL), (0, "work", BY_POOL)], "one"),
        ([(2, "work", BY_POOL), (2, "begin", BY_EXECUTOR)], "one"),
    ],
)
def test_of_several_that_gave_work_the_pool_tells(merged, given, parent):
    calls = merged((1, 0, MAIN, given), (2, 1, WORKER)).calls
    (between,) = [call for call in calls if call.function.name == "<process pool>"]
    assert calls[between.parent].function.name == parent


@pytest.mark.parametrize("given", [[], [(2, "one", BY_POOL)], [(2, "work", BY_EXECUTOR)], [(99, "work", BY_POOL)]])
@pytest.mark.parametrize("parent", [1, 99])
def test_other_work_stays_in_its_process(merged, given, parent):
    given = given if parent == 1 else [(2, "work", BY_POOL)]
    calls = merged((1, 0, MAIN, given), (2, parent, WORKER)).calls
    assert not [call for call in calls if call.handed]
    assert [call.function.name for call in calls if call.parent is None] == ["<thread MainThread>", "<process pool worker>"]


def test_processes_between_are_passed_over(merged):
    server = (3, 1, [(0, None, "<thread MainThread>", 1)])
    calls = merged((1, 0, MAIN, [(2, "work", BY_POOL)]), (2, 3, WORKER), server).calls
    assert [call.function.name for call in calls if call.parent == 2] == ["<process pool>"]


def test_pickled_code_without_its_file_is_known_by_name_and_line(merged):
    pickled = {**FUNCTIONS, "work": "<dynamic-code>"}
    calls = merged((1, 0, MAIN, [(2, "work", BY_POOL)]), (2, 1, WORKER, (), pickled)).calls
    assert [call.function.file for call in calls if call.handed and call.parent == 2] == [""]


@pytest.mark.parametrize("row", [["given"], ["given", 1, 2], ["given", "a", 0, 0], ["given", 1, None, 0]])
def test_a_damaged_row_is_counted_and_passed_over(tmp_path, row):
    path = tmp_path / "a.memkit"
    path.write_text("".join(json.dumps(each) + "\n" for each in (*rows(1, 0, MAIN), row)))
    recording = memkit.read(path)
    assert (recording.unread, recording.given, len(recording.calls)) == (1, (), len(MAIN))
