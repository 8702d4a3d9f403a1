"""A comparison as a document of JSON: sizes are bytes, times nanoseconds, and what is not known is null."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from memkit.model.recording import Recording
from memkit.report.comparing.changes import Change
from memkit.report.comparing.comparison import KINDS, Comparison
from memkit.report.comparing.rows import ComparedPlace, ComparedRow

FORMAT = 1


def document(comparisons: Sequence[Comparison], bounds: str | None = None) -> Iterator[str]:
    """The document in pieces, with what went over the ``bounds`` of ``--fail-over``."""
    yield f'{{\n "format": {FORMAT},\n "kind": "comparison",\n "bounds": {json.dumps(bounds)},\n "comparisons": ['
    for number, comparison in enumerate(comparisons):
        yield (",\n" if number else "\n") + json.dumps(_head(comparison, bounds), indent=1)[:-2]
        for kind in KINDS:
            yield f',\n "{kind}": ['
            for place, row in enumerate(comparison.rows(kind)):
                yield (",\n  " if place else "\n  ") + json.dumps(_row(row))
            yield "\n ]"
        yield "\n}"
    yield "\n ]\n}\n"


def _head(comparison: Comparison, bounds: str | None) -> dict[str, Any]:
    return {
        "sentence": comparison.sentence,
        "exceeded": comparison.exceeded(bounds) if bounds else [],
        "before": [_recording(each) for each in comparison.before],
        "after": [_recording(each) for each in comparison.after],
        "figures": {change.measure: _change(change) for change in comparison.figures},
        "facts": [{"label": fact.label, "before": fact.before, "after": fact.after} for fact in comparison.facts],
        "remarks": list(comparison.remarks),
    }


def _recording(recording: Recording) -> dict[str, Any]:
    return {
        "source": recording.source,
        "argv": recording.about.argv,
        "began": recording.about.began,
        "host": recording.about.host,
        "ending": str(recording.ending),
        "peak_is_exact": recording.peak_is_exact,
        "peaks_error": recording.about.peaks_error,
    }


def _change(change: Change) -> dict[str, Any]:
    return {
        "before": change.before,
        "after": change.after,
        "difference": change.difference,
        "noise": change.noise,
        "spread": change.spread,
        "changed": change.is_change,
    }


def _row(row: ComparedRow) -> dict[str, Any]:
    found = {
        "state": row.state,
        "notes": row.notes,
        "before": _place(row.before),
        "after": _place(row.after),
        "own": dict(row.own),
        "changes": {change.measure: _change(change) for change in row.changes if any(change.before) or any(change.after)},
    }
    return {"id": row.id, "parent": row.parent, **found} if row.kind == "path" else found


def _place(place: ComparedPlace | None) -> dict[str, Any] | None:
    if place is None:
        return None
    return {"function": place.function._asdict(), "number": place.number, "text": place.text}
