"""Work that was handed over, as a reader sees it: below who handed it over, or in the thread that did it."""

from dataclasses import replace

import pytest

import memkit
from memkit.model.call_tally import Tally
from memkit.model.calls import Function, Handed
from memkit.model.recording import Recording

MIB = 1 << 20
NAMES = (
    "<thread MainThread>",
    "load",
    "<thread pool-0>",
    "run",
    "<thread pool>",
    "read",
    "<thread>",
    "<thread pool-1>",
    "other",
)
FUNCTIONS = {number: Function("" if name[0] == "<" else "load.py", name, 1) for number, name in enumerate(NAMES)}
MAIN, LOAD, POOL_0, RUN, POOL, READ, THREAD, POOL_1, OTHER = range(9)
NODES = (  # id, parent, function, thread, MiB, peak; home and kind of what was handed over
    (0, None, MAIN, 7, 1, 10),
    (1, 0, LOAD, 7, 2, 11),
    (2, 1, POOL_0, 8, 4, 12, None, THREAD),
    (3, 2, RUN, 8, 8, 13),
    (4, 1, POOL, 8, 16, 14, 3, POOL),
    (5, 4, READ, 8, 32, 90),
    (6, 1, POOL_1, 9, 64, 16, None, THREAD),
    (7, 6, RUN, 9, 128, 17),
    (8, 1, POOL, 9, 256, 18, 7, POOL),
    (9, 8, READ, 9, 512, 19),
    (10, 0, OTHER, 7, 0, 20),
    (11, 10, POOL, 9, 1024, 21, 7, POOL),
    (12, 11, READ, 9, 2048, 22),
)


def calls(nodes=NODES):
    tally = Tally()
    for id, parent, function, thread, grown, peak, *handed in nodes:
        if handed:
            tally.hand(id, *handed)
        tally.take(id, parent, function, thread, 1, grown, grown * MIB, peak * MIB)
    return tally.calls(FUNCTIONS)


@pytest.fixture
def recording(made_up):
    return replace(made_up((0, 10)), calls=calls())


def shown(recording: Recording):
    depths = {None: -1}
    for call in recording.calls:
        depths[call.id] = depths[call.parent] + 1
    return [
        (depth, call.function.name, call.growth // MIB, call.own_growth // MIB, call.peak // MIB)
        for depth, call in recording.walk()
    ]


def test_the_work_of_one_path_is_one_call_for_each_kind(recording):
    assert shown(recording.hiding()) == [
        (0, "<thread MainThread>", 4095, 1, 90),
        (1, "load", 1022, 2, 90),
        (2, "<thread>", 204, 68, 17),
        (3, "run", 136, 136, 17),
        (2, "<thread pool>", 816, 272, 90),
        (3, "read", 544, 544, 90),
        (1, "other", 3072, 0, 22),
        (2, "<thread pool>", 3072, 1024, 22),
        (3, "read", 2048, 2048, 22),
    ]


def test_by_thread_work_is_called_by_what_began_it(recording):
    by_thread = recording.by_thread()
    assert shown(by_thread) == [
        (0, "<thread MainThread>", 3, 1, 20),
        (1, "load", 2, 2, 11),
        (1, "other", 0, 0, 20),
        (0, "<thread pool-0>", 60, 4, 90),
        (1, "run", 56, 24, 90),
        (2, "read", 32, 32, 90),
        (0, "<thread pool-1>", 4032, 64, 22),
        (1, "run", 3968, 1408, 22),
        (2, "read", 2560, 2560, 22),
    ]
    assert all(call.handed is None for call in by_thread.calls)
    assert by_thread.by_thread() == by_thread
    assert sum(call.own_growth for call in by_thread.calls) == sum(call.own_growth for call in recording.calls)


def test_by_thread_those_around_work_rise_with_it(made_up):
    tally = Tally()
    rises = {POOL_0: 0, RUN: MIB, POOL: 60 * MIB, READ: 60 * MIB}  # the thread's own rows are without the work
    for id, parent, function, thread, grown, peak, *handed in NODES[:6]:
        if handed:
            tally.hand(id, *handed)
        rise = rises.get(function, 0)
        tally.take(id, parent, function, thread, 1, grown, grown * MIB, peak * MIB, rise, rise)
    by_thread = replace(made_up((0, 10)), calls=tally.calls(FUNCTIONS)).by_thread()
    assert [(call.function.name, call.rise // MIB) for call in by_thread.calls[2:]] == [
        ("<thread pool-0>", 60),
        ("run", 60),
        ("read", 60),
    ]
    assert by_thread.by_thread() == by_thread


def test_a_call_says_where_its_work_was_done(recording):
    handed = {call.id: call.handed for call in recording.calls if call.handed}
    assert handed[2] == Handed(None, FUNCTIONS[POOL_0])
    assert {id: each.home for id, each in handed.items()} == {2: None, 4: 3, 6: None, 8: 7, 11: 7}


def test_by_thread_what_stands_for_work_keeps_how_sure_it_is(recording):
    inexact = {0: 5 * MIB, 1: 5 * MIB, 4: 5 * MIB}  # of these and what is below them: all of it in what stands for the work
    made = tuple(call._replace(about=inexact.get(call.id, 0)) for call in recording.calls)
    found = [(call.function.name, call.about) for call in replace(recording, calls=made).by_thread().calls if call.about]
    assert dict(found) == {"<thread pool-0>": 5 * MIB, "run": 5 * MIB}


def test_what_stands_for_work_is_shown_where_all_else_is_hidden(recording):
    names = [name for _, name, *_ in shown(recording.hiding("load.py"))]
    assert names == ["<thread MainThread>", "<thread>", "<thread pool>"]


def test_work_whose_submitter_was_lost_is_a_root():
    found = calls([node for node in NODES if node[0] not in (0, 1)])
    assert [(call.id, call.function.name, call.handed) for call in found if call.parent is None][:2] == [
        (2, "<thread pool-0>", None),
        (4, "<thread pool>", None),
    ]


def test_work_whose_thread_was_lost_stays_where_it_was_handed_over(made_up):
    recording = replace(made_up((0, 10)), calls=calls([node for node in NODES if node[0] not in (2, 3)]))
    by_thread = recording.by_thread()
    assert sum(call.own_growth for call in by_thread.calls) == sum(call.own_growth for call in recording.calls)


def test_merged_recordings_keep_where_work_was_done(recording):
    merged = memkit.merge([recording, recording])
    assert shown(merged.by_thread())[: len(NODES) - 4] == shown(recording.by_thread())
    homes = [call.handed.home for call in merged.calls if call.handed]
    assert homes == [None, 3, None, 7, 7, None, 16, None, 20, 20]


@pytest.mark.parametrize(
    "row", ['["handed"]', '["handed", 1]', '["handed", "a", null, 0]', '["handed", 1, "a", 0]', '["handed", 1, 0, null]']
)
def test_a_damaged_row_is_counted_and_passed_over(row, tmp_path, made_up):
    path = tmp_path / "a.memkit"
    rows = [
        '["memkit", 1, {"pid": 1, "command": "x", "began": 0, "meter": "rss", "engine": "native", "argv": []}]',
        '["function", 0, "", "<thread MainThread>", 0]',
        '["call", 0, null, 0, 7, 1, 1, 1, 1]',
        row,
    ]
    path.write_text("\n".join(rows) + "\n")
    recording = memkit.read(path)
    assert (recording.unread, len(recording.calls)) == (1, 1)
