"""``--speedscope``: the call paths for https://www.speedscope.app, by what each did itself.

A file has up to three profiles: growth, time, and what was freed, since a weight cannot be negative there.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import memkit

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Iterator
    from typing import Any

SCHEMA = "https://www.speedscope.app/file-format-schema.json"
PROFILES: tuple[tuple[str, str, Callable[[memkit.Call], int]], ...] = (
    ("growth", "bytes", lambda call: call.own_growth),
    ("time", "nanoseconds", lambda call: call.own_time),
    ("freed", "bytes", lambda call: -call.own_growth),
)


@memkit.hookimpl
def memkit_add_options(parser: memkit.OptionParser) -> None:
    memkit.add_call_options(parser)
    parser.add_argument(
        "--speedscope",
        metavar="FILE",
        type=memkit.output_path,
        help="write the tree of calls for speedscope.app; - is standard output",
    ).one_recording = True


@memkit.hookimpl
def memkit_report(recording: memkit.Recording, options: Namespace) -> None:
    if not options.speedscope:
        return
    if not recording.calls:
        raise memkit.UsageError("--speedscope has nothing to write: no calls were traced; record with --calls")
    with memkit.output(options.speedscope) as file:
        for piece in document(memkit.chosen_calls(recording, options)):
            file.write(piece)


def document(recording: memkit.Recording) -> Iterator[str]:
    """The document in pieces, so that the text of many stacks is never in memory as a whole."""
    frames: dict[memkit.Function, int] = {}
    for call in recording.calls:
        frames.setdefault(call.function, len(frames))
    head = {
        "$schema": SCHEMA,
        "exporter": f"memkit {memkit.__version__}",
        "name": recording.about.command,
        "activeProfileIndex": 0,
        "shared": {"frames": list(map(_frame, frames))},
    }
    yield json.dumps(head)[:-1] + ', "profiles": ['
    for number, (name, unit, weight_of) in enumerate(PROFILES):
        if number < 2 or any(weight_of(call) > 0 for call in recording.calls):
            yield ", " if number else ""
            yield from _profile(recording, name, unit, frames, weight_of)
    yield "]}\n"


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
    weight_of: Callable[[memkit.Call], int],
) -> Iterator[str]:
    """A sampled profile: for each call with a weight its stack, outermost first, in the order of the tree."""
    weights: list[int] = []
    yield f'{{"type": "sampled", "name": {json.dumps(name)}, "unit": "{unit}", "samples": ['
    for stack, weight in memkit.transforms.stacks(recording, weight_of):
        yield f"{', ' if weights else ''}{[frames[function] for function in stack]}"
        weights.append(weight)
    yield f'], "weights": {weights}, "startValue": 0, "endValue": {sum(weights)}}}'
