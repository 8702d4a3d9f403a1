"""``--speedscope``: the call paths for https://www.speedscope.app, by what each did itself.

A file has up to three profiles: growth and time, and what was given back, since a weight cannot be negative there.
"""

import json

import memkit

SCHEMA = "https://www.speedscope.app/file-format-schema.json"
MOST_LEVELS = 1000
"""What is deeper counts as the call at this depth: a file of whole stacks grows with the square of their depth."""
PROFILES = (
    ("growth", "bytes", lambda call: call.own_growth),
    ("time", "nanoseconds", lambda call: call.own_time),
    ("given back", "bytes", lambda call: -call.own_growth),
)


@memkit.hookimpl
def memkit_add_options(parser):
    parser.add_argument(
        "--speedscope",
        metavar="FILE",
        type=memkit.output_path,
        help="write the tree of calls for speedscope.app; - is standard output",
    ).one_recording = True


@memkit.hookimpl
def memkit_report(recording, options):
    if not options.speedscope:
        return
    if not recording.calls:
        raise memkit.UsageError("--speedscope has nothing to write: no calls were traced; record with --calls")
    hide, all = getattr(options, "hide", None), getattr(options, "show_all", False)
    with memkit.output(options.speedscope) as file:
        for piece in document(recording.hiding(hide or (), libraries=not all)):
            file.write(piece)


def document(recording):
    """The document, piece by piece: the stacks of many calls are never text all at once."""
    frames = {}
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


def _frame(function):
    frame = {"name": function.name}
    if function.file:
        frame["file"] = memkit.Source(function.file).name
    if function.file and function.line > 0:
        frame["line"] = function.line
    return frame


def _profile(recording, name, unit, frames, weight_of):
    """A sampled profile: for each call with a weight its stack, outermost first, in the order of the tree."""
    weights, stack = [], []
    yield f'{{"type": "sampled", "name": {json.dumps(name)}, "unit": "{unit}", "samples": ['
    for depth, call in recording.walk():
        del stack[depth:]
        stack.append(frames[call.function])
        if (weight := weight_of(call)) > 0:
            yield f"{', ' if weights else ''}{stack[:MOST_LEVELS]}"
            weights.append(weight)
    yield f'], "weights": {weights}, "startValue": 0, "endValue": {sum(weights)}}}'
