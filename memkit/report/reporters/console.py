"""The console summary: how it ended, how long it took, memory and its limits, a curve, processes, spans, and the cost."""

import os
import re
import sys
from dataclasses import replace

import memkit

CURVE_ROWS = 8
MOST_SPANS = 20
LONGEST_COMMAND, LEAST_COMMAND = 100, 24
MOST_PROCESSES, MOST_NAMED = 12, 3
MOST_CROSSINGS, MOST_STACKS, MOST_FRAMES = 3, 6, 6
ACTIONS = {"raise": ": MemoryError raised", "stop": ": the program was stopped"}
NEAR = 10
"""A limit stands out of which no more than one part in so many was left."""


@memkit.hookimpl
def memkit_add_options(parser):
    parser.add_argument("-q", "--quiet", action="store_true", help="print no summary")


@memkit.hookimpl
def memkit_report(recording, options):
    """After a run the summary goes to stderr, out of the program's way; otherwise to stdout, if that is free."""
    taken = options.command != "report" or "-" in vars(options).values()
    stream = sys.stderr if taken else sys.stdout
    if options.quiet or stream is None:
        return
    console = memkit.console(stream)
    console.print(*summary(recording, console.width, unicode=_can_show(stream)), sep="\n", markup=False)


def summary(recording, width=80, unicode=True):
    """The summary, as rich Text, a line each."""
    yield from facts(recording)
    curve = Curve(together(recording), width, unicode)
    if curve.flat:
        yield _fact("curve", "flat")
    elif recording.samples or recording.totals:
        yield _text()
        if recording.totals:
            yield _text(("all processes together", "dim"))
        yield from curve.lines()
    yield from details(recording, width)
    if recording.spans:
        yield _text()
        yield from _spans(recording.spans, width)
    yield _text()
    yield from cost(recording)


def facts(recording):
    """How it ended, how long it took, start, end, growth, peak and limits, as rich Text, a line each, each with its name."""
    yield from _facts(recording)
    yield from _limits(recording)
    yield from _crossings(recording)


def details(recording, width=80):
    """Where the threads were when a limit was reached, and the processes where there are several, as rich Text."""
    yield from _stacks(recording)
    if len(recording.processes) > 1:
        yield _text()
        yield from _processes(recording, width)


# -- words ---------------------------------------------------------------------------------------------------------


def _text(*parts):
    """A line of rich Text, from words and (words, style) pairs."""
    from rich.text import Text

    text = Text.assemble(*parts)
    text.plain = memkit.units.printable(text.plain)
    return text


def _fact(name, *parts):
    return _text((f"{name:<9}", "dim"), *parts)


def _facts(recording):
    size = memkit.units.show_bytes
    bad = recording.ending.failed
    yield _fact(
        "memkit", (_shortened(recording.about.command), "bold"), ": ", (str(recording.ending), "bold red" if bad else "bold")
    )
    evidence = _evidence(recording)
    if evidence and evidence != recording.ending.out_of_memory:
        yield _fact("kills", (f"{evidence} while it ran", "bold red"))
    yield _fact("took", memkit.units.show_time(recording.duration))
    yield from _totals(recording)
    first = " of the first process" if len(recording.processes) > 1 else ""
    if not recording.samples:
        yield _fact("memory", "no samples were recorded")
        return
    change = (size(recording.growth, sign=True), "yellow" if recording.growth > 0 else "")
    meter = "" if recording.about.meter == "rss" else f" of {recording.about.meter}"
    yield _fact("memory", f"{size(recording.start)} at the start, {size(recording.end)} at the end: ", change, meter, first)
    when = memkit.units.show_time(recording.highest.time)
    yield _fact("peak", (size(recording.peak), "bold"), f"{first}, reached by {when}, {_how_sure(recording)}")


def _evidence(recording):
    """What speaks for want of memory: of the program's own death, else of that of another process."""
    of_others = (process.ending.out_of_memory for process in recording.processes[1:] if process.ending.kind == "killed")
    return recording.ending.out_of_memory or recording.oom_kills or next(filter(None, of_others), None)


