"""The heap: what is alive, what was at the peak, what came and went, and the paths that allocated it."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

import memkit

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator

    from rich.text import Text

MOST_PATHS = 5
LISTS = {
    "heap-peak": "the paths that allocated most of what was alive at the peak",
    "heap": "the paths that allocated most of what is alive at the end",
    "temporary": "the paths that allocated most of what they freed again, over the whole run",
}
COUNTED = {"python": "Python's allocators", "python, c": "Python's allocators and the C library's"}
ELSEWHERE = "threads that run no Python"
LEAST_SHARE = 0.01
"""A path with a lesser share of the whole is left out, unless it is the first."""


@memkit.hookimpl
def memkit_add_options(parser: memkit.OptionParser) -> None:
    memkit.add_quiet_option(parser)
    memkit.add_wide_option(parser)
    memkit.add_call_options(parser)


@memkit.hookimpl
def memkit_report(recordings: tuple[memkit.Recording, ...], options: Namespace) -> None:
    """Print it after the summary, on the same stream."""
    stream = memkit.report_stream(options)
    for recording in recordings:
        if stream is not None and recording.heap is not None:
            show(memkit.chosen_calls(recording, options), stream, wide=options.wide)


def show(recording: memkit.Recording, stream: TextIO, wide: bool = False) -> None:
    """Print the heap of one recording."""
    memkit.print_rows(stream, lambda width: page(recording, width), wide)


def page(recording: memkit.Recording, width: int | None = None) -> Iterator[Text]:
    """The total and the lists, as rich Text, a line each. ``width`` is that of a terminal, None elsewhere."""
    yield memkit.styled()
    yield memkit.styled((total(recording), "bold"))
    for title, rows in lists(recording):
        yield memkit.styled()
        yield memkit.styled((title, "bold"))
        yield memkit.styled(("{:>12} {:>4} {:>11}  {}".format(*HEAD), "dim"))
        for size, share, blocks, path, marked in rows:
            row = memkit.styled((f"{size:>12} {share:>4} {blocks:>11}", "memkit.mark" if marked else ""), f"  {path}")
            yield from memkit.cut([row], width)
    yield memkit.styled()
    yield memkit.styled((exactness(recording), "dim"))


def lists(recording: memkit.Recording) -> Iterator[tuple[str, list[tuple[str, str, str, str, bool]]]]:
    """The paths that allocated most: the title of each list, and its cells with whether they are marked."""
    for key, title in LISTS.items():
        found = [
            (memkit.heaps.own(call, key), "" if call.own_heap is None else f"{call.own_heap.blocks:,}", _path(call, callers))
            for call, callers in memkit.heaps.largest(recording.calls, key, MOST_PATHS)
        ]
        whole = sum(memkit.heaps.own(call, key) for call in recording.calls)
        if recording.calls and recording.heap is not None:
            elsewhere = recording.heap.elsewhere
            size = getattr(elsewhere, memkit.heaps.KEYS[key])
            whole += size
            found = sorted([*found, (size, f"{elsewhere.blocks:,}", ELSEWHERE)], key=lambda row: -row[0])
        rows = [
            (memkit.units.show_bytes(size), f"{round(100 * size / whole)}%", blocks, path, size >= whole / 10)
            for place, (size, blocks, path) in enumerate(found)
            if size > 0 and (not place or size >= whole * LEAST_SHARE)
        ]
        if rows:
            yield title, rows


def exactness(recording: memkit.Recording) -> str:
    """How exact the numbers are, in a line."""
    assert recording.heap is not None, "no heap was counted"
    why_not = recording.heap.uncounted
    uncounted = f"; not in it: what libraries take from the C library themselves ({why_not})" if why_not else ""
    return EXACT + (OF_PATHS if recording.calls else "") + uncounted


HEAD = ("bytes", "%", "blocks", "path")
EXACT = "sizes are as the program asked for them, to the byte; the peak can be 2.5 % too low"
OF_PATHS = "; blocks: all that the path allocated"


def total(recording: memkit.Recording) -> str:
    """What was alive in all, in a line."""
    heap = recording.heap
    assert heap is not None, "no heap was counted"
    size = memkit.units.show_bytes
    left = f"; {heap.unbooked:,} blocks could not be counted: there was no memory for it" if heap.unbooked else ""
    counted = COUNTED.get(heap.counted, heap.counted)
    peak = "at the peak" if heap.processes == 1 else f"at the peaks of {heap.processes} processes, whenever each was"
    mapped = f"; {size(heap.mapped)} of what is alive are maps, touched or not" if heap.mapped else ""
    return f"heap: {size(heap.alive)} alive at the end, {size(heap.peak)} {peak}, of {counted}{mapped}{left}"


def _path(call: memkit.Call, callers: list[memkit.Function]) -> str:
    if call.parent is None:
        return f"{call.function.name}, outside of the calls that are traced"
    names = [call.function, *callers]
    shown = [memkit.units.show_on_a_line(function.name) for function in names]
    if len(shown) > 2 * MOST_PATHS:
        shown[MOST_PATHS:-MOST_PATHS] = [f"... {len(shown) - 2 * MOST_PATHS:,} calls between ..."]
    where = memkit.place_of(call.function)
    return shown[0] + (f"  {where}" if where else "") + "".join(f" < {name}" for name in shown[1:])
