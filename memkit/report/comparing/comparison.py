"""``memkit.compare``: what changed between recordings, matched and ranked."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from memkit.base.errors import UsageError
from memkit.model.reader import read
from memkit.model.recording import Recording
from memkit.report.comparing import gate, runs, words
from memkit.report.comparing.building import Builder
from memkit.report.comparing.changes import Change
from memkit.report.comparing.matching import match
from memkit.report.comparing.rows import ComparedRow, in_order, ranked
from memkit.report.comparing.runs import ComparedFact
from memkit.report.comparing.sides import Side

if TYPE_CHECKING:
    import memkit

Recorded: TypeAlias = "Recording | str | bytes | os.PathLike[str]"
KINDS = ("functions", "lines", "paths")
_LED = ("peak", "growth", "alive", "rise", "together")
_MUCH = 0.25
"""What did at least this share of a change is told with it."""


@dataclass(frozen=True, repr=False)
class Comparison:
    """What changed from one side, recordings of a program before, to the other, recordings of it after."""

    before: tuple[Recording, ...]
    after: tuple[Recording, ...]
    figures: tuple[Change, ...]
    """Of the whole runs: time, start, end, growth, peak, rise, together, alive, heap-peak; those that one side knows."""
    facts: tuple[ComparedFact, ...]
    """What is known of the runs, in words, beside each other."""
    functions: tuple[ComparedRow, ...]
    """All functions."""
    lines: tuple[ComparedRow, ...]
    """The same of lines; empty unless both sides have lines."""
    paths: tuple[ComparedRow, ...]
    """The same of paths of calls; empty unless both sides have calls."""
    remarks: tuple[str, ...]
    """How far the two can be compared, and what is not known."""

    def __repr__(self) -> str:
        return f"<memkit.Comparison: {self.sentence}>"

    @property
    def sentence(self) -> str:
        """What changed, and where, in one sentence."""
        figures = {change.measure: change for change in self.figures}
        return words.sentence(self.leading, figures, self.cause, (len(self.before), len(self.after)))

    def exceeded(self, bounds: str) -> list[str]:
        """What went over its bound, a line each; ``bounds`` are as for ``--fail-over``: ``"peak=10%,growth=20MiB"``.

        A rise that is not called a change goes over none. Raises ``UsageError`` for what is no bound, and for a figure that
        one side does not know.
        """
        return gate.exceeded(self.figures, self.before, self.after, gate.bounds(bounds))

    def figure(self, name: str) -> Change | None:
        """One of ``figures`` by its name; None where no side knows it."""
        return next((change for change in self.figures if change.measure == name), None)

    def changed(self, kind: str, by: str | None = None) -> list[ComparedRow]:
        """The ``functions``, ``lines`` or ``paths`` that changed, in order: by growth, rise or alive, whichever is most.

        Of a sampled heap alone it is alive or heap-peak.
        ``by`` is one of these, or peak, allocated, heap-peak or time. What rose comes first; where memory fell, what fell.
        """
        return ranked(getattr(self, kind), by, self._fell)

    def rows(self, kind: str, by: str | None = None) -> list[ComparedRow]:
        """The same, and after them those that did not change."""
        return in_order(getattr(self, kind), by, self._fell)

    @property
    def leading(self) -> Change | None:
        """The figure of memory that changed most, the peak if it changed about as much; None where none changed."""
        found = [change for name in _LED if (change := self.figure(name)) is not None and change.is_change]
        largest = max((abs(change.real) for change in found), default=0)
        return next((change for change in found if abs(change.real) >= 0.9 * largest), None)

    @property
    def cause(self) -> ComparedRow | None:
        """The line, function or path that changed most in the direction of ``leading``; None where it did little of that."""
        leading = self.leading
        for kind in ("lines", "functions", "paths"):
            for row in self.changed(kind)[:1]:
                if leading is None or row.weight() * leading.real >= _MUCH * leading.real**2:
                    return row
        return None

    def page(self, path: str | os.PathLike[str] | None = None, *, redact: bool = False) -> memkit.Page:
        """Write the comparison as a page, as ``--html`` does; a notebook shows it, and ``.open()`` opens it in a browser.

        ``path`` is a file; by default one in a temporary folder that only its user can read. With ``redact`` it has no
        paths, arguments, hosts, texts of errors and of lines. Raises ``MemkitError`` where the file cannot be written.
        """
        from memkit.report.comparing.page import page_of

        return page_of(self, path, redact)

    @property
    def _fell(self) -> bool:
        return self.leading is not None and self.leading.real < 0


def compare(
    before: Recorded | Iterable[Recorded],
    after: Recorded | Iterable[Recorded],
    *,
    hide: str | Iterable[str] = (),
    libraries: bool = False,
) -> Comparison:
    """Compare recordings of a program: what changed from ``before`` to ``after``, and where.

    Each is a ``Recording``, the name of a file, or several of these: with several on each side, a difference within their
    spread is not called a change. Paths of libraries, and of files that match the globs ``hide``, are counted with their
    callers, as by :meth:`Recording.hiding`; with ``libraries`` those of libraries are shown. Raises ``UsageError`` where a
    side is empty or memory was measured in different ways, ``FormatError`` for a file that is no recording.
    """
    hide = (hide,) if isinstance(hide, str) else tuple(hide)
    sides = [_recordings(side) for side in (before, after)]
    if any(each.heap_lines and not each.heap_paths for side in sides for each in side):  # for what libraries did, all alike
        sides = [[replace(each, heap_paths=()) for each in side] for side in sides]
    one, other = (
        Side([each.hiding(hide, libraries=not libraries) if each.calls else each for each in side]) for side in sides
    )
    meters = [sorted({each.about.meter for each in side.recordings}) for side in (one, other)]
    if len({*meters[0], *meters[1]}) > 1:
        measured = " and ".join(" or ".join(each) for each in meters)
        raise UsageError(f"memory was measured in different ways, which cannot be compared: by {measured}")
    matched = match(one, other)
    told = {kind: runs.same_targets(one, other, kind) for kind in ("lines", "calls")}
    rows = Builder(one, other, matched, told["lines"], told["calls"])
    figures = runs.figures(one, other)
    return Comparison(
        before=one.recordings,
        after=other.recordings,
        figures=tuple(figures),
        facts=tuple(runs.facts(one, other, figures)),
        functions=tuple(rows.functions),
        lines=tuple(rows.lines),
        paths=tuple(rows.paths),
        remarks=(*runs.remarks(one, other), *runs.textless(one, other)),
    )


def _recordings(side: Recorded | Iterable[Recorded]) -> Sequence[Recording]:
    several = [side] if isinstance(side, (Recording, str, bytes, os.PathLike)) else side
    if not isinstance(several, Iterable):
        raise UsageError(f"compare() takes recordings or names of files, not {side!r}")
    found = [each if isinstance(each, Recording) else read(each) for each in several]
    if not found:
        raise UsageError("there is nothing to compare: one side has no recording")
    return found
