"""The file: what is written is read, and what is broken is passed over and counted."""

import json

import pytest

from memkit.base.errors import FormatError
from memkit.model import file_format, reader
from memkit.model.calls import LOST
from memkit.model.ending import Ending
from memkit.model.limit_events import Glance, NamedLimit, SetLimit
from memkit.model.oom_evidence import OutOfMemory
from memkit.model.recording import Call, Crossing, Frame, Function, Limit, Sample, Stack, Total, Tracing

ABOUT = {
    "memkit": "1.2",
    "argv": ["a b.py", 'quo"te', "\udcff é 𝄞"],
    "pid": 7,
    "parent": None,
    "python": "3.13.0",
    "host": "box",
    "began": 1.5,
    "clock": 11,
    "meter": "rss",
    "interval": 1_000_000,
    "engine": "native",
    "peaks": "reset",
    "peaks_reason": None,
    "mark": 3,
    "peaks_error": 4,
    "recorder": None,
    "stacks_reason": None,
    "package": "/usr/lib/memkit/",
    "set_limit": 2 << 30,
    "set_limit_scope": "process",
    "name": "rank 3",
    "watch": "5d41402abc4b",
}


@pytest.fixture
def recorded(tmp_path):
    """A function that writes rows (or raw bytes) below a good header and reads them back."""

    def write_and_read(*rows, head=True):
        path = tmp_path / "r.memkit"
        text = file_format.header(ABOUT) if head else b""
        path.write_bytes(text + b"".join(row if isinstance(row, bytes) else file_format.row(*row) for row in rows))
        return reader.read(path)

    return write_and_read


def test_the_header_comes_back_as_it_was(recorded):
    about = recorded().about
    assert about._asdict() == {**ABOUT, "argv": tuple(ABOUT["argv"])}


def test_a_header_of_before_a_key_was_thought_of_is_read(tmp_path):
    path = tmp_path / "r.memkit"
    path.write_bytes(file_format.header({key: value for key, value in ABOUT.items() if key != "peaks_error"}))
    assert reader.read(path).about._asdict() == {**ABOUT, "argv": tuple(ABOUT["argv"]), "peaks_error": None}


def test_every_row_is_one_line_of_json():
    row = file_format.row("span", 1, None, 2.5, 'a "b"\n')
    assert row.endswith(b"]\n")
    assert row.count(b"\n") == 1
    assert json.loads(row) == ["span", 1, None, 2.5, 'a "b"\n']


def test_a_sample_without_a_peak_peaked_at_its_memory(recorded):
    samples = recorded(("sample", 5, 100), ("sample", 6, 90, 310), ("sample", 7, 80, -9), ("sample", 8, 60, 0, 7)).samples
    assert samples == (Sample(5, 7, 100, 100), Sample(6, 7, 90, 400), Sample(7, 7, 80, 80), Sample(8, 7, 60, 60))


def test_samples_of_other_processes_have_lanes_of_their_own(recorded):
    found = recorded(
        ("process", 99, 7, 3, "sort"),
        ("sample", 4, 50, 0, 99),
        ("sample", 5, 100),
        ("process_end", 99, 6, None, 9),
        ("process", 99, 7, 8, "again"),
        ("sample", 9, 60, 1, 99),
        ("process_end", 98, 9, 0, None),
    )
    own, sort, again = found.processes
    assert found.lane(own) == found.samples == (Sample(5, 7, 100, 100),)
    assert found.lane(sort) == (Sample(4, 99, 50, 50),) and str(sort.ending) == "killed by SIGKILL"
    assert found.lane(again) == (Sample(9, 99, 60, 61),) and again.ended is None
    assert found.unread == 1  # the end of a process that never began


