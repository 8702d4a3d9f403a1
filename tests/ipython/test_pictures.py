"""The pictures: well-formed, within their bounds, and with what they have to say."""

import re
from xml.etree import ElementTree

import pytest

from memkit.ipython.pictures import HEIGHT, WIDTH, plot, sparkline
from memkit.model.ending import Ending
from memkit.model.recording import Span
from memkit.report.pictures import FAILED

MIB = 1 << 20
MS = 1_000_000


def drawn(svg):
    return ElementTree.fromstring(svg)


def points(element):
    return [tuple(map(float, pair.split(","))) for pair in element.get("points").split()]


def texts(svg):
    return [element.text or "" for element in drawn(svg).iter("text")]


def spark(*rows, before=10, took=100):
    samples = tuple((int(time * MS), memory * MIB, peak * MIB) for time, memory, peak in rows)
    return drawn(sparkline(samples, before * MIB, took * MS))


def test_a_sparkline_goes_from_the_lowest_to_the_highest():
    curve = points(spark((50, 60, 60), (100, 10, 10)).find("polyline"))
    assert curve == [(1, 14), (45, 2), (89, 14)]


def test_a_peak_between_two_samples_stands_out_of_a_sparkline():
    found = spark((50, 10, 60), (100, 10, 10))
    assert {y for _, y in points(found.find("polyline"))} == {14}
    assert found.find("path").get("d").split() == ["M45.0,14.0", "L45.0,2.0"]


def test_a_cell_without_samples_has_a_flat_sparkline():
    assert points(spark().find("polyline")) == [(1, 14)]


def test_what_hardly_moves_is_drawn_as_hardly_moving():
    samples = ((50 * MS, 10 * MIB + 8192, 10 * MIB + 8192),)
    curve = points(drawn(sparkline(samples, 10 * MIB, 100 * MS)).find("polyline"))
    assert {round(y) for _, y in curve} == {14}


def test_a_sparkline_of_many_samples_keeps_their_peak():
    rows = [(number / 10, 10, 90 if number == 500 else 10) for number in range(1000)]
    found = spark(*rows)
    assert len(points(found.find("polyline"))) <= 90
    assert re.search(r"L[\d.]+,2.0 ", found.find("path").get("d"))


def test_a_plot_names_sizes_times_and_the_peak(made_up):
    svg = plot(made_up((0, 10), (500, 40, 80), (1000, 20)))
    assert "peak 80.0 MiB" in texts(svg)
    assert [text for text in texts(svg) if re.fullmatch(r"\d+ MiB", text)] == [
        "0 MiB",
        "20 MiB",
        "40 MiB",
        "60 MiB",
        "80 MiB",
    ]
    assert [text for text in texts(svg) if re.fullmatch(r"0|[\d.]+ m?s", text)] == ["0", "0.2 s", "0.4 s", "0.6 s", "0.8 s"]


def test_a_peak_that_may_have_been_higher_is_one_that_was_seen(made_up):
    assert "peak 40.0 MiB (seen)" in texts(plot(made_up((0, 10), (500, 40), peaks="samples")))
    assert "peak 40.0 MiB ±0.5 MiB" in texts(plot(made_up((0, 10), (500, 40), peaks_error=500_000)))


def test_what_was_reached_between_two_samples_has_an_area_of_its_own(made_up):
    without, with_peak = (
        len(drawn(plot(each)).findall("polygon")) for each in (made_up((0, 10), (5, 20)), made_up((0, 10), (5, 10, 20)))
    )
    assert (without, with_peak) == (1, 2)


def test_spans_stand_above_the_curve_with_their_names(made_up):
    spans = [Span("outer <1>", 7, 0, 0, 900 * MS, 1, 1, 50), Span("inner", 7, 1, 0, None, 1, None, 40)]
    svg = plot(made_up((0, 10), (1000, 20), spans=spans))
    found = {"".join(element.itertext()): float(element.get("y")) for element in drawn(svg).iter("text")}
    outer, inner = found["outer <1>: 900 msouter <1>"], found["inner: ?inner (unfinished)"]
    assert 0 < outer < inner < min(y for text, y in found.items() if text.endswith("MiB"))


@pytest.mark.parametrize(
    ("kind", "strokes"),
    [("ok", 0), ("ended", 0), ("detached", 0), ("unknown", 0), ("error", 2), ("stopped", 2), ("killed", 2)],
)
def test_a_death_is_marked_and_no_other_ending(made_up, kind, strokes):
    assert plot(made_up((0, 10), (5, 20), ending=Ending(kind))).count(FAILED) == strokes


@pytest.mark.parametrize(
    "samples",
    [
        [(0, 10)],
        [(0, 0)],
        [(0, 1e-6), (0.001, 1e-6)],
        [(0, 1), (90_000_000, 2048)],
        [(n, n % 7, n % 9 + 7) for n in range(5000)],
    ],
    ids=["one", "nothing", "short", "long", "many"],
)
def test_everything_is_within_the_picture(made_up, samples):
    svg = plot(made_up(*samples, spans=[Span("s" * 300, 7, depth, 0, MS, 0, 0, 1) for depth in range(9)]))
    page = drawn(svg)
    height = float(page.get("viewBox").split()[3])
    assert height >= HEIGHT
    numbers = [point for shape in (*page.iter("polygon"), *page.iter("polyline")) for point in points(shape)]
    numbers += [(float(each.get("x")), float(each.get("y"))) for each in page.iter("text")]
    assert all(0 <= x <= WIDTH and 0 <= y <= height for x, y in numbers)
    assert len(svg) < 100_000


def test_a_recording_without_samples_has_no_plot(made_up):
    assert plot(made_up()) == ""


@pytest.mark.parametrize(
    ("took", "times"),
    [
        (50, ["0", "10 ms", "20 ms", "30 ms", "40 ms"]),
        (150_000, ["0", "50 s", "100 s"]),
        (14_000_000, ["0", "1 h", "2 h", "3 h"]),
    ],
)
def test_the_axis_of_time_has_the_unit_of_other_pictures(made_up, took, times):
    found = texts(plot(made_up((0, 10), (took, 20))))
    assert [text for text in found if re.fullmatch(r"0|[\d.]+ (ms|s|min|h)", text)] == times
