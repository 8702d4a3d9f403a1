"""What a page says of processes that did a program's work in spans: workers of Dask, Ray and Celery, or those of a pool."""

from __future__ import annotations

import re
from collections import Counter
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from memkit.model.machines import machine_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from memkit.model.recording import Process, Recording, Sample, Span
    from memkit.model.span_sums import SpanSums

_MOST_RUNNING = 5
"""Spans that are named of those that were open at once in a process."""
_MOST_LABELS = 500


def workers(recording: Recording) -> dict[str, Any] | None:
    """The workers by their places among the processes, and the labels of what they ran; None where only one process ran it.

    A worker is a process that ran spans, or one of the same command up to its first digit.
    """
    places = _Places(recording.processes)
    spans: dict[int, list[Span]] = {}
    for span in recording.spans:
        spans.setdefault(places.of(span), []).append(span)
    if set(spans) <= {0}:  # those of the first process alone are on the overview
        return None
    kinds = {_kind(recording.processes[place]) for place in spans if place}
    rows = [
        _worker(place, process, lane, spans.get(place, []))
        for place, (process, lane) in enumerate(recording.lanes)
        if place in spans or (place and _kind(process) in kinds)
    ]
    rows.sort(key=lambda row: -row["peak"])
    alike = Counter((row["name"], row["machine"]) for row in rows)
    for row in rows:
        if alike[row["name"], row["machine"]] > 1:
            row["name"] += f" ({recording.processes[row['place']].pid})"
    return {"rows": rows, "labels": _labels(recording, places)}


class _Places:
    """Which process a span was in: one PID may be that of several, one after the other."""

    def __init__(self, processes: Iterable[Process]) -> None:
        self._began: dict[int, list[tuple[int, int]]] = {}
        for place, process in enumerate(processes):
            self._began.setdefault(process.pid, []).append((process.started, place))
        for lives in self._began.values():
            lives.sort()

    def of(self, span: Span) -> int:
        """The place of its process."""
        lives = self._began.get(span.process, ()) if span.process is not None else ()
        return next((place for began, place in reversed(lives) if began <= span.start), lives[0][1] if lives else 0)


def _kind(process: Process) -> str:
    return re.split(r"\d", process.what, maxsplit=1)[0]


def _worker(place: int, process: Process, lane: tuple[Sample, ...], spans: list[Span]) -> dict[str, Any]:
    """A worker: its peak, and what it ran between the two samples around that."""
    at = max(range(len(lane)), key=lambda each: lane[each].peak, default=None)
    if at is None:
        top, moment, ran = 0, None, []
    else:
        top, moment = lane[at].peak, lane[at].time
        since = lane[at - 1].time if at else process.started
        ran = [span for span in spans if span.start <= moment and (span.end is None or span.end >= since)]
    machine = machine_of(process.command)
    return {
        "place": place,
        "machine": machine,
        "name": process.title.removesuffix(f" on machine {machine}") if machine else process.title,
        "peak": top,
        "at": moment,
        "ran": _told(ran),
        "left": _told(span for span in spans if span.end is None) if process.ending.failed else [],
        "died": process.ending.failed,
    }


def _told(spans: Iterable[Span]) -> list[str]:
    """What spans are called, those first that were highest; alike ones once with their number."""
    found = list(Counter(span.label for span in sorted(spans, key=attrgetter("peak"), reverse=True)).items())
    shown = [label if number == 1 else f"{label} ({number:,} times)" for label, number in found[:_MOST_RUNNING]]
    return [*shown, *([f"{len(found) - len(shown):,} more"] if len(found) > len(shown) else [])]


def _labels(recording: Recording, places: _Places) -> list[dict[str, Any]]:
    """The spans of each label, of some that none has ended: those first that rose highest, by their own heap if counted."""
    worst: dict[str, Span] = {}
    for span in recording.spans:
        before = worst.get(span.label)
        if before is None or _height(span) > _height(before):
            worst[span.label] = span
    sums = {each.label: each for each in recording.span_sums}
    rows = [_label(label, sums.get(label), worst.get(label), places) for label in {**sums, **worst}]
    return sorted(rows, key=lambda row: -(row["heap"] or row["rise"] or 0))[:_MOST_LABELS]


def _height(span: Span) -> int:
    return span.rise if span.heap_peak is None else span.heap_peak


def _label(label: str, sums: SpanSums | None, worst: Span | None, places: _Places) -> dict[str, Any]:
    def all_of(measure: str, what: str) -> Any:
        return getattr(getattr(sums, measure, None), what, None)

    highest = [each for each in (all_of("rise", "worst"), worst and worst.rise) if each is not None]
    key = None if worst is None else dict(worst.attributes).get("key")
    return {
        "label": label,
        "number": 0 if sums is None else sums.number,
        "overlapped": 0 if sums is None else sums.overlapped,
        "time": all_of("time", "total"),
        "rise": max(highest, default=None),
        "median": all_of("rise", "median"),
        "growth": all_of("growth", "total"),
        "heap": all_of("heap_peak", "worst"),
        "kept": all_of("kept", "total"),
        "worst": worst and {"place": places.of(worst), "at": worst.start, "key": None if key is None else str(key)},
    }
