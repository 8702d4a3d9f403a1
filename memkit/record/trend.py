"""When a quantity that grows unevenly will have grown by so much, and how sure that is."""

from __future__ import annotations

import itertools
from collections import namedtuple

from memkit.base.units import SECOND

RECENT = 128
"""Readings that a trend is of, at most."""
_PIECES = 8  # the stretches whose means are compared
_FEWEST = 2 * _PIECES
_STUDENT = 2.447  # 95 % lie within so many standard errors, where seven differences leave six degrees of freedom
_BOTH_ENDS = 2 * _STUDENT**2  # a reading now and one then jitter
_SMOOTHED = 1.5  # the means of two stretches of a random walk, side by side, differ by two thirds of its variance


class TimeToLimit(namedtuple("TimeToLimit", "seconds earliest latest")):
    """When a limit will be reached if memory goes on as it did, in seconds from now.

    ``seconds`` is by its mean rate. ``earliest`` and ``latest`` are what 95 in 100 fall between if it goes on as
    unevenly as it did; ``latest`` is None where it may be never.
    """

    __slots__ = ()


def time_until(left: float, readings: list[tuple[int, int]]) -> TimeToLimit | None:
    """When so much more will be reached; None where it does not grow, or too little is known. Readings are (ns, bytes).

    The growth is taken as a random walk with a drift, of which the means of eight stretches tell the rate and the scatter,
    and the readings within each the jitter: after a time t it will be ``rate * t``, give or take
    ``sqrt(scatter * (t + t * t / T) + jitter)``, where T is the time that is known. The bounds are where that is ``left``.
    """
    if left <= 0:
        return TimeToLimit(0.0, 0.0, 0.0)
    count = len(readings)
    if count < _FEWEST:
        return None
    stretches = [readings[at * count // _PIECES : (at + 1) * count // _PIECES] for at in range(_PIECES)]
    means = [_mean(stretch) for stretch in stretches]
    steps = [((later[0] - sooner[0]) / SECOND, later[1] - sooner[1]) for sooner, later in itertools.pairwise(means)]
    known = sum(time for time, _ in steps)
    rate = sum(grown for _, grown in steps) / known
    if rate <= 0:
        return None
    scatter = sum((grown - rate * time) ** 2 / time for time, grown in steps) / (len(steps) - 1)
    scatter *= _SMOOTHED * _STUDENT**2
    jitter = sum(
        (used - mean - rate * (time - when) / SECOND) ** 2
        for stretch, (when, mean) in zip(stretches, means)
        for time, used in stretch
    )
    jitter = _BOTH_ENDS * jitter / count + (rate * (readings[-1][0] - readings[0][0]) / SECOND / count) ** 2
    # The bounds t solve (left - rate * t)^2 = scatter * (t + t^2 / known) + jitter.
    a, b, c = rate * rate - scatter / known, 2 * left * rate + scatter, left * left - jitter
    root = max(0.0, b * b - 4 * a * c) ** 0.5
    return TimeToLimit(left / rate, max(0.0, 2 * c / (b + root)), (b + root) / (2 * a) if a > 0 else None)


def _mean(stretch):
    return [sum(column) / len(stretch) for column in zip(*stretch)]