def test_how_a_child_ended_is_told_as_far_as_it_is_known(recorded):
    ends = {(0, None): "finished", (3, None): "exited with code 3", (None, 15): "killed by SIGTERM"}
    ends[None, None] = "ended, exit status unknown"
    rows = [row for n, end in enumerate(ends) for row in (("process", n, 7, n, "x"), ("process_end", n, n + 1, *end))]
    assert [str(process.ending) for process in recorded(*rows).processes[1:]] == list(ends.values())


def test_a_process_that_was_left_running_is_no_riddle(recorded):
    rows = [("process", pid, 7, 3, "x") for pid in (8, 9)]
    _, left, lost = recorded(*rows, ("process_left", 8, 20), ("exit", 21, 0, None, None)).processes
    assert (left.ended, left.ending) == (None, Ending("detached", finished=False))
    assert lost.ending.kind == "unknown"


def test_a_row_that_did_not_reach_the_file_can_be_taken_in(recorded, tmp_path):
    recorded(("sample", 4, 20))
    with reader.Reader(tmp_path / "r.memkit") as reading:
        reading.advance()
        reading.add(())
        assert reading.recording().ending.kind == "unknown"
        reading.add(("exit", 9, None, 9, None))
        assert reading.recording().ending == Ending("killed", signal=9, finished=False)
        assert reading.recording().duration == 9


@pytest.mark.parametrize(
    ("end", "evidence"), [((None, 9), True), ((None, 11), False), ((3, None), False), ((0, None), False)]
)
def test_a_counted_oom_kill_is_the_programs_only_if_it_was_killed(recorded, end, evidence):
    fields = {"cause": "oom_kill", "kind": "cgroup", "counter": "cgroup /jobs", "before": 3, "after": 4, "limits": []}
    recording = recorded(("process", 99, 7, 3, "x"), ("process_end", 99, 5, None, 9, fields), ("exit", 9, *end, fields))
    found = OutOfMemory("oom_kill", (), "cgroup", "cgroup /jobs", 3, 4)
    assert recording.oom_kills == found
    assert recording.ending.out_of_memory == (found if evidence else None)
    assert recording.processes[1].ending == Ending("killed", signal=9, out_of_memory=found, finished=False)


def test_what_refused_memory_comes_back_as_it_was_written(recorded):
    fields = {
        "cause": "refused",
        "refused": "ENOMEM",
        "limits": [["data", "RLIMIT_DATA", 7], ["address space", "RLIMIT_AS", 9]],
        "address_space_peak": 8,
        "thought of later": 1,
    }
    ending = recorded(("end", 9, "error", "OSError: x", None, fields, "OSError")).ending
    limits = NamedLimit("data", "RLIMIT_DATA", 7), NamedLimit("address space", "RLIMIT_AS", 9)
    assert ending.out_of_memory == OutOfMemory("refused", limits, refused="ENOMEM", address_space_peak=8)
    assert ending.exception == "OSError"


def test_the_limit_that_a_program_was_stopped_at_comes_back(recorded):
    share = {"threshold": 80, "share": 0.8, "limit": ["cgroup", "cgroup /jobs", 100]}
    ending = recorded(("end", 9, "stopped", None, 86, None, None, share)).ending
    assert ending.limit == SetLimit(80, 0.8, NamedLimit("cgroup", "cgroup /jobs", 100))
    assert ending.error == "the limit that was set, 80% of cgroup /jobs (100 B)"
    raised = recorded(("end", 9, "error", "MemoryError", None, {"cause": "limit", "set": share}, "MemoryError")).ending
    assert raised.out_of_memory == OutOfMemory("limit", set=ending.limit)


@pytest.mark.parametrize(
    "row",
    [
        ("end", 9, "stopped", "x", 86, None, None, "z"),
        ("end", 9, "error", "x", 1, {"cause": "refused", "set": "s"}),
        ("end", 9, "error", "x", 1, {"cause": "refused", "refused": 5}),
    ],
)
def test_an_end_with_a_damaged_limit_or_evidence_is_unread(recorded, row):
    assert recorded(row).unread == 1


