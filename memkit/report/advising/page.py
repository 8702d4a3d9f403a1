"""Advice for the terminal, and as a document of JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from memkit.base.units import show_bytes, show_on_a_line
from memkit.model.recording import Recording
from memkit.report.advising.findings import SHARE, advise, missing
from memkit.report.output import cut, styled

if TYPE_CHECKING:
    from rich.text import Text

MOST = 5
FORMAT = 1
_OF = {"peak": "the peak", "end": "memory at the end", "together": "what all processes use together"}


def page(recording: Recording, width: int | None = None) -> Iterator[Text]:
    """All as rich Text, a line each."""
    found = advise(recording)
    name = show_on_a_line(recording.source or recording.about.command)
    yield styled(("advise   ", "dim"), f"{name}: peak {show_bytes(recording.peak)}")
    if not found:
        yield styled((f"nothing that was recorded would lower it by {100 * SHARE:.0f} % or more", "dim"))
    for number, each in enumerate(found[:MOST], 1):
        yield styled()
        yield styled(
            (f"{number}. up to {show_bytes(each.estimate)} less of {_OF[each.of]}: ", "memkit.mark"), (each.what, "bold")
        )
        yield from cut((styled(("   from      ", "dim"), show_on_a_line(row)) for row in each.rows), width)
        yield styled(("   measured  ", "dim"), each.measured)
        yield styled(("   guessed   ", "dim"), (each.guessed, "memkit.remark"))
    lacking = missing(recording)
    if lacking:
        yield styled()
    for words in lacking:
        yield styled(("not recorded  ", "dim"), (words, "dim"))


def document(recording: Recording) -> str:
    """The document."""
    found = {
        "format": FORMAT,
        "kind": "advice",
        "source": recording.source,
        "peak": recording.peak,
        "advice": [each._asdict() for each in advise(recording)],
        "missing": list(missing(recording)),
    }
    return json.dumps(found, indent=1) + "\n"
