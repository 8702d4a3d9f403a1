"""What a page shows that is not in the document: words that Python has for facts, source text, which files are libraries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memkit.base.version import VERSION
from memkit.model.calls import LIBRARIES, matcher
from memkit.model.lines import Line
from memkit.model.sources import Source, place_of
from memkit.model.span_sums import leaks
from memkit.report import facts as of
from memkit.report import heaps, keepers, kinds
from memkit.report.page.source_text import Texts
from memkit.report.page.workers import workers

if TYPE_CHECKING:
    from memkit.model.recording import Recording
    from memkit.model.span_heaps import HeapInside
    from memkit.report.facts import Fact
    from memkit.report.kinds import Kind


def view(whole: Recording, shown: Recording, left_out: tuple[str, ...], source: bool, redact: bool) -> dict[str, Any]:
    """Words of the ``whole`` recording, and what belongs to the rows of the one that is ``shown``, which has less in it."""
    texts = Texts(shown) if source else None
    files = {call.function.file for call in shown.calls} | {line.function.file for line in shown.lines}
    files |= {line.function.file for line in shown.heap_lines}
    hidden = matcher(LIBRARIES)
    return {
        "memkit": VERSION,
        "title": of.shortened(whole.about.command, 200),
        "when": whole.about.when.strftime("%Y-%m-%d %H:%M:%S"),
        "verdict": str(whole.ending),
        "brief": whole.ending.brief,
        "failed": whole.ending.failed,
        "facts": [_fact(fact) for fact in of.facts(whole)][1:],  # the first is the title and the verdict
        "cost": [_fact(fact) for fact in of.cost_facts(whole)],
        "kinds": _kinds(whole),
        "workers": workers(whole),
        "unknown": kinds.unknown(whole),
        **_keepers(whole),
        "libraries": sorted(file for file in files if file and hidden(file)),
        "advice": heaps.HERE,
        "names": {} if redact else {file: name for file in files if file and (name := Source(file).name) != file},
        "text": {} if texts is None else texts.of_files,
        "remarks": {} if texts is None else texts.remarks,
        "notes": [*left_out, *_notes(texts, redact)],
    }


def _keepers(recording: Recording) -> dict[str, Any]:
    """The lines or paths that allocated in spans of each label, and of labels that leak who keeps it."""
    of_label = keepers.allocators(recording, _by_alive(recording))
    leaking = {sums.label: keepers.keeper(recording, sums.label) for sums, _ in leaks(recording.span_sums)}
    return {
        "allocators": [(label, [_inside(each) for each in rows]) for label, rows in of_label],
        "keepers": {
            label: {**found._asdict(), "place": found.place and _inside(found.place)} for label, found in leaking.items()
        },
    }


def _inside(found: HeapInside) -> dict[str, Any]:
    path = [function._asdict() for function in found.path]
    return {"path": path, "line": found.line, "alive": found.heap.alive, "allocated": found.heap.allocated}


def _by_alive(recording: Recording) -> list[str]:
    """The labels of spans, those first of which most is alive."""
    alive = {sums.label: 0 for sums in recording.span_sums}
    for heap in recording.span_heaps:
        for label in set(heap.labels) & set(alive):
            alive[label] += heap.heap.alive
    return sorted(alive, key=lambda label: -alive[label])


def _notes(texts: Texts | None, redact: bool) -> list[str]:
    found = []
    if redact:
        found.append("made with --redact: paths, arguments, the host, texts of errors and source were left out")
    elif texts is None:
        found.append("made with --no-source: source text was left out")
    elif not texts.is_whole:
        found.append("not all source text had room: that of what did most is here")
    return found


def _fact(fact: Fact) -> tuple[str, str | None, list[tuple[str, str]]]:
    return fact.label, fact.emphasis, [(part.text, part.role) for part in fact.parts]


def _kinds(recording: Recording) -> list[dict[str, str]]:
    """What stands out among lines and calls, each with where it is and what to look for."""
    found = []
    for kind in kinds.kinds_of_lines(recording):
        function = kind.what.function._replace(line=kind.what.number) if isinstance(kind.what, Line) else kind.what.function
        found.append(_kind(kind, "lines", f"{place_of(function)} ({function.name})"))
    for kind in kinds.kinds_of_calls(recording.hiding().calls if recording.calls else (), recording):
        place = place_of(kind.what.function)
        found.append(_kind(kind, "calls", f"{kind.what.function.name} ({place})" if place else kind.what.function.name))
    return found


def _kind(kind: Kind, tab: str, where: str) -> dict[str, str]:
    return {"text": kind.words, "tab": tab, "find": kind.what.function.name, "where": where}