def test_an_old_error_that_is_no_text_costs_no_exception(recorded):
    assert recorded(("end", 9, "error", 5, 1)).ending.exception is None


@pytest.mark.parametrize(
    "damaged",
    [
        {},
        {"cause": 3},
        {"cause": "refused", "limits": [["a"]]},
        {"cause": "limit", "set": {"share": 1}},
        {"cause": "oom_kill", "before": "x"},
        7,
    ],
)
def test_damaged_evidence_is_counted_as_unread(recorded, damaged):
    assert recorded(("exit", 9, None, 9, damaged)).unread == 1


@pytest.mark.parametrize(
    ("words", "cause", "named"),
    [
        ("an uncaught MemoryError; RLIMIT_AS 1.0 GiB", "refused", ["RLIMIT_AS"]),
        ("the limit that was set", "limit", []),
        ("cgroup /jobs: oom_kill rose by 1", "oom_kill", ["cgroup /jobs"]),
        ("cgroup /jobs/one in cgroup /jobs (300 B): oom_kill rose by 1", "oom_kill", ["cgroup /jobs"]),
        ("cgroup /other: oom_kill rose by 1", "oom_kill", []),
        ("this machine: oom_kill rose by 2", "oom_kill", ["memory of this machine"]),
    ],
)
def test_evidence_that_was_written_in_words_keeps_them(recorded, words, cause, named):
    names = ("cgroup /jobs", "cgroup /", "RLIMIT_AS", "memory of this machine")
    found = recorded(*(("limit", name, 300, 100) for name in names), ("exit", 9, None, 9, words))
    evidence = found.ending.out_of_memory
    assert (evidence.cause, str(evidence)) == (cause, words)
    assert [limit.name for limit in found.limits if evidence.names(limit)] == named


def test_totals_and_limits_and_crossings_come_back_as_they_were_written(recorded):
    found = recorded(
        ("limit", "RLIMIT_AS", 500, 100),
        ("limit", "cgroup /jobs", 300, 100),
        ("tree", "rss", "no PSS here"),
        ("total", 5, 300, 700, 10),
        ("total", 6, 310, 700, 20, 0, 20),
        ("crossing", 6, 310, 300, "rss", "report"),
        ("stack", 7, 42, "MainThread", [["a.py", 3, "f"], ["a.py", 9, "<module>"]]),
        ("crossing", 8, 320, 300, "rss", "report"),
        ("stack", 9, 42, None, []),
        ("stack", 9, 43, None, [["a.py", 3]]),
    )
    assert found.limits == (Limit("cgroup /jobs", 300, 100, "cgroup"), Limit("RLIMIT_AS", 500, 100, "address space"))
    assert [limit.left for limit in found.limits] == [200, 400]
    totals = (Total(5, 300, 700, 10), Total(6, 310, 700, 20, 0, 20))
    assert (found.summed, found.summed_reason, found.totals) == ("rss", "no PSS here", totals)
    assert [(total.least, total.most) for total in totals] == [(290, 310), (310, 330)]
    stack = Stack(42, "MainThread", (Frame("a.py", 3, "f"), Frame("a.py", 9, "<module>")))
    assert found.crossings == (
        Crossing(6, 310, 300, "rss", "report", (stack,)),
        Crossing(8, 320, 300, "rss", "report", (Stack(42, None, ()),)),
    )
    assert found.unread == 1


def test_the_last_glance_holds_and_is_no_crossings(recorded):
    found = recorded(
        ("crossing", 2, 310, 300, "rss", "report"),
        ("stack", 2, 42, "MainThread", [["a.py", 3, "f"]]),
        ("snapshot", 5),
        ("stack", 5, 42, "MainThread", [["a.py", 4, "f"]]),
        ("glance", 7),
        ("stack", 7, 42, "MainThread", [["a.py", 5, "g"]]),
        ("stack", 7, 43, None, []),
        ("thread", 43, "loader"),
    )
    assert found.glance == Glance(7, (Stack(42, "MainThread", (Frame("a.py", 5, "g"),)), Stack(43, "loader", ())))
    assert [len(crossing.stacks) for crossing in found.crossings] == [1]


