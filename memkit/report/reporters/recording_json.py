"""``--json``: a whole recording as one document. Times are nanoseconds since its beginning, sizes bytes, unknowns null."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import memkit

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterable, Iterator
    from typing import Any

FORMAT = 1


@memkit.hookimpl
def memkit_add_options(parser: memkit.OptionParser) -> None:
    parser.add_argument(
        "--json", metavar="FILE", type=memkit.output_path, help="write the whole recording as JSON; - is standard output"
    ).one_recording = True


@memkit.hookimpl
def memkit_report(recording: memkit.Recording, options: Namespace) -> None:
    if not options.json:
        return
    with memkit.output(options.json) as file:
        for piece in document(recording):
            file.write(piece)


def document(recording: memkit.Recording) -> Iterator[str]:
    """The document in pieces, so that the text of a long run is never in memory as a whole."""
    head = {
        "format": FORMAT,
        "about": recording.about._asdict(),
        "ending": _ending(recording.ending),
        "cost": recording.cost._asdict(),
        "unread": recording.unread,
        "duration": recording.duration,
        "start": recording.start,
        "end": recording.end,
        "growth": recording.growth,
        "peak": recording.peak,
        "peak_is_exact": recording.peak_is_exact,
        "processes": [{**process._asdict(), "ending": _ending(process.ending)} for process in recording.processes],
        "lines": [{**line._asdict(), "function": line.function._asdict()} for line in recording.lines],
        "tracing": recording.tracing and {**recording.tracing._asdict(), "cost": recording.tracing.cost},
        "call_tracing": recording.call_tracing and {**recording.call_tracing._asdict(), "cost": recording.call_tracing.cost},
        "limits": [
            {**limit._asdict(), "left": limit.left, "level": recording.level(limit), "left_at_peak": recording.left(limit)}
            for limit in recording.limits
        ],
        "crossings": [_crossing(recording, crossing) for crossing in recording.crossings],
        "oom_kills": recording.oom_kills,
        "glance": recording.glance and {"time": recording.glance.time, "stacks": _stacks(recording.glance.stacks)},
        "summed": recording.summed,
        "summed_reason": recording.summed_reason,
        "seen": recording.seen,
        "seen_reason": recording.seen_reason,
        "total_peak": recording.highest_total and recording.highest_total.memory,
        "spans": [{**span._asdict(), "growth": span.growth} for span in recording.spans],
    }
    yield json.dumps(head, indent=1)[:-2]
    yield from _array("calls", ({**call._asdict(), "function": call.function._asdict()} for call in recording.calls))
    yield from _array("totals", (total._asdict() for total in recording.totals))
    yield from _array("samples", (sample._asdict() for sample in recording.samples))
    yield from _array("others", (sample._asdict() for sample in recording.others))
    yield "\n}\n"


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
    return {**ending._asdict(), "text": str(ending)}
