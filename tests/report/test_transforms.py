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
