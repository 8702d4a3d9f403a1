"""``--plot``: memory over time as a picture; the suffix of the file says which kind."""

import itertools
import os
from dataclasses import replace
from importlib.util import find_spec

import memkit

SUFFIXES = (".png", ".svg", ".pdf")
COLOURS = ("#1f6fb4", "#d1603d", "#2e8b57", "#8e5ea2", "#b8860b", "#3a9ea5")
LANES = (*COLOURS, "#c26a96", "#7d8f2a", "#6f7fd1", "#a0522d", "#86c5a4", "#e3a1a1")
OTHERS, TOGETHER, LIMIT, CROSSED, DEAD = "#a8a8a8", "#222222", "#a3264f", "#e07b00", "#c0202a"
CROSS = {
    "marker": "X",
    "markersize": 9,
    "linestyle": "none",
    "color": DEAD,
    "markeredgecolor": "white",
    "markeredgewidth": 0.8,
    "clip_on": False,
    "zorder": 5,
}
MOST_SPANS = 40
MOST_CROSSINGS = 40
MOST_LANES = 12
LANE = 0.17  # inches
FAR = 2.5
"""A limit is drawn where it is no more than so many times as high as memory was; else the curve would be squeezed."""
ACTIONS = {"raise": ": MemoryError raised", "stop": ": stopped"}
BEHIND = {"boxstyle": "square,pad=0.1", "facecolor": "white", "alpha": 0.75, "linewidth": 0}
MOST_INSIDE = 3
"""The legend of more recordings than so many stands below the plot, where it hides nothing."""
LEGEND_ROW = 0.17  # inches


def plot_path(text):
    """The type of ``--plot``: a file that can be written, of a kind that can be drawn."""
    path = memkit.output_path(text)
    if os.path.splitext(path)[1].lower() not in SUFFIXES:
        raise memkit.UsageError(f"cannot tell the kind of picture from {path!r}: end it in {', '.join(SUFFIXES)}")
    if find_spec("matplotlib") is None:
        raise memkit.UsageError("--plot needs matplotlib: python -m pip install matplotlib")
    return path


@memkit.hookimpl
def memkit_add_options(parser):
    parser.add_argument(
        "--plot", metavar="FILE", type=plot_path, help="draw memory over time into a .png, .svg or .pdf file"
    )


@memkit.hookimpl
def memkit_report(recordings, options):
    if not options.plot:
        return
    figure = draw(recordings)
    kind = os.path.splitext(options.plot)[1][1:].lower()
    with memkit.output(options.plot, binary=True) as file:
        figure.savefig(file, format=kind)


