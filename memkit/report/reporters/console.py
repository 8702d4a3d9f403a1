"""The console summary: how it ended, how long it took, memory and its limits, a curve, processes, spans, and the cost."""

from __future__ import annotations

import os
from typing import NamedTuple

import memkit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterable, Iterator, Sequence

    from rich.text import Text

CURVE_ROWS = 8
MOST_SPANS, MOST_OF_A_LABEL = 20, 3
MANY = 10
"""Spans of a label from which on not all are worth a row."""
_WIDE = 110
LONGEST_SOURCE, LEAST_COMMAND = 100, 24
MOST_PROCESSES, MOST_NAMED = 12, 3
MOST_INSIDE, MOST_STEPS = 6, 3
MOST_STACKS, MOST_FRAMES, MOST_PACKAGES = 6, 6, 3
_STYLES = {"text": "", "value": "bold", "remark": "memkit.remark", "warning": "memkit.mark", "bad": "memkit.bad"}


class Hide(NamedTuple):
    """Which frames of stacks are folded into those that called them."""

    globs: Sequence[str] = ()
    libraries: bool = True


HIDE_LIBRARIES = Hide()


@memkit.hookimpl
def memkit_add_options(parser: memkit.OptionParser) -> None:
    memkit.add_quiet_option(parser)
    memkit.add_call_options(parser)  # for the frames of libraries


@memkit.hookimpl
def memkit_report(recording: memkit.Recording, options: Namespace) -> None:
    stream = memkit.report_stream(options)
    if stream is None:
        return
    console = memkit.console(stream)
    hide = Hide(options.hide or (), not options.show_all)
    console.print(*summary(recording, console.width, _can_show(stream), hide), sep="\n", markup=False)


def summary(
    recording: memkit.Recording, width: int = 80, unicode: bool = True, hide: Hide = HIDE_LIBRARIES
) -> Iterator[Text]:
    """The summary, as rich Text, a line each."""
    yield from map(_line, memkit.facts(recording))
    curve = Curve(memkit.transforms.together(recording), width, unicode)
    if curve.flat:
        yield _line(memkit.Fact("curve", (memkit.FactPart("flat"),)))
    elif recording.samples or recording.totals:
        yield memkit.styled()
        if recording.totals:
            yield memkit.styled(("all processes together", "dim"))
        yield from curve.lines()
    yield from details(recording, width, hide)
    if recording.spans:
        yield memkit.styled()
        yield from _spans(recording, width)
        yield from _insides(recording, hide)
    yield memkit.styled()
    yield from map(_line, memkit.cost_facts(recording))


def details(recording: memkit.Recording, width: int = 80, hide: Hide = HIDE_LIBRARIES) -> Iterator[Text]:
    """Where the threads were when a limit was reached, and the processes where there are several, as rich Text."""
    yield from _stacks(recording, hide)
    if len(recording.processes) > 1:
        yield memkit.styled()
        yield from _processes(recording, width)


# -- words ---------------------------------------------------------------------------------------------------------


def _line(fact: memkit.Fact) -> Text:
    """A fact as rich Text: its label, and what it says."""
    return memkit.styled(
        (f"{fact.label:<9}", "dim"), *((part.text, _STYLES[fact.emphasis or part.role]) for part in fact.parts)
    )


def _shortened(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 3] + "..."


def _worst(recording: memkit.Recording) -> Iterable[memkit.Span]:
    """The largest spans; where there are many of a label, of each those that rose most, the highest first."""
    if all(sums.number < MANY for sums in recording.span_sums):
        return memkit.transforms.largest_spans(recording.spans, MOST_SPANS)
    found: dict[str, list[memkit.Span]] = {}
    ranked = sorted(recording.spans, key=lambda span: (span.end is not None, -span.rise))
    for span in ranked:
        found.setdefault(span.label, []).append(span)
    worst = {id(span) for of_label in found.values() for span in of_label[:MOST_OF_A_LABEL]}
    return [span for span in ranked if id(span) in worst][:MOST_SPANS]


def _spans(recording: memkit.Recording, width: int) -> Iterator[Text]:
    size, time = memkit.units.show_bytes, memkit.units.show_time
    room = max(12, width - 53)
    yield memkit.styled((f"{'span':<{room}} {'took':>12} {'growth':>13} {'rise':>10} {'peak':>12}", "dim"))
    worst = list(_worst(recording))
    for span in worst:
        label = ("  " * min(span.depth, room) + span.label)[:room]
        took = "unfinished" if span.end is None else time(span.duration)
        growth = "?" if span.growth is None else size(span.growth, sign=True)
        yield memkit.styled(f"{label:<{room}} {took:>12} {growth:>13} {size(span.rise):>10} {size(span.peak):>12}")
    if left := len(recording.spans) - len(worst):
        yield memkit.styled((f"and {left:,} more that rose less, or as much; --json has what is known of each", "dim"))


