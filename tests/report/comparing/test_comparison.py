"""What ``memkit.compare`` says: the sentence, what counts as a change, the order, and how far unlike recordings go."""

import math
from dataclasses import replace

import pytest

import memkit
from memkit.model.ending import Ending
from memkit.model.heap import HeapTotal

MIB = 1 << 20
PIPELINE = """
    def enrich(rows):
        found = [dict(row) for row in rows]
        return found

    def main():
        rows = list(range(100))
        rows = enrich(rows)
        return rows
"""


def order(rows):
    return [row.place.text or row.place.function.name for row in rows]


# -- the sentence --------------------------------------------------------------------------------------------


def test_the_sentence_says_what_changed_and_where(traced):
    before = traced(PIPELINE, {"dict(row)": 12, "= enrich(": 12}, samples=[(0, 20), (9, 400, 412)])
    after = traced(PIPELINE, {"dict(row)": 152, "= enrich(": 152}, folder="b", samples=[(0, 20), (9, 540, 569)])
    comparison = memkit.compare(before, after)
    assert comparison.sentence == "peak +38 % (412 → 569 MiB): +140.0 MiB in `enrich`, `pipeline.py:2`"
    assert comparison.cause.place.number == 2
    assert repr(comparison) == f"<memkit.Comparison: {comparison.sentence}>"


def test_the_sentence_of_less_memory_names_what_gave_it_up(traced):
    before = traced(PIPELINE, {"dict(row)": 152}, samples=[(0, 20), (9, 540, 569)])
    after = traced(PIPELINE, {"dict(row)": 12, "return rows": 5}, folder="b", samples=[(0, 20), (9, 400, 412)])
    comparison = memkit.compare(before, after)
    assert comparison.sentence == "peak -28 % (569 → 412 MiB): -140.0 MiB in `enrich`, `pipeline.py:2`"
    assert order(comparison.changed("lines")) == ["found = [dict(row) for row in rows]", "return rows"]


def test_the_sentence_names_no_line_that_did_little_of_the_change(traced):
    before = traced(PIPELINE, samples=[(0, 20), (9, 400, 412)])
    after = traced(PIPELINE, {"dict(row)": 12}, folder="b", samples=[(0, 20), (9, 540, 569)])
    assert memkit.compare(before, after).sentence == "peak +38 % (412 → 569 MiB)"


def test_the_sentence_of_no_change_says_within_what(made_up):
    comparison = memkit.compare(made_up((0, 20), (9, 30)), made_up((0, 20), (9, 30.5)))
    assert comparison.sentence.startswith("no change: peak 30.0 → 30.5 MiB, within ±2.6 MiB, which two runs")


def test_without_samples_nothing_is_said_of_memory(made_up):
    assert "not known" in memkit.compare(made_up(), made_up((0, 20))).sentence


def test_a_leak_that_raised_no_peak_leads_by_growth(traced):
    before = traced(PIPELINE, {"dict(row)": 1}, samples=[(0, 20), (9, 20, 400)])
    after = traced(PIPELINE, {"dict(row)": 101}, folder="b", samples=[(0, 20), (9, 120, 400)])
    said = memkit.compare(before, after).sentence
    assert said == "growth +100.0 MiB (0 → 100 MiB): +100.0 MiB in `enrich`, `pipeline.py:2`"


# -- what counts as a change ---------------------------------------------------------------------------------


def test_a_difference_within_what_peaks_can_be_off_is_no_change(made_up):
    one = made_up((0, 20), (9, 50), peaks_error=4 * MIB)
    assert not memkit.compare(one, made_up((0, 20), (9, 60), peaks_error=4 * MIB)).figure("peak").is_change
    assert memkit.compare(one, made_up((0, 20), (9, 62), peaks_error=4 * MIB)).figure("peak").is_change


def test_a_start_that_differs_widens_the_noise_of_a_single_pair(made_up):
    near, far = made_up((0, 21), (9, 54)), made_up((0, 24), (9, 54))
    one = made_up((0, 20), (9, 50))
    assert [memkit.compare(one, each).figure("peak").is_change for each in (near, far)] == [True, False]


