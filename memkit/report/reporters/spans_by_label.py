"""The table of spans by label: what each keeps, how high it rises, by which lines, which leak and which have spikes."""

from __future__ import annotations

import os
from itertools import pairwise
from operator import attrgetter

import memkit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Iterator

    from rich.text import Text

MOST_LABELS = 20
MANY = 10
"""Spans of a label from which on there is a table of labels."""
_WIDE = 110
_SPIKE, _LEAST_SPIKE = 8, 4 << 20  # times the median, and bytes above it
_MOST_NOTED = 5
_BLOCKS = 6  # of which each grew, where a label is said to be worth another look
_MOST_STEPS, _LONGEST_SOURCE = 3, 80
_SURE = 1_000_000  # cases in which chance is not spoken of any more


@memkit.hookimpl
def memkit_add_options(parser: memkit.OptionParser) -> None:
    memkit.add_quiet_option(parser)
    memkit.add_wide_option(parser)


@memkit.hookimpl
def memkit_report(recording: memkit.Recording, options: Namespace) -> None:
    stream = memkit.report_stream(options)
    if stream is not None and any(sums.number >= MANY for sums in recording.span_sums):
        memkit.print_rows(stream, lambda width: (memkit.styled(), *labels(recording, width)), options.wide)


def labels(recording: memkit.Recording, width: int | None = None) -> Iterator[Text]:
    """A row for each label of spans, those first that keep most, or rise most; then those that leak, and have spikes.

    They fit in a width, if there is one, but for the source of lines.
    """
    sums, alive = recording.span_sums, _alive(recording)
    columns = _columns(alive, width is None or width >= _WIDE, any(each.heap_peak for each in sums))
    longest = max([len("spans by label"), *(len(each.label) for each in sums)])
    room = longest if width is None else max(12, min(longest, width - sum(wide + 1 for _, wide, _ in columns)))
    yield memkit.styled((f"{'spans by label':<{room}}" + "".join(f" {name:>{wide}}" for name, wide, _ in columns), "dim"))

    def rank(each: memkit.SpanSums) -> tuple[int, int]:
        return -alive.get(each.label, 0), -(each.rise.total if each.rise else 0)

    shown = sorted(sums, key=rank)[:MOST_LABELS]
    for each, name in zip(shown, memkit.units.cut_apart((each.label for each in shown), room)):
        yield memkit.styled(f"{name:<{room}}" + "".join(f" {cell(each):>{wide}}" for _, wide, cell in columns))
    if len(sums) > MOST_LABELS:
        yield memkit.styled((f"and {len(sums) - MOST_LABELS} more labels that keep less; --json has them all", "dim"))
    for note in _notes(sums, [name for name, _, _ in columns]):
        yield memkit.styled((note, "dim"))
    yield from _insides(recording, shown)
    yield from _leaks(recording)
    yield from _spikes(recording)
    yield from _not_known(recording)


def _alive(recording: memkit.Recording) -> dict[str, int]:
    """What was alive at the end of each label, with the spans inside it; empty where it was not counted."""
    found: dict[str, int] = {}
    for each in recording.span_heaps:
        for label in set(each.labels):
            found[label] = found.get(label, 0) + each.heap.alive
    return found


def _notes(sums: tuple[memkit.SpanSums, ...], names: list[str]) -> Iterator[str]:
    yield f"{'medians and p95 are' if any('p95' in name for name in names) else 'the median is'} off by at most 1/32"
    if "alive" in names:
        yield "alive: allocated under it, and not freed by the end; each: for each span"
    if any(each.overlapped for each in sums):
        yield "~: rises of spans that others overlapped are of all that ran meanwhile"


def _insides(recording: memkit.Recording, shown: list[memkit.SpanSums]) -> Iterator[Text]:
    """By which lines, or paths, those labels allocated that keep most or allocated most, where heap is counted by these."""
    size, told = memkit.units.show_bytes, memkit.keepers.allocators(recording, [each.label for each in shown])
    for label, rows in told:
        yield memkit.styled()
        yield memkit.styled((label, "bold"), (" allocated by", "dim"))
        for each in rows:
            sizes = f"{size(each.heap.alive):>11} alive {size(each.heap.allocated):>10} allocated  "
            yield memkit.styled(sizes, *_place(recording, each))
    if told:
        yield memkit.styled()


def _place(recording: memkit.Recording, inside: memkit.HeapInside) -> Iterator[str | tuple[str, str]]:
    """A line with its source, or the innermost functions of a path that are the program's own."""
    *_, function = inside.path
    if inside.line is not None:
        source = memkit.Source(function.file, recording.about.began)
        text = "" if source.remark else source.line(inside.line).strip()
        yield f"{os.path.basename(source.name)}:{inside.line} {function.name}"
        yield f"  {text if len(text) <= _LONGEST_SOURCE else text[: _LONGEST_SOURCE - 3] + '...'}", "memkit.curve"
        return
    frames = [memkit.Frame(each.file, each.line, each.name) for each in reversed(inside.path) if each.file]
    own = [frame for frame, _ in memkit.frames.own_frames(frames)] or [memkit.Frame("", 0, function.name)]
    where = f"{os.path.basename(own[0].file)}:{own[0].line} " if own[0].file else ""
    yield where + " < ".join(frame.function for frame in own[:_MOST_STEPS])


