"""Shapes of memory over size: which one is found, what is predicted, and what the interval holds."""

import math
import random

import pytest

from memkit.report.fitting.mixture import Mixture
from memkit.report.fitting.shapes import FLOOR, Point, shapes

MIB = 1 << 20
TARGET = 1e7
SIZES = [round(TARGET / part) for part in (100, 40, 25, 15, 10)]
LAWS = {
    "constant": (lambda n: 50 * MIB, "constant"),
    "linear": (lambda n: 20 * MIB + 100 * n, "linear"),
    "n log n": (lambda n: 5 * MIB + 8 * n * math.log2(n), "n log n"),
    "quadratic": (lambda n: 20 * MIB + 30 * MIB * (n / 1e6) ** 2, "quadratic"),
    "linear and quadratic": (lambda n: 20 * MIB + 50 * n + 30 * MIB * (n / 1e6) ** 2, "linear + quadratic"),
    "doubling": (lambda n: 3 * MIB + 40 * 2 ** math.ceil(math.log2(n * 1.5)), "steps"),
    "two regimes": (lambda n: max(80 * MIB, 20 * MIB + 150 * n), "linear from 666,667 on"),
}


def runs_of(law, sizes=SIZES, seed=7, noise=0.15 * MIB):
    """Points of a law, each off as runs are."""
    chance = random.Random(seed)
    return [Point(size, law(size) + chance.gauss(0, noise)) for size in sizes]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", LAWS)
def test_ten_times_the_largest_is_predicted_within_a_tenth(name, seed):
    law, family = LAWS[name]
    mixture = Mixture(runs_of(law, seed=seed))
    low, high = mixture.interval(TARGET)
    assert mixture.family == family
    assert mixture.at(TARGET) == pytest.approx(law(TARGET), rel=0.1)
    assert low <= law(TARGET) <= high


@pytest.mark.parametrize("name", LAWS)
def test_no_shape_falls_with_size(name):
    for shape in shapes(runs_of(LAWS[name][0])):
        heights = [shape.at(size) for size in (*SIZES, 2e6, 5e6, TARGET) if size >= shape.begins]
        assert heights == sorted(heights), shape


def test_two_points_give_a_wide_interval():
    law = LAWS["linear"][0]
    narrow, wide = (Mixture(runs_of(law, sizes)).interval(TARGET) for sizes in (SIZES, SIZES[3:]))
    assert wide[0] <= law(TARGET) <= wide[1]
    assert wide[1] - wide[0] > 2 * (narrow[1] - narrow[0])


def test_points_that_contradict_each_other_give_a_wide_interval():
    law = LAWS["linear"][0]
    bent = [point._replace(rise=point.rise * factor) for point, factor in zip(runs_of(law), (1, 1.3, 0.75, 1.3, 0.9))]
    (low, high), (least, most) = Mixture(bent).interval(TARGET), Mixture(runs_of(law)).interval(TARGET)
    assert high - low > 3 * (most - least)


def test_steps_that_no_run_can_tell_are_in_the_interval():
    law = LAWS["doubling"][0]
    low, high = Mixture(runs_of(law, [TARGET / part for part in (80, 40, 20, 10)])).interval(TARGET)
    assert low <= law(TARGET) <= high


def test_the_interval_never_begins_below_what_was_measured():
    mixture = Mixture([Point(1e3, 10 * MIB), Point(1e4, 400 * MIB), Point(2e4, 401 * MIB)])
    assert mixture.interval(3e4)[0] >= 0.97 * 401 * MIB


def test_a_run_is_off_by_no_more_than_the_noise_that_is_assumed():
    points = runs_of(LAWS["linear"][0], noise=0)
    assert max(abs(shapes(points)[0].at(point.size) - point.rise) for point in points) < FLOOR / 100