def test_a_change_within_the_spread_of_several_is_not_called_one(made_up):
    before = [made_up((0, 20), (9, peak)) for peak in (100, 110, 120)]
    near = [made_up((0, 20), (9, peak)) for peak in (118, 128, 138)]
    far = [made_up((0, 20), (9, peak)) for peak in (125, 135, 145)]
    wide = [made_up((0, 20), (9, peak)) for peak in (125, 135, 165)]
    changes = [memkit.compare(before, each).figure("peak") for each in (near, far, wide)]
    assert [change.is_change for change in changes] == [False, True, False]
    assert [(change.old, change.new, change.spread) for change in changes] == [
        (110 * MIB, 128 * MIB, 20 * MIB),
        (110 * MIB, 135 * MIB, 20 * MIB),
        (110 * MIB, 135 * MIB, 40 * MIB),
    ]


def test_several_recordings_tell_what_a_single_pair_cannot(made_up):
    single = memkit.compare(made_up((0, 20), (9, 50)), made_up((0, 20), (9, 52)))
    several = memkit.compare([made_up((0, 20), (9, 50))] * 3, [made_up((0, 20), (9, 52))] * 3)
    assert (single.figure("peak").real, several.figure("peak").real) == (0, 2 * MIB)
    assert several.sentence == "peak +4 % (50.0 → 52.0 MiB) (medians of 3 and 3 recordings)"


def test_times_of_a_single_pair_have_to_triple(made_up):
    runs = [made_up((0, 20), (took, 20)) for took in (1000, 2900, 3100)]
    assert [memkit.compare(runs[0], each).figure("time").is_change for each in runs] == [False, False, True]
    assert memkit.compare(runs[0], runs[2]).sentence == "took +210 % (1.00 s → 3.10 s); memory did not change"


def test_growth_of_lines_that_ran_often_may_differ_by_what_one_run_rose(traced):
    one = traced(PIPELINE, {"dict(row)": (0, 8, 1, 50)})
    near = traced(PIPELINE, {"dict(row)": (8, 8, 1, 50)}, folder="b")
    far = traced(PIPELINE, {"dict(row)": (20, 8, 1, 50)}, folder="b")
    assert [len(memkit.compare(one, each).changed("lines")) for each in (near, far)] == [0, 1]


# -- the order of rows ---------------------------------------------------------------------------------------


def test_what_a_line_called_is_not_counted_as_its_own(traced):
    before = traced(PIPELINE)
    after = traced(PIPELINE, {"dict(row)": (50, 50, 1), "= enrich(": (53, 0, 1)}, folder="b")
    comparison = memkit.compare(before, after)
    assert order(comparison.changed("lines")) == ["found = [dict(row) for row in rows]", "rows = enrich(rows)"]
    assert [dict(row.own)["growth"] for row in comparison.changed("lines")] == [50 * MIB, 3 * MIB]
    assert [dict(row.own)["growth"] for row in comparison.changed("functions")] == [50 * MIB, 3 * MIB]


def test_what_rose_most_comes_first_then_what_fell(traced):
    before = traced(PIPELINE, {"list(range": 60})
    after = traced(PIPELINE, {"dict(row)": (0, 30), "return found": 40}, folder="b")
    found = memkit.compare(before, after).changed("lines")
    assert order(found) == ["return found", "found = [dict(row) for row in rows]", "rows = list(range(100))"]


def test_rows_can_be_in_the_order_of_another_measure(traced):
    before = traced(PIPELINE, {"return found": (0, 0, 300)})
    after = traced(PIPELINE, {"dict(row)": 9, "return found": (0, 0, 2000)}, folder="b")
    comparison = memkit.compare(before, after)
    assert order(comparison.changed("lines", "time")) == ["return found"]
    assert order(comparison.changed("lines", "growth")) == ["found = [dict(row) for row in rows]"]


def test_new_and_gone_lines_are_told(traced):
    after = PIPELINE.replace("found = [dict(row) for row in rows]", "copies = rows[:] * 3; found = copies")
    comparison = memkit.compare(traced(PIPELINE, {"dict(row)": 30}), traced(after, {"copies =": 70}, folder="b"))
    found = comparison.changed("lines")
    assert [(row.state, row.weight()) for row in found] == [("new", 70 * MIB), ("gone", -30 * MIB)]
    assert comparison.cause.state == "new"


