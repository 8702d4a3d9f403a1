"""``--folded``: the call paths as folded stacks, ``a;b;c 123``, for flamegraph.pl, inferno and others.

Weights are bytes of growth, without what was given back; with ``--sort time`` nanoseconds.
"""

import memkit

MOST_LEVELS = 1000
"""What is deeper counts as the call at this depth: a file of whole stacks grows with the square of their depth."""


@memkit.hookimpl
def memkit_add_options(parser):
    parser.add_argument(
        "--folded",
        metavar="FILE",
        type=memkit.output_path,
        help="write folded stacks for flame graphs, by growth, or by time with --sort time; - is standard output",
    ).one_recording = True


@memkit.hookimpl
def memkit_report(recording, options):
    if not options.folded:
        return
    if not recording.calls:
        raise memkit.UsageError("--folded has nothing to write: no calls were traced; record with --calls")
    hide, all = getattr(options, "hide", None), getattr(options, "show_all", False)
    by = "own_time" if getattr(options, "sort", None) == "time" else "own_growth"
    with memkit.output(options.folded) as file:
        for line in stacks(recording.hiding(hide or (), libraries=not all), by):
            file.write(line)


def stacks(recording, by="own_growth"):
    """A line for each call that did something itself, in the order of the tree."""
    names, stack = {}, []
    for depth, call in recording.walk():
        del stack[depth:]
        if call.function not in names:
            names[call.function] = _name(call.function)
        stack.append(names[call.function])
        if (weight := getattr(call, by)) > 0:
            yield f"{';'.join(stack[:MOST_LEVELS])} {weight}\n"


def _name(function):
    """A name on one line and without semicolons, which part the names of a stack."""
    file = memkit.Source(function.file).name.replace("\\", "/").rpartition("/")[2]
    text = f"{function.name} ({file}:{function.line})" if file else function.name
    return " ".join(text.split()).replace(";", ":")
