"""What stayed, what was held for a while, and what came and went often."""

from dataclasses import replace

import memkit
from memkit.model.recording import Function, Line

MIB = 1 << 20
MAIN = "<thread MainThread>"


def line(number, growth, rise, own_rise, function="load", time=1, hits=1, rises=None, memory=10):
    sizes = [size * MIB for size in (growth, memory, memory + rise, rise, rises or rise)]
    return Line(Function("load.py", function, 1), number, hits, time, *sizes, 0, own_rise * MIB)


def told(kinds):
    return [(kind.words, getattr(kind.what, "number", None) or kind.what.function.name) for kind in kinds]


def test_lines_of_three_kinds_are_told_apart(made_up):
    recording = made_up((0, 10), (9, 60))
    lines = (
        line(1, 50, 200, 0, "main", 99, memory=60),
        line(2, 50, 50, 50, "keep", memory=60),
        line(3, 0, 200, 200, "hold"),
        line(4, 1500, 30, 30, "churn", hits=50, rises=1500, memory=90),
        line(5, -1500, 0, 0, "churn", hits=50),
    )
    assert told(memkit.kinds.kinds_of_lines(replace(recording, lines=lines))) == [
        ("stayed: at most +50.0 MiB", 2),
        ("held for a while, then given back: 200.0 MiB", 3),
        ("came and went: 50 times, at most 30.0 MiB, 1.5 GiB in all", 4),
    ]


def test_what_is_kept_bit_by_bit_did_not_come_and_go(made_up):
    lines = (line(1, 100, 2, 2, hits=50, rises=100, memory=110),)
    assert told(memkit.kinds.kinds_of_lines(replace(made_up((0, 10), (9, 110)), lines=lines))) == [
        ("stayed: at most +100.0 MiB", 1)
    ]


def test_what_a_line_held_is_told_though_what_it_called_came_and_went(made_up):
    lines = (line(1, 0, 200, 0, "hold"), line(2, 230, 200, 200, "take", hits=40, rises=900, memory=240))
    assert told(memkit.kinds.kinds_of_lines(replace(made_up((0, 10), (9, 10)), lines=lines))) == [
        ("held for a while, then given back: 200.0 MiB", 1),
        ("came and went: 40 times, at most 200.0 MiB, 900.0 MiB in all", 2),
    ]


def test_calls_of_three_kinds_are_told_apart(called):
    recording = called(
        (0, MAIN, 0, 1, 1, 10, 200, 200),
        (1, "main", 0, 1, 1, 60, 200, 200),
        (2, "keep", 50, 1, 1, 60, 50, 50),
        (2, "hold", 0, 1, 1, 210, 200, 200),
        (2, "churn", 0, 1, 1, 10, 30, 30),
        (3, "take", 0, 50, 1, 90, 30, 1500),
    )
    assert told(memkit.kinds.kinds_of_calls(recording.calls)) == [
        ("stayed: +50.0 MiB", "keep"),
        ("held for a while, then given back: 200.0 MiB", "hold"),
        ("came and went: 50 times, at most 30.0 MiB, 1.5 GiB in all", "take"),
    ]


def test_a_temporary_does_not_stay(called):
    recording = called((0, MAIN, 0), (1, "main", -200), (2, "take", 200, 1, 1, 210, 200, 200), (1, "keep", 50))
    assert told(memkit.kinds.kinds_of_calls(recording.calls)) == [
        ("stayed: +50.0 MiB", "keep"),
        ("held for a while, then given back: 200.0 MiB", "take"),
    ]


def test_little_is_not_told_and_neither_is_what_an_old_file_does_not_know(called, made_up):
    assert memkit.kinds.kinds_of_calls(called((0, MAIN, 0), (1, "a", 0.5, 1, 1, 10, 0.5, 0.5)).calls) == []
    assert memkit.kinds.kinds_of_calls(called((0, MAIN, 0), (1, "a", 50)).calls) == []
    assert memkit.kinds.kinds_of_lines(made_up((0, 10))) == []


def test_what_stayed_of_a_line_was_not_held_for_a_while(made_up):
    recording = made_up((0, 10), (9, 60))
    lines = (line(1, 50, 60, 60, memory=60), line(2, 0, 5, 5, memory=60))
    assert told(memkit.kinds.kinds_of_lines(replace(recording, lines=lines))) == [
        ("stayed: at most +50.0 MiB", 1),
        ("held for a while, then given back: 10.0 MiB", 1),
    ]


def test_what_held_most_besides_what_stayed_comes_first(made_up):
    lines = (line(1, 190, 200, 200, memory=200), line(2, 0, 60, 60, memory=200))
    assert told(memkit.kinds.kinds_of_lines(replace(made_up((0, 10), (9, 200)), lines=lines)))[1:] == [
        ("held for a while, then given back: 60.0 MiB", 2)
    ]


