"""What all shapes that the points allow say together: a prediction with an interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from memkit.report.fitting.shapes import Point, Shape, shapes

INTERVAL = 0.95
"""How often the truth is in an interval, if the program goes on by one of the shapes."""
_LEAST_WEIGHT = 0.002
_HALVINGS = 32


class Prediction(NamedTuple):
    """Bytes at a size: the most likely, and the ends of an interval."""

    size: float
    peak: int
    low: int
    high: int


class Mixture:
    """The shapes of some points, each with its weight."""

    def __init__(self, points: Sequence[Point]):
        self.points = tuple(sorted(points))
        found = shapes(self.points)
        best = found[0].criterion
        weights = [math.exp((best - shape.criterion) / 2) for shape in found]
        total = sum(weights)
        kept = [(weight / total, shape) for weight, shape in zip(weights, found) if weight > _LEAST_WEIGHT * total]
        self.shapes = tuple(kept)
        alike: dict[tuple[object, ...], float] = {}
        self.families: dict[str, float] = {}
        """The weight of each family."""
        for weight, shape in kept:
            alike[shape.terms, shape.begins] = alike.get((shape.terms, shape.begins), 0.0) + weight
            self.families[shape.family] = self.families.get(shape.family, 0.0) + weight
        likely = max(alike, key=lambda each: alike[each])
        self._likely = tuple((weight, shape) for weight, shape in kept if (shape.terms, shape.begins) == likely)

    @property
    def family(self) -> str:
        """The shape that is most likely."""
        return self.best.family

    @property
    def best(self) -> Shape:
        """The best one of those that are most likely: with steps there are several, at different places."""
        return self._likely[0][1]

    def at(self, size: float) -> float:
        """The rise at a size, by the most likely family: of several places of steps the one in the middle."""
        ordered = sorted((shape.at(size), weight) for weight, shape in self._likely)
        half = sum(weight for _, weight in ordered) / 2
        for height, weight in ordered:
            half -= weight
            if half <= 0:
                return max(0.0, height)
        return max(0.0, ordered[-1][0])

    def interval(self, size: float) -> tuple[float, float]:
        """What the rise at a size is within, by all shapes; no lower than what a smaller size needed, no matter what."""
        outside = (1 - INTERVAL) / 2
        low, high = (self._quantile(size, share) for share in (outside, 1 - outside))
        least = min((point.rise for point in self.points if point.size == self.points[-1].size), default=0.0)
        if size >= self.points[-1].size:
            low = max(low, least * 0.98)
        middle = self.at(size)
        return max(0.0, min(low, middle)), max(high, middle)

    def _quantile(self, size: float, share: float) -> float:
        spread = [(weight, shape.at(size), shape.error(size), shape.freedom) for weight, shape in self.shapes]
        low = min(height - 40 * error for _, height, error, _ in spread)
        high = max(height + 40 * error for _, height, error, _ in spread)
        total = sum(weight for weight, *_ in spread)
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            below = sum(weight * _student((middle - height) / error, freedom) for weight, height, error, freedom in spread)
            low, high = (middle, high) if below < share * total else (low, middle)
        return (low + high) / 2


def _student(value: float, freedom: int) -> float:
    """The share of Student's t distribution below a value, by Wallace's normal deviate (1959), exact to some 0.001."""
    deviate = math.sqrt(freedom * math.log1p(value * value / freedom)) * (8 * freedom + 1) / (8 * freedom + 3)
    return 0.5 * (1 + math.erf(math.copysign(deviate, value) / math.sqrt(2)))