def test_paths_are_ranked_by_what_they_did_themselves(called):
    rows = [(0, "<thread MainThread>", 0), (1, "main", 0), (2, "load", 10), (2, "parse", 5)]
    before, after = called(*rows), called(*rows[:2], (2, "load", 60), (2, "parse", 5), (3, "regex", 20))
    comparison = memkit.compare(before, after)
    assert order(comparison.changed("paths")) == ["load", "regex"]
    assert [row.state for row in comparison.changed("paths")] == ["both", "new"]
    assert order(comparison.changed("functions")) == ["load", "regex"]
    by_id = {row.id: row for row in comparison.paths}
    assert by_id[comparison.changed("paths")[1].parent].place.function.name == "parse"


def test_threads_that_only_numbers_tell_apart_are_one(called):
    before = called((0, "<thread worker-1>", 0), (1, "load", 10))
    after = called((0, "<thread worker-17>", 0), (1, "load", 40))
    assert [(row.state, row.weight()) for row in memkit.compare(before, after).changed("paths")] == [("both", 30 * MIB)]


def test_a_deep_recursion_is_compared_without_one(called):
    rows = [(depth, "f", 0) for depth in range(3000)]
    comparison = memkit.compare(called(*rows), called(*rows[:-1], (2999, "f", 50)))
    assert [row.weight() for row in comparison.changed("paths")] == [50 * MIB]


# -- recordings that are unlike ------------------------------------------------------------------------------


def test_a_recording_without_lines_is_compared_by_its_facts(traced, made_up):
    comparison = memkit.compare(made_up((0, 20), (9, 50)), traced(PIPELINE, {"dict(row)": 40}))
    assert (comparison.lines, comparison.functions, comparison.paths) == ((), (), ())
    assert comparison.remarks == (
        "lines were recorded in the run after only, and are not compared: record the run before with --lines",
    )
    assert comparison.figure("peak").difference == 10 * MIB


def test_lines_and_calls_are_compared_by_what_both_tell(traced, called):
    one = traced(PIPELINE, {"dict(row)": 10})
    function = one.lines[0].function
    other = called((0, "<thread MainThread>", 0), (1, "enrich", 60), (2, "other", 30))
    other = replace(
        other,
        calls=tuple(call._replace(function=function) if call.function.name == "enrich" else call for call in other.calls),
    )
    comparison = memkit.compare(one, other)
    assert [(row.place.function.name, row.change("growth").difference) for row in comparison.functions] == [
        ("enrich", 80 * MIB)
    ]
    assert not comparison.functions[0].change("rise").known
    assert any("which lines and calls both tell" in note for note in comparison.remarks)
    same = memkit.compare(traced(PIPELINE, {"dict(row)": 90}), other)  # of calls it is known what of that others did
    assert [dict(row.own)["growth"] for row in same.functions] == [0] and same.changed("functions") == []


def test_what_only_one_side_traced_is_not_called_new(traced):
    one, other = traced(PIPELINE), traced(PIPELINE + "\n    def more():\n        kept = 1\n", {"kept": 50}, folder="b")
    other = replace(other, tracing=other.tracing._replace(targets=("/elsewhere/",)))
    comparison = memkit.compare(one, other)
    assert [row.state for row in comparison.lines if row.place.text == "kept = 1"] == ["unmatched"]
    assert comparison.changed("lines") == []
    assert any("different code" in note for note in comparison.remarks)


def test_heap_is_compared_where_both_sides_counted_it(traced):
    before, after = (
        traced(PIPELINE, {"dict(row)": (0, 0, 1, 1, 0)}),
        traced(PIPELINE, {"dict(row)": (0, 0, 1, 1, 3)}, folder="b"),
    )
    totals = [replace(each, heap=HeapTotal("python", size, size, 0)) for each, size in ((before, 0), (after, 3 * MIB))]
    comparison = memkit.compare(*totals)
    assert comparison.changed("lines")[0].change("alive").difference == 3 * MIB
    assert comparison.figure("alive").is_change
    uncounted = memkit.compare(
        before, replace(totals[1], heap=None, lines=tuple(line._replace(heap=None, own_heap=None) for line in after.lines))
    )
    assert not uncounted.changed("lines")
    assert any("heap" in note for note in uncounted.remarks)


