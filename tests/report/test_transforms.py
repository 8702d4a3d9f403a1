"""What reporters make of the rows of a recording before they show them."""

from dataclasses import replace
from operator import attrgetter

import pytest

import memkit
from memkit.model.recording import Function, Line, Span

MIB = 1 << 20
MAIN = "<thread MainThread>"
transforms = memkit.transforms


def span(label, start, rise):
    return Span(label, 1, 0, start, start + 1, 10, 10, 10 + rise)


def line(number, growth):
    return Line(Function("load.py", "load", 1), number, 1, 1, growth, 10, 10)


def names(calls):
    return [call.function.name for call in calls]


@pytest.fixture
def small_tree(tree):
    return tree(((0, 10), (8, 10)), {5: (((2, 20), (6, 30)),)}, [(0, 10, 10), (4, 25, 40), (8, 10, 10)])


def test_together_has_the_totals_in_place_of_the_samples(small_tree):
    found = transforms.together(small_tree)
    assert [sample.memory for sample in found.samples] == [10 * MIB, 25 * MIB, 10 * MIB]
    assert found.peak == 25 * MIB
    assert replace(found, samples=small_tree.samples, about=small_tree.about) == small_tree


def test_the_peak_of_totals_is_not_exact_though_that_of_samples_is(small_tree):
    assert small_tree.peak_is_exact
    assert not transforms.together(small_tree).peak_is_exact


def test_a_recording_without_totals_is_together_as_it_is(made_up):
    recording = made_up((0, 10))
    assert transforms.together(recording) is recording


def test_all_samples_are_in_order_of_time(small_tree):
    assert [(sample.time, sample.pid) for sample in transforms.all_samples(small_tree)] == [
        (0, 4242),
        (2_000_000, 5),
        (6_000_000, 5),
        (8_000_000, 4242),
    ]


def test_the_largest_spans_are_in_the_order_in_which_they_began():
    spans = [span("a", 3, 9), span("b", 2, 1), span("c", 1, 5)]
    assert [each.label for each in transforms.largest_spans(spans, 2)] == ["c", "a"]
    assert [each.label for each in transforms.largest_spans(spans, 9)] == ["c", "b", "a"]


def test_the_most_grown_lines_are_those_that_grew_at_all():
    found = transforms.most_grown_lines([line(1, 5), line(2, -9), line(3, 0), line(4, 7), line(5, 1)], 2)
    assert [each.number for each in found] == [4, 1]


def test_a_stack_is_of_a_call_with_a_weight_outermost_first(called):
    recording = called((0, MAIN, 0), (1, "main", 2), (2, "keep", 3), (1, "free", -5))
    found = [([each.name for each in stack], size) for stack, size in transforms.stacks(recording, attrgetter("own_growth"))]
    assert found == [([MAIN, "main"], 2 * MIB), ([MAIN, "main", "keep"], 3 * MIB)]


def test_a_stack_keeps_its_outermost_functions_where_it_is_too_deep(called):
    recording = called((0, MAIN, 0), *((1 + k, "walk", 0) for k in range(1500)), (1501, "deep", 2))
    [(stack, _)] = transforms.stacks(recording, attrgetter("own_growth"))
    assert (len(stack), stack[0].name, stack[-1].name) == (transforms.MOST_LEVELS, MAIN, "walk")


def test_the_middle_of_a_chain_that_is_too_long_becomes_a_list():
    assert transforms.cut_chain([1, 2, 3, 4, 5, 6, 7]) == [1, 2, 3, 4, 5, 6, 7]
    assert transforms.cut_chain([1, 2, 3, 4, 5, 6, 7, 8]) == [1, 2, 3, [4, 5], 6, 7, 8]


def test_functions_are_sorted_by_a_key_and_cut(called):
    recording = called((0, MAIN, 0), *((1, f"f{k}", k, 9 - k) for k in range(9)))
    shown, left = transforms.sorted_functions(recording, "own", 3)
    assert (names(shown), left) == (["f8", "f7", "f6"], 5)
    shown, left = transforms.sorted_functions(recording, "calls", 3)
    assert (names(shown), left) == (["f0", "f1", "f2"], 6)