def test_spans_are_put_together_from_their_two_rows(recorded):
    [outer, inner] = recorded(
        ("span", 0, 10, 100, 5, 0, "outer"),
        ("span", 1, 20, 110, 5, 1, "inner"),
        ("span_end", 1, 30, 120, 500),
        ("span_end", 0, 40, 105, 600),
    ).spans
    assert inner[:8] == ("inner", 5, 1, 20, 30, 110, 120, 500)
    assert (inner.attributes, inner.overlapped, inner.kept, inner.heap_peak) == ((), False, None, None)
    assert (outer.start, outer.end, outer.peak, outer.growth) == (10, 40, 600, 5)


def test_a_span_that_did_not_end_is_kept(recorded):
    [span] = recorded(("span", 0, 10, 100, 5, 0, "doomed"), ("sample", 12, 300), ("sample", 9, 999)).spans
    assert (span.end, span.after, span.peak) == (None, None, 300)


def test_a_span_without_a_peak_of_its_own_takes_it_from_the_samples_within(recorded):
    samples = [("sample", time, memory) for time, memory in ((5, 900), (15, 200), (25, 300), (35, 800))]
    [span] = recorded(("span", 0, 10, 100, 5, 0, "a"), *samples, ("span_end", 0, 30, 120, None)).spans
    assert span.peak == 300


def test_costs_are_partial_sums(recorded):
    cost = recorded(("cost", 10, 1, 5000), ("cost", 20, 0, 6000)).cost
    assert cost == (30, 1, 11000)


FUNCTIONS = (
    ("function", 0, "", "<thread MainThread>", 0),
    ("function", 1, "/a/load.py", "load", 12),
    ("function", 2, "", "numpy.ones", 0),
)


def test_calls_are_added_up_from_what_each_did_itself(recorded):
    calls = recorded(
        *FUNCTIONS,
        ("call", 0, None, 0, 7, 1, 100, 5, 50),
        ("call", 1, 0, 1, 7, 2, 200, -10, 90),
        ("call", 2, 1, 2, 7, 3, 400, 1000, 80),
        ("call", 3, 0, 2, 7, 4, 800, 1, 60),
    ).calls
    root, load, ones = (
        Function("", "<thread MainThread>", 0),
        Function("/a/load.py", "load", 12),
        Function("", "numpy.ones", 0),
    )
    assert calls == (
        Call(0, None, root, 7, 1, 1500, 996, 100, 5, 90, 50),
        Call(1, 0, load, 7, 2, 600, 990, 200, -10, 90, 90),
        Call(2, 1, ones, 7, 3, 400, 1000, 400, 1000, 80, 80),
        Call(3, 0, ones, 7, 4, 800, 1, 800, 1, 60, 60),
    )


def test_rises_are_those_of_the_rows_and_estimates_add_up(recorded):
    root, load = recorded(
        *FUNCTIONS, ("call", 0, None, 0, 7, 1, 100, 5, 50, 40, 41, 3), ("call", 1, 0, 1, 7, 2, 200, -10, 90, 30, 60, 4)
    ).calls
    assert (root.rise, root.rises, root.about) == (40, 41, 7)
    assert (load.rise, load.rises, load.about) == (30, 60, 4)
    [line] = recorded(*FUNCTIONS, ("line", 1, 12, 3, 100, 5, 50, 90, 40, 60, 7, 30)).lines
    assert (line.rise, line.rises, line.about, line.own_rise) == (40, 60, 7, 30)


def test_an_old_file_knows_no_rises(recorded):
    [call] = recorded(*FUNCTIONS, ("call", 0, None, 0, 7, 1, 100, 5, 50)).calls
    assert (call.rise, call.rises, call.about) == (None, None, 0)
    [line] = recorded(*FUNCTIONS, ("line", 1, 12, 3, 100, 5, 50, 90)).lines
    assert (line.rise, line.rises, line.about, line.own_rise) == (None, None, 0, None)