def _insides(recording: memkit.Recording, hide: Hide) -> Iterator[Text]:
    """What grew and rose most inside the worst span of each label, where lines or calls were traced."""
    worst: dict[str, memkit.Span] = {}
    for span in sorted(recording.spans, key=lambda span: -span.rise):
        if span.inside:
            worst.setdefault(span.label, span)
    size, time = memkit.units.show_bytes, memkit.units.show_time
    for span in list(worst.values())[:MOST_INSIDE]:
        shared = ", with all that overlapped it" if span.overlapped else ""
        yield memkit.styled()
        yield memkit.styled(
            (span.label, "bold"),
            f" rose {size(span.rise)} and grew {size(span.growth, sign=True)} in {time(span.duration)}",
            (f"{shared}; inside it", "dim"),
        )
        for each in sorted(span.inside, key=lambda each: (each.line is not None, -each.rise)):
            growth = f"{size(each.growth, sign=True):>11} {'own growth' if each.line is None else 'growth    '}"
            yield memkit.styled(f"  {size(each.rise):>10} rise {growth}  ", *_reached(each, recording.about.began, hide))
    if len(worst) > MOST_INSIDE:
        yield memkit.styled(
            (f"and {len(worst) - MOST_INSIDE} more labels whose spans rose less; --json has them all", "dim")
        )


def _reached(inside: memkit.SpanInside, began: float, hide: Hide) -> Iterator[tuple[str, str] | str]:
    """The innermost functions of a path that are the program's own, or a line with its source."""
    *_, function = inside.path
    if inside.line is not None:
        source = memkit.Source(function.file, began)
        text = "" if source.remark else source.line(inside.line).strip()
        yield f"{os.path.basename(source.name)}:{inside.line} {function.name}"
        yield f"  {_shortened(text, LONGEST_SOURCE)}", "memkit.curve"
        return
    frames = [memkit.Frame(each.file, each.line, each.name) for each in reversed(inside.path) if each.file]
    own = memkit.frames.own_frames(frames, hide.globs, libraries=hide.libraries)
    if not own:
        yield function.name
        return
    names = [frame.function for frame, _ in own[:MOST_STEPS]]
    yield f"{os.path.basename(own[0][0].file)}:{own[0][0].line} {' < '.join(names)}"
    yield _folded(own[0][1]), "dim"


def _processes(recording: memkit.Recording, width: int) -> Iterator[Text]:
    """A row for each process, those first that rose highest; those that failed stand out."""
    size, time = memkit.units.show_bytes, memkit.units.show_time
    rows = [(process, max((s.peak for s in lane), default=None), lane) for process, lane in recording.lanes]
    rows.sort(key=lambda row: -(row[1] or 0))
    table: list[tuple[str, ...]] = [("process", "parent", "started", "took", "peak", "end", "ending", "command")]
    for process, peak, lane in rows[:MOST_PROCESSES]:
        took = time(None if process.ended is None else process.ended - process.started)
        started, end = time(process.started) if process.started else "0 s", lane[-1].memory if lane else None
        parent = "?" if process.parent is None else str(process.parent)
        numbers = (str(process.pid), parent, started, took, size(peak), size(end), process.ending.brief)
        table.append((*numbers, _program(process.title)))
    widths = [max(map(len, column)) for column in zip(*table)]
    room = max(LEAST_COMMAND, width - sum(widths[:7]) - 7)
    commands = memkit.units.cut_apart((cells[7] for cells in table), room)
    failed = [False, *(process.ending.failed for process, _, _ in rows)]
    for cells, command, bad in zip(table, commands, failed):
        line = " ".join(f"{cell:>{wide}}" for cell, wide in zip(cells[:6], widths))
        style = "memkit.bad" if bad else "dim" if cells is table[0] else ""
        yield memkit.styled((f"{line} {cells[6]:<{widths[6]}} {command}", style))
    if len(rows) > MOST_PROCESSES:
        yield from _more_processes(rows[MOST_PROCESSES:])


def _more_processes(rows: list[tuple[memkit.Process, int | None, tuple[memkit.Sample, ...]]]) -> Iterator[Text]:
    failed = [process for process, _, _ in rows if process.ending.failed]
    named = ", ".join(f"{process.pid} {process.ending.brief}" for process in failed[:MOST_NAMED])
    more = ", ..." if len(failed) > MOST_NAMED else ""
    known = [peak for _, peak, _ in rows if peak is not None]
    seen = f", each {memkit.units.show_bytes(max(known))} at most" if known else ", whose memory was not seen"
    where = " where it was seen" if 0 < len(known) < len(rows) else ""
    yield memkit.styled(
        (f"and {len(rows):,} more{seen}{where}", "dim"),
        (f"; {len(failed):,} of them failed: {named}{more}" if failed else "", "memkit.bad"),
    )


def _program(command: str) -> str:
    """What a command runs: of an interpreter the name says nothing, and the folder of another program little."""
    first, *words = command.split() or [""]
    first = os.path.basename(first)
    return " ".join(words if words and first.startswith("python") else [first, *words])


def _can_show(stream: object) -> bool:
    try:
        "▁█░┤".encode(getattr(stream, "encoding", None) or "ascii")
    except (UnicodeError, LookupError):
        return False
    return True