def _totals(recording):
    """What all processes used together, and what that number means."""
    if not recording.totals:
        return
    size, highest = memkit.units.show_bytes, recording.highest_total
    peak = (size(highest.memory), "bold")
    when, count = memkit.units.show_time(highest.time), len(recording.processes)
    words = f" at the peak, seen at {when}; {count:,} process{'es' if count > 1 else ''}"
    reason = f" ({recording.summed_reason})" if recording.summed_reason else ""
    if recording.summed == "pss":
        yield _fact("together", peak, words)
        least, most = (size(max(getattr(total, name) for total in recording.totals)) for name in ("least", "most"))
        off = "" if least == most else f": the peak seen was between {least} and {most}"
        how = "by PSS: a shared page counts once; between its readings estimated from the change in RSS"
        yield _fact("summed", how + off, (reason, "yellow"))
    else:
        yield _fact("together", "sum of RSS ", peak, words)
        yield _fact("summed", ("by RSS, in which a shared page counts once for each process that has it", "yellow"), reason)
    if recording.seen == "looks":
        reason = f" ({recording.seen_reason})" if recording.seen_reason else ""
        yield _fact("seen", ("by looking: processes that came and went between two looks are missing", "yellow"), reason)


def together(recording):
    """The same recording with the memory of all its processes in the place of the first one's, where that is known."""
    if not recording.totals:
        return recording
    return replace(recording, samples=tuple(memkit.Sample(t.time, 0, t.memory, t.memory) for t in recording.totals))


def _limits(recording):
    """How far the nearest limit was, the nearest of those that count what was recorded, and one that the ending names."""
    size = memkit.units.show_bytes
    reckoned = [limit for limit in recording.limits if recording.level(limit) is not None]
    for limit in recording.limits:
        named = _names(_evidence(recording) or "", limit)
        if not named and limit not in (recording.limits[0], *reckoned[:1]):
            continue
        left = recording.left(limit)
        near = left is not None and left * NEAR <= limit.size
        style = "bold red" if named else "bold yellow" if near else ""
        words = f"{limit.name}, {size(limit.size)}: {size(limit.left)} left at the start"
        yield _fact("limit", (words, style), ("; " + _left_at_the_peak(recording, limit, near), style))


def _left_at_the_peak(recording, limit, near):
    left = recording.left(limit)
    if limit.counted != "memory" and recording.level(limit) is None:
        return (
            f"it counts {limit.counted}{', of each process by itself' if recording.totals else ', which was not recorded'}"
        )
    if left is None and recording.others and not recording.totals:
        return "what all processes used of it together was not recorded"
    if left is None:
        told = "from the sum of RSS" if recording.totals else f"from {recording.about.meter}"
        return f"what was left at the peak cannot be told {told if recording.samples else 'without samples'}"
    if recording.totals:
        sure = "only about " if near else "about "
    elif recording.peak_is_exact:
        sure = "only " if near else ""
    else:
        sure = "no more than " if near else "at most "
    amount = f"{sure}{memkit.units.show_bytes(left)}" if left else "nothing"
    return f"this program's growth left {amount} at the peak"


def _names(evidence, limit):
    """Whether the evidence of a death for want of memory speaks of a limit."""
    if evidence.startswith("an uncaught "):  # which is what those limits do that count what was asked for
        return limit.counted != "memory"
    if f"{limit.name} (" in evidence:
        return True
    return evidence.partition(":")[0] == limit.name.removeprefix("memory of ")


def _shortened(command, longest=LONGEST_COMMAND):
    return command if len(command) <= longest else command[: longest - 3] + "..."


def _how_sure(recording):
    if recording.peak_is_exact:
        error = memkit.units.show_error(recording.about.peaks_error)
        return f"exact to {error}" if error else "exact"
    if recording.unseen and recording.about.recorder is not None:
        return f"the highest that was seen; the last {memkit.units.show_time(recording.unseen)} were not"
    if recording.unseen:
        return f"the highest on disk; the last {memkit.units.show_time(recording.unseen)} did not get there"
    if not recording.ending.complete:
        return "the highest on disk; what came after is not known"
    reason = f" ({recording.about.peaks_reason})" if recording.about.peaks_reason else ""
    return f"the highest that was seen; between two samples it may have been higher{reason}"


