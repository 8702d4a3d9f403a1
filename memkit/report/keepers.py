"""Which lines, or call paths, allocated what the spans of a label keep, where heap was counted by these."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from memkit.base.units import show_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from memkit.model.recording import Recording
    from memkit.model.span_heaps import HeapInside

_MOST_LINES, _LEAST = 3, 20  # lines of a label that are told; what has less than 1/20 of the first is not
_ALL_KEPT = 10  # lines of a label from which on a recording may have left some out


class Keeper(NamedTuple):
    """What is known of who keeps the memory of a label: its rows, in words."""

    untraced: str | None
    """How much of it code has that is not traced, if that is most, and how its path is told."""
    most: str | None
    """How much of it one line, or path, has."""
    place: HeapInside | None
    """That one."""
    unknown: str | None
    """How to tell, where neither is known."""


def by_lines(recording: Recording, label: str) -> list[HeapInside]:
    """The lines that allocated in spans of a label, or paths where no lines are traced; those first of which most stays."""
    inside = recording.heap_inside(label)
    return [each for each in inside if each.line is not None] or list(inside)


def allocators(recording: Recording, labels: Iterable[str]) -> list[tuple[str, list[HeapInside]]]:
    """Of labels that keep or allocated most, the lines or paths that keep most, and the one that allocated most."""
    found = [(label, rows) for label in labels if (rows := by_lines(recording, label))]
    sums = [[sum(each.heap.alive for each in rows), sum(each.heap.allocated for each in rows)] for _, rows in found]
    highest = [max(column, default=0) for column in zip(*sums)]
    told = []
    for (label, rows), both in zip(found, sums):
        if any(one * _LEAST >= most for one, most in zip(both, highest)):
            kept = [each for each in rows if each.stays > 0 and each.stays * _LEAST >= rows[0].stays][:_MOST_LINES]
            told.append((label, list(dict.fromkeys([*kept, max(rows, key=lambda each: each.heap.allocated)]))))
    return told


def keeper(recording: Recording, label: str) -> Keeper:
    """Which line, or path, of a label that leaks has most of what grew; what is of code that is not traced; how to tell."""
    heaps = [each for each in recording.span_heaps if label in each.labels]
    if all(each.grown is not None for each in heaps):
        whole, of_all = sum(each.grown or 0 for each in heaps), "of {} since about half of its spans had ended"
    else:
        whole, of_all = sum(each.heap.alive for each in heaps), "of the {} alive of it"
    when = of_all.format(show_bytes(whole))
    rows = by_lines(recording, label)
    of_rows = sum(each.stays for each in rows)
    paths = [each for each in recording.heap_inside(label) if each.line is None]
    if 2 * of_rows < whole and (of_paths := sum(each.stays for each in paths)) > of_rows:
        rows, of_rows = paths, of_paths
    untraced = most = unknown = None
    if 2 * of_rows < whole and rows:
        others = "lines that are not told here, or " if len(rows) >= _ALL_KEPT else ""
        tells = "--heap --calls without a target tells its path"
        untraced = f"{show_bytes(whole - of_rows)} {when}: {others}code that is not traced; {tells}"
    place = rows[0] if rows and rows[0].stays > 0 else None
    if place is not None:
        most = f"{show_bytes(place.stays)} {when}: "
    elif untraced is None:
        unknown = "which line keeps it is not known: a run with --heap --lines, or --heap --calls, tells"
    return Keeper(untraced, most, place, unknown)