# -- where the threads were ------------------------------------------------------------------------------------------


def _stacks(recording: memkit.Recording, hide: Hide) -> Iterator[Text]:
    """Where the threads were when a limit was reached, the first time and the last, and before a death."""
    known = [crossing for crossing in recording.crossings if crossing.stacks]
    for crossing in [*known[:1], *known[1:][-1:]]:
        when = f"after {memkit.units.show_time(crossing.time)}, at {memkit.units.show_bytes(crossing.memory)}"
        yield from _where(recording, f"where the threads were {when}", crossing.stacks, hide)
    last = recording.snapshot
    if last is not None and last.asked:
        when = memkit.units.show_time(last.time)
        yield from _where(recording, f"where the threads were when somebody asked, after {when}", last.stacks, hide)
        return
    died = recording.ending.kind == "killed" or recording.ending.out_of_memory
    if died and last is not None and last.stacks and not any(each.time > last.time for each in known):
        before = memkit.units.show_time(recording.duration - last.time)
        yield from _where(recording, f"where the threads were last seen, {before} before the end", last.stacks, hide)


def _where(recording: memkit.Recording, title: str, stacks: Iterable[memkit.Stack], hide: Hide) -> Iterator[Text]:
    yield memkit.styled()
    yield memkit.styled((title, "bold"))
    stacks = sorted(stacks, key=lambda stack: stack.name != "MainThread")
    for number, stack in enumerate(stacks[:MOST_STACKS]):
        yield memkit.styled(f"  {stack.name or f'thread {stack.thread}'}")
        yield from _frames(stack.frames, MOST_FRAMES if number == 0 else MOST_FRAMES // 2, recording.about.began, hide)
    if len(stacks) > MOST_STACKS:
        yield memkit.styled((f"  and {len(stacks) - MOST_STACKS:,} more threads; --json has them", "dim"))


def _frames(frames: tuple[memkit.Frame, ...], most: int, began: float, hide: Hide) -> Iterator[Text]:
    """The program's innermost frames with their source, where that is still what ran; libraries are folded."""
    own = memkit.frames.own_frames(frames, hide.globs, libraries=hide.libraries)[:most]
    sources = [memkit.Source(frame.file, began) for frame, _ in own]
    places = [f"{os.path.basename(src.name)}:{frame.line} {frame.function}" for (frame, _), src in zip(own, sources)]
    room = max(map(len, places), default=0)
    for (frame, inside), source, place in zip(own, sources, places):
        text = "" if source.remark else source.line(frame.line).strip()
        yield memkit.styled(
            f"    {place:<{room}}  ", (_shortened(text, LONGEST_SOURCE), "memkit.curve"), (_folded(inside), "dim")
        )
    if left := len(frames) - len(own) - sum(len(inside) for _, inside in own):
        yield memkit.styled((f"    called through {left:,} more", "dim"))


def _folded(inside: Sequence[memkit.Frame]) -> str:
    """What a frame of the program called, in a few words."""
    names = memkit.frames.packages(inside)
    more = ", ..." if len(names) > MOST_PACKAGES else ""
    frames = "frame" if len(inside) == 1 else "frames"
    return f"  ... {len(inside):,} {frames} of {', '.join(names[:MOST_PACKAGES])}{more}" if inside else ""


# -- the curve -----------------------------------------------------------------------------------------------------


class Curve:
    """Memory over time in characters: solid up to what was read, light up to the peak in between."""

    def __init__(self, recording: memkit.Recording, width: int, unicode: bool = True):
        self._recording = recording
        self._blocks, self._light, self._axis = (" ▁▂▃▄▅▆▇█", "░", "┤") if unicode else (" ____####", ":", "|")
        self._columns = max(10, min(width - 14, 100))

    @property
    def flat(self) -> bool:
        """Whether there is nothing to see: memory kept within 2 %."""
        samples = self._recording.samples
        lowest = min((sample.memory for sample in samples), default=0)
        peak = self._recording.peak or 0
        return len(samples) > 1 and (peak - lowest) * 50 < peak

    def lines(self) -> Iterator[Text]:
        """The rows from the top, then the time axis."""
        memory, peak = self._recording.columns(self._columns)
        top = max(max(peak), 1)
        size = memkit.units.show_bytes
        for row in range(CURVE_ROWS, 0, -1):
            label = size(top * row // CURVE_ROWS) if row in (CURVE_ROWS, CURVE_ROWS // 2) else ""
            solid = [self._cell(value / top * CURVE_ROWS - row + 1) for value in memory]
            cells = [
                (self._light, "dim")
                if cell == " " and value / top * CURVE_ROWS > row - 1 + 1 / 8
                else (cell, "memkit.curve")
                for cell, value in zip(solid, peak)
            ]
            yield memkit.styled((f"{label:>12}", "dim"), (self._axis, "dim"), *cells)
        end = memkit.units.show_time(self._recording.duration)
        yield memkit.styled((f"{'0 s':>14}{end:>{self._columns - 1}}", "dim"))

    def _cell(self, height: float) -> str:
        return self._blocks[max(0, min(8, round(height * 8)))]
