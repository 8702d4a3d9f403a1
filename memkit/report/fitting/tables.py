"""A fit for the terminal: the prediction, what it is drawn from, and tables of runs and lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from memkit.base.units import show_bytes, show_on_a_line
from memkit.report.fitting.advice import advised
from memkit.report.fitting.document import Ceiling
from memkit.report.fitting.fit import Fit, PlaceFit
from memkit.report.fitting.runs import Run
from memkit.report.fitting.shapes import size_words
from memkit.report.output import cut, styled

if TYPE_CHECKING:
    from rich.text import Text

MOST_ROWS = 10
MOST_CALLERS = 3
_OF = {"linear": "size", "n log n": "size × log2 size", "quadratic": "size²", "steps": "the next step of the size"}


def page(fit: Fit, sizes: Sequence[float], ceilings: Sequence[Ceiling], width: int | None = None) -> Iterator[Text]:
    """All as rich Text, a line each; ``width`` is that of a terminal."""
    yield styled(("fit      ", "dim"), f"{len(fit.runs)} runs of {show_on_a_line(fit.command)}")
    yield styled(("model    ", "dim"), (formula(fit), "bold"))
    for size in sizes:
        yield styled(("size     ", "dim"), *_predicted(fit, size))
    for each in ceilings:
        yield styled(("limit    ", "dim"), reached(each, fit.largest))
    for remark in fit.remarks:
        yield styled(("note     ", "dim"), (remark, "memkit.remark"))
    advice = advised(fit, max(sizes))
    if advice is not None:
        yield styled(("advice   ", "dim"), (advice, "memkit.remark"))
    yield styled()
    yield from cut(_runs(fit), width)
    for kind, found in (("line", fit.lines), ("path", fit.paths)):
        if found:
            yield from cut(_places(fit, kind, found, sizes[0]), width)
    if not fit.lines and not fit.paths:
        yield styled()
        yield styled(("record the runs with --lines or --calls to see which line makes the peak", "dim"))


def formula(fit: Fit) -> str:
    """The most likely shape in words: ``linear: 20.1 MiB + 104 B × size``."""
    best = fit.whole.best
    constant = fit.start + round(sum(factor for term, factor in zip(best.terms, best.factors) if term == "constant"))
    growing = [f"{_factor(factor)} × {_OF[term]}" for term, factor in zip(best.terms, best.factors) if term in _OF]
    share = fit.whole.families[fit.model]
    others = sorted((weight, family) for family, weight in fit.whole.families.items() if family != fit.model)
    sure = "" if share > 0.9 or not others else f" ({100 * share:.0f} % likely, else {others[-1][1]})"
    return f"{fit.model}: {' + '.join([show_bytes(constant), *growing])}{sure}"


def _factor(size: float) -> str:
    return show_bytes(round(size)) if size >= 1000 else f"{size:.3g} B"


def _predicted(fit: Fit, size: float) -> Iterator[str | tuple[str, str]]:
    prediction = fit.at(size)
    yield f"{size_words(size)}: "
    yield f"peak {show_bytes(prediction.peak)}", "memkit.mark"
    yield f", 95 % between {show_bytes(prediction.low)} and {show_bytes(prediction.high)}"
    most = fit.dominating(size)
    if most is not None:
        where = place_words(most)
        yield f"; {where} adds most: {show_bytes(round(most.own.at(size)))}"


def reached(ceiling: Ceiling, largest: float) -> str:
    """At which size a limit is reached, in words."""
    what = f"{ceiling.name} ({show_bytes(ceiling.memory)})"
    found = ceiling.reached
    if found is None:
        return f"{what}: not reached by any size, as far as these runs tell"
    if found.latest is None:
        return f"{what}: reached at size {size_words(found.size)}, not before {size_words(found.earliest)}"
    between = f"between {size_words(found.earliest)} and {size_words(found.latest)}"
    return f"{what}: reached at size {size_words(found.size)}, {between}"


def place_words(each: PlaceFit) -> str:
    """Which line or path it is: ``enrich, pipeline.py:8``."""
    function = each.place.functions[-1]
    file = function.file.replace("\\", "/").rpartition("/")[2]
    number = each.place.number or function.line
    return show_on_a_line(f"{function.name}, {file}:{number}" if file else function.name)


def _runs(fit: Fit) -> Iterator[Text]:
    yield styled((f"{'size':>12} {'peak':>12} {'curve':>12} {'off':>12}  run", "dim"))
    for run in sorted(fit.runs):
        yield styled(_run_words(fit, run), "  ", (show_on_a_line(run.source or ""), "dim"))


def _run_words(fit: Fit, run: Run) -> str:
    curve = fit.start + round(fit.whole.at(run.size))
    off = show_bytes(run.peak - curve, sign=True) if run.finished else "unfinished"
    return f"{size_words(run.size):>12} {show_bytes(run.peak):>12} {show_bytes(curve):>12} {off:>12}"


def _places(fit: Fit, kind: str, found: Sequence[PlaceFit], size: float) -> Iterator[Text]:
    largest = max((run.size, place) for place, run in enumerate(fit.runs) if run.finished)[1]
    yield styled()
    yield styled((f"{kind}s by what they add at size {size_words(size)}, without what they call", "bold"))
    yield styled((f"{'added':>12} {f'at {size_words(fit.largest)}':>12} {'peak':>12}  {'model':<18}  {kind}", "dim"))
    ranked = sorted(found, key=lambda each: -each.own.at(size))
    for each in ranked[:MOST_ROWS]:
        needed = each.needs[largest]
        peak = None if each.peak is None else fit.start + round(each.peak.at(size))
        cells = [show_bytes(round(each.own.at(size))), show_bytes(needed.own if needed else 0), show_bytes(peak)]
        row = " ".join(f"{cell:>12}" for cell in cells)
        style = "memkit.mark" if each is ranked[0] else ""
        callers = "".join(f" < {show_on_a_line(each.name)}" for each in each.place.functions[-2 : -2 - MOST_CALLERS : -1])
        yield styled((row, style), f"  {each.own.family:<18}  ", (place_words(each), "bold"), (callers, "dim"))
    if len(ranked) > MOST_ROWS:
        yield styled((f"and {len(ranked) - MOST_ROWS:,} more; --json has them all", "dim"))
