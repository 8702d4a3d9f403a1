"""The shapes that memory has as a function of size, fitted by least squares, each with the weight that the points give it.

Few points choose between many shapes, so they are not asked alone: how far two runs of the same program differ is known from
experience, and counts as much as ``PRIOR`` points do. The criterion is Akaike's, corrected for few points (Hurvich and Tsai,
1989), over these points together.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

PRIOR = 4
"""How many points the experience counts for."""
FLOOR, SHARE = 384 << 10, 0.004
"""One standard error of the peak of a run, in bytes and as a share of what it rose: arenas, pages, the order of a set."""
_DRIFT = 0.015
"""By which share a shape is off, in one standard error, at each doubling beyond the largest size that was run."""
_PHASES = 24
"""How many places of the steps are tried between one power of two and the next."""
_PLACE = 0.5
"""What the place of the steps counts for among what was fitted: all of them are tried, each with its share of the weight."""
_RARE = {"n log n": 3.0, "quadratic": 1.5}
"""What a term adds to the criterion: memory of few programs grows so, and points that can be either are of a linear one."""
_LEAST_LOG = 2.0

Term = Callable[[float], float]


def _n_log_n(size: float) -> float:
    return size * math.log(max(size, _LEAST_LOG), 2)


TERMS: dict[str, Term] = {
    "constant": lambda size: 1.0,
    "linear": float,
    "n log n": _n_log_n,
    "quadratic": lambda size: size * size,
}
SMOOTH: tuple[tuple[str, ...], ...] = (
    *(("constant",), ("linear",), ("n log n",), ("quadratic",)),
    *(("constant", "linear"), ("constant", "n log n"), ("constant", "quadratic")),
    *(("linear", "quadratic"), ("constant", "linear", "quadratic")),
)
_STEPPED: dict[tuple[str, ...], int] = {
    ("steps",): 3,
    ("constant", "steps"): 4,
    ("linear", "steps"): 4,
    ("constant", "linear", "steps"): 6,
}
"""How many sizes there have to be for each: steps that may be anywhere fit too easily."""
_LOWER = (("constant",), ("linear",), ("constant", "linear"))
_UPPER = (("constant",), ("linear",), ("constant", "linear"), ("constant", "n log n"), ("constant", "quadratic"))


def size_words(size: float) -> str:
    """A size as people write it: ``250,000``, ``4.1e7``."""
    return f"{size:,.0f}" if size == round(size) and size < 1e6 else f"{size:.4g}".replace("e+0", "e").replace("e+", "e")


class Point(NamedTuple):
    """What a run of some size needed, in bytes above what there was when it began."""

    size: float
    rise: float


class Shape(NamedTuple):
    """A shape as it was fitted: what each term is multiplied by, and how well it fits."""

    terms: tuple[str, ...]
    factors: tuple[float, ...]
    phase: float
    """Where the steps are: at this share of the way, on a logarithmic scale, from one power of two to the next."""
    begins: float
    """From which size on it holds; 0 where for all."""
    misfit: float
    """The sum of squared differences from the points, each in its own standard errors."""
    freedom: int
    """Points, those of experience with them, less what was fitted."""
    covariance: tuple[tuple[float, ...], ...]
    criterion: float
    largest: float
    """The largest size that was run."""

    @property
    def family(self) -> str:
        """What it is called; the same for steps at different places."""
        words = " + ".join(term for term in self.terms if term != "constant") or "constant"
        return f"{words} from {size_words(self.begins)} on" if self.begins else words

    def at(self, size: float) -> float:
        """Bytes above the beginning."""
        return sum(factor * term for factor, term in zip(self.factors, _row(self.terms, self.phase, size)))

    def error(self, size: float) -> float:
        """One standard error of that, for one run."""
        row = _row(self.terms, self.phase, size)
        spread = sum(one * two * self.covariance[i][j] for i, one in enumerate(row) for j, two in enumerate(row))
        height = self.at(size)
        beyond = math.log(size / self.largest, 2) if size > self.largest else 0.0
        scale = max(1.0, (PRIOR + self.misfit) / self.freedom)
        return math.sqrt(scale * (max(spread, 0.0) + _deviation(height) ** 2 + (_DRIFT * beyond * height) ** 2))


def _deviation(rise: float) -> float:
    return math.hypot(FLOOR, SHARE * rise)


def _row(terms: Sequence[str], phase: float, size: float) -> list[float]:
    return [_steps(size, phase) if term == "steps" else TERMS[term](size) for term in terms]


def _steps(size: float, phase: float) -> float:
    """What doubles: the least of the powers of two, shifted by the phase, that is not below."""
    if size <= 0:
        return 0.0
    return math.pow(2.0, math.ceil(math.log(size, 2) - phase - 1e-9) + phase)


def shapes(points: Sequence[Point]) -> list[Shape]:
    """All that can be fitted to the points and never falls with size, the best first."""
    return sorted(_fitted(sorted(points)), key=lambda shape: (shape.criterion, len(shape.terms)))


def _fitted(points: Sequence[Point]) -> Iterator[Shape]:
    sizes = sorted({point.size for point in points})
    for terms in SMOOTH:
        if len(terms) <= len(sizes):
            yield from _fit(terms, points)
    for terms, least in _STEPPED.items():
        if len(sizes) >= least:
            for phase in range(_PHASES):
                yield from _fit(terms, points, phase=phase / _PHASES, parameters=len(terms) + _PLACE, among=_PHASES)
    for place in range(1, len(sizes) - 1):
        yield from _in_two(points, sizes[place])


def _in_two(points: Sequence[Point], begins: float) -> Iterator[Shape]:
    """Shapes that begin at a size, below which there is another."""
    below, above = ([point for point in points if (point.size >= begins) is upper] for upper in (False, True))
    count = len({point.size for point in below})
    lower = [shape for terms in _LOWER if len(terms) <= count for shape in _fit(terms, below)]
    if not lower:
        return
    under = min(lower, key=lambda shape: shape.criterion)
    for terms in _UPPER:
        if len(terms) > len({point.size for point in above}):
            continue
        for shape in _fit(terms, above, falling=True):
            if shape.at(begins) < under.at(below[-1].size) - 2 * _deviation(under.at(begins)):
                continue  # memory would fall
            misfit = shape.misfit + under.misfit
            parameters = len(terms) + len(under.terms) + 1
            freedom = max(1, PRIOR + len(above) - len(terms))
            criterion = _criterion(misfit, len(points), parameters) + _rarity(terms)
            yield shape._replace(begins=begins, misfit=misfit, freedom=freedom, criterion=criterion)


def _fit(
    terms: tuple[str, ...],
    points: Sequence[Point],
    *,
    phase: float = 0.0,
    parameters: float = 0,
    among: int = 1,
    falling: bool = False,
) -> Iterator[Shape]:
    """The shape of some terms, where its factors are none below 0; ``falling``: the constant may be."""
    rows = [_row(terms, phase, point.size) for point in points]
    weights = [1 / _deviation(point.rise) ** 2 for point in points]
    solved = _solve(rows, [point.rise for point in points], weights)
    if solved is None:
        return
    factors, covariance = solved
    if any(factor < 0 and not (falling and term == "constant") for factor, term in zip(factors, terms)):
        return
    heights = [sum(factor * term for factor, term in zip(factors, row)) for row in rows]
    misfit = sum(weight * (point.rise - height) ** 2 for weight, point, height in zip(weights, points, heights))
    count = parameters or len(terms)
    criterion = _criterion(misfit, len(points), count) + 2 * math.log(among) + _rarity(terms)
    freedom = max(1, PRIOR + len(points) - math.ceil(count))
    largest = max(point.size for point in points)
    yield Shape(terms, tuple(factors), phase, 0.0, misfit, freedom, covariance, criterion, largest)


def _criterion(misfit: float, count: int, parameters: float) -> float:
    points = PRIOR + count
    penalty = 2 * parameters * points / max(0.5, points - parameters - 1)
    return points * math.log1p(misfit / PRIOR) + penalty


def _rarity(terms: Sequence[str]) -> float:
    return sum(_RARE.get(term, 0.0) for term in terms)


def _solve(
    rows: Sequence[Sequence[float]], values: Sequence[float], weights: Sequence[float]
) -> tuple[list[float], tuple[tuple[float, ...], ...]] | None:
    """Weighted least squares by the normal equations: factors, and their covariance where errors are as the weights say.

    None where the columns cannot be told apart. Columns are scaled to 1 first, since a square of a size is large.
    """
    width = len(rows[0])
    scales = [max(abs(row[column]) for row in rows) or 1.0 for column in range(width)]
    scaled = [[cell / scale for cell, scale in zip(row, scales)] for row in rows]
    table = [
        [sum(w * row[i] * row[j] for w, row in zip(weights, scaled)) for j in range(width)]
        + [float(i == j) for j in range(width)]
        + [sum(w * row[i] * value for w, row, value in zip(weights, scaled, values))]
        for i in range(width)
    ]
    largest = max(abs(table[i][i]) for i in range(width))
    for i in range(width):
        pivot = max(range(i, width), key=lambda place: abs(table[place][i]))
        if abs(table[pivot][i]) < 1e-10 * largest:
            return None
        table[i], table[pivot] = table[pivot], table[i]
        table[i] = [cell / table[i][i] for cell in table[i]]
        for j in range(width):
            if j != i:
                table[j] = [cell - table[j][i] * above for cell, above in zip(table[j], table[i])]
    factors = [table[i][-1] / scales[i] for i in range(width)]
    covariance = tuple(tuple(table[i][width + j] / scales[i] / scales[j] for j in range(width)) for i in range(width))
    return factors, covariance
