"""A comparison as a page: the same look as that of a recording, with what changed in place of what was."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from memkit.base.version import VERSION
from memkit.report.comparing.comparison import KINDS
from memkit.report.comparing.document import document
from memkit.report.comparing.redacted import redacted
from memkit.report.page.build import assembled
from memkit.report.page.shown import written

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Sequence

    from memkit.report.comparing.comparison import Comparison
    from memkit.report.page.shown import Page

SCRIPTS = ("format.js", "terms.js", "table.js", "icicle.js", "comparison.js", "start.js")
MOST_NAMES = 3
MOST_ROWS = 4_000
"""Of functions, of lines and of paths: those that changed most."""


def page(comparisons: Sequence[Comparison], bounds: str | None = None) -> Iterator[str]:
    """The page in pieces: HTML that asks no server for anything, with the document of ``--json`` in it, cut to size."""
    found = json.loads("".join(document(comparisons, bounds)))
    for comparison, shown in zip(comparisons, found["comparisons"]):
        for fact, of in zip(shown["facts"], comparison.facts):
            fact["figure"] = of.change and of.change.measure
        shown["left_out"] = {}
        for kind in KINDS:
            kept = _kept(shown[kind])
            shown["left_out"][kind] = len(shown[kind]) - len(kept)
            shown[kind] = kept
    over = [line for each in found["comparisons"] for line in each["exceeded"]]
    view = {
        "memkit": VERSION,
        "title": " → ".join(_name(side) for side in (comparisons[0].before, comparisons[-1].after)),
        "verdict": comparisons[0].sentence,
        "failed": bool(over),
        "names": {},
        "text": {},
    }
    yield from assembled(SCRIPTS, {"comparison": [json.dumps(found)], "view": [json.dumps(view)]})


def page_of(comparison: Comparison, path: str | os.PathLike[str] | None, redact: bool) -> Page:
    """Write the page of a comparison."""
    return written(page([redacted(comparison) if redact else comparison]), path, "comparison")


def _kept(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The first of rows that are in order of their change, and of paths their callers, which come with them."""
    if len(rows) <= MOST_ROWS:
        return rows
    known = {row["id"]: row for row in rows if "id" in row}
    wanted = {id(row) for row in rows[:MOST_ROWS]}
    for row in rows[:MOST_ROWS]:
        above = known.get(row.get("parent"))
        while above is not None and id(above) not in wanted:
            wanted.add(id(above))
            above = known.get(above["parent"])
    return [row for row in rows if id(row) in wanted]


def _name(side: Sequence[Any]) -> str:
    names = [str(each.source or each.about.command) for each in side]
    return ", ".join(names) if len(names) <= MOST_NAMES else f"{len(names)} recordings"
