"""A comparison without what tells of the machines that its recordings were made on."""

from __future__ import annotations

from dataclasses import replace

from memkit.report.comparing import runs
from memkit.report.comparing.comparison import Comparison
from memkit.report.comparing.rows import ComparedPlace, ComparedRow
from memkit.report.comparing.sides import Side
from memkit.report.page import redact


def redacted(comparison: Comparison) -> Comparison:
    """The same comparison with the names of files in place of their paths, and no text of lines or errors.

    What was matched stays as it is: the text of lines was known then. See :func:`memkit.report.page.redact.redacted`.
    """
    sides = Side(comparison.before), Side(comparison.after)
    one, other = (Side([redact.redacted(each) for each in side.recordings]) for side in sides)
    before, after = redact.Names(), redact.Names()

    def place(found: ComparedPlace | None, names: redact.Names) -> ComparedPlace | None:
        return found and found._replace(function=names.of(found.function), text="")

    def rows(found: tuple[ComparedRow, ...]) -> tuple[ComparedRow, ...]:
        return tuple(row._replace(before=place(row.before, before), after=place(row.after, after)) for row in found)

    return replace(
        comparison,
        before=one.recordings,
        after=other.recordings,
        facts=tuple(runs.facts(one, other, list(comparison.figures))),
        functions=rows(comparison.functions),
        lines=rows(comparison.lines),
        paths=rows(comparison.paths),
        remarks=(*runs.remarks(one, other), *(remark.partition(" (")[0] for remark in runs.textless(*sides))),
    )