def test_functions_with_a_hundredth_of_the_whole_are_cut_after_five(called):
    recording = called((0, MAIN, 0), (1, "large", 10_000), *((1, f"small{k}", 1) for k in range(9)))
    shown, left = transforms.sorted_functions(recording, "own", 15)
    assert (len(shown), left) == (5, 5)


def test_the_middle_peak_is_half_way_between_the_lowest_and_the_highest(called):
    assert transforms.middle_peak(called((0, MAIN, 0, 1, 1, 10), (1, "main", 1, 1, 1, 30)).calls) == 20 * MIB


def test_the_main_paths_are_those_that_grew_most_first(called):
    recording = called((0, MAIN, 0), (1, "small", 1), (1, "large", 50), (2, "tiny", 0.1))
    paths = transforms.MainPaths(recording.calls)
    assert [(depth, call.function.name) for depth, call in paths.rows()] == [(0, MAIN), (1, "large"), (1, "small")]
    assert (paths.by, paths.count, paths.nothing_grew) == ("growth", 4, False)
    assert names(call for _, call in paths.rows() if paths.stands_out(call)) == ["large"]


def test_transforms_leave_their_recording_as_it_was(small_tree, called):
    recording = replace(small_tree, calls=called((0, MAIN, 0), (1, "main", 9)).calls)
    before = replace(recording)
    transforms.together(recording)
    list(transforms.MainPaths(recording.calls).rows())
    list(transforms.stacks(recording, attrgetter("own_growth")))
    assert recording == before


# -- rises ---------------------------------------------------------------------------------------------------------------


def risen(number, growth, rise, own_rise, function="load", time=1, hits=1, rises=None, memory=10):
    sizes = [size * MIB for size in (growth, memory, memory + rise, rise, rises or rise)]
    return Line(Function("load.py", function, 1), number, hits, time, *sizes, 0, own_rise * MIB)


def test_a_line_whose_function_gave_it_back_is_not_among_those_that_grew():
    lines = [risen(1, 200, 200, 200), risen(2, -200, 0, 0), risen(5, 3, 3, 3, function="keep")]
    assert [each.number for each in transforms.most_grown_lines(lines, 5)] == [5]


def test_a_line_of_which_little_was_left_comes_after_one_of_which_all_was(made_up):
    recording = made_up((0, 10), (5, 60))
    lines = [risen(1, 200, 200, 200, memory=210), risen(5, 50, 50, 50, function="keep", memory=60)]
    assert [each.number for each in transforms.most_grown_lines(lines, 5, recording)] == [5, 1]
    assert [kept for _, kept in transforms.kept_lines(lines, recording)] == [50 * MIB, 50 * MIB]


def test_of_lines_that_tie_the_innermost_rose_most():
    lines = [
        risen(1, 0, 200.5, 0, function="main", time=9),
        risen(2, 0, 200, 200, time=8),
        risen(3, 0, 60, 50, function="other"),
        risen(4, 0, 0.05, 0.05),
    ]
    assert [each.number for each in transforms.most_risen_lines(lines, 5)] == [2, 3]
    assert [each.number for each in transforms.risen_lines(lines)] == [2, 1, 3]


