"""``--folded``: the call paths as folded stacks, ``a;b;c 123``, for flamegraph.pl, inferno and others.

Weights are bytes of growth, without what was freed, or what ``--by`` says: bytes of the rise or the peak, or nanoseconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import memkit

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator


@memkit.hookimpl
def memkit_add_options(parser: memkit.OptionParser) -> None:
    memkit.add_call_options(parser)
    memkit.add_by_option(parser)
    option = parser.add_argument(
        "--folded",
        metavar="FILE",
        type=memkit.output_path,
        help="write folded stacks for flame graphs, by growth or what --by says; - is standard output",
    )
    option.one_recording, option.needs = True, "calls"


@memkit.hookimpl
def memkit_report(recording: memkit.Recording, options: Namespace) -> None:
    if not options.folded:
        return
    if not recording.calls:
        raise memkit.UsageError("--folded has nothing to write: no calls were traced; record with --calls")
    with memkit.output(options.folded) as file:
        for line in lines(memkit.chosen_calls(recording, options), memkit.chosen_by(options)):
            file.write(line)


def lines(recording: memkit.Recording, by: str | None = None) -> Iterator[str]:
    """A line for each call that did something itself, in the order of the tree."""
    names: dict[memkit.Function, str] = {}
    own = memkit.transforms.own_weights(recording.calls, memkit.transforms.picture_by(recording.calls, by))
    for stack, weight in memkit.transforms.stacks(recording, lambda call: own[call.id]):
        for function in stack:
            if function not in names:
                names[function] = _name(function)
        yield f"{';'.join(map(names.__getitem__, stack))} {weight}\n"


def _name(function: memkit.Function) -> str:
    """A name on one line and without semicolons, which part the names of a stack."""
    file = memkit.Source(function.file).name.replace("\\", "/").rpartition("/")[2]
    text = f"{function.name} ({file}:{function.line})" if file else function.name
    return memkit.units.show_on_a_line(text).replace(";", ":")
