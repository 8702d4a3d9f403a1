"""A recording as one JSON document: what ``--json`` writes, and what a page holds.

Times are nanoseconds since its beginning, sizes bytes, unknowns null. ``memkit.model.from_document`` reads it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from memkit.model.from_document import FORMAT
from memkit.model.span_sums import Spread, leaks

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    import memkit


def document(recording: memkit.Recording) -> Iterator[str]:
    """The document in pieces, so that the text of a long run is never in memory as a whole."""
    head = {
        "format": FORMAT,
        "about": recording.about._asdict(),
        "ending": _ending(recording.ending),
        "cost": recording.cost._asdict(),
        "heap": recording.heap and {**recording.heap._asdict(), "elsewhere": _of_heap(recording.heap.elsewhere)},
        "balances": [balance.as_dict() for balance in recording.balances],
        "size": recording.size,
        "unread": recording.unread,
        "greenlets": recording.greenlets,
        "duration": recording.duration,
        "start": recording.start,
        "end": recording.end,
        "growth": recording.growth,
        "peak": recording.peak,
        "peak_is_exact": recording.peak_is_exact,
        "processes": [_process(process) for process in recording.processes],
        "executed": [{"time": moment, "command": command} for moment, command in recording.executed],
        "sources": dict(recording.sources),
        "lines": [_line(line) for line in recording.lines],
        "heap_lines": [_line(line) for line in recording.heap_lines],
        "tracing": recording.tracing and {**recording.tracing._asdict(), "cost": recording.tracing.cost},
        "call_tracing": recording.call_tracing and {**recording.call_tracing._asdict(), "cost": recording.call_tracing.cost},
        "limits": [_limit(recording, limit) for limit in recording.limits],
        "group": [each._asdict() for each in recording.group],
        "mapped": recording.mapped,
        "crossings": [_crossing(recording, crossing) for crossing in recording.crossings],
        "oom_kills": recording.oom_kills and str(recording.oom_kills),
        "oom_kills_evidence": _evidence(recording.oom_kills),
        "glance": recording.snapshot and {**recording.snapshot._asdict(), "stacks": _stacks(recording.snapshot.stacks)},
        "summed": recording.summed,
        "summed_reason": recording.summed_reason,
        "seen": recording.seen,
        "seen_reason": recording.seen_reason,
        "total_peak": recording.together,
        "unrecorded": [each._asdict() for each in recording.unrecorded],
        "waited_for": recording.waited_for,
        "spans": [_span(span) for span in recording.spans],
        "span_sums": _span_sums(recording.span_sums),
        "span_heaps": [_span_heap(each) for each in recording.span_heaps],
    }
    yield json.dumps(head, indent=1)[:-2]
    yield from _array("calls", map(_call, recording.calls))
    yield from _array("totals", (total._asdict() for total in recording.totals))
    yield from _array("samples", (sample._asdict() for sample in recording.samples))
    yield from _array("others", (sample._asdict() for sample in recording.others))
    yield "\n}\n"


def _limit(recording: memkit.Recording, limit: memkit.Limit) -> dict[str, Any]:
    return {**limit._asdict(), "left": limit.left, "level": recording.level(limit), "left_at_peak": recording.left(limit)}


def _process(process: memkit.Process) -> dict[str, Any]:
    return {**process._asdict(), "ending": _ending(process.ending), "title": process.title}


def _line(line: memkit.Line | memkit.HeapLine) -> dict[str, Any]:
    return {**line._asdict(), **_heaps(line), "function": line.function._asdict()}


def _call(call: memkit.Call) -> dict[str, Any]:
    alone = call.alone and {"rise": call.alone[0], "rises": call.alone[1]}
    handed = call.handed and {"home": call.handed.home, "root": call.handed.root._asdict()}
    return {**call._asdict(), "function": call.function._asdict(), "handed": handed, "alone": alone, **_heaps(call)}


def _span(span: memkit.Span) -> dict[str, Any]:
    known = {"attributes": dict(span.attributes), "growth": span.growth, "rise": span.rise, "kept": span.kept}
    inside = [{**each._asdict(), "path": [function._asdict() for function in each.path]} for each in span.inside]
    return {**span._asdict(), **known, "inside": inside}


def _span_heap(found: memkit.SpanHeap) -> dict[str, Any]:
    inside = [
        {**each._asdict(), "path": [function._asdict() for function in each.path], "heap": _of_heap(each.heap)}
        for each in found.inside
    ]
    return {**found._asdict(), "heap": _of_heap(found.heap), "inside": inside}


def _span_sums(found: tuple[memkit.SpanSums, ...]) -> list[dict[str, Any]]:
    leaking = {sums.label: leak._asdict() for sums, leak in leaks(found)}
    return [
        {name: _spread(value) for name, value in sums._asdict().items()} | {"leak": leaking.get(sums.label)}
        for sums in found
    ]


def _spread(value: Any) -> Any:
    """A value of sums; a spread with its quantiles."""
    return {**value._asdict(), "median": value.median, "p95": value.p95} if isinstance(value, Spread) else value


def _heaps(row: memkit.Line | memkit.Call | memkit.HeapLine) -> dict[str, Any]:
    of_heap = {"heap": row.heap, "own_heap": row.own_heap}
    return {key: heap and _of_heap(heap) for key, heap in of_heap.items()}


def _of_heap(heap: memkit.Heap) -> dict[str, Any]:
    return {**heap._asdict(), "alive": heap.alive, "errors": heap.errors and heap.errors._asdict()}


def _crossing(recording: memkit.Recording, crossing: memkit.Crossing) -> dict[str, Any]:
    return {**crossing._asdict(), "share": recording.share(crossing), "stacks": _stacks(crossing.stacks)}


def _stacks(stacks: Iterable[memkit.Stack]) -> list[dict[str, Any]]:
    return [{**stack._asdict(), "frames": [frame._asdict() for frame in stack.frames]} for stack in stacks]


def _array(key: str, objects: Iterable[dict[str, Any]]) -> Iterator[str]:
    """A key of the document and its array, an object a line."""
    yield f',\n "{key}": ['
    for number, each in enumerate(objects):
        yield (",\n  " if number else "\n  ") + json.dumps(each)
    yield "\n ]"


def _ending(ending: memkit.Ending) -> dict[str, Any]:
    evidence = ending.out_of_memory
    return {
        **ending._asdict(),
        "out_of_memory": str(evidence) if evidence else None,
        "evidence": _evidence(evidence),
        "limit": _set_limit(ending.limit),
        "text": str(ending),
    }


def _evidence(evidence: memkit.OutOfMemory | None) -> dict[str, Any] | None:
    if evidence is None:
        return None
    limits = [limit._asdict() for limit in evidence.limits]
    return {**evidence._asdict(), "limits": limits, "set": _set_limit(evidence.set)}


def _set_limit(limit: memkit.SetLimit | None) -> dict[str, Any] | None:
    return None if limit is None else {**limit._asdict(), "limit": limit.limit and limit.limit._asdict()}