def test_rises_tie_within_a_hundredth_or_the_noise():
    assert transforms.tie(200 * MIB, 198 * MIB)
    assert not transforms.tie(200 * MIB, 197 * MIB)
    assert transforms.tie(MIB // 10, 0)
    assert not transforms.tie(MIB // 2, 0)


def test_of_calls_that_tie_the_innermost_rose_most(called):
    recording = called(
        (0, MAIN, 0, 1, 1, 10, 200, 200),
        (1, "main", 0, 1, 1, 10, 200, 200),
        (2, "hold", 0, 1, 1, 210, 200, 200),
        (3, "take", 0, 1, 1, 210, 199, 199),
        (2, "keep", 50, 1, 1, 60, 50, 50),
    )
    assert names(transforms.most_risen_calls(recording.calls, 5)) == ["take", "keep"]
    assert names(transforms.most_risen_calls(recording.calls, 1)) == ["take"]


def test_a_caller_that_did_not_run_itself_at_its_peak_did_not_rise_most(called):
    recording = called((0, MAIN, 0, 1, 1, 10, 150, 150), (1, "a", 100, 1, 1, 110, 100, 100), (1, "b", 50, 1, 1, 160, 50, 50))
    assert names(transforms.most_risen_calls(recording.calls, 5)) == ["a", "b"]
    above = called((0, MAIN, 0, 1, 1, 10), (1, "main", 0, 1, 1, 10, 150, 150), (2, "a", 0, 1, 1, 160, 100, 100))
    assert names(transforms.most_risen_calls(above.calls, 5)) == ["a"]


def test_a_deep_recursion_that_rises_a_little_less_each_time_is_there_once(called):
    rows = [(1 + depth, "walk", 0, 1, 1, 210, 200 - depth / 10, 200) for depth in range(500)]
    found = transforms.most_risen_calls(called((0, MAIN, 0), *rows).calls, 5)
    assert [(call.function.name, call.rise // MIB) for call in found] == [("walk", 198)]


def test_of_what_grew_first_comes_what_no_caller_gave_back(called):
    recording = called((0, MAIN, 0), (1, "take", 200), (1, "free", -200), (1, "keep", 50))
    rows = transforms.MainPaths(recording.calls).rows()
    assert [call.function.name for _, call in rows] == [MAIN, "keep", "take", "free"]
    recording = called((0, MAIN, 0), (1, "main", -200), (2, "take", 200), (1, "keep", 50))
    kept = transforms.kept_of(recording.calls)
    assert [kept[call.id] // MIB for call in recording.calls] == [50, 0, 0, 50]
    assert names(transforms.sorted_functions(recording, "own", 5)[0]) == ["keep", "take"]


def test_a_function_whose_callers_gave_all_back_is_not_listed(called):
    recording = called((0, MAIN, 0), (1, "main", -200), (2, "take", 200, 1, 1, 210, 200, 200), (1, "keep", 50))
    assert names(transforms.sorted_functions(recording, "own", 5)[0]) == ["keep"]
    assert names(transforms.sorted_functions(recording, "rise", 5)[0]) == ["take"]


def test_the_tree_can_be_by_rise(called):
    recording = called(
        (0, MAIN, 0, 1, 1, 10, 200, 200), (1, "keep", 50, 1, 1, 60, 50, 50), (1, "hold", 0, 1, 1, 210, 200, 200)
    )
    paths = transforms.MainPaths(recording.calls, "rise")
    assert [call.function.name for _, call in paths.rows()] == [MAIN, "hold", "keep"]


def test_what_a_call_adds_to_a_picture_is_what_its_callees_did_not(called):
    recording = called((0, MAIN, 1, 1, 5, 10, 200, 200), (1, "a", 2, 1, 7, 160, 150, 150), (1, "b", 3, 1, 9, 110, 100, 100))
    assert transforms.own_weights(recording.calls, "rise") == {0: 0, 1: 150 * MIB, 2: 100 * MIB}
    assert transforms.own_weights(recording.calls, "peak") == {0: 0, 1: 150 * MIB, 2: 100 * MIB}
    assert transforms.own_weights(recording.calls, "growth") == {0: MIB, 1: 2 * MIB, 2: 3 * MIB}
    assert transforms.own_weights(recording.calls, "time") == {0: 5_000_000, 1: 7_000_000, 2: 9_000_000}
    assert transforms.own_weights(called((0, MAIN, 0, 1, 1, 10, 200, 200), (1, "a", 0, 1, 1, 10, 50, 50)).calls, "rise") == {
        0: 150 * MIB,
        1: 50 * MIB,
    }


def test_a_picture_of_what_did_not_grow_is_by_rise_and_else_by_time(called):
    assert transforms.picture_by(called((0, MAIN, 0), (1, "a", 5, 1, 1, 10, 9, 9)).calls) == "growth"
    assert transforms.picture_by(called((0, MAIN, 0), (1, "a", 0, 1, 1, 10, 9, 9)).calls) == "rise"
    assert transforms.picture_by(called((0, MAIN, 0), (1, "a", 0, 1, 1, 10, 0, 0)).calls) == "time"
    assert transforms.picture_by(called((0, MAIN, 0), (1, "a", 0)).calls) == "time"
    assert transforms.picture_by(called((0, MAIN, 0), (1, "a", 0, 1, 1, 10, 9, 9)).calls, "peak") == "peak"