def test_of_a_call_the_last_row_holds(recorded):
    [root, load] = recorded(
        *FUNCTIONS,
        ("call", 0, None, 0, 7, 1, 100, 5, 50),
        ("call", 1, 0, 1, 7, 2, 200, 10, 90),
        ("call", 1, 0, 1, 7, 5, 900, 7, 91),
    ).calls
    assert (load.calls, load.time, load.growth, load.peak) == (5, 900, 7, 91)
    assert (root.time, root.growth, root.peak) == (1000, 12, 91)


def test_calls_stand_in_order_whatever_the_order_of_their_rows(recorded):
    calls = recorded(
        ("call", 9, 4, 1, 7, 1, 1, 1, 1), ("call", 4, None, 0, 7, 1, 1, 1, 1), *FUNCTIONS, ("call", 6, 4, 2, 7, 1, 1, 1, 1)
    ).calls
    assert [(call.id, call.parent, call.function.name) for call in calls] == [
        (4, None, "<thread MainThread>"),
        (6, 4, "numpy.ones"),
        (9, 4, "load"),
    ]


def test_a_call_whose_caller_was_lost_is_a_root(recorded):
    recording = recorded(*FUNCTIONS, ("call", 0, None, 0, 7, 1, 1, 10, 1), ("call", 2, 1, 1, 7, 1, 1, 20, 1))
    assert [(call.id, call.parent, call.growth) for call in recording.calls] == [(0, None, 10), (2, None, 20)]


@pytest.mark.parametrize("parent", [5, 9])
def test_a_call_that_claims_a_later_one_or_itself_for_its_caller_is_a_root(recorded, parent):
    recording = recorded(*FUNCTIONS, ("call", 5, parent, 1, 7, 1, 1, 10, 1), ("call", 9, 5, 1, 7, 1, 1, 20, 1))
    assert [(call.id, call.parent, call.growth) for call in recording.calls] == [(5, None, 30), (9, 5, 20)]


def test_a_call_whose_function_was_lost_keeps_its_numbers(recorded):
    recording = recorded(*FUNCTIONS, ("call", 0, None, 0, 7, 1, 1, 10, 1), ("call", 1, 0, 77, 7, 1, 1, 20, 1))
    assert (recording.calls[1].function, recording.calls[0].growth) == (LOST, 30)


def test_how_calls_were_traced_counts_calls_and_reads(recorded):
    rows = (("call", 0, None, 0, 7, 3, 1, 10, 1), ("call", 1, 0, 1, 7, 40, 1, 10, 1), ("call", 0, None, 0, 7, 5, 1, 10, 1))
    how = ("call_tracing", "monitoring", "perf", None, 30.5, 600.0)
    recording = recorded(how, *rows, ("call_reads", 2), ("call_reads", 5))
    assert recording.call_tracing == Tracing("monitoring", "perf", None, 30.5, 600.0, 45, 7)
    assert recording.tracing is None
    assert recorded(*rows).call_tracing is None


def test_what_was_traced_is_in_the_row_of_its_tracing(recorded):
    how = ("tracing", "monitoring", "perf", None, 30.5, 600.0)
    assert recorded(how).tracing.targets == ()  # in files of earlier versions
    assert recorded((*how, ["/src/", "json:load"])).tracing.targets == ("/src/", "json:load")
    for damaged in ("/src/", [1], None):
        recording = recorded((*how, damaged))
        assert (recording.tracing, recording.unread) == (None, 1)


def test_a_tree_of_calls_can_be_very_deep(recorded):
    rows = [("call", n, n - 1 if n else None, 1, 7, 1, 1, 1, n) for n in range(30_000)]
    recording = recorded(*FUNCTIONS, *rows)
    assert (recording.calls[0].growth, recording.calls[0].peak) == (30_000, 29_999)
    assert [call.growth for call in recording.called] == [30_000]
    assert len(recording.hiding("load.py").calls) == 1


