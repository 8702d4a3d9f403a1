"""A fit as a document of JSON, which is also how it is kept: sizes of memory are bytes, and what is not known is null."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from memkit.report.fitting.advice import advised
from memkit.report.fitting.fit import Fit, PlaceFit, Reached
from memkit.report.fitting.mixture import INTERVAL, Mixture

FORMAT = 1


class Ceiling(NamedTuple):
    """An amount of memory, what it is of, and at which size of input it is reached."""

    name: str
    memory: int
    reached: Reached | None


def document(fit: Fit, sizes: Sequence[float], ceilings: Sequence[Ceiling] = ()) -> str:
    """The document. ``sizes`` are what is predicted for; the first is also at the top."""
    first = fit.at(sizes[0])
    dominating = fit.dominating(sizes[0])
    found = {
        "format": FORMAT,
        "kind": "fit",
        "command": fit.command,
        "size": first.size,
        "peak": first.peak,
        "low": first.low,
        "high": first.high,
        "interval": INTERVAL,
        "model": fit.model,
        "start": fit.start,
        "terms": _terms(fit.whole),
        "models": {family: round(weight, 4) for family, weight in fit.whole.families.items()},
        "predictions": [fit.at(size)._asdict() for size in sizes],
        "limits": [{**each._asdict(), "reached": each.reached and each.reached._asdict()} for each in ceilings],
        "remarks": list(fit.remarks),
        "advice": advised(fit, max(sizes)),
        "runs": [run._asdict() for run in fit.runs],
        "lines": [_place(each, sizes[0], fit.start, each is dominating) for each in fit.lines],
        "paths": [_place(each, sizes[0], fit.start, each is dominating) for each in fit.paths],
    }
    return json.dumps(found, indent=1) + "\n"


def _terms(mixture: Mixture) -> dict[str, Any]:
    best = mixture.best
    return {"factors": dict(zip(best.terms, best.factors)), "phase": best.phase, "begins": best.begins}


def _place(each: PlaceFit, size: float, start: int, dominates: bool) -> dict[str, Any]:
    return {
        "functions": [function._asdict() for function in each.place.functions],
        "number": each.place.number,
        "model": each.own.family,
        "own": round(each.own.at(size)),
        "peak": None if each.peak is None else start + round(each.peak.at(size)),
        "dominates": dominates,
        "needs": [needed and needed._asdict() for needed in each.needs],
    }
