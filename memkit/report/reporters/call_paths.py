"""The call paths: a tree of those that grew most, and the functions that did it."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

import memkit

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator, Sequence

    from rich.text import Text

ORDERS = {
    "own": "the functions that grew most themselves, without what they called",
    "growth": "the functions that grew most, with all that they called",
    "peak": "the functions that were running themselves when memory was highest",
    "calls": "the functions that were called most",
    "time": "the functions that took longest themselves, without what they called",
}
MOST_FUNCTIONS = 15
TREE = (("growth", 11), ("%", 4), ("own", 11), ("peak", 10), ("calls", 10), ("time", 10), ("%", 4))
LIST = (("own", 11), ("%", 4), ("growth", 11), ("own peak", 10), ("calls", 10), ("own time", 10), ("time", 10))


@memkit.hookimpl
def memkit_add_options(parser: memkit.OptionParser) -> None:
    memkit.add_quiet_option(parser)
    memkit.add_call_options(parser)
    parser.add_argument(
        "--csv-calls", metavar="FILE", type=memkit.output_path, help="write the tree of calls as CSV; - is standard output"
    ).one_recording = True


@memkit.hookimpl
def memkit_report(recordings: tuple[memkit.Recording, ...], options: Namespace) -> None:
    """Print tree and list after the summary, on the same stream; write the CSV of the one recording."""
    if options.csv_calls:
        write_csv(recordings[0], options.csv_calls)
    if (stream := memkit.report_stream(options)) is None:
        return
    for recording in recordings:
        if recording.call_tracing is not None:
            show(recording, stream, options, named=len(recordings) > 1)


def show(recording: memkit.Recording, stream: TextIO, options: Namespace, named: bool = False) -> None:
    """Print the tree and the list of one recording, ``named`` where there are several."""
    shown = memkit.chosen_calls(recording, options)
    heading = [_text(), _text((recording.source or recording.about.command, "bold"))] if named else []
    found = page(shown, options.sort, hidden=len(recording.calls) - len(shown.calls))
    memkit.console(stream).print(*heading, *found, sep="\n", markup=False)


def write_csv(recording: memkit.Recording, path: str) -> None:
    """All calls as comma-separated values, one row each."""
    import csv

    with memkit.output(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        sums = ("time_s", "own_time_s", "growth_bytes", "own_growth_bytes", "peak_bytes", "own_peak_bytes")
        writer.writerow(("id", "parent", "file", "function", "line", "thread", "calls", *sums))
        for call in recording.calls:
            function = call.function
            writer.writerow(
                (
                    *(call.id, "" if call.parent is None else call.parent, function.file, function.name, function.line),
                    *(call.thread, call.calls, f"{call.time / 1e9:.9f}", f"{call.own_time / 1e9:.9f}"),
                    *(call.growth, call.own_growth, call.peak, call.own_peak),
                )
            )


def none_known(recording: memkit.Recording) -> str:
    """Why there are no calls in a recording that traced them, in a line."""
    if not recording.ending.complete:
        return "no calls are known: the recording was cut off before any were written"
    return "no calls were traced: nothing of the program ran"


# -- the page ------------------------------------------------------------------------------------------------------


def page(recording: memkit.Recording, sort: str | None = None, hidden: int = 0) -> Iterator[Text]:
    """The tree, the list and what tracing cost, as rich Text, a line each.

    ``hidden`` is how many paths the recording had more before those of libraries were counted with their callers.
    """
    yield _text()
    if not recording.calls:
        yield _text((none_known(recording), "yellow"))
        return
    paths = memkit.transforms.MainPaths(recording.calls, sort)
    yield from tree(paths)
    if hidden:
        where = "counted with these, those of libraries with their callers; --show-all shows libraries"
        yield _text((f"{_count(hidden, 'path')} {where}", "dim"))
    yield _text()
    yield from functions(recording, paths, sort or ("own" if paths.by == "growth" else paths.by))
    yield _text()
    yield _text((cost(recording), "dim"))


def cost(recording: memkit.Recording) -> str:
    """How exact the numbers are and what tracing cost, in one line."""
    tracing, meter = recording.call_tracing, recording.about.meter
    assert tracing is not None, "no calls were traced"
    what = "resident memory, ±0.1 MiB" if meter == "rss" else meter
    reason = f" ({tracing.reason})" if tracing.reason else ""
    took = memkit.units.show_time(tracing.cost)
    return (
        f"gate {tracing.gate}{reason}: {tracing.reads:,} reads for {tracing.events:,} calls; {what}; "
        f"tracing by {tracing.tracer} cost about {took}"
    )


def place(function: memkit.Function) -> str:
    """Where a function is, in short: ``load.py:12``, ``json/__init__.py:299``, ``In [5]:1``; nothing for one in C."""
    if not function.file:
        return ""
    if (name := memkit.Source(function.file).name) != function.file:
        return f"{name}:{function.line}"
    parts = function.file.replace("\\", "/").split("/")
    short = "/".join(parts[-2:] if parts[-1].startswith("__") else parts[-1:])
    return f"{_plain(short)}:{function.line}"


def _plain(text: str) -> str:
    """Text on one line that any stream of UTF-8 takes."""
    return " ".join(memkit.units.show_text(text).split())


def _text(*parts: str | tuple[str, str]) -> Text:
    from rich.text import Text

    text = Text.assemble(*parts)
    text.plain = memkit.units.printable(text.plain)
    return text


def _columns(cells: Sequence[str], columns: tuple[tuple[str, int], ...]) -> str:
    return " ".join(f"{cell:>{width}}" for cell, (_, width) in zip(cells, columns))


def _head(columns: tuple[tuple[str, int], ...]) -> Text:
    return _text((_columns([name for name, _ in columns], columns) + "  function", "dim"))


def _growth(size: int) -> str:
    return memkit.units.show_bytes(size, sign=True) if size else "0"


def _share(part: int, whole: int) -> str:
    """A percentage of at most five characters; empty where the whole is not above 0."""
    if whole <= 0:
        return ""
    percent = round(100 * part / whole)
    return f"{percent}%" if -1000 < percent < 10_000 else ""


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _named(function: memkit.Function, before: str = "") -> tuple[str, str]:
    where = place(function)
    return before + _plain(function.name), f"  {where}" if where else ""


# -- the tree ------------------------------------------------------------------------------------------------------


def title(paths: memkit.transforms.MainPaths) -> str:
    """What the tree shows, in a line."""
    size = memkit.units.show_bytes
    if paths.by == "growth":
        grew = f"grew memory by {size(paths.grown)}" if paths.grown > 0 else "did not grow memory in all"
        peak = f", and the one to the peak of {size(paths.highest)}" if paths.with_the_peak else ""
        return f"calls {grew}; the paths that grew most{peak}"
    noise = memkit.transforms.NOISE
    nothing = f"in all, calls grew memory by less than {size(noise)}; " if paths.nothing_grew else ""
    if paths.by == "peak":
        return f"{nothing}the paths to the highest peak, {size(paths.highest)}"
    return f"{nothing}the paths that took longest, of {memkit.units.show_time(paths.time)}"


def tree(paths: memkit.transforms.MainPaths) -> Iterator[Text]:
    """Title, head and rows as rich Text, and how many paths were left out."""
    yield _text((title(paths), "bold"))
    yield _head(TREE)
    shown = 0
    for depth, call in paths.rows():
        indent = "  " * depth
        if isinstance(call, list):
            shown += len(call)
            own = _growth(sum(each.own_growth for each in call))
            yield _text(
                (_columns(("", "", own, "", "", "", ""), TREE) + f"  {indent}... {len(call):,} calls between", "dim")
            )
            continue
        shown += 1
        name, where = _named(call.function, indent)
        style = "bold yellow" if paths.stands_out(call) else "dim" if call.parent is None else ""
        yield _text((_columns(cells(paths, call), TREE), style), "  ", (name, style), (where, "dim"))
    if left := left_out(paths, shown):
        yield _text((left, "dim"))


def left_out(paths: memkit.transforms.MainPaths, shown: int) -> str:
    """How many paths there are besides those shown, in words; empty where there are none."""
    less = {"growth": "grew by less", "peak": "rose less", "time": "took less"}[paths.by]
    left = paths.count - shown
    return f"and {_count(left, 'path')} more that {less}; --csv-calls and --json have them all" if left else ""


def cells(paths: memkit.transforms.MainPaths, call: memkit.Call) -> tuple[str, ...]:
    """The columns of a row of the tree, in words."""
    size, time = memkit.units.show_bytes, memkit.units.show_time
    sums = _growth(call.growth), _share_of_growth(paths, call.growth), _growth(call.own_growth), size(call.peak)
    return (*sums, f"{call.calls:,}", time(call.time), _share(call.time, paths.time))


def _share_of_growth(paths: memkit.transforms.MainPaths, growth: int) -> str:
    """A growth as a percentage of all; empty where all is too little."""
    return _share(growth, paths.grown if paths.grown >= memkit.transforms.NOISE else 0)


# -- the list ------------------------------------------------------------------------------------------------------


def functions(recording: memkit.Recording, paths: memkit.transforms.MainPaths, sort: str) -> Iterator[Text]:
    """The functions that come first in an order, over all paths, as rich Text."""
    shown, left = memkit.transforms.sorted_functions(recording, sort, MOST_FUNCTIONS)
    size, time = memkit.units.show_bytes, memkit.units.show_time
    yield _text((ORDERS[sort] if shown else "no function grew", "bold"))
    if shown:
        yield _head(LIST)
    for call in shown:
        own = _growth(call.own_growth), _share_of_growth(paths, call.own_growth)
        row = (*own, _growth(call.growth), size(call.own_peak), f"{call.calls:,}", time(call.own_time), time(call.time))
        name, where = _named(call.function)
        style = "bold yellow" if paths.has_much_growth(call) else ""
        yield _text((_columns(row, LIST), style), "  ", (name, style), (where, "dim"))
    if left:
        yield _text((f"and {_count(left, 'function')} more", "dim"))