@pytest.mark.parametrize(
    ("rows", "ending"),
    [
        ([], Ending("unknown", finished=False)),
        ([("end", 9, "ok")], Ending("ok")),
        ([("end", 9, "ok"), ("exit", 10, 0, None, None)], Ending("ok")),
        ([("end", 9, "ok"), ("exit", 10, 4, None, None)], Ending("exited", code=4)),
        ([("end", 9, "error", "E: x"), ("exit", 10, 1, None, None)], Ending("error", "E: x", exception="E")),
        ([("end", 9, "error", "E: x", None, None, "a.E")], Ending("error", "E: x", exception="a.E")),
        ([("end", 9, "exited", None, 3), ("exit", 10, 3, None, None)], Ending("exited", code=3)),
        ([("exit", 10, 0, None, None)], Ending("exited", code=0, finished=False)),
        ([("exit", 10, None, 9, None)], Ending("killed", signal=9, finished=False)),
        ([("exit", 10, None, None, None)], Ending("ended", finished=False)),
        (
            [("end", 9, "error", "KeyboardInterrupt"), ("exit", 10, None, 2, None)],
            Ending("killed", "KeyboardInterrupt", signal=2, finished=False, exception="KeyboardInterrupt"),
        ),
    ],
)
def test_the_ending_is_what_program_and_supervisor_know_together(recorded, rows, ending):
    assert recorded(*rows).ending == ending


def test_the_process_ends_when_the_supervisor_saw_it_end(recorded):
    [process] = recorded(("sample", 1, 5), ("end", 9, "ok"), ("exit", 12, 0, None, None)).processes
    assert (process.pid, process.started, process.ended) == (7, 0, 12)


def test_a_row_that_breaks_off_is_left_out_and_counted(recorded):
    recording = recorded(("sample", 1, 5), b'["sample",2,')
    assert (len(recording.samples), recording.unread) == (1, 1)


DAMAGED = """\
\x00\xff
["sample",3
{}
3
"sample"
[]
[[1]]
["sample"]
["sample","x",3]
["sample",3,"x"]
["sample",3,null]
["future",1]
["span"]
["cost","a",1,2]
["end",1]
["call",1]
["call",1,null,0,7,1,1,1,"x"]
["call",1,null,0,7,1.5,1,1,1]
["call",1,null,0,7,1,1,99999999999999999999,1]
["call",-1,null,0,7,1,1,1,1]
["call",[1],null,0,7,1,1,1,1]
["call",1,"0",0,7,1,1,1,1]
["call_reads","x"]
["call_tracing",1,2,3,4,5]
"""


def test_an_empty_line_is_nothing(recorded):
    """Who adds a row looks whether the file ends inside one, perhaps in the middle of somebody's write."""
    recording = recorded(("sample", 1, 5), b"\n", ("sample", 4, 6), ("end", 5, "ok"))
    assert [sample.time for sample in recording.samples] == [1, 4]
    assert recording.unread == 0


@pytest.mark.parametrize("damage", DAMAGED.encode("latin-1").splitlines(keepends=True))
def test_a_damaged_row_costs_no_other(recorded, damage):
    recording = recorded(("sample", 1, 5), damage, ("sample", 4, 6), ("end", 5, "ok"))
    assert [sample.time for sample in recording.samples] == [1, 4]
    assert recording.ending == Ending("ok")
    assert recording.unread == 1
    assert recording.calls == ()


def test_values_that_a_newer_memkit_adds_to_a_row_are_ignored(recorded):
    recording = recorded(("cost", 1, 0, 5, "more"), ("end", 9, "ok", None, None, None, None, None, "more"))
    assert (recording.unread, recording.ending) == (0, Ending("ok"))