def _who(recording: memkit.Recording, label: str, style: str) -> Iterator[Text]:
    """Which line, or path, of a label that leaks has most of what grew; what is of code that is not traced; how to tell."""
    found = memkit.keepers.keeper(recording, label)
    if found.untraced is not None:
        yield _note("", found.untraced, style)
    if found.place is not None:
        yield memkit.styled((f"{'':<9}{found.most}", style), *_place(recording, found.place))
    if found.unknown is not None:
        yield _note("", found.unknown, "dim")


def _not_known(recording: memkit.Recording) -> Iterator[Text]:
    """What cannot be told of spans without heap, and which options tell it. Of lines and calls it is said beside them."""
    traced = recording.lines or recording.calls or recording.heap is not None
    if not traced and any(sums.number >= memkit.kinds.SPANS for sums in recording.span_sums):
        words = "which label leaks is not known from resident memory: --heap=spans tells, --heap --lines the line, too"
        yield memkit.styled((words, "dim"))


def _leaks(recording: memkit.Recording) -> Iterator[Text]:
    size, sums = memkit.units.show_bytes, recording.span_sums
    leaks = memkit.leaks(sums)
    for each, leak in leaks:
        kept, least = size(round(leak.kept)), size(round(leak.least))
        found = f"{each.label} kept {kept} a span" + (f", {least} at least," if least != kept else "")
        chance = f"by chance in less than 1 of {min(int(1 / leak.chance), _SURE):,} cases"
        yield _note("leak", f"{found} over its last {leak.spans:,}, net of what was freed; {chance}", "memkit.bad")
        yield from _who(recording, each.label, "memkit.bad")
    named = {each.label for each, _ in leaks}
    growing = [each for each in sums if each.label not in named and each.untested and _grows(each)]
    for each in sorted(growing, key=lambda each: -each.alive[-1])[:_MOST_NOTED]:
        kept = size(round((each.alive[-1] - each.alive[-_BLOCKS]) / ((_BLOCKS - 1) * each.block)))
        more = f"{each.untested:,} more spans tell whether it is a leak or a cache that fills"
        yield _note("growing", f"{each.label} kept {kept} a span so far; {more}", "memkit.mark")
        yield from _who(recording, each.label, "memkit.mark")


def _grows(sums: memkit.SpanSums) -> bool:
    last = sums.alive[-_BLOCKS:]
    return len(last) == _BLOCKS and all(before < after for before, after in pairwise(last))


def _spikes(recording: memkit.Recording) -> Iterator[Text]:
    """Labels whose worst span had many times what half of them have; of what others may have a part in, nothing is said."""
    size, found = memkit.units.show_bytes, []
    for each in recording.span_sums:
        measures = ("had", each.heap_peak), ("rose", None if each.overlapped else each.rise), ("allocated", each.allocated)
        for what, spread in measures:
            if spread is not None and spread.worst >= max(_SPIKE * spread.median, spread.median + _LEAST_SPIKE):
                found.append((spread, what, each))
                break
            if spread is not None and what == "had":
                break
    for spread, what, each in sorted(found, key=lambda row: -row[0].worst)[:_MOST_NOTED]:
        yield _note(
            "spike", f"{each.label} {what} {size(spread.worst)}, half of its spans {size(spread.median)} or less", ""
        )
        if (rows := memkit.keepers.by_lines(recording, each.label)) and each.allocated is not None:
            most = max(rows, key=lambda each: each.heap.allocated)
            said = f"{size(most.heap.allocated)} of the {size(each.allocated.total)} that its spans allocated: "
            yield memkit.styled(f"{'':<9}{said}", *_place(recording, most))


def _note(label: str, text: str, style: str) -> Text:
    return memkit.styled((f"{label:<9}", "dim"), (text, style))


def _columns(alive: dict[str, int], wide: bool, peaks: bool) -> list[tuple[str, int, Callable[[memkit.SpanSums], str]]]:
    """The heads, widths and cells of the table of labels: a narrow terminal goes without some."""
    size, time = memkit.units.show_bytes, memkit.units.show_time

    def of(name: str, value: Callable[[memkit.Spread], int], show: Callable[[int], str]) -> Callable[[memkit.SpanSums], str]:
        def cell(each: memkit.SpanSums) -> str:
            spread = getattr(each, name)
            mark = "~" if name == "rise" and each.overlapped else ""
            return "?" if spread is None else mark + show(value(spread))

        return cell

    def mean(each: memkit.SpanSums) -> str:
        return "?" if each.allocated is None else size(round(each.allocated.total / each.number))

    median, p95, worst = attrgetter("median"), attrgetter("p95"), attrgetter("worst")
    found = [("spans", 9, lambda each: f"{each.number:,}"), ("median", 8, of("time", median, time))]
    if not alive:
        return [
            *(*found, ("p95", 8, of("time", p95, time)), ("worst", 8, of("time", worst, time))),
            *(("rise p95", 10, of("rise", p95, size)), ("worst", 10, of("rise", worst, size))),
        ]
    if not peaks:
        found += [("worst rise", 11, of("rise", worst, size))]
    elif wide:
        found += [("worst", 8, of("time", worst, time)), ("worst rise", 11, of("rise", worst, size))]
    if wide or not peaks:
        found += [("allocated", 10, mean)]
    if peaks:
        found += [("worst peak", 10, of("heap_peak", worst, size))]
    return [
        *found,
        ("alive", 10, lambda each: size(alive.get(each.label, 0))),
        ("each", 9, lambda each: size(round(alive.get(each.label, 0) / each.number))),
    ]
