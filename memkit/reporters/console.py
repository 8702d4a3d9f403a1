"""The console summary: how it ended, how long it took, start, end, growth and peak, a curve, and what recording cost."""

import sys

import memkit

CURVE_ROWS = 8
MOST_SPANS = 20
LONGEST_COMMAND = 100
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
    try:
        from rich.console import Console
    except ImportError:
        raise memkit.MemkitError("the summary needs rich: python -m pip install rich, or write --quiet") from None
    console = Console(file=stream, highlight=False, soft_wrap=True)
    for line in summary(recording, console.width, unicode=_can_show(stream)):
        console.print(line, markup=False)


def summary(recording, width=80, unicode=True):
    """The summary, as rich Text, a line each."""
    yield from _facts(recording)
    yield from _limits(recording)
    curve = Curve(recording, width, unicode)
    if curve.flat:
        yield _fact("curve", "flat")
    elif recording.samples:
        yield _text()
        yield from curve.lines()
    if recording.spans:
        yield _text()
        yield from _spans(recording.spans, width)
    yield _text()
    yield from _cost(recording)


# -- words ---------------------------------------------------------------------------------------------------------


def _text(*parts):
    """A line of rich Text, from words and (words, style) pairs."""
    from rich.text import Text

    return Text.assemble(*parts)


def _fact(name, *parts):
    return _text((f"{name:<9}", "dim"), *parts)


def _facts(recording):
    size = memkit.units.show_bytes
    bad = recording.ending.failed
    yield _fact(
        "memkit", (_shortened(recording.about.command), "bold"), ": ", (str(recording.ending), "bold red" if bad else "bold")
    )
    yield _fact("took", memkit.units.show_time(recording.duration))
    if not recording.samples:
        yield _fact("memory", "no samples were recorded")
        return
    change = (size(recording.growth, sign=True), "yellow" if recording.growth > 0 else "")
    meter = "" if recording.about.meter == "rss" else f" of {recording.about.meter}"
    yield _fact("memory", f"{size(recording.start)} at the start, {size(recording.end)} at the end: ", change, meter)
    when = memkit.units.show_time(recording.highest.time)
    yield _fact("peak", (size(recording.peak), "bold"), f", reached by {when}, {_how_sure(recording)}")


def _limits(recording):
    """How far the nearest limit was, the nearest of those that count what was recorded, and one that the ending names."""
    size = memkit.units.show_bytes
    reckoned = [limit for limit in recording.limits if recording.level(limit) is not None]
    for limit in recording.limits:
        named = _names(recording.ending.out_of_memory or "", limit)
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
        return f"it counts {limit.counted}, which was not recorded"
    if left is None:
        told = "from the sum of RSS" if recording.totals else f"from {recording.about.meter}"
        return f"what was left at the peak cannot be told {told if recording.samples else 'without samples'}"
    sure = "about " if recording.totals else "" if recording.peak_is_exact else "at most "
    amount = f"{'only ' if near else ''}{sure}{memkit.units.show_bytes(left)}" if left else "nothing"
    return f"this program's growth left {amount} at the peak"


def _names(evidence, limit):
    """Whether the evidence of a death for want of memory speaks of a limit."""
    if evidence.endswith("MemoryError"):  # which is what those limits do that count what was asked for
        return limit.counted != "memory"
    return evidence.partition(":")[0] == limit.name.removeprefix("memory of ")


def _shortened(command):
    return command if len(command) <= LONGEST_COMMAND else command[: LONGEST_COMMAND - 3] + "..."


def _how_sure(recording):
    if recording.peak_is_exact:
        error = memkit.units.show_error(recording.about.peaks_error)
        return f"exact to {error}" if error else "exact"
    if recording.unseen:
        return f"the highest on disk; the last {memkit.units.show_time(recording.unseen)} did not get there"
    if not recording.ending.finished:
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


def _cost(recording):
    cost = recording.cost
    words = [f"{len(recording.samples):,} samples"]
    if cost.late:
        words.append(f"{cost.late:,} late")
    if cost.cpu is not None and cost.beats:
        share = cost.cpu / max(1, recording.duration)
        words.append(f"{memkit.units.show_time(cost.cpu)} of CPU, {share:.1%} of a core")
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
        memory, peak = self._heights()
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

    def _heights(self):
        """For each column the highest memory read and the highest peak; what no sample fell into keeps the last reading."""
        recording = self._recording
        memory, peak = [None] * self._columns, [0] * self._columns
        before = 0
        for sample in recording.samples:
            column = min(self._columns - 1, sample.time * self._columns // max(1, recording.duration))
            memory[column] = max(memory[column] or 0, sample.memory)
            peak[column] = max(peak[column], sample.peak)
            if sample.peak > sample.memory:  # it was reached somewhere since the sample before
                for between in range(before, column):
                    peak[between] = max(peak[between], sample.peak)
            before = column
        known = 0
        for column, value in enumerate(memory):
            known = memory[column] = known if value is None else value
            peak[column] = max(peak[column], known)
        return memory, peak
