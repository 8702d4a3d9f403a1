"""``--speedscope``: the call paths for https://www.speedscope.app, by what each did itself.

A file has a profile for each of growth, time, rise, peak, and what was freed, since a weight cannot be negative there. It
opens with the one that ``--by`` says.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import memkit

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator, Sequence
    from typing import Any

SCHEMA = "https://www.speedscope.app/file-format-schema.json"
PROFILES = (("growth", "bytes"), ("time", "nanoseconds"), ("rise", "bytes"), ("peak", "bytes"), ("freed", "bytes"))
HEAP_PROFILES = tuple((key, "bytes") for key in memkit.heaps.KEYS)


@memkit.hookimpl
def memkit_add_options(parser: memkit.OptionParser) -> None:
    memkit.add_call_options(parser)
    memkit.add_by_option(parser)
    option = parser.add_argument(
        "--speedscope",
        metavar="FILE",
        type=memkit.output_path,
        help="write the tree of calls for speedscope.app; - is standard output",
    )
    option.one_recording, option.needs = True, "calls"


@memkit.hookimpl
def memkit_report(recording: memkit.Recording, options: Namespace) -> None:
    if not options.speedscope:
        return
    if not recording.calls:
        raise memkit.UsageError("--speedscope has nothing to write: no calls were traced; record with --calls")
    with memkit.output(options.speedscope) as file:
        for piece in document(memkit.chosen_calls(recording, options), memkit.chosen_by(options)):
            file.write(piece)


def document(recording: memkit.Recording, by: str | None = None) -> Iterator[str]:
    """The document in pieces, so that the text of many stacks is never in memory as a whole."""
    frames: dict[memkit.Function, int] = {}
    for call in recording.calls:
        frames.setdefault(call.function, len(frames))
    by = memkit.transforms.picture_by(recording.calls, by)
    profiles = []
    counted = any(call.heap is not None for call in recording.calls)
    sampled = memkit.heaps.is_sampled(recording.calls)
    for name, unit in (*(() if sampled else PROFILES), *(HEAP_PROFILES if counted else ())):
        weights = _weights(recording.calls, name)
        if name in ("growth", "time", by) or (name != "peak" and any(each > 0 for each in weights.values())):
            profiles.append((name, unit, weights))
    head = {
        "$schema": SCHEMA,
        "exporter": f"memkit {memkit.__version__}",
        "name": recording.about.command,
        "activeProfileIndex": [name for name, *_ in profiles].index(by),
        "shared": {"frames": list(map(_frame, frames))},
    }
    yield json.dumps(head)[:-1] + ', "profiles": ['
    for number, (name, unit, weights) in enumerate(profiles):
        yield ", " if number else ""
        yield from _profile(recording, name, unit, frames, weights)
    yield "]}\n"


def _weights(calls: Sequence[memkit.Call], name: str) -> dict[int, int]:
    if name == "freed":
        return {call.id: -call.own_growth for call in calls}
    return memkit.transforms.own_weights(calls, name)


def _frame(function: memkit.Function) -> dict[str, Any]:
    frame: dict[str, Any] = {"name": function.name}
    if function.file:
        frame["file"] = memkit.Source(function.file).name
    if function.file and function.line > 0:
        frame["line"] = function.line
    return frame


def _profile(
    recording: memkit.Recording,
    name: str,
    unit: str,
    frames: dict[memkit.Function, int],
    own: dict[int, int],
) -> Iterator[str]:
    """A sampled profile: for each call with a weight its stack, outermost first, in the order of the tree."""
    weights: list[int] = []
    yield f'{{"type": "sampled", "name": {json.dumps(name)}, "unit": "{unit}", "samples": ['
    for stack, weight in memkit.transforms.stacks(recording, lambda call: own[call.id]):
        yield f"{', ' if weights else ''}{[frames[function] for function in stack]}"
        weights.append(weight)
    yield f'], "weights": {weights}, "startValue": 0, "endValue": {sum(weights)}}}'
