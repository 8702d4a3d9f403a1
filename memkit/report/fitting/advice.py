"""Which run to add to a fit, where its interval is wide."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from memkit.report.fitting.fit import Fit
from memkit.report.fitting.mixture import Mixture
from memkit.report.fitting.runs import points
from memkit.report.fitting.shapes import Point, size_words

_WIDE = 0.3
"""An interval that is wider than this share of the prediction is worth another run."""
_WORTH = 0.85
"""A run is advised that is expected to make the interval smaller than this share of what it was."""


def advised(fit: Fit, size: float) -> str | None:
    """The run that would narrow the prediction at a size most, if the program goes on as is most likely; None for none."""
    prediction = fit.at(size)
    width = prediction.high - prediction.low
    if width <= _WIDE * prediction.peak:
        return None
    known = points(fit.runs)
    tried = [(_width(known, at, fit.whole, size), at) for at in _candidates([point.size for point in known], size)]
    narrowest, at = min(tried, default=(width, 0.0))
    wide = f"the interval is {100 * width / max(1, prediction.peak):.0f} % of the prediction wide"
    if narrowest > _WORTH * width:
        more = size_words(_rounded(min(size, 4 * fit.largest)))
        return f"{wide}: these runs go together badly, add one as large as you can afford, such as of size {more}"
    share = 100 * narrowest / max(1, prediction.peak)
    return f"{wide}: add a run of size {size_words(at)}, which would make it some {share:.0f} %"


def _width(known: Sequence[Point], at: float, mixture: Mixture, size: float) -> float:
    low, high = Mixture([*known, Point(at, mixture.at(at))]).interval(size)
    return high - low


def _candidates(sizes: Sequence[float], size: float) -> Iterator[float]:
    """Sizes that a run might have: larger ones first, but no larger than twice the largest, and between two."""
    ordered = sorted(set(sizes))
    for factor in (2.0, 1.4):
        if ordered[-1] * factor <= size:
            yield _rounded(ordered[-1] * factor)
    for below, above in pairwise(ordered):
        yield _rounded(below + (above - below) * 0.6)
    yield _rounded(ordered[0] / 2)


def _rounded(size: float) -> float:
    return float(f"{size:.2g}")
