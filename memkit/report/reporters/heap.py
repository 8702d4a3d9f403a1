"""The heap: what is alive, what was at the peak, what came and went, and the paths that allocated it."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple, TextIO

import memkit

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Iterable, Iterator

    from rich.text import Text

MOST_PATHS = 5
MOST_FUNCTIONS = 10
MOST_LINES = 8
WHAT = {
    "heap-peak": "allocated most of what was alive at the peak",
    "heap": "allocated most of what is alive at the end",
    "allocated": "allocated most over the whole run",
    "temporary": "allocated most that was temporary",
}
LISTS = ("heap-peak", "heap", "allocated")
LISTS_OF_LINES = ("heap-peak", "heap")
COUNTS: dict[str, dict[str, Callable[[memkit.Heap], str]]] = {
    "heap": {"blocks": lambda heap: f"{heap.blocks - heap.blocks_freed:,}"},
    "allocated": {
        "temporary": lambda heap: memkit.units.show_bytes(heap.temporary),
        "blocks": lambda heap: f"{heap.blocks:,}",
    },
    "temporary": {"blocks": lambda heap: f"{heap.blocks:,}"},
}
"""Further columns of a list. How many blocks there were at the peak is not known."""
ESTIMATES: dict[str, dict[str, Callable[[memkit.Heap], str]]] = {
    "allocated": {"blocks": lambda heap: f"{heap.blocks:,}" + (f" ±{heap.errors.blocks:,.0f}" if heap.errors else "")},
}
"""The same where blocks were sampled."""
PATCHED = "python, c patched"
COUNTED = {
    "python": "Python's allocators",
    "python, c": "Python's allocators and the C library's",
    PATCHED: "Python's allocators and the C library's as libraries call them",
}
UNASKED = "memkit-run --heap counts it"
"""Why the C library's allocators were not counted, where nobody had asked for it."""
ELSEWHERE = "outside of the calls that are traced, and threads that run no Python"
LEAST_SHARE = 0.01
"""A path with a lesser share of the whole is left out, unless it is the first."""
NEAR, LEAST_WIDTH = 0.9, 60
"""From this share of the peak on a balance is called near it; narrower lines are left to the terminal."""
LEAST_LOST = 64 << 10
"""Less than this is not told of what is alive in rows that were lost."""
LEAST_KEPT = 10 << 20
"""Less than this is not told of what resident memory grew by beyond what is alive."""


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
            show(memkit.chosen_calls(recording, options), stream, options.wide, options.sort)


def show(recording: memkit.Recording, stream: TextIO, wide: bool = False, sort: str | None = None) -> None:
    """Print the heap of one recording."""
    memkit.print_rows(stream, lambda width: page(recording, width, sort), wide)


class List(NamedTuple):
    """Rows of one order: their cells, and whether each stands out."""

    title: str
    head: tuple[str, ...]
    rows: list[tuple[tuple[str, ...], bool]]


def page(recording: memkit.Recording, width: int | None = None, sort: str | None = None) -> Iterator[Text]:
    """The total and the lists, as rich Text, a line each. ``width`` is that of a terminal, None elsewhere.

    ``sort`` is a key of ``memkit.heaps`` for a list of functions, None for none.
    """
    yield memkit.styled()
    yield memkit.styled((total(recording), "bold"))
    yield from map(memkit.styled, remarks(recording))
    for title, lines in balances(recording, width):
        yield memkit.styled()
        yield memkit.styled((title, "bold"))
        yield from map(memkit.styled, lines)
    for title, head, rows in lists(recording, sort):
        yield memkit.styled()
        yield memkit.styled((title, "bold"))
        widths = _widths(recording)
        yield memkit.styled((_in_columns(head, widths), "dim"))
        for cells, marked in rows:
            row = memkit.styled((_in_columns((*cells[:-1], ""), widths), "memkit.mark" if marked else ""), cells[-1])
            yield from memkit.cut([row], width)
    yield memkit.styled()
    yield memkit.styled((exactness(recording), "dim"))


WIDTHS, ESTIMATE_WIDTHS = (12, 11), (22, 18)
"""Of a size and of a count: an estimate has its standard error beside it."""


def _widths(recording: memkit.Recording) -> tuple[int, int]:
    return ESTIMATE_WIDTHS if recording.heap and recording.heap.sampled else WIDTHS


