"""A comparison in words: the sentence that says what changed and where, and the cells of its tables."""

from __future__ import annotations

from collections.abc import Mapping

from memkit.base.units import scale, show_bytes, show_on_a_line, show_time
from memkit.model.sources import place_of
from memkit.report.comparing.changes import Change
from memkit.report.comparing.rows import ComparedRow
from memkit.report.comparing.runs import LABELS

_WHOLE = 100
"""A number this large is shown without decimals."""


def sentence(leading: Change | None, figures: Mapping[str, Change], row: ComparedRow | None, counts: tuple[int, int]) -> str:
    """What changed, and where, in one sentence: of the figure that changed most, and the row that did most of it.

    ``counts`` are how many recordings each side has.
    """
    medians = f" (medians of {counts[0]} and {counts[1]} recordings)" if max(counts) > 1 else ""
    if leading is not None:
        return told(leading) + (f": {in_words(row)}" if row is not None else "") + medians
    time, peak = figures.get("time"), figures.get("peak") or figures.get("together")
    if time is not None and time.is_change:
        return f"{told(time)}; memory did not change{medians}"
    if peak is None or not peak.known:
        return "what changed in memory is not known: no samples were recorded on one side"
    bounds = f"within ±{show_bytes(peak.noise)}, which two runs of the same program can differ by"
    if peak.spread > peak.noise:
        bounds = f"within the spread of the recordings, {show_bytes(peak.spread)}"
    largest = f"; the largest change elsewhere: {in_words(row)}" if row is not None else ""
    return f"no change: peak {from_to(peak)}, {bounds}{largest}{medians}"


def told(change: Change) -> str:
    """A change in a few words: ``peak +38 % (412 → 569 MiB)``."""
    name = LABELS.get(change.measure, change.measure)
    many = f"{change.share:+.0%}".replace("%", " %") if change.share is not None and abs(change.share) < 10 else ""
    if change.measure == "growth" or not many:
        many = _size(change.measure, change.difference)
    return f"{name} {many} ({from_to(change)})"


def in_words(row: ComparedRow) -> str:
    """What a row changed itself, and where that is: ``+140.0 MiB in `enrich`, `pipeline.py:41```."""
    where = place(row)
    state = {"new": " (new)", "gone": " (gone)"}.get(row.state, "")
    name = show_on_a_line(row.place.function.name)
    return f"{show_bytes(row.weight(), sign=True)} in `{name}`" + (f", `{where}`" if where else "") + state


def place(row: ComparedRow) -> str:
    """Where a row is: ``pipeline.py:41``."""
    function = row.place.function
    return place_of(function._replace(line=row.place.number or function.line))


def was(row: ComparedRow) -> str:
    """Where it was before, if that is somewhere else, and how it was matched: ``was load:38, edited``."""
    if row.before is None or row.after is None:
        return "" if row.state == "both" else row.state
    words = []
    if row.before.function.name != row.after.function.name:
        words.append(f"was {show_on_a_line(row.before.function.name)}")
    if "moved" in row.notes:
        words.append(
            "moved from " + place_of(row.before.function._replace(line=row.before.number or row.before.function.line))
        )
    elif row.before.number != row.after.number and row.before.number is not None:
        words.append(f"was :{row.before.number}")
    return ", ".join([*words, *(["edited"] if "edited" in row.notes else [])])


def from_to(change: Change) -> str:
    """Both sides of a figure, in one unit: ``412 → 569 MiB``."""
    old, new = change.old, change.new
    if old is None or new is None:
        return f"{_size(change.measure, old)} → {_size(change.measure, new)}".replace("+", "")
    if change.measure == "time":
        return f"{show_time(old)} → {show_time(new)}"
    unit, name = scale(max(abs(old), abs(new)))
    digits = 0 if unit == 1 or max(abs(old), abs(new)) >= _WHOLE * unit else 1
    return f"{old / unit:.{digits}f} → {new / unit:.{digits}f} {name}"


def difference(change: Change) -> str:
    """A difference in words; what is not known is ``?``, what is no change is in brackets."""
    if change.difference is None:
        return "?" if change.before or change.after else ""
    text = _size(change.measure, change.difference)
    return text if change.is_change or not change.difference else f"({text})"


def _size(measure: str, size: int | None) -> str:
    if measure != "time":
        return show_bytes(size, sign=True)
    return f"{'+' if size is not None and size >= 0 else ''}{show_time(size)}"