def test_a_row_can_be_added_to_a_recording_that_breaks_off(tmp_path):
    path = tmp_path / "r.memkit"
    path.write_bytes(file_format.header(ABOUT) + b'["sample",1,5]\n["sample",2')
    file_format.append(path, "exit", 3, None, 9, None)
    recording = reader.read(path)
    assert (recording.ending.signal, len(recording.samples), recording.unread) == (9, 1, 1)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b'["memkit",1,{"argv"', "breaks off in its first row"),
        (b"hello\n", "not a memkit recording"),
        (b"\x7fELF" + b"\0" * 200_000, "not a memkit recording"),
        (b'["memkit",1]\n', "breaks off"),
        (b'["memkit",99,{"memkit":"8.0"}]\n', "format 99.*memkit 8.0 or newer"),
    ],
)
def test_a_file_that_is_no_recording_is_refused_with_the_reason(tmp_path, content, reason):
    path = tmp_path / "x.memkit"
    path.write_bytes(content)
    with pytest.raises(FormatError, match=reason) as caught:
        reader.read(path)
    assert "x.memkit" in str(caught.value)


def test_a_file_that_cannot_be_opened_is_refused_in_a_line(tmp_path):
    with pytest.raises(FormatError, match=r"cannot read .*nowhere"):
        reader.read(tmp_path / "nowhere")
    with pytest.raises(FormatError, match="cannot read"):
        reader.read(tmp_path)


def test_a_recording_can_be_followed_while_it_grows(tmp_path):
    path = tmp_path / "r.memkit"
    path.write_bytes(file_format.header(ABOUT) + file_format.row("sample", 1, 5) + b'["sample",')
    with reader.Reader(path) as bits, open(path, "ab") as file:
        bits.advance()
        assert len(bits.recording().samples) == 1
        file.write(b"2,6]\n" + file_format.row("sample", 3, 7))
        file.flush()
        bits.advance()
        recording = bits.recording()
    assert [sample.memory for sample in recording.samples] == [5, 6, 7]
    assert recording.unread == 0


def test_rows_that_lie_across_blocks_are_read_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(reader, "_CHUNK", 7)
    path = tmp_path / "r.memkit"
    path.write_bytes(file_format.header(ABOUT) + b"".join(file_format.row("sample", n, n * 10) for n in range(50)))
    assert [sample.memory for sample in reader.read(path).samples] == [n * 10 for n in range(50)]


def test_the_origin_of_a_recording_is_its_process_and_clock(tmp_path):
    path = tmp_path / "r.memkit"
    assert file_format.origin(path) is None
    path.write_bytes(file_format.header(ABOUT))
    assert file_format.origin(path) == (7, 11)


def test_an_earlier_recording_of_the_same_pid_is_not_the_one_awaited(tmp_path):
    path = tmp_path / "r.memkit"
    first, second = (file_format.header({**ABOUT, "clock": clock}) for clock in (11, 22))
    new = file_format.Awaited(str(path))
    assert new.origin(7) is None
    path.write_bytes(first)
    assert (new.origin(7), new.origin(8)) == (11, None)
    again = file_format.Awaited(str(path))  # as in a container, where each run has the same PID
    assert again.origin(7) is None
    path.write_bytes(second[:-5])
    assert again.origin(7) is None
    path.write_bytes(second)
    assert again.origin(7) == 22


def test_a_first_row_that_breaks_off_tells_no_origin(tmp_path):
    path = tmp_path / "r.memkit"
    row = file_format.header(ABOUT)
    for size in range(len(row) - 1):
        path.write_bytes(row[:size])
        assert file_format.origin(path) is None
    for other in (b'["memkit"]\n', b'["memkit",1,2]\n', b'["memkit",1,{"pid":7}]\n'):
        path.write_bytes(other)
        assert file_format.origin(path) is None