def _spans(spans, width):
    size, time = memkit.units.show_bytes, memkit.units.show_time
    largest = sorted(spans, key=lambda span: span.peak - span.before, reverse=True)[:MOST_SPANS]
    room = max(12, width - 42)
    yield _text((f"{'span':<{room}} {'took':>12} {'growth':>13} {'peak':>12}", "dim"))
    for span in sorted(largest, key=lambda span: span.start):
        label = ("  " * span.depth + span.label)[:room]
        took = "unfinished" if span.end is None else time(span.duration)
        growth = "?" if span.growth is None else size(span.growth, sign=True)
        yield _text(f"{label:<{room}} {took:>12} {growth:>13} {size(span.peak):>12}")
    if len(spans) > MOST_SPANS:
        yield _text((f"and {len(spans) - MOST_SPANS} more that rose less; --csv and --json have them all", "dim"))


def _processes(recording, width):
    """A row for each process, those first that rose highest; those that failed stand out."""
    size, time = memkit.units.show_bytes, memkit.units.show_time
    rows = [(process, max((s.peak for s in lane), default=None), lane) for process, lane in recording.lanes]
    rows.sort(key=lambda row: -(row[1] or 0))
    table = [("process", "parent", "started", "took", "peak", "end", "ending", "command")]
    for process, peak, lane in rows[:MOST_PROCESSES]:
        took = time(None if process.ended is None else process.ended - process.started)
        started, end = time(process.started) if process.started else "0 s", lane[-1].memory if lane else None
        parent = "?" if process.parent is None else str(process.parent)
        cells = (str(process.pid), parent, started, took, size(peak), size(end), _how(process.ending))
        table.append((*cells, _program(process.command)))
    widths = [max(map(len, column)) for column in zip(*table)]
    room = max(LEAST_COMMAND, width - sum(widths[:7]) - 7)
    failed = [False, *(process.ending.failed for process, _, _ in rows)]
    for cells, bad in zip(table, failed):
        numbers = " ".join(f"{cell:>{wide}}" for cell, wide in zip(cells[:6], widths))
        style = "bold red" if bad else "dim" if cells is table[0] else ""
        yield _text((f"{numbers} {cells[6]:<{widths[6]}} {_shortened(cells[7], room)}", style))
    if len(rows) > MOST_PROCESSES:
        yield from _more_processes(rows[MOST_PROCESSES:])


def _more_processes(rows):
    failed = [process for process, _, _ in rows if process.ending.failed]
    named = ", ".join(f"{process.pid} {_how(process.ending)}" for process in failed[:MOST_NAMED])
    more = ", ..." if len(failed) > MOST_NAMED else ""
    known = [peak for _, peak, _ in rows if peak is not None]
    seen = f", each {memkit.units.show_bytes(max(known))} at most" if known else ", whose memory was not seen"
    where = " where it was seen" if 0 < len(known) < len(rows) else ""
    yield _text(
        (f"and {len(rows):,} more{seen}{where}", "dim"),
        (f"; {len(failed):,} of them failed: {named}{more}" if failed else "", "bold red"),
    )


def _program(command):
    """What a command runs: of an interpreter the name says nothing, and the folder of another program little."""
    first, *words = command.split() or [""]
    first = os.path.basename(first)
    return " ".join(words if words and first.startswith("python") else [first, *words])


def _how(ending):
    """How a process ended, in no more than a few words."""
    if ending.kind == "detached":
        return "still running"
    return re.split(r",|:| \(", str(ending))[0] + (", out of memory" if ending.out_of_memory else "")


def cost(recording):
    """What recording took, what could not be read, and where the recording is, as rich Text, a line each."""
    spent = recording.cost
    words = [f"{len(recording.samples):,} samples"]
    if spent.late:
        words.append(f"{spent.late:,} late")
    if spent.cpu is not None and spent.beats:
        share = spent.cpu / max(1, recording.duration)
        words.append(f"{memkit.units.show_time(spent.cpu)} of CPU, {share:.1%} of a core")
    if recording.about.engine != "native":
        words.append(f"{recording.about.engine} sampler")
    yield _fact("cost", ", ".join(words))
    if recording.unread:
        yield _fact(
            "unread", (f"{recording.unread:,} rows of the recording are broken or unknown, and are left out", "yellow")
        )
    if recording.source:
        yield _fact("saved", recording.source)


def _can_show(stream):
    try:
        "▁█░┤".encode(getattr(stream, "encoding", None) or "ascii")
    except (UnicodeError, LookupError):
        return False
    return True


# -- crossings -----------------------------------------------------------------------------------------------------


