"""Several recordings as one, on made-up rows."""

from dataclasses import replace

import pytest

import memkit
from memkit.model.ending import Ending
from memkit.model.merging import joined
from memkit.model.recording import (
    About,
    Call,
    Cost,
    Crossing,
    Function,
    Line,
    Process,
    Recording,
    Sample,
    Span,
    Total,
    Tracing,
)

S = 1_000_000_000
WORK, ROOT = Function("a.py", "work", 3), Function("", "<thread MainThread>", 0)


def recording(pid, began=100.0, clock=7 * S, host="here", **more):
    about = About("0", (f"{pid}.py",), pid, 1, "3", host, began, clock, "rss", None, "native", "reset", None, 0)
    process = Process(pid, 1, f"{pid}.py", 0, 5 * S, Ending("ok"))
    return Recording(about, **{"processes": (process,), "ending": Ending("ok"), **more})


def test_the_clock_is_that_of_the_first_and_of_the_machine():
    later = recording(2, 101.5, 8 * S, samples=(Sample(5, 2, 10, 10),), spans=(Span("s", 9, 0, 1, None, 5, None, 6),))
    first = recording(1, samples=(Sample(3, 1, 4, 4),))
    merged = memkit.merge([later, first])
    assert merged.about.pid == 1 and merged.samples == first.samples
    assert merged.others == (Sample(S + 5, 2, 10, 10),)
    assert [(process.pid, process.started, process.ended) for process in merged.processes] == [(1, 0, 5 * S), (2, S, 6 * S)]
    assert (merged.spans[0].start, merged.spans[0].end) == (S + 1, None)
    assert merged.lane(merged.processes[1]) == merged.others


@pytest.mark.parametrize(("host", "clock"), [("there", 8 * S), ("here", 900 * S)])
def test_other_machines_and_other_boots_go_by_the_time_of_day(host, clock):
    merged = memkit.merge([recording(1), recording(2, 101.5, clock, host, samples=(Sample(5, 2, 10, 10),))])
    assert merged.others[0].time == round(1.5 * S) + 5


def test_lines_add_up_as_they_do_over_threads():
    one = recording(1, lines=(Line(WORK, 4, 2, 10, 100, 500, 900), Line(WORK, 5, 1, 1, 1, 1, 1)))
    two = recording(2, 101.0, lines=(Line(WORK, 4, 3, 5, -20, 300, 950),))
    assert memkit.merge([one, two]).lines == (Line(WORK, 4, 5, 15, 80, 300, 950), Line(WORK, 5, 1, 1, 1, 1, 1))


def test_of_rises_the_highest_counts_and_their_sums_add_up():
    one = recording(1, lines=(Line(WORK, 4, 2, 10, 100, 500, 900, 40, 60, 3, 30), Line(WORK, 5, 1, 1, 1, 1, 1, 1, 1, 1, 1)))
    two = recording(2, 101.0, lines=(Line(WORK, 4, 3, 5, -20, 300, 950, 50, 70, 4, 10), Line(WORK, 5, 1, 1, 1, 1, 1)))
    first, second = memkit.merge([one, two]).lines
    assert (first.rise, first.rises, first.about, first.own_rise) == (50, 130, 7, 30)
    assert (second.rise, second.rises, second.about, second.own_rise) == (None, None, 1, None)


def test_trees_of_calls_keep_their_callers_and_say_whose_they_are():
    def tree(ids):
        root, inner = ids
        return Call(root, None, ROOT, 9, 1, 5, 6, 1, 2, 7, 3), Call(inner, root, WORK, 9, 1, 4, 4, 4, 4, 7, 7)

    merged = memkit.merge([recording(1, calls=tree((0, 3))), recording(2, 101.0, calls=tree((1, 2))), recording(3, 102.0)])
    assert [(call.id, call.parent, call.function.name) for call in merged.calls] == [
        (0, None, "<thread MainThread>"),
        (3, 0, "work"),
        (4, None, "<2.py process>"),
        (5, 4, "work"),
    ]


def test_a_process_s_own_ending_counts_and_its_parent_s_view_completes_it():
    seen = Process(2, 1, "python a.py", 1 * S, 4 * S, Ending("exited", code=1))
    gone = Process(3, 1, "sort", 2 * S, 3 * S, Ending("ended"))
    main = recording(
        1,
        processes=(recording(1).processes[0], seen, gone),
        others=(Sample(2 * S, 2, 50, 50), Sample(2 * S, 3, 60, 60)),
        totals=(Total(2 * S, 5, 6),),
        summed="pss",
    )
    own = Process(2, 1, "a.py", 0, 2 * S, Ending("error", error="E: x"))
    part = recording(2, 101.0, 8 * S + 5, samples=(Sample(7, 2, 55, 56),), processes=(own,))
    merged = joined(main, [part])
    assert merged.others == (Sample(S + 12, 2, 55, 56), Sample(2 * S, 3, 60, 60))
    assert merged.processes[1] == Process(2, 1, "python a.py", S, 4 * S, Ending("error", error="E: x", code=1))
    assert merged.processes[2] == gone
    assert merged.totals == main.totals