def test_memory_by_other_meters_is_not_compared(made_up):
    with pytest.raises(memkit.UsageError, match="cannot be compared: by rss and pss"):
        memkit.compare(made_up((0, 20)), made_up((0, 20), meter="pss"))


def test_a_run_that_was_killed_is_told(made_up):
    killed = made_up((0, 20), (9, 90), ending=Ending("killed", signal=9, finished=False))
    comparison = memkit.compare(made_up((0, 20), (9, 90)), killed)
    assert comparison.remarks[0].startswith("the run after did not finish (killed by SIGKILL)")
    assert comparison.exceeded("peak=10%")[0].startswith("the run did not finish")


def test_a_side_needs_a_recording_and_nothing_else(made_up):
    with pytest.raises(memkit.UsageError, match="nothing to compare"):
        memkit.compare([], made_up((0, 20)))
    with pytest.raises(memkit.UsageError, match="takes recordings"):
        memkit.compare(made_up((0, 20)), 7)


# -- the gate ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "bounds, peak, over",
    [
        ("peak=10%", 111, True),
        ("peak=10%", 109, False),
        ("peak=8MiB", 109, True),
        ("peak=0%", 102, False),  # within noise
        ("growth=20MiB", 111, False),
        ("rise=10MiB, growth=1", 111, True),
        ("peak=10%", 50, False),
    ],
)
def test_a_gate_is_over_where_a_change_is_above_its_bound(made_up, bounds, peak, over):
    found = memkit.compare(made_up((0, 20), (9, 20, 100)), made_up((0, 20), (9, 20, peak))).exceeded(bounds)
    assert bool(found) is over


@pytest.mark.parametrize(
    "bounds",
    [
        "",
        "peak",
        "peak=",
        "peek=3",
        "peak=x%",
        "peak=-1%",
        "peak=nan%",
        "growth=-3",
        "growth=lots",
        "time=x",
        "alive=3",
        ",",
    ],
)
def test_what_is_no_bound_or_not_known_is_refused(made_up, bounds):
    with pytest.raises(memkit.UsageError):
        memkit.compare(made_up((0, 20)), made_up((0, 20))).exceeded(bounds)


def test_a_share_of_no_growth_is_refused(made_up):
    with pytest.raises(memkit.UsageError, match="of which there is no share"):
        memkit.compare(made_up((0, 20), (9, 20)), made_up((0, 20), (9, 90))).exceeded("growth=10%")


def test_estimates_from_samples_may_differ_by_their_errors(made_up):
    def sampled(alive, distance=512 << 10, error=0):
        errors = {"alive_error": error * MIB, "peak_error": error * MIB}
        return replace(made_up((0, 200)), heap=HeapTotal("python", alive * MIB, alive * MIB, 0, sampled=distance, **errors))

    near = memkit.compare(sampled(88, error=6), sampled(99, error=6))
    assert not near.figure("alive").is_change and not near.figure("heap-peak").is_change
    assert near.figure("alive").noise == near.figure("heap-peak").noise == round(math.hypot(18, 18, 9 / 2) * MIB)
    assert near.exceeded("alive=5%,heap-peak=5%") == []
    far = memkit.compare(sampled(88, error=6), sampled(150, error=7))
    assert far.figure("alive").is_change
    assert len(far.exceeded("alive=5%,heap-peak=5%")) == 2
    large_blocks = memkit.compare(sampled(88), sampled(99))
    assert large_blocks.figure("alive").is_change
    one_may_be_missed = memkit.compare(sampled(88), sampled(91))
    assert not one_may_be_missed.figure("alive").is_change
    counted = memkit.compare(sampled(88, None), sampled(91, None))
    assert counted.figure("alive").is_change
