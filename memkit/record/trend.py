"""Estimating when memory that grows unevenly will reach a limit, with a 95 % interval."""

from __future__ import annotations

import itertools
from typing import NamedTuple

from memkit.base.units import SECOND

RECENT = 128
"""The number of readings that a trend is made of, at most."""
_PIECES = 8  # parts of the readings whose means are compared
_FEWEST = 2 * _PIECES
_STUDENT = 2.447  # Student's t: 95 % lie within so many standard errors, with six degrees of freedom
_BOTH_ENDS = 2 * _STUDENT**2  # the reading now and the one then both have noise
_SMOOTHED = 1.5  # the means of two adjacent parts of a random walk differ by 2/3 of its variance


class TimeToLimit(NamedTuple):
    """When a limit will be reached if memory grows as it has until now, in seconds from now."""

    seconds: float
    """At the mean rate."""
    earliest: float
    """The lower end of the 95 % interval."""
    latest: float | None
    """The upper end; None if the limit may never be reached."""


def time_until(left: float, readings: list[tuple[int, int]]) -> TimeToLimit | None:
    """When memory will have grown by ``left``; None if it does not grow, or with too few readings, which are (ns, bytes).

    The model is a random walk with drift. The means of eight parts give the rate and the scatter, the readings within each
    part the noise: after a time t the growth is ``rate * t``, within ``sqrt(scatter * (t + t * t / T) + noise)``, where T is
    the time covered by the readings. The interval ends where one of these bounds is ``left``.
    """
    if left <= 0:
        return TimeToLimit(0.0, 0.0, 0.0)
    count = len(readings)
    if count < _FEWEST:
        return None
    parts = [readings[at * count // _PIECES : (at + 1) * count // _PIECES] for at in range(_PIECES)]
    means = [_mean(part) for part in parts]
    steps = [((later[0] - sooner[0]) / SECOND, later[1] - sooner[1]) for sooner, later in itertools.pairwise(means)]
    known = sum(time for time, _ in steps)
    rate = sum(grown for _, grown in steps) / known
    if rate <= 0:
        return None
    scatter = sum((grown - rate * time) ** 2 / time for time, grown in steps) / (len(steps) - 1)
    scatter *= _SMOOTHED * _STUDENT**2
    noise = sum(
        (used - mean - rate * (time - when) / SECOND) ** 2 for part, (when, mean) in zip(parts, means) for time, used in part
    )
    noise = _BOTH_ENDS * noise / count + (rate * (readings[-1][0] - readings[0][0]) / SECOND / count) ** 2
    # The bounds t solve (left - rate * t)^2 = scatter * (t + t^2 / known) + noise.
    a, b, c = rate * rate - scatter / known, 2 * left * rate + scatter, left * left - noise
    root = max(0.0, b * b - 4 * a * c) ** 0.5
    return TimeToLimit(left / rate, max(0.0, 2 * c / (b + root)), (b + root) / (2 * a) if a > 0 else None)


def _mean(readings: list[tuple[int, int]]) -> tuple[float, float]:
    times, sizes = zip(*readings)
    return sum(times) / len(readings), sum(sizes) / len(readings)