def _in_columns(cells: tuple[str, ...], widths: tuple[int, int]) -> str:
    size, share, *counts, what = cells
    return f"{size:>{widths[0]}} {share:>4}" + "".join(f" {count:>{widths[1]}}" for count in counts) + f"  {what}"


def lists(recording: memkit.Recording, sort: str | None = None) -> Iterator[List]:
    """The paths that allocated most, in each order, and the functions if ``sort`` is a key of ``memkit.heaps``."""
    for key in LISTS:
        found = [
            (call.own_heap, _path(call, callers))
            for call, callers in memkit.heaps.largest(recording.calls, key, MOST_PATHS)
            if call.own_heap is not None
        ]
        if _is_by_calls(recording) and recording.heap is not None:
            found.append((recording.heap.elsewhere, ELSEWHERE))
        title = f"the paths that {_what(recording, key)}"
        if (list_of_paths := _list(title, "path", key, found, _heaps(recording))).rows:
            yield list_of_paths
    yield from filter(attrgetter("rows"), (lines_by(recording, key) for key in LISTS_OF_LINES))
    if sort in memkit.heaps.KEYS:
        memkit.heaps.check(recording.calls, sort, "--sort")
        yield functions(recording, sort)


def lines_by(recording: memkit.Recording, key: str) -> List:
    """The lines with all that they called, by a key of ``memkit.heaps``, and what they allocated themselves.

    There are none where heap was not counted by lines.
    """
    size, width = attrgetter(memkit.heaps.KEYS[key]), _widths(recording)[0]
    whole = sum(max(size(heap), 0) for heap in _heaps(recording))
    rows: list[tuple[tuple[str, ...], bool]] = []
    for line in sorted(_lines(recording), key=lambda line: -size(line.heap))[:MOST_LINES]:
        if size(line.heap) >= max(1, whole * LEAST_SHARE):
            sizes = [with_error(size(heap), heap.errors and size(heap.errors)) for heap in (line.heap, line.own_heap)]
            place = memkit.place_of(line.function._replace(line=line.number))
            what = f"{place}  {memkit.units.show_on_a_line(line.function.name)}"
            itself = sizes[1] if size(line.own_heap) else ""
            share = f"{round(100 * size(line.heap) / whole)}%" if whole else ""  # the rows of calls may be lost
            cells = (sizes[0], share, f"{itself:>{width}}", what)
            rows.append((cells, size(line.own_heap) >= whole / 10))
    itself = f"{'itself':>{width}}"
    return List(f"the lines that {_what(recording, key)}, with what they called", ("bytes", "%", itself, "line"), rows)


def _lines(recording: memkit.Recording) -> list[memkit.HeapLine]:
    """The lines of stacks that were sampled, or those that were traced."""
    rows: Iterable[memkit.HeapLine | memkit.Line] = recording.heap_lines or recording.lines
    return [
        memkit.HeapLine(row.function, row.number, row.heap, row.own_heap)
        for row in rows
        if row.heap is not None and row.own_heap is not None
    ]


def _heaps(recording: memkit.Recording) -> list[memkit.Heap]:
    """What all paths have allocated themselves, or all lines where there are no paths, and what is outside of them."""
    by_calls = _is_by_calls(recording)
    rows = recording.calls if by_calls else recording.lines
    heaps = [row.own_heap for row in rows if row.own_heap is not None]
    return [*heaps, recording.heap.elsewhere] if (by_calls or heaps) and recording.heap is not None else heaps


def _is_by_calls(recording: memkit.Recording) -> bool:
    return recording.call_tracing is not None or memkit.heaps.is_sampled(recording.calls)


def functions(recording: memkit.Recording, key: str) -> List:
    """The functions that allocated most over all their paths, by a key of ``memkit.heaps``."""
    found = memkit.heaps.of_functions(recording.calls, key, MOST_FUNCTIONS)
    heaps = [call.own_heap for call in recording.calls if call.own_heap is not None]
    rows = [(heap, f"{memkit.units.show_on_a_line(function.name)}  {memkit.place_of(function)}") for function, heap in found]
    return _list(f"the functions that {_what(recording, key)}", "function", key, rows, heaps)


def _what(recording: memkit.Recording, key: str) -> str:
    """What is said of a list by a key of ``memkit.heaps``."""
    when = memkit.heaps.when(recording)
    return WHAT[key] if key != "heap" or when == "at the end" else f"allocated most of what was alive {when}"