def test_each_time_a_line_ran_kept_only_its_part_of_what_stayed(made_up):
    lines = (line(1, 50, 30, 30, hits=5, rises=150, memory=60),)
    assert told(memkit.kinds.kinds_of_lines(replace(made_up((0, 10), (9, 60)), lines=lines)))[1:] == [
        ("held for a while, then given back: 20.0 MiB", 1)
    ]


def test_what_stayed_did_not_come_and_go(made_up):
    lines = (line(1, 50, 8, 8, hits=50, rises=400, memory=60),)
    assert told(memkit.kinds.kinds_of_lines(replace(made_up((0, 10), (9, 60)), lines=lines)))[1:] == [
        ("came and went: 50 times, at most 8.0 MiB, 350.0 MiB in all", 1)
    ]


def test_what_was_taken_bit_by_bit_and_given_back_at_once_was_held(made_up):
    lines = (line(1, 0, 0, 0), line(2, 100, 2, 2, hits=50, rises=100, memory=110))
    assert told(memkit.kinds.kinds_of_lines(replace(made_up((0, 10), (9, 40)), lines=lines))) == [
        ("stayed: at most +30.0 MiB", 2),
        ("held for a while, then given back: 70.0 MiB", 2),
    ]


def test_a_local_of_many_calls_came_and_went_however_high_memory_was(made_up):
    lines = (line(1, 300, 300, 300, "hold"), line(1, 120, 10, 10, hits=12, rises=120, memory=320))
    assert told(memkit.kinds.kinds_of_lines(replace(made_up((0, 10), (9, 10)), lines=lines))) == [
        ("held for a while, then given back: 300.0 MiB", 1),
        ("came and went: 12 times, at most 10.0 MiB, 120.0 MiB in all", 1),
    ]


def test_what_a_caller_gave_back_at_once_did_not_come_and_go(called):
    recording = called((0, MAIN, 0), (1, "main", -100, 1, 1, 10, 100, 100), (2, "take", 100, 50, 1, 110, 2, 100))
    assert told(memkit.kinds.kinds_of_calls(recording.calls))[-1] == ("held for a while, then given back: 100.0 MiB", "take")
    assert len(memkit.kinds.kinds_of_calls(recording.calls)) == 1


def test_a_caller_of_what_held_most_is_not_told_in_its_place(called):
    recording = called(
        (0, MAIN, 0),
        (1, "main", -12, 1, 1, 20, 37, 37),
        (2, "read", 14, 1, 1, 25, 14, 14),
        (2, "count", 5, 1, 1, 50, 24, 24),
    )
    assert told(memkit.kinds.kinds_of_calls(recording.calls))[-1] == ("held for a while, then given back: 19.0 MiB", "count")


def test_a_hundredth_of_what_a_line_rose_by_is_not_told_as_held(made_up):
    lines = (line(1, 500, 504, 504, memory=510),)
    assert [kind.name for kind in memkit.kinds.kinds_of_lines(replace(made_up((0, 10), (9, 510)), lines=lines))] == [
        "stayed"
    ]


def test_what_stayed_of_a_call_was_not_held_for_a_while(called):
    recording = called((0, MAIN, 0), (1, "keep", 50, 1, 1, 60, 80, 80))
    assert told(memkit.kinds.kinds_of_calls(recording.calls)) == [
        ("stayed: +50.0 MiB", "keep"),
        ("held for a while, then given back: 30.0 MiB", "keep"),
    ]


def test_of_many_spans_the_line_that_leaks_is_not_told_without_heap(made_up):
    sums = memkit.SpanSums("GET /", 100, 0, *[None] * 6, 25, ())
    lines = (line(1, 50, 50, 50, "spike", memory=60), line(2, 0, 200, 200, "hold"))
    recording = replace(made_up((0, 10), (9, 60)), lines=lines, span_sums=(sums,))
    assert told(memkit.kinds.kinds_of_lines(recording)) == [("held for a while, then given back: 200.0 MiB", 2)]
    assert memkit.kinds.unknown(recording).endswith("; --heap --lines tells")
    assert memkit.kinds.unknown(replace(recording, span_sums=(sums._replace(number=99),))) is None
    assert memkit.kinds.unknown(replace(recording, lines=(lines[0]._replace(heap=memkit.model.heap.NO_HEAP),))) is None


def test_of_many_spans_without_heap_no_call_is_said_to_keep(called):
    recording = called((0, MAIN, 0, 1, 1, 10, 200, 200), (1, "spike", 50, 1, 1, 60, 50, 50))
    sums = memkit.SpanSums("GET /", 100, 0, *[None] * 6, 25, ())
    assert memkit.kinds.kinds_of_calls(recording.calls, recording) != []
    recording = replace(recording, span_sums=(sums,))
    assert memkit.kinds.kinds_of_calls(recording.calls, recording) == []
    assert "--heap --calls" in memkit.kinds.unknown(recording)
