"""What happened inside the worst span of each label: its path and line, whatever the others did."""

import json
import mmap
import threading
from dataclasses import replace

import pytest

import memkit
from memkit.model import from_document
from memkit.report.reporters.console import summary

pytestmark = pytest.mark.usefixtures("native_only")

MIB = 1 << 20
kept = []


def parse(count):
    block = mmap.mmap(-1, max(count, 1) * MIB)
    block[: count * MIB : 4096] = b"x" * (count * MIB // 4096)
    return block


def load(count):
    return len(parse(count)[:1])


def keep(count):
    kept.append(mmap.mmap(-1, max(count, 1) * MIB))
    kept[-1][: count * MIB : 4096] = b"x" * (count * MIB // 4096)


def handle(spike, stays):
    load(spike)
    keep(stays)


@pytest.fixture(autouse=True)
def forget():
    yield
    kept.clear()


def recorded(work, **how):
    with memkit.record(interval=1, **how) as run:
        work()
    return run.recording


def requests():
    for spike, stays in ((1, 0), (40, 3), (2, 0), (1, 0)):
        with memkit.span("GET /"):
            handle(spike, stays)


def worst(recording, label="GET /"):
    return max((span for span in recording.spans if span.label == label), key=lambda span: span.rise)


def close(value, megabytes):
    return abs(value - megabytes * MIB) < MIB


def test_paths_inside_the_worst_span_are_those_that_rose_and_kept_in_it():
    span = worst(recorded(requests, calls=[requests]))
    paths = {each.path[-1].name: each for each in span.inside}
    assert close(paths["parse"].rise, 40)
    assert [function.name for function in paths["parse"].path][-4:] == ["requests", "handle", "load", "parse"]
    assert close(paths["keep"].growth, 3)
    assert all(each.line is None for each in span.inside)


def test_lines_inside_the_worst_span_are_those_that_rose_and_kept_in_it():
    span = worst(recorded(requests, lines=[parse, load, keep, handle]))
    first = parse.__code__.co_firstlineno
    rose = max(span.inside, key=lambda each: each.rise)
    assert (rose.path[0].name, rose.line) == ("parse", first + 2)
    assert close(rose.rise, 40)


def test_what_was_before_the_span_or_comes_after_it_is_not_inside():
    def work():
        handle(40, 20)
        with memkit.span("GET /"):
            handle(8, 0)
        handle(60, 20)

    for how in ({"calls": True}, {"lines": [parse, load, keep, handle]}):
        span = worst(recorded(work, **how))
        assert close(max(each.rise for each in span.inside), 8)
        assert max(each.growth for each in span.inside) < 9 * MIB


def test_only_the_worst_spans_so_far_say_what_was_inside():
    def work():
        for spike in (30, 1, 1, 1, 1):
            with memkit.span("GET /"):
                load(spike)

    recording = recorded(work, calls=[work])
    assert recording.spans[0].inside
    small = [span for span in recording.spans[1:] if span.inside]
    assert all(span.rise <= recording.spans[0].rise for span in small)
    assert len(small) < 4


def test_spans_that_others_overlap_say_so_and_have_what_all_did():
    ready, done = threading.Event(), threading.Event()

    def other():
        with memkit.span("other"):
            ready.set()
            done.wait(20)

    def work():
        thread = threading.Thread(target=other)
        thread.start()
        ready.wait(20)
        with memkit.span("GET /"):
            load(20)
        done.set()
        thread.join()

    recording = recorded(work, calls=True)
    assert worst(recording).overlapped and worst(recording, "other").overlapped
    for label in ("GET /", "other"):
        [rose] = [each for each in worst(recording, label).inside if each.path[-1].name == "parse"]
        assert close(rose.rise, 20)
    assert sum("with all that overlapped it; inside it" in line.plain for line in summary(recording, 100)) == 2


def test_nothing_is_said_where_more_changed_than_is_kept():
    block = mmap.mmap(-1, 8 * 3000 * 4096)
    places = iter(range(0, len(block), 4096))
    functions = {}
    for number in range(8):
        exec(f"def touch{number}():\n    block[next(places)] = 1", {"block": block, "places": places}, functions)

    def work():
        with memkit.span("long"):
            for _ in range(3000):
                with memkit.span("GET /"):
                    for function in functions.values():
                        function()

    recording = recorded(work, calls=[work])
    assert worst(recording, "long").inside == ()
    assert worst(recording, "long").growth > 90 * MIB
    assert worst(recording).inside


def test_a_document_and_the_console_have_what_was_inside():
    recording = recorded(requests, calls=[requests], lines=[keep])
    again = from_document.recording_of(json.loads("".join(memkit.document(recording))))
    assert [span.inside for span in again.spans] == [span.inside for span in recording.spans]
    text = "\n".join(line.plain for line in summary(recording, 100))
    assert f"test_inside.py:{parse.__code__.co_firstlineno} parse < load < handle" in text
    assert "kept[-1][: count" in text


def test_damaged_rows_are_left_out(tmp_path):
    path = tmp_path / "a.memkit"
    recorded(requests, path=path, calls=[requests])
    whole = memkit.read(path)
    rows = b'["span_call",1,"x",3,4]\n["span_call",1]\n["span_call",1,99999,3,4]\n["span_line",1,99999,3,4,5]\n'
    path.write_bytes(path.read_bytes() + rows)
    found = memkit.read(path)
    assert found.unread == whole.unread + 2
    assert replace(found, unread=0, source=None).spans == whole.spans