def draw(recordings):
    """A matplotlib ``Figure`` of one recording, or of several laid over each other.

    That of several processes has their shares stacked up, as far as these are known, and their lanes below.
    """
    from matplotlib.figure import Figure

    tree = recordings[0] if len(recordings) == 1 and (recordings[0].totals or recordings[0].others) else None
    shown = [_together(recording) if recording.totals else recording for recording in recordings]
    below = len(recordings) if len(recordings) > MOST_INSIDE else 6 * bool(tree)
    bands = _bands(tree) if tree else []
    lanes = 0.3 + LANE * (len(bands) or 1) if tree else 0
    figure = Figure(figsize=(10, 5 + LEGEND_ROW * ((below + 1) // 2) + lanes), dpi=120, layout="constrained")
    heights = [5, lanes] if tree else [5]
    axes, *lower = figure.subplots(len(heights), squeeze=False, sharex=True, height_ratios=heights)[:, 0]
    seconds = max((recording.duration for recording in recordings), default=0) / memkit.units.SECOND
    time, time_name = (60, "min") if seconds > 600 else (1, "s") if seconds > 1 else (1e-3, "ms")
    highest = max((recording.peak or 0 for recording in shown), default=0)
    if tree and not tree.totals:
        highest = max(highest, *(sample.peak for sample in tree.others))
    size, size_name = memkit.units.scale(highest)
    time *= memkit.units.SECOND
    for number, recording in enumerate(shown):
        colour = TOGETHER if tree and tree.totals else COLOURS[number % len(COLOURS)]
        _draw_curve(axes, recording, colour, time, size, _label(recording, alone=len(recordings) == 1))
        _draw_ending(axes, recording, colour, time, size)
    if tree:
        _draw_bands(axes, tree, bands, time, size) if tree.totals else _draw_each(axes, bands, time, size)
        _draw_lanes(lower[0], bands, time)
    _draw_crossings(axes, recordings, time, size)
    far = _draw_limits(axes, recordings, highest, size)
    if len(recordings) == 1 and recordings[0].spans:
        _draw_spans(axes, recordings[0].spans, recordings[0].duration, time, size)
    _dress(axes, recordings, f"memory ({size_name})", far)
    (lower or [axes])[0].set_xlabel(f"time ({time_name})")
    return figure


def _together(recording):
    """The same recording with the memory of all its processes in the place of the first one's."""
    rows = tuple(memkit.Sample(total.time, 0, total.memory, total.memory) for total in recording.totals)
    return replace(recording, samples=rows, about=recording.about._replace(peaks="samples"))


def _label(recording, alone):
    if not alone:
        many = f", {len(recording.processes)} processes by {recording.summed.upper()}" if recording.totals else ""
        return f"{_shortened(recording.about.command, 40)} {recording.about.when:%H:%M:%S}{many}"
    meter = recording.about.meter
    if not recording.totals:
        return f"{meter} of each process; what they used together was not recorded" if recording.others else meter
    shares = f"; the areas are shares of that, in proportion to the {meter.upper()} of each"
    if recording.summed == "pss":
        return f"all processes, summed by PSS{shares}"
    return f"all processes, sum of RSS: a page that several share is in there once for each{shares * (meter != 'rss')}"


# -- one curve -------------------------------------------------------------------------------------------------------


def _draw_curve(axes, recording, colour, time, size, label):
    _draw_samples(axes, recording.samples, colour, time, size, label)
    if recording.highest:
        high = recording.highest
        share = high.time / max(1, recording.duration)
        side = "left" if share < 0.05 else "right" if share > 0.95 else "center"
        axes.annotate(
            _size(high.peak) + _how_sure(recording),
            (high.time / time, high.peak / size),
            xytext=({"left": 4}.get(side, 0), 4),
            textcoords="offset points",
            ha=side,
            va="bottom",
            fontsize=8,
            color=colour,
            bbox=BEHIND,
        )


def _draw_samples(axes, samples, colour, time, size, label=None, width=1.4):
    times, memory = [sample.time / time for sample in samples], [sample.memory / size for sample in samples]
    axes.plot(times, memory, color=colour, linewidth=width, label=label)
    envelope = list(_envelope(samples, least=max((sample.peak for sample in samples), default=0) // 100))
    if envelope:
        across, low, high = ([value / unit for value in column] for column, unit in zip(zip(*envelope), (time, size, size)))
        above = label and f"{label}, peak between samples"
        axes.fill_between(across, low, high, color=colour, alpha=0.25, linewidth=0, label=above)


def _how_sure(recording):
    if not recording.peak_is_exact:
        return " (seen)"
    error = memkit.units.show_error(recording.about.peaks_error)
    return f" ±{error}" if error else ""


def _envelope(samples, least=0):
    """Corners of the area between the curve and what was reached above it: (time, lower, upper) from left to right.

    A row's peak was reached between the row before and this one, so it is drawn over all that time.
    """
    for before, sample in itertools.pairwise(samples):
        if sample.peak > max(sample.memory, before.memory) + least:
            yield before.time, before.memory, before.memory
            yield before.time, before.memory, sample.peak
            yield sample.time, sample.memory, sample.peak
            yield sample.time, sample.memory, sample.memory


def _draw_ending(axes, recording, colour, time, size):
    """A cross where a program died, a dot where it finished, nothing where its end was not seen."""
    if not recording.samples or recording.ending.kind in ("detached", "unknown"):
        return
    died = recording.ending.failed
    last = recording.samples[-1]
    if recording.unseen:  # it may have gone anywhere since
        axes.plot(
            [last.time / time, (last.time + recording.unseen) / time], [last.memory / size] * 2, color=colour, linestyle=":"
        )
    dot = {"marker": "o", "markersize": 5, "linestyle": "none", "color": colour, "clip_on": False, "zorder": 5}
    axes.plot(
        [(last.time + recording.unseen) / time],
        [recording.end / size],
        **(CROSS if died else {**dot, "markeredgecolor": "white", "markeredgewidth": 0.8}),
        label=_shortened(str(recording.ending), 100) if died else None,
    )


# -- limits ----------------------------------------------------------------------------------------------------------


def _draw_limits(axes, recordings, highest, size):
    """Where the nearest limit is reached, a line for each recording; what is far above becomes a note, which is returned."""
    levels, notes = [], []
    for number, recording in enumerate(recordings):
        for limit in recording.limits:
            level = recording.level(limit)
            words = f"{_shortened(limit.name, 60)}, {_size(limit.size)}: {_size(limit.left)} left at the start"
            if level is not None:
                levels.append((level, words, COLOURS[number % len(COLOURS)] if len(recordings) > 1 else LIMIT))
                break
            if len(recordings) == 1 and not notes:
                notes.append(words if limit.counted == "memory" else f"{words} (counts {limit.counted})")
    drawn = []
    for level, words, colour in sorted(levels):
        if level > FAR * highest:
            return "\n".join([*notes, f"↑ {words}"])  # the others are higher still
        if all(abs(level - other) > highest / 40 for other in drawn):
            drawn.append(level)
            axes.axhline(level / size, color=colour, linewidth=1.1, linestyle=(0, (6, 3)))
            place = {"xy": (0.01, level / size), "xycoords": axes.get_yaxis_transform(), "textcoords": "offset points"}
            axes.annotate(words, xytext=(0, 2), va="bottom", fontsize=8, color=colour, bbox=BEHIND, **place)
    return "\n".join(notes)


def _draw_crossings(axes, recordings, time, size):
    """A dotted line at the moment when a limit was reached, and one at its height where that is what is drawn."""
    for recording in recordings:
        known = set()
        for number, crossing in enumerate(recording.crossings[:MOST_CROSSINGS]):
            share = recording.share(crossing)
            height = _size(crossing.limit)
            name = _shortened(crossing.name, 60)
            what = f"{height} of {name}" if share is None else f"{share:.0%} of {name}, {height}"
            label = f"reached {what}{ACTIONS.get(crossing.action, '')}" if number < MOST_INSIDE else None
            axes.axvline(crossing.time / time, color=CROSSED, linewidth=1.2, linestyle=":", label=label, zorder=3)
            if crossing.name == recording.about.meter and not recording.totals and crossing.limit not in known:
                known.add(crossing.limit)
                axes.axhline(crossing.limit / size, color=CROSSED, linewidth=0.8, linestyle=":")


# -- the processes of a tree -----------------------------------------------------------------------------------------


def _bands(recording):
    """What is drawn of the processes, from the bottom, as (lanes, colour).

    The recorded process, the others that rose highest, each for itself, in the order of their starts, and all the rest.
    """
    lanes = [lane for lane in recording.lanes if lane[1]]
    largest = sorted(lanes[1:], key=lambda lane: -max(sample.peak for sample in lane[1]))
    rest = largest[MOST_LANES - 1 :] if len(lanes) > MOST_LANES else []
    named = lanes[:1] + sorted(largest[: len(largest) - len(rest)], key=lambda lane: lane[0].started)
    return [([lane], colour) for lane, colour in zip(named, LANES)] + ([(rest, OTHERS)] if rest else [])


def _draw_each(axes, bands, time, size):
    """A curve for each process but the first, where nobody knows what they use together."""
    for lanes, colour in bands[1:]:
        for _, samples in lanes:
            _draw_samples(axes, samples, colour, time, size, width=1.4 if len(lanes) == 1 else 0.5)


def _draw_bands(axes, recording, bands, time, size):
    """The processes' shares of what they use together, in proportion to what was read of each, so that they add up to it."""
    import numpy

    moments = numpy.array([total.time for total in recording.totals])
    times = moments / time
    totals = numpy.array([total.memory for total in recording.totals])
    off = numpy.array([total.estimated for total in recording.totals])

    def memory(process, samples):
        place = numpy.searchsorted([sample.time for sample in samples], moments, side="right")
        read = numpy.array([0, *[sample.memory for sample in samples]])[place]
        ended = samples[-1].time if process.ended is None else process.ended
        return numpy.where((moments >= process.started) & (moments <= ended), read, 0)

    if bands:
        heights = [sum(memory(*lane) for lane in lanes) for lanes, _ in bands]
        summed = sum(heights)
        scale = numpy.divide(totals, summed, out=numpy.zeros(len(totals)), where=summed > 0) / size
        shares = [height * scale for height in heights]
        axes.stackplot(times, *shares, colors=[colour for _, colour in bands], alpha=0.75, linewidth=0)
    if off.max() * 100 > totals.max():
        low, high = ([getattr(total, name) / size for total in recording.totals] for name in ("least", "most"))
        hatched = {"facecolor": "none", "edgecolor": TOGETHER, "hatch": "/////", "alpha": 0.3, "linewidth": 0}
        axes.fill_between(times, low, high, label="by how much that may be off", **hatched)
    failed = [process for process in recording.processes[1:] if process.ending.failed and process.ended is not None]
    if failed:
        ended = [process.ended / time for process in failed]
        heights = numpy.interp(ended, times, totals / size)
        axes.plot(ended, heights, **CROSS, label=f"processes that failed: {len(failed)}")


def _draw_lanes(axes, bands, time):
    """A bar for each process from its start to its end; those that share a band share a row.

    A cross is where it failed, a question mark where it was seen for the last time.
    """
    names = []
    for row, (lanes, colour) in enumerate(bands):
        processes = [process for process, _ in lanes]
        alone = len(processes) == 1
        ends = [samples[-1].time if process.ended is None else process.ended for process, samples in lanes]
        bars = [(process.started / time, (end - process.started) / time) for process, end in zip(processes, ends)]
        axes.broken_barh(bars, (row - 0.3, 0.6), color=colour, alpha=0.75 if alone else 0.3, linewidth=0)
        died = [end / time for process, end in zip(processes, ends) if process.ending.failed]
        if died:
            axes.plot(died, [row] * len(died), **CROSS)
        elif alone and processes[0].ended is None:
            place = {"xy": (ends[0] / time, row), "xytext": (3, 0), "textcoords": "offset points"}
            axes.annotate("?", va="center", fontsize=8, color=colour, **place)
        elif alone:
            axes.plot(ends[0] / time, row, marker="o", markersize=4, color=colour, clip_on=False)
        names.append(_lane_name(processes[0]) if alone else f"{len(processes)} more")
    axes.set_yticks(range(len(names)), names, fontsize=7)
    axes.set_ylim(-0.6, max(1, len(names)) - 0.4)
    axes.tick_params(left=False)
    axes.grid(True, axis="x", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)


def _lane_name(process):
    """What it runs, of which the interpreter says the least, and its number."""
    first, *words = process.command.split() or [""]
    first = os.path.basename(first)
    words = words if words and first.startswith("python") else [first, *words]
    return f"{_shortened(' '.join(words), 26)}  {process.pid}"


# -- spans and the frame ---------------------------------------------------------------------------------------------


def _draw_spans(axes, spans, duration, time, size):
    """Brackets above the curve, one level for each depth; those that rose most where there are too many."""
    chosen = sorted(spans, key=lambda span: span.peak - span.before, reverse=True)[:MOST_SPANS]
    top = axes.get_ylim()[1]
    levels = max(span.depth for span in chosen) + 1
    step = top * 0.07
    for span in chosen:
        height = top + step * (levels - span.depth)
        start, end = span.start / time, (duration if span.end is None else span.end) / time
        foot = height - step * 0.3
        axes.plot([start, start, end, end], [foot, height, height, foot], color="#555555", linewidth=0.9)
        if (end - start) * time > duration * 0.03:
            room = max(4, int(110 * (end - start) * time / max(1, duration)))
            text = span.label if span.end is not None else f"{span.label} (unfinished)"
            axes.annotate(
                _shortened(text, room),
                ((start + end) / 2, height),
                xytext=(0, 2),
                textcoords="offset points",
                ha="center",
                va="bottom",
                fontsize=7.5,
                color="#333333",
            )
    axes.set_ylim(top=top + step * (levels + 1))


def _dress(axes, recordings, up, far):
    from matplotlib.ticker import MaxNLocator

    axes.set_ylabel(up)
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0, top=axes.get_ylim()[1] * (1.04 + 0.05 * len(far.splitlines())))
    if far:
        axes.text(0.995, 0.99, far, transform=axes.transAxes, ha="right", va="top", fontsize=8, color=LIMIT)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=8, steps=[1, 2, 4, 5, 8, 10]))
    axes.grid(True, color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    if len(recordings) == 1:
        about = recordings[0].about
        axes.set_title(_shortened(about.command, 90), fontsize=11, loc="left")
    if not any(recording.samples for recording in recordings):
        axes.text(0.5, 0.5, "no samples were recorded", transform=axes.transAxes, ha="center")
    elif len(recordings) > MOST_INSIDE or len(axes.figure.axes) > 1:
        handles, columns = (_curves(axes), 2) if len(recordings) > 1 else (axes.get_legend_handles_labels()[0], 1)
        axes.figure.legend(fontsize=8, frameon=False, loc="outside lower left", ncols=columns, handles=handles)
    elif axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=8, frameon=False, loc="best")


def _curves(axes):
    """What a legend of many recordings tells apart: their curves, and how those that died did."""
    return [line for line in axes.lines if not line.get_label().startswith("_")]


def _shortened(text, length):
    """Text of a program, to be drawn as it is: between two dollar signs matplotlib would read mathematics."""
    text = memkit.units.show_text(text)
    return (text if len(text) <= length else text[: length - 1] + "…").replace("$", r"\$")


def _size(size):
    return memkit.units.show_bytes(size)