def _list(title: str, column: str, key: str, found: list[tuple[memkit.Heap, str]], heaps: Iterable[memkit.Heap]) -> List:
    """Heaps and the paths or functions that have them, by a key; ``heaps`` are the whole."""
    size = attrgetter(memkit.heaps.KEYS[key])
    heaps = list(heaps)
    whole = sum(max(size(heap), 0) for heap in heaps)
    columns = (ESTIMATES if any(heap.errors is not None for heap in heaps) else COUNTS).get(key, {})
    rows: list[tuple[tuple[str, ...], bool]] = []
    for heap, what in sorted(found, key=lambda pair: -size(pair[0])):
        if size(heap) > 0 and (not rows or size(heap) >= whole * LEAST_SHARE):
            counts = [show(heap) for show in columns.values()]
            shown = with_error(size(heap), None if heap.errors is None else size(heap.errors))
            cells = (shown, f"{round(100 * size(heap) / whole)}%", *counts, what)
            rows.append((cells, size(heap) >= whole / 10))
    return List(title, ("bytes", "%", *columns, column), rows)


def with_error(size: int, error: float | None) -> str:
    """A size, with its standard error if it is an estimate."""
    shown: str = memkit.units.show_bytes(size)
    return shown if error is None else f"{shown} ±{memkit.units.show_bytes(round(error))}"


def exactness(recording: memkit.Recording) -> str:
    """How exact the numbers are, in a line."""
    assert recording.heap is not None, "no heap was counted"
    reason = f" ({UNASKED})" if recording.heap.uncounted == UNASKED else ""
    left = ADDRESSES if recording.heap.counted == PATCHED else f"what libraries take from the C library themselves{reason}"
    uncounted = f"; not in it: {left}" if recording.heap.uncounted or left == ADDRESSES else ""
    if (distance := recording.heap.sampled) is not None:
        return f"sampled, one in {memkit.units.show_bytes(distance)}; ± is one standard error" + SAMPLED + uncounted
    return EXACT + (OF_PATHS if recording.calls else "") + FREE_LISTS + uncounted


ADDRESSES = "what is asked of the C library by addresses that a library, or ctypes, had noted before the recording began"
SAMPLED = "; code that allocated less than about that may be missing; the peak is that of the estimates"
EXACT = "sizes are as the program asked for them, to the byte; the peak can be 2.5 % too low"
OF_PATHS = "; temporary: freed before the call that allocated it had ended, or right after"
FREE_LISTS = "; an object that Python takes from a free list, a dict or a list for one, counts where it was made first"


def total(recording: memkit.Recording) -> str:
    """What was alive in all, in a line."""
    heap = recording.heap
    assert heap is not None, "no heap was counted"
    size = memkit.units.show_bytes
    left = f"; {heap.unbooked:,} blocks could not be counted: there was no memory for it" if heap.unbooked else ""
    counted = COUNTED.get(heap.counted, heap.counted)
    peak = "at the peak" if heap.processes == 1 else f"at the peaks of {heap.processes} processes, whenever each was"
    mapped = f"; {size(heap.mapped)} of what is alive are maps, touched or not" if heap.mapped else ""
    errors = (None, None) if heap.sampled is None else (heap.alive_error, heap.peak_error)
    alive, highest = with_error(heap.alive, errors[0]), with_error(heap.peak, errors[1])
    return f"heap: {alive} alive {memkit.heaps.when(recording)}, {highest} {peak}, of {counted}{mapped}{left}"


def remarks(recording: memkit.Recording) -> Iterator[str]:
    """What has to be known of the total, in a line each: what was not counted, what was lost, and what is kept beyond it."""
    heap = recording.heap
    if heap is not None and (why_not := heap.uncounted) and why_not != UNASKED:
        how = "only counted as libraries call them" if heap.counted == PATCHED else "not counted"
        yield f"the C library's allocators were {how}: {why_not}"
    yield from filter(None, (lost(recording), kept_beyond(recording)))