def test_whatever_is_in_a_file_it_is_read_or_refused(tmp_path, recorded):
    import random

    recorded(
        ("sample", 1, 5),
        ("span", 0, 1, 5, 7, 0, "load"),
        ("sample", 2, 6, 9),
        ("span_end", 0, 3, 6, None),
        ("function", 1, "a.py", "load", 3),
        ("call", 0, None, 0, 7, 1, 100, 5, 50),
        ("call", 1, 0, 1, 7, 2, 200, -10, 90),
        ("call", 2, 1, 1, 7, 2, 200, -10, 90),
        ("call_tracing", "monitoring", "perf", None, 30.5, 600.0),
        ("call_reads", 4),
        ("cost", 2, 0, 99),
        ("end", 4, "error", "E: x", None, None),
        ("exit", 5, 1, None, None),
    )
    whole = (tmp_path / "r.memkit").read_bytes()
    chance = random.Random(7)
    path = tmp_path / "mutant.memkit"
    pieces = (b"", b'"', b",", b"]", b"\n", b"null", b"-7", b"\xff", b"{}")
    for _ in range(3000):
        mutant = bytearray(whole)
        for _ in range(chance.randrange(1, 4)):
            place = chance.randrange(len(mutant))
            mutant[place : place + chance.choice((0, 1, 1, 5))] = chance.choice(pieces)
        path.write_bytes(mutant)
        try:
            recording = reader.read(path)
        except FormatError:
            continue
        assert str(recording.ending)
        assert recording.duration is not None
        assert recording.about.when
        roots = sum(call.growth for call in recording.calls if call.parent is None)
        assert sum(call.own_growth for call in recording.hiding("a.py").calls) == roots
        assert sum(call.own_growth for call in recording.called) == roots


@pytest.mark.parametrize(
    ("files", "kept"),
    [
        (["a.py", "/usr/lib/memkit/anew/moved.py", "/usr/lib/memkit/x.py"], ["a.py"]),
        (["/usr/lib/memkit/in_between.py", "a.py", "/usr/lib/memkit/x.py"], ["/usr/lib/memkit/in_between.py", "a.py"]),
        (["a.py", "/usr/lib/memkit/decorators.py", "b.py", "/usr/lib/memkit/x.py"], ["a.py", "b.py"]),
        (["/usr/lib/memkit/x.py"], ["/usr/lib/memkit/x.py"]),
        (["a.py", "/usr/lib/python3.13/threading.py"], ["a.py", "/usr/lib/python3.13/threading.py"]),
        (["/usr/lib/python3.13/threading.py"], ["/usr/lib/python3.13/threading.py"]),
        (["a.py", "/home/me/memkit/run/execute.py"], ["a.py", "/home/me/memkit/run/execute.py"]),
    ],
)
def test_a_stack_is_without_what_called_the_program(recorded, files, kept):
    rows = ("crossing", 5, 9, 8, "rss", "report"), ("stack", 5, 7, "t", [[file, 1, "f"] for file in files])
    [crossing] = recorded(*rows).crossings
    assert [frame.file for frame in crossing.stacks[0].frames] == kept


@pytest.mark.parametrize(
    "files",
    [
        ["/usr/lib/memkit/base/threads.py", "/usr/lib/memkit/record/monitor.py", "/usr/lib/python3.13/threading.py"],
        ["/usr/lib/memkit/system/portable.py", "/usr/lib/memkit/base/threads.py"],  # as threading does not know it
    ],
)
@pytest.mark.parametrize("before", [("crossing", 5, 9, 8, "rss", "report"), ("snapshot", 5)], ids=lambda row: row[0])
def test_a_thread_of_memkits_own_is_not_shown(recorded, files, before):
    ours, programs = ("stack", 5, 8, None, [[file, 1, "f"] for file in files]), ("stack", 5, 7, "t", [["a.py", 1, "f"]])
    found = recorded(before, ours, programs)
    [stacks] = [crossing.stacks for crossing in found.crossings] or [found.snapshot.stacks]
    assert ([stack.thread for stack in stacks], found.unread) == ([7], 0)
