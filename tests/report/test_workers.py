"""What a page says of workers: which processes are some, which was worst and what it ran, and where each label was worst."""

from dataclasses import replace

import pytest

import memkit
from memkit.model.recording import Sample, Span
from memkit.model.span_sums import LabelSums
from memkit.report.page.redact import redacted
from memkit.report.page.workers import workers

MIB, MS = 1 << 20, 1_000_000


def span(label, process, start, end, rise, key=None, **more):
    attributes = (("key", key),) if key else ()
    after = None if end is None else 0
    return Span(label, 1, 0, start * MS, end and end * MS, 0, after, rise * MIB, attributes, process=process, **more)


@pytest.fixture
def cluster(tree):
    """A recording of a parent and of children, each of which was up to 9 MiB; spans are added to it."""

    def make(*spans, pids=(7, 8), ending=memkit.Ending("ok")):  # noqa: B008
        made = tree([(0, 1), (90, 1)], {pid: ([(0, 1), (50, pid), (90, 2)], ending) for pid in pids}, [])
        return replace(made, spans=spans, span_sums=LabelSums().found(spans))

    return make


def test_spans_of_the_first_process_alone_make_no_workers(cluster):
    assert workers(cluster()) is None
    assert workers(cluster(span("own", None, 1, 2, 3))) is None


def test_processes_of_the_same_command_are_workers_even_if_idle(cluster):
    found = workers(cluster(span("work", 8, 40, 60, 3)))
    assert [(row["place"], row["peak"]) for row in found["rows"]] == [(2, 8 * MIB), (1, 7 * MIB)]


def test_what_ran_at_the_peak_is_named(cluster):
    spans = [span("over", 8, 1, 40, 1), span("low", 8, 2, 60, 2), span("high", 8, 45, 55, 3), span("after", 8, 51, 60, 3)]
    alike = [span("twice", 8, 20, 70, 1)] * 2
    worst = workers(cluster(*spans, *alike))["rows"][0]
    assert worst["at"] == 50 * MS and worst["ran"] == ["high", "low", "over", "twice (2 times)"]


@pytest.mark.parametrize("end", [60, None])
def test_of_many_labels_the_one_that_rose_highest_is_named(cluster, end):
    killed = memkit.Ending("killed", signal=9, finished=False)
    spans = [span(label, 8, 40, end, 9 if label == "z" else 1) for label in "abcdefz"]
    worst = workers(cluster(*spans, ending=killed))["rows"][0]
    assert worst["ran"] == ["z", "a", "b", "c", "d", "2 more"]
    assert worst["left"] == ([] if end else worst["ran"])


def test_a_worker_that_died_tells_in_what_it_was(cluster):
    killed = memkit.Ending("killed", signal=9, finished=False)
    for ending, left in ((killed, ["open"]), (memkit.Ending("ok"), [])):
        row = workers(cluster(span("open", 7, 10, None, 1), span("ended", 7, 1, 2, 1), pids=(7,), ending=ending))["rows"][0]
        assert (row["left"], row["died"]) == (left, ending is killed)


def test_labels_are_told_by_rise_with_where_each_was_worst(cluster):
    spans = [span("a", 7, 10, 11, 1, "a-1"), span("a", 8, 20, 21, 5, "a-2"), span("b", 7, 5, None, 9, "b-1")]
    b, a = workers(cluster(*spans))["labels"]
    assert (b["label"], b["number"], b["rise"], b["time"]) == ("b", 0, 9 * MIB, None)
    assert (a["label"], a["number"], a["rise"], a["time"]) == ("a", 2, 5 * MIB, 2 * MS)
    assert a["worst"] == {"place": 2, "at": 20 * MS, "key": "a-2"}


def test_labels_are_told_by_their_own_heap_where_it_was_counted(cluster):
    one = span("low", 7, 1, 2, 8, allocated=5, freed=1, heap_peak=3)
    other = span("high", 8, 1, 2, 1, allocated=9, freed=1, heap_peak=9)
    assert [(row["label"], row["heap"], row["kept"]) for row in workers(cluster(one, other))["labels"]] == [
        ("high", 9, 8),
        ("low", 3, 4),
    ]


def test_a_pid_given_out_twice_is_of_two_workers(cluster):
    made = cluster(span("first", 7, 10, 20, 1), span("second", 7, 200, 210, 4), pids=(7,))
    first = made.processes[1]
    later = (Sample(200 * MS, 7, 5 * MIB, 5 * MIB),)
    again = first._replace(started=150 * MS, ended=300 * MS)
    found = workers(replace(made, others=(*made.others, *later), processes=(*made.processes, again)))
    places = {row["label"]: row["worst"]["place"] for row in found["labels"]}
    assert places == {"first": 1, "second": 2}
    assert {row["name"] for row in found["rows"]} == {f"{first.title} (7)"}


def test_redacted_workers_have_no_keys_and_commands(cluster):
    found = workers(redacted(cluster(span("work", 7, 40, 60, 3, "secret-key"))))
    assert "secret" not in str(found) and "work.py" not in str(found)


def test_redacted_workers_are_of_their_kind_still(cluster):
    made = cluster(span("work", 7, 40, 60, 3))
    main, one, other = made.processes
    commands = "from multiprocessing.spawn import spawn_main", "from multiprocessing.resource_tracker import main"
    started = [each._replace(command=f"python -B -c {command}") for each, command in zip((one, other), commands)]
    (row,) = workers(redacted(replace(made, processes=(main, *started))))["rows"]
    assert row["name"] == "multiprocessing process"


def test_merged_spans_and_crossings_know_their_process(made_up):
    first = made_up((0, 1), (9, 1), spans=[span("main", None, 1, 2, 1)], host="a")
    crossing = memkit.Crossing(3 * MS, 9, 5, "paused", "report")
    other = replace(made_up((0, 1), (9, 1), spans=[span("work", None, 1, 2, 1)], host="b"), crossings=(crossing,))
    both = memkit.merge([first, other])
    [pid] = [process.pid for process in both.processes[1:]]
    assert pid != both.about.pid  # the machines gave out the same
    assert {each.label: each.process for each in both.spans} == {"main": None, "work": pid}
    assert [each.process for each in both.crossings] == [pid]
    third = memkit.merge([made_up((0, 1), (9, 1), host="c"), both])
    assert {each.process for each in third.spans} <= {process.pid for process in third.processes}