def lost(recording: memkit.Recording) -> str | None:
    """How far rows and total are apart, since the recording breaks off, in a line; None where that is little."""
    heap = recording.heap
    if heap is None or (recording.ending.complete and not recording.unread):
        return None
    if heap.sampled is None and recording.tracing is None and recording.call_tracing is None:
        return None  # it is by spans
    rows = recording.calls if _is_by_calls(recording) else recording.lines
    known = heap.elsewhere.alive + sum(row.own_heap.alive for row in rows if row.own_heap is not None)
    left = heap.alive - known
    if abs(left) <= max(LEAST_LOST, heap.alive / 100):
        return None
    size = memkit.units.show_bytes
    if left < 0:
        return f"the recording breaks off between sums of one moment: {size(known)} alive by row, {size(heap.alive)} in all"
    return (
        f"{size(left)} of the {size(heap.alive)} alive are of paths or lines that were not written: a kill, or a full disk"
    )


def balances(recording: memkit.Recording, width: int | None = None) -> Iterator[tuple[str, list[str]]]:
    """What resident memory of the recorded process was made of near its peak and at the end: a title, and lines each.

    That of the peak is left out where there was as much at the end. What can be done about a row is said once.
    """
    own = [balance for balance in recording.balances if balance.pid == recording.about.pid]
    at_end = max((_of_program(balance) for balance in own if balance.moment == "end"), default=0)
    shown = [balance for balance in own if balance.moment == "end" or _of_program(balance) * NEAR > at_end]
    highest = max(map(_of_program, shown), default=0)
    said: set[str | None] = set()
    for balance in shown:
        moment = "at the end" if balance.moment == "end" else f"at {memkit.units.show_time(balance.time)}"
        if not balance.rows:
            yield f"what resident memory was made of {moment} is not known: {'; '.join(balance.notes)}", []
            continue
        size = memkit.units.show_bytes
        missed = _of_program(balance) == highest and recording.peak is not None and highest < recording.peak * NEAR
        peak = f"; none was taken near the peak, {size(recording.peak)}" if missed else ""
        share = "" if balance.moment == "end" else _share_of_peak(balance, recording.peak)
        title = f"what resident memory was made of, {moment}: {size(balance.rss)}{share}{peak}"
        rows = []
        for row in balance.rows:
            advice = row.advice and memkit.heaps.HERE.get(row.key, row.advice)
            rows.append(row._replace(advice=None if advice in said else advice))
            said.add(advice)
        lines = balance._replace(rows=tuple(rows)).lines(*([] if width is None else [max(width, LEAST_WIDTH)]))
        yield title, [memkit.units.printable(line) for line in lines]
    if others := len({balance.pid for balance in recording.balances} - {recording.about.pid}):
        processes = "process" if others == 1 else "processes"
        yield f"--json also has what resident memory of {others} other {processes} was made of", []


def _of_program(balance: memkit.Balance) -> int:
    """Resident memory as samples have it, and the peak."""
    return balance.rss - balance.books


def _share_of_peak(balance: memkit.Balance, peak: int | None) -> str:
    if not peak:
        return ""
    without = ", without memkit's tables" if balance.books else ","
    return f"{without} {min(100, 100 * _of_program(balance) // peak)}% of the peak"


def kept_beyond(recording: memkit.Recording) -> str | None:
    """How much more resident memory grew by than what is alive, in a line; None where that is little."""
    heap, growth = recording.heap, recording.growth
    if heap is None or growth is None or heap.processes > 1:
        return None
    beyond = growth - (heap.alive - heap.mapped)
    if beyond < LEAST_KEPT or beyond < growth / 4:
        return None
    size = memkit.units.show_bytes
    but, maps = (" but for maps", "what was touched of the maps, ") if heap.mapped else ("", "")
    allocators = "" if heap.counted == "python, c" else ", or not counted"
    told = any(balance.moment == "end" and balance.rows for balance in recording.balances)
    which = "the balance of the end tells which" if told else "memkit.balance() tells which"
    return (
        f"resident memory grew by {size(growth)}, {size(beyond)} more than what is alive{but}: "
        f"free room that allocators keep, {maps}and code{allocators}; {which}"
    )


def _path(call: memkit.Call, callers: list[memkit.Function]) -> str:
    if call.parent is None:
        return f"{call.function.name}, outside of the calls that are traced"
    names = [call.function, *callers]
    shown = [memkit.units.show_on_a_line(function.name) for function in names]
    if len(shown) > 2 * MOST_PATHS:
        shown[MOST_PATHS:-MOST_PATHS] = [f"... {len(shown) - 2 * MOST_PATHS:,} calls between ..."]
    where = memkit.place_of(call.function)
    return shown[0] + (f"  {where}" if where else "") + "".join(f" < {name}" for name in shown[1:])
