"""A comparison as Markdown, for a pull request."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from memkit.base.units import show_on_a_line
from memkit.report.comparing.comparison import KINDS, Comparison
from memkit.report.comparing.tables import columns_of, name_of, own, said, title
from memkit.report.comparing.words import difference

MOST_ROWS = 10
LONGEST = 120
_MARKS = re.compile(r"([\\`*_\[\]<>#|~&$])")


def markdown(comparison: Comparison, by: str | None = None, over: Sequence[str] = ()) -> Iterator[str]:
    """The text, a line each. ``over`` is what went over the bounds of the gate. Text from the program is only shown."""
    yield f"**{escaped(comparison.sentence)}**"
    for words in over:
        yield ""
        yield f"❌ {escaped(words)}"
    yield ""
    yield from _table(["", "before", "after", "change"], _facts(comparison))
    for remark in comparison.remarks:
        yield ""
        yield f"_{escaped(remark)}_"
    for kind in KINDS:
        rows = comparison.changed(kind, by)
        if not rows:
            continue
        columns = columns_of(rows)
        callers = {row.id: row for row in getattr(comparison, kind)}
        yield ""
        yield f"<details><summary>{title(kind, by, rows)} ({len(rows):,})</summary>"
        yield ""
        cells = (
            [own(row, by), *(escaped(difference(row.change(name))) for name in columns), code("".join(said(row, callers)))]
            for row in rows[:MOST_ROWS]
        )
        yield from _table(["own", *columns, kind.removesuffix("s")], cells)
        yield ""
        yield "</details>"


def _facts(comparison: Comparison) -> Iterator[list[str]]:
    names = [code(name_of(side)) for side in (comparison.before, comparison.after)]
    yield ["recorded in", *names, ""]
    for fact in comparison.facts:
        change = difference(fact.change) if fact.change is not None else ""
        bold = fact.change is not None and fact.change.is_change
        show = escaped if fact.change is not None else code
        yield [fact.label, show(fact.before), show(fact.after), f"**{escaped(change)}**" if bold else escaped(change)]


def _table(head: Sequence[str], rows: Iterator[list[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield "|" + " ---: |" * (len(head) - 1) + " :--- |"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def escaped(text: str) -> str:
    """Text of one line that Markdown shows as it is."""
    return _MARKS.sub(r"\\\1", show_on_a_line(text)).replace("@", "@<!-- -->")  # nobody is called


def code(text: str) -> str:
    """Text of one line as code, in a cell of a table: as HTML, since nothing ends a span of code in it then."""
    shown = show_on_a_line(text)
    shown = shown if len(shown) <= LONGEST else f"{shown[: LONGEST - 3]}..."
    safe = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "|": "&#124;", "`": "&#96;", "*": "&#42;", "_": "&#95;", "[": "&#91;"}
    safe |= {
        "]": "&#93;",
        "\\": "&#92;",
        "@": "&#64;",
        "~": "&#126;",
        ":": "&#58;",
        "#": "&#35;",
        "!": "&#33;",
        "$": "&#36;",
    }
    return f"<code>{''.join(safe.get(letter, letter) for letter in shown)}</code>"