def test_a_process_that_calls_exec_is_one_process_with_the_later_ending():
    began = Process(1, 9, "1.py", 0, 5 * S, Ending("exited", code=3, finished=False))
    main = recording(1, processes=(began,), samples=(Sample(0, 1, 4, 4),), ending=began.ending)
    own = Process(1, 9, "again.py", 0, 2 * S, Ending("ended"))
    part = recording(1, 101.0, 8 * S, processes=(own,), samples=(Sample(5, 1, 6, 7),), ending=own.ending)
    merged = joined(main, [part])
    assert merged.samples == (Sample(0, 1, 4, 4), Sample(S + 5, 1, 6, 7)) and merged.others == ()
    assert merged.processes == (Process(1, 9, "1.py", 0, 5 * S, Ending("exited", code=3)),)
    assert merged.ending == Ending("exited", code=3)


@pytest.mark.parametrize(("own", "told"), [("ok", Ending("ok")), ("unknown", Ending("exited", code=0, finished=False))])
def test_an_end_that_its_recording_has_not_is_made_good_by_what_it_became(own, told):
    began = Process(1, 9, "1.py", 0, 5 * S, Ending("exited", code=0, finished=False))
    became = Process(1, 9, "again.py", 0, 2 * S, Ending(own, finished=own == "ok"))
    parts = [recording(1, 101.0, 8 * S, processes=(became,))]
    assert joined(recording(1, processes=(began,)), parts).ending == told


@pytest.mark.parametrize(("own", "told"), [("ok", "ok"), ("unknown", "detached")])
def test_a_process_that_outlived_the_first_may_have_told_of_its_end(own, told):
    left = Process(2, 1, "python a.py", S, None, Ending("detached", finished=False))
    main = recording(1, processes=(Process(1, 9, "1.py", 0, 5 * S, Ending("ok")), left))
    part = recording(2, 101.0, 8 * S, processes=(Process(2, 1, "a.py", 0, None, Ending(own)),))
    assert joined(main, [part]).processes[1].ending.kind == told


def test_processes_of_machines_are_apart_even_with_one_number():
    hosts = [recording(7, 100.0 + late, host=host, samples=(Sample(0, 7, 1 + late, 9),)) for late, host in enumerate("abc")]
    merged = memkit.merge(hosts)
    assert [process.pid for process in merged.processes] == [7, 7 + (1 << 22), 7 + (2 << 22)]
    assert [lane[0].memory for _, lane in merged.lanes] == [1, 2, 3]


def test_recordings_that_were_made_apart_have_no_total():
    main = recording(1, totals=(Total(1, 2, 3),), summed="pss")
    merged = memkit.merge([main, recording(2, 101.0)])
    assert (merged.totals, merged.summed) == ((), None)
    assert memkit.merge([main]) == main


def test_costs_and_counts_add_up():
    tracing = Tracing("monitoring", "perf", None, 10.0, 100.0, 5, 6)
    one = recording(1, cost=Cost(5, 1, 10), tracing=tracing, unread=1, crossings=(Crossing(9, 1, 1, "rss", "report"),))
    two = recording(2, 101.0, cost=Cost(6, 2, 20), tracing=tracing, unread=2, crossings=(Crossing(1, 1, 1, "rss", "stop"),))
    merged = memkit.merge([two, one, recording(3, 103.0, cost=Cost(1, 1, 1))])
    assert merged.cost == Cost(12, 4, 31) and merged.unread == 3
    assert (merged.tracing.events, merged.tracing.reads, merged.call_tracing) == (10, 12, None)
    assert [crossing.action for crossing in merged.crossings] == ["stop", "report"]
    assert memkit.merge([one, replace(two, cost=Cost(1, 1, None))]).cost.cpu is None


@pytest.mark.parametrize("given", ["x.memkit", b"x", 5, None, [None], ["x.memkit"]])
def test_only_recordings_can_be_merged(given):
    with pytest.raises(memkit.UsageError, match=r"merge\(\) takes") as refused:
        memkit.merge(given)
    assert repr(given[0] if isinstance(given, list) else given) in str(refused.value)


def test_one_recording_alone_is_refused_in_a_line():
    with pytest.raises(memkit.UsageError) as refused:
        memkit.merge(recording(1))
    assert str(refused.value) == "merge() takes several recordings, not one: merge([memkit.read(path), ...])"


def test_merging_nothing_is_refused():
    with pytest.raises(memkit.UsageError, match="given no recordings"):
        memkit.merge([])


def test_what_has_ended_before_the_others_has_no_memory_after_that():
    first = recording(1, samples=(Sample(0, 1, 4, 4), Sample(5 * S, 1, 8, 8)))
    later = recording(2, 105.0, 12 * S, samples=(Sample(0, 2, 10, 10), Sample(5 * S, 2, 10, 10)))
    merged = memkit.merge([first, later])
    assert merged.duration == 10 * S
    assert merged.columns(5) == ([4, 4, 8, 0, 0], [4, 4, 8, 0, 0])
    assert merged.lanes[1][1][0].time == 5 * S


def test_what_was_not_seen_of_a_process_ends_with_it():
    killed = Process(1, 1, "1.py", 0, 5 * S, Ending("killed", signal=9, finished=False))
    first = recording(1, samples=(Sample(0, 1, 4, 4), Sample(4 * S, 1, 8, 8)), processes=(killed,), ending=killed.ending)
    later = recording(2, 105.0, 12 * S, samples=(Sample(0, 2, 10, 10), Sample(5 * S, 2, 10, 10)))
    merged = memkit.merge([first, later])
    assert merged.unseen == S
    assert merged.columns(5)[0] == [4, 4, 8, 0, 0]
