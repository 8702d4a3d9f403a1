"""``--json``."""

import json

import memkit
from memkit.recording import Ending, Span


def test_the_document_holds_the_whole_recording(made_up, tmp_path):
    ending = Ending("killed", signal=9, out_of_memory="cgroup /x: oom_kill rose by 1", finished=False)
    recording = made_up((0, 1), (1, 2, 9), spans=[Span("load", 7, 0, 5, None, 10, None, 12)], ending=ending)
    memkit.report(recording, json=tmp_path / "a.json", quiet=True)
    document = json.loads((tmp_path / "a.json").read_text())
    assert document["format"] == 1
    assert document["about"]["argv"] == ["load.py", "data.csv"]
    assert document["ending"]["text"] == "killed by SIGKILL, out of memory (cgroup /x: oom_kill rose by 1)"
    assert document["samples"] == [sample._asdict() for sample in recording.samples]
    assert document["spans"] == [{**recording.spans[0]._asdict(), "growth": None}]
    assert (document["peak"], document["peak_is_exact"], document["growth"]) == (9 << 20, False, 1 << 20)
    assert document["processes"][0]["ending"]["signal"] == 9


def test_an_empty_recording_is_a_document_too(made_up, tmp_path):
    memkit.report(made_up(), json=tmp_path / "a.json", quiet=True)
    document = json.loads((tmp_path / "a.json").read_text())
    assert (document["samples"], document["peak"]) == ([], None)
