"""``--json``."""

import json
from dataclasses import replace

import memkit
from memkit.model.ending import Ending
from memkit.model.limit_events import NamedLimit, SetLimit
from memkit.model.oom_evidence import OutOfMemory
from memkit.model.recording import Crossing, Frame, Limit, Span, Stack, Total

MIB = 1 << 20
KILLS = OutOfMemory("oom_kill", (), "cgroup", "cgroup /x", 0, 1)


def test_the_document_holds_the_whole_recording(made_up, tmp_path):
    ending = Ending("killed", signal=9, out_of_memory=KILLS, finished=False)
    recording = made_up((0, 1), (1, 2, 9), spans=[Span("load", 7, 0, 5, None, 10, None, 12)], ending=ending)
    memkit.report(recording, json=tmp_path / "a.json", quiet=True)
    document = json.loads((tmp_path / "a.json").read_text())
    assert document["format"] == 1
    assert document["about"]["argv"] == ["load.py", "data.csv"]
    assert document["ending"]["text"] == "killed by SIGKILL, out of memory (cgroup /x: oom_kill rose by 1)"
    assert document["ending"]["out_of_memory"] == "cgroup /x: oom_kill rose by 1"
    assert document["ending"]["evidence"] == {**KILLS._asdict(), "limits": []}
    assert document["samples"] == [sample._asdict() for sample in recording.samples]
    assert document["spans"] == [
        {**recording.spans[0]._asdict(), "attributes": {}, "growth": None, "rise": 2, "kept": None, "inside": []}
    ]
    assert (document["peak"], document["peak_is_exact"], document["growth"]) == (9 << 20, False, 1 << 20)
    assert document["processes"][0]["ending"]["signal"] == 9


def test_an_empty_recording_is_a_document_too(made_up, tmp_path):
    memkit.report(made_up(), json=tmp_path / "a.json", quiet=True)
    document = json.loads((tmp_path / "a.json").read_text())
    assert (document["samples"], document["peak"]) == ([], None)


def test_kills_for_want_of_memory_are_there(made_up, tmp_path):
    memkit.report(replace(made_up((0, 1)), oom_kills=KILLS), json=tmp_path / "a.json", quiet=True)
    document = json.loads((tmp_path / "a.json").read_text())
    assert document["oom_kills"] == "cgroup /x: oom_kill rose by 1"
    assert document["oom_kills_evidence"] == {**KILLS._asdict(), "limits": []}


def test_the_limit_that_a_program_was_stopped_at_is_there(made_up, tmp_path):
    limit = SetLimit(5, 0.5, NamedLimit("cgroup", "cgroup /x", 10))
    memkit.report(made_up((0, 1), ending=Ending("stopped", limit=limit)), json=tmp_path / "a.json", quiet=True)
    document = json.loads((tmp_path / "a.json").read_text())
    of = {"kind": "cgroup", "name": "cgroup /x", "size": 10}
    assert document["ending"]["limit"] == {"threshold": 5, "share": 0.5, "limit": of}


def test_limits_are_there_with_how_near_they_were(made_up, tmp_path):
    group, space = (
        Limit("cgroup /jobs", 100 * MIB, 40 * MIB, "cgroup"),
        Limit("RLIMIT_AS", 200 * MIB, 90 * MIB, "address space"),
    )
    stack = Stack(7, "MainThread", (Frame("load.py", 3, "load"),))
    crossing = Crossing(5, 90 * MIB, 80 * MIB, "cgroup /jobs", "raise", (stack,))
    recording = replace(made_up((0, 10), (1, 30)), limits=(group, space), crossings=(crossing,))
    memkit.report(recording, json=tmp_path / "a.json", quiet=True)
    document = json.loads((tmp_path / "a.json").read_text())
    assert document["limits"] == [
        {**group._asdict(), "left": 60 * MIB, "level": 70 * MIB, "left_at_peak": 40 * MIB},
        {**space._asdict(), "left": 110 * MIB, "level": None, "left_at_peak": None},
    ]
    [told] = document["crossings"]
    assert told["stacks"] == [{"thread": 7, "name": "MainThread", "frames": [stack.frames[0]._asdict()]}]
    assert (told["share"], told["action"], told["limit"]) == (0.8, "raise", 80 * MIB)


def test_all_processes_are_there_with_what_they_used_together(tree, tmp_path):
    recording = tree([(0, 10), (8, 11)], {5: ([(2, 20), (4, 30)],)}, [(0, 8, 10), (4, 35, 40, 2)], "rss", "no smaps")
    memkit.report(recording, json=tmp_path / "a.json", quiet=True)
    document = json.loads((tmp_path / "a.json").read_text())
    assert document["totals"] == [total._asdict() for total in recording.totals]
    assert document["totals"][1] == Total(4_000_000, 35 * MIB, 40 * MIB, 2 * MIB)._asdict()
    assert (document["summed"], document["summed_reason"], document["total_peak"]) == ("rss", "no smaps", 35 * MIB)
    assert [sample["pid"] for sample in document["others"]] == [5, 5]
    assert [process["pid"] for process in document["processes"]] == [4242, 5]
    memkit.report(replace(recording, totals=()), json=tmp_path / "a.json", quiet=True)
    assert json.loads((tmp_path / "a.json").read_text())["total_peak"] is None
