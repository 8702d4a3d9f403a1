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
    "rise": "the functions that rose most above what there was when they began",
    "peak": "the functions that were running themselves when memory was highest",
    "calls": "the functions that were called most",
    "time": "the functions that took longest themselves, without what they called",
}
LEFT_OUT_FIRST, LEAST_NAME = ("time", "own time", "calls", "peak", "own peak"), 30
"""The columns that a narrow terminal goes without, so that there is room for so many characters of a name."""
MOST_FUNCTIONS = 15
MOST_RISEN = 5
RISE = ("rise", 10)
TREE = (("growth", 11), ("%", 4), ("own", 11), RISE, ("peak", 10), ("calls", 10), ("time", 10), ("%", 4))
LIST = (("own", 11), ("%", 4), ("growth", 11), RISE, ("own peak", 10), ("calls", 10), ("own time", 10), ("time", 10))


@memkit.hookimpl
def memkit_add_options(parser: memkit.OptionParser) -> None:
    memkit.add_quiet_option(parser)
    memkit.add_wide_option(parser)
    memkit.add_call_options(parser)
    option = parser.add_argument(
        "--csv-calls", metavar="FILE", type=memkit.output_path, help="write the tree of calls as CSV; - is standard output"
    )
    option.one_recording, option.needs = True, "calls"


@memkit.hookimpl
def memkit_report(recordings: tuple[memkit.Recording, ...], options: Namespace) -> None:
    """Print tree and list after the summary, on the same stream; write the CSV of the one recording."""
    sampled = memkit.heaps.is_sampled(recordings[0].calls)
    if options.csv_calls and recordings[0].call_tracing is None and not sampled:
        raise memkit.UsageError("--csv-calls has nothing to write: no calls were traced; record with --calls")
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
    name = recording.source or recording.about.command
    heading = [memkit.styled(), memkit.styled((name, "bold"))] if named else []
    hidden = len(recording.calls) - len(shown.calls)
    memkit.print_rows(stream, lambda width: [*heading, *page(shown, options.sort, hidden, width)], options.wide)


