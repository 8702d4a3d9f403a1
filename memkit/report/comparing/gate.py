"""``--fail-over``: by how much a run may use more than the one before."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from memkit.base.errors import UsageError, nearest
from memkit.base.units import parse_bytes, parse_time, show_bytes, show_time
from memkit.model.recording import Recording
from memkit.report.comparing.changes import Change
from memkit.report.comparing.runs import FIGURES, LABELS
from memkit.report.comparing.words import told


class Bound(NamedTuple):
    """By how much a figure of a run may rise."""

    figure: str
    size: int | None
    """Bytes or nanoseconds; None where it is a share."""
    share: float | None
    """Of what the figure was before; None where it is a size."""

    @property
    def text(self) -> str:
        """The same in words."""
        if self.share is not None:
            return f"{self.share * 100:g} %"
        return show_time(self.size) if self.figure == "time" else show_bytes(self.size)


def bounds(text: str) -> list[Bound]:
    """What ``--fail-over`` names: ``peak=10%,growth=20MiB``. Raises ``UsageError``."""
    found = []
    for word in text.split(","):
        name, equals, value = (part.strip() for part in word.partition("="))
        if name not in FIGURES:
            known = ", ".join(FIGURES)
            raise UsageError(f"--fail-over {word!r}: {name!r} is no figure{nearest(name, FIGURES)}; there are {known}")
        if not equals or not value:
            raise UsageError(f"--fail-over {word!r}: write {name}=10%, or {name}={'500ms' if name == 'time' else '20MiB'}")
        found.append(_bound(name, value, word))
    return found


def _bound(name: str, value: str, word: str) -> Bound:
    if not value.endswith("%"):
        size = parse_time(value) if name == "time" else parse_bytes(value)
        if size < 0:
            raise UsageError(f"--fail-over {word!r}: a bound is at least 0")
        return Bound(name, size, None)
    try:
        share = float(value[:-1]) / 100
    except ValueError:
        share = -1.0
    if not 0 <= share < float("inf"):
        raise UsageError(f"--fail-over {word!r}: {value!r} is not a share: write such as 10%")
    return Bound(name, None, share)


def exceeded(
    figures: Iterable[Change], before: Iterable[Recording], after: Iterable[Recording], wanted: Sequence[Bound]
) -> list[str]:
    """What went over its bound, a line each; a rise that is not called a change goes over none.

    A run that did not finish, where the runs before did, is over each bound: it may have needed more. Raises ``UsageError``
    for a figure that a side does not know, and for a share of what was not above 0.
    """
    known = {change.measure: change for change in figures}
    failed = _unfinished(before, after) if wanted else ""
    found = [failed] if failed else []
    for bound in wanted:
        change = known.get(bound.figure)
        name = LABELS.get(bound.figure, bound.figure)
        if change is None or not change.known:
            raise UsageError(f"--fail-over {bound.figure}: {name} is not known of both sides")
        old, difference = change.old or 0, change.difference or 0
        if bound.share is not None and old <= 0 and change.is_change and difference > 0:
            raise UsageError(
                f"--fail-over {bound.figure}: it was {show_bytes(old)} before, of which there is no share: write bytes"
            )
        allowed = bound.size if bound.size is not None else (bound.share or 0) * old
        if change.is_change and difference > (allowed or 0):
            found.append(f"{told(change)} is over the bound of {bound.text}")
    return found


def _unfinished(before: Iterable[Recording], after: Iterable[Recording]) -> str:
    """That a run did not finish as those before did, in words; empty where that is not so."""
    if any(each.ending.failed or not each.ending.complete for each in before):
        return ""
    broken = [each for each in after if each.ending.failed or not each.ending.complete]
    return f"the run did not finish, as it did before: {broken[0].ending}" if broken else ""