def _crossings(recording):
    """A line for each limit that was reached."""
    for crossing in recording.crossings[:MOST_CROSSINGS]:
        after = memkit.units.show_time(crossing.time)
        words = f"{_what(recording, crossing)} after {after}{ACTIONS.get(crossing.action, '')}"
        yield _fact("reached", (words, "bold yellow"))
    more = recording.crossings[MOST_CROSSINGS:]
    if more:
        yield _fact("", f"and {len(more):,} more times, the last after {memkit.units.show_time(more[-1].time)}")


def _what(recording, crossing):
    share, size = recording.share(crossing), memkit.units.show_bytes(crossing.limit)
    return f"{size} of {crossing.name}" if share is None else f"{share:.0%} of {crossing.name} ({size})"


def _stacks(recording):
    """Where the threads were when a limit was reached, the first time and the last, and before a death."""
    known = [crossing for crossing in recording.crossings if crossing.stacks]
    for crossing in [*known[:1], *known[1:][-1:]]:
        when = f"after {memkit.units.show_time(crossing.time)}, at {memkit.units.show_bytes(crossing.memory)}"
        yield from _where(recording, f"where the threads were {when}", crossing.stacks)
    glance = recording.glance
    died = recording.ending.kind == "killed" or recording.ending.out_of_memory
    if died and glance is not None and glance.stacks and not any(each.time > glance.time for each in known):
        before = memkit.units.show_time(recording.duration - glance.time)
        yield from _where(recording, f"where the threads were last seen, {before} before the end", glance.stacks)


def _where(recording, title, stacks):
    yield _text()
    yield _text((title, "bold"))
    stacks = sorted(stacks, key=lambda stack: stack.name != "MainThread")
    for number, stack in enumerate(stacks[:MOST_STACKS]):
        yield _text(f"  {stack.name or f'thread {stack.thread}'}")
        yield from _frames(stack.frames, MOST_FRAMES if number == 0 else MOST_FRAMES // 2, recording.about.began)
    if len(stacks) > MOST_STACKS:
        yield _text((f"  and {len(stacks) - MOST_STACKS:,} more threads; --json has them", "dim"))


def _frames(frames, most, began):
    """The innermost frames with their source, where that is still what ran."""
    sources = [memkit.Source(frame.file, began) for frame in frames[:most]]
    places = [f"{os.path.basename(src.name)}:{frame.line} {frame.function}" for frame, src in zip(frames, sources)]
    room = max(map(len, places), default=0)
    for frame, source, place in zip(frames, sources, places):
        text = "" if source.remark else source.line(frame.line).strip()
        yield _text(f"    {place:<{room}}  ", (_shortened(text), "cyan"))
    if len(frames) > most:
        yield _text((f"    called through {len(frames) - most:,} more", "dim"))


# -- the curve -----------------------------------------------------------------------------------------------------


class Curve:
    """Memory over time in characters: solid up to what was read, light up to the peak in between."""

    def __init__(self, recording, width, unicode=True):
        self._recording = recording
        self._blocks, self._light, self._axis = (" ▁▂▃▄▅▆▇█", "░", "┤") if unicode else (" ____####", ":", "|")
        self._columns = max(10, min(width - 14, 100))

    @property
    def flat(self):
        """Whether there is nothing to see: memory kept within one part in fifty."""
        samples = self._recording.samples
        lowest = min((sample.memory for sample in samples), default=0)
        return len(samples) > 1 and (self._recording.peak - lowest) * 50 < self._recording.peak

    def lines(self):
        """The rows from the top, then the time axis."""
        memory, peak = self._recording.columns(self._columns)
        top = max(max(peak), 1)
        size = memkit.units.show_bytes
        for row in range(CURVE_ROWS, 0, -1):
            label = size(top * row // CURVE_ROWS) if row in (CURVE_ROWS, CURVE_ROWS // 2) else ""
            solid = [self._cell(value / top * CURVE_ROWS - row + 1) for value in memory]
            cells = [
                (self._light, "dim") if cell == " " and value / top * CURVE_ROWS > row - 1 + 1 / 8 else (cell, "cyan")
                for cell, value in zip(solid, peak)
            ]
            yield _text((f"{label:>12}", "dim"), (self._axis, "dim"), *cells)
        end = memkit.units.show_time(self._recording.duration)
        yield _text((f"{'0 s':>14}{end:>{self._columns - 1}}", "dim"))

    def _cell(self, height):
        return self._blocks[max(0, min(8, round(height * 8)))]