def write_csv(recording: memkit.Recording, path: str) -> None:
    """All calls as comma-separated values, one row each."""
    import csv

    with memkit.output(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        sums = ("time_s", "own_time_s", "growth_bytes", "own_growth_bytes", "peak_bytes", "own_peak_bytes")
        rises = ("rise_bytes", "rises_bytes", "about_bytes")
        heap = (*memkit.heaps.COLUMNS, *memkit.heaps.ERROR_COLUMNS)
        writer.writerow(("id", "parent", "file", "function", "line", "thread", "calls", *sums, *rises, *heap))
        cell = memkit.units.csv_cell
        for call in recording.calls:
            function = call.function
            writer.writerow(
                (
                    *(call.id, "" if call.parent is None else call.parent),
                    *(cell(function.file), cell(function.name), function.line),
                    *(call.thread, call.calls, f"{call.time / 1e9:.9f}", f"{call.own_time / 1e9:.9f}"),
                    *(call.growth, call.own_growth, call.peak, call.own_peak),
                    *(call.rise, call.rises, call.about, *memkit.heaps.cells(call.heap)),
                )
            )


def none_known(recording: memkit.Recording) -> str:
    """Why there are no calls in a recording that traced them, in a line."""
    if not recording.ending.complete:
        return "no calls are known: the recording was cut off before any were written"
    if recording.calls:
        return "no calls were traced: nothing was called of what --calls names, or of the program"
    return "no calls were traced: nothing of the program ran"


# -- the page ------------------------------------------------------------------------------------------------------


def page(recording: memkit.Recording, sort: str | None = None, hidden: int = 0, width: int | None = None) -> Iterator[Text]:
    """The tree, the list and what tracing cost, as rich Text, a line each.

    ``hidden`` is how many paths the recording had more before those of libraries were counted with their callers.
    ``width`` is that of a terminal, where a row goes no further; None elsewhere.
    """
    yield memkit.styled()
    if not recording.calls or (not hidden and all(call.parent is None for call in recording.calls)):
        yield memkit.styled((none_known(recording), "memkit.remark"))
        return
    paths = memkit.transforms.MainPaths(recording.calls, sort)
    columns = narrowed(columns_of(recording, TREE), width)
    yield from memkit.cut(tree(paths, columns), width)
    if hidden:
        where = "counted with these, those of libraries with their callers; --show-all shows libraries"
        yield memkit.styled((f"{_count(hidden, 'path')} {where}", "dim"))
    if (added := at_once(recording, paths)) and ("time", 0) not in columns:
        yield from memkit.cut([memkit.styled((added, "dim"))], width)
    yield memkit.styled()
    by = sort if sort in ORDERS else "own" if paths.by == "growth" else paths.by  # the heap has a list of its own
    yield from memkit.cut(functions(recording, paths, by, width), width)
    if risen := most_risen(recording):
        yield memkit.styled()
        yield memkit.styled((MOST_RISEN_TITLE, "bold"))
        yield from memkit.cut((memkit.styled((f"{size:>12}", "memkit.mark"), f"  {words}") for size, words in risen), width)
    if told := list(kinds(recording)):
        yield memkit.styled()
        yield from memkit.cut(map(memkit.styled, told), width)
    yield memkit.styled()
    yield memkit.styled((cost(recording), "dim"))
    if narrowed(TREE, width) != TREE:
        yield memkit.styled(("rows are cut to the width of the terminal; --wide shows all of them", "dim"))


MOST_RISEN_TITLE = "the calls that rose most themselves, above what there was when they began"


def most_risen(recording: memkit.Recording) -> list[tuple[str, str]]:
    """The calls that rose most, as (size, name and place)."""
    found = memkit.transforms.most_risen_calls(recording.calls, MOST_RISEN)
    callers = {call.id: call for call in recording.calls}
    return [(memkit.units.show_bytes(call.rise), _called(call, callers)) for call in found]


def _called(call: memkit.Call, callers: dict[int, memkit.Call]) -> str:
    """The name and place of a function, and who called it unless that is the root of a thread."""
    caller = None if call.parent is None else callers[call.parent]
    by = f", called by {_plain(caller.function.name)}" if caller is not None and caller.parent is not None else ""
    return "".join(_named(call.function)) + by


def kinds(recording: memkit.Recording) -> Iterator[str]:
    """What stayed, what was held for a while and what came and went, in a line each."""
    callers = {call.id: call for call in recording.calls}
    for kind in memkit.kinds.kinds_of_calls(recording.calls, recording):
        assert isinstance(kind.what, memkit.Call)
        yield f"{kind.words}; {_called(kind.what, callers)}"
    if (why := memkit.kinds.unknown(recording)) is not None:
        yield why


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


def _plain(text: str) -> str:
    """Text on one line that any stream of UTF-8 takes."""
    return memkit.units.show_on_a_line(text)


def columns_of(recording: memkit.Recording, columns: tuple[tuple[str, int], ...]) -> tuple[tuple[str, int], ...]:
    """Those of the columns that are known: in an old file no rises are."""
    known = any(call.rise is not None for call in recording.calls)
    return tuple(column for column in columns if known or column is not RISE)


def narrowed(columns: tuple[tuple[str, int], ...], width: int | None) -> tuple[tuple[str, int], ...]:
    """The same with a width of 0 for those that a narrow terminal has no room for."""
    found = list(columns)
    for name in LEFT_OUT_FIRST:
        if width is None or width - sum(wide + 1 for _, wide in found if wide) >= LEAST_NAME:
            break
        for place, (each, _) in enumerate(columns):
            of_time = each == "%" and name == "time" == columns[place - 1][0]
            if each == name or of_time:
                found[place] = each, 0
    return tuple(found)


def _columns(cells: Sequence[str], columns: tuple[tuple[str, int], ...]) -> str:
    return " ".join(f"{cell:>{width}}" for cell, (_, width) in zip(cells, columns) if width)


def _head(columns: tuple[tuple[str, int], ...]) -> Text:
    return memkit.styled((_columns([name for name, _ in columns], columns) + "  function", "dim"))


def _growth(size: int) -> str:
    return memkit.units.show_bytes(size, sign=True) if size else "0"


def _rise(call: memkit.Call, columns: tuple[tuple[str, int], ...]) -> tuple[str, ...]:
    return (memkit.units.show_bytes(call.rise) if call.rise != 0 else "0",) if RISE in columns else ()


def _share(part: int, whole: int) -> str:
    """A percentage of at most five characters; empty where the whole is not above 0."""
    if whole <= 0:
        return ""
    percent = round(100 * part / whole)
    return f"{percent}%" if -1000 < percent < 10_000 else ""


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _named(function: memkit.Function, before: str = "") -> tuple[str, str]:
    where = memkit.place_of(function)
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
    if paths.by == "rise":
        return f"the paths that rose most, by {size(paths.most_risen)}"
    if paths.by == "peak":
        return f"{nothing}the paths to the highest peak, {size(paths.highest)}"
    return f"{nothing}the paths that took longest, of {memkit.units.show_time(paths.time)}"


def tree(paths: memkit.transforms.MainPaths, columns: tuple[tuple[str, int], ...] = TREE) -> Iterator[Text]:
    """Title, head and rows as rich Text, and how many paths were left out."""
    yield memkit.styled((title(paths), "bold"))
    yield _head(columns)
    shown = 0
    for depth, call in paths.rows():
        indent = "  " * depth
        if isinstance(call, list):
            shown += len(call)
            own = _growth(sum(each.own_growth for each in call))
            yield memkit.styled(
                (
                    _columns(("", "", own, *[""] * (len(columns) - 3)), columns)
                    + f"  {indent}... {len(call):,} calls between",
                    "dim",
                )
            )
            continue
        shown += 1
        name, where = _named(call.function, indent)
        where = "  handed over" if call.handed else where
        style = "memkit.mark" if paths.stands_out(call) else "dim" if call.parent is None else ""
        yield memkit.styled((_columns(cells(paths, call, columns), columns), style), "  ", (name, style), (where, "dim"))
    if left := left_out(paths, shown):
        yield memkit.styled((left, "dim"))


def left_out(paths: memkit.transforms.MainPaths, shown: int) -> str:
    """How many paths there are besides those shown, in words; empty where there are none."""
    less = {"growth": "grew by less", "rise": "rose less", "peak": "rose less", "time": "took less"}[paths.by]
    left = paths.count - shown
    return f"and {_count(left, 'path')} more that {less}; --csv-calls and --json have them all" if left else ""


def at_once(recording: memkit.Recording, paths: memkit.transforms.MainPaths) -> str:
    """What the times are, in words, where they add up to more than the run; empty elsewhere."""
    several = len({(call.thread, call.process) for call in recording.calls}) > 1
    if not several or paths.time <= recording.duration:
        return ""
    time, who = memkit.units.show_time, "threads and processes" if len(recording.processes) > 1 else "threads"
    whole, run = time(paths.time), time(recording.duration)
    return f"time adds up {who} that ran or waited at once: {whole} in a run of {run}"


def cells(paths: memkit.transforms.MainPaths, call: memkit.Call, columns: tuple[tuple[str, int], ...]) -> tuple[str, ...]:
    """The columns of a row of the tree, in words."""
    size, time = memkit.units.show_bytes, memkit.units.show_time
    sums = _growth(call.growth), _share_of_growth(paths, call.growth), _growth(call.own_growth)
    times = time(call.time), _share(call.time, paths.time)
    return (*sums, *_rise(call, columns), size(call.peak), f"{call.calls:,}", *times)


def _share_of_growth(paths: memkit.transforms.MainPaths, growth: int) -> str:
    """A growth as a percentage of all; empty where all is too little."""
    return _share(growth, paths.grown if paths.grown >= memkit.transforms.NOISE else 0)


# -- the list ------------------------------------------------------------------------------------------------------


def functions(
    recording: memkit.Recording, paths: memkit.transforms.MainPaths, sort: str, width: int | None = None
) -> Iterator[Text]:
    """The functions that come first in an order, over all paths, as rich Text."""
    shown, left = memkit.transforms.sorted_functions(recording, sort, MOST_FUNCTIONS)
    size, time = memkit.units.show_bytes, memkit.units.show_time
    columns = narrowed(columns_of(recording, LIST), width)
    yield memkit.styled((ORDERS[sort] if shown else "no function rose" if sort == "rise" else "no function grew", "bold"))
    if shown:
        yield _head(columns)
    for call in shown:
        own = _growth(call.own_growth), _share_of_growth(paths, call.own_growth)
        sums = (*own, _growth(call.growth), *_rise(call, columns), size(call.own_peak))
        row = (*sums, f"{call.calls:,}", time(call.own_time), time(call.time))
        name, where = _named(call.function)
        style = "memkit.mark" if paths.has_much_growth(call) else ""
        yield memkit.styled((_columns(row, columns), style), "  ", (name, style), (where, "dim"))
    if left:
        yield memkit.styled((f"and {_count(left, 'function')} more", "dim"))
