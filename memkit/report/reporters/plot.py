"""``--plot``: memory over time as a picture; the suffix of the file says which kind."""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING, Any, NamedTuple

import memkit

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator, Sequence
    from typing import TypeAlias

    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    Lane: TypeAlias = tuple[memkit.Process, tuple[memkit.Sample, ...]]
    Band: TypeAlias = tuple[list[Lane], str]

ALONE: dict[str, Any] = {"linestyle": "none", "zorder": 5}
"""Settings of a marker without a line, drawn above the curves."""
MOST_SPANS = 40
MOST_CROSSINGS = 40
LANE = 0.17  # inches
FAR = 2.5
"""A limit that is more than so many times as high as memory was is not drawn: it would flatten the curve."""
ACTIONS = {"raise": ": MemoryError raised", "stop": ": stopped"}
MOST_EXPLAINED = 3
"""How many of the limits that were reached the legend explains."""


class Scale(NamedTuple):
    """How many nanoseconds and bytes the units of the axes have."""

    time: int
    size: int


@memkit.hookimpl
def memkit_add_options(parser: memkit.OptionParser) -> None:
    parser.add_argument(
        "--plot", metavar="FILE", type=memkit.pictures.path, help="draw memory over time into a .png, .svg or .pdf file"
    )


@memkit.hookimpl
def memkit_report(recordings: tuple[memkit.Recording, ...], options: Namespace) -> None:
    if options.plot:
        memkit.pictures.save(draw(recordings), options.plot)


def draw(recordings: Sequence[memkit.Recording]) -> Figure:
    """A matplotlib ``Figure`` of one recording, or of several laid over each other.

    That of several processes has their shares stacked up, as far as these are known, and their lanes below.
    """
    pictures = memkit.pictures
    tree = recordings[0] if len(recordings) == 1 and (recordings[0].totals or recordings[0].others) else None
    shown = [memkit.transforms.together(recording) for recording in recordings]
    below = len(recordings) if len(recordings) > pictures.MOST_IN_PLOT else 6 * bool(tree)
    bands = _bands(tree) if tree else []
    lanes = 0.3 + LANE * (len(bands) or 1) if tree else 0
    figure = pictures.new_figure(pictures.PLOT_HEIGHT + pictures.legend_height((below + 1) // 2) + lanes)
    heights = [pictures.PLOT_HEIGHT, lanes] if tree else [pictures.PLOT_HEIGHT]
    axes, *lower = figure.subplots(len(heights), squeeze=False, sharex=True, height_ratios=heights)[:, 0]
    time = pictures.time_unit(max((recording.duration for recording in recordings), default=0))
    group = _group(recordings[0]) if len(recordings) == 1 else []
    highest = max([*(recording.peak or 0 for recording in shown), *(used for _, used in group)], default=0)
    if tree and not tree.totals:
        highest = max(highest, *(sample.peak for sample in tree.others))
    size, size_name = memkit.units.scale(highest)
    scale = Scale(time.size, size)
    commands = memkit.units.cut_apart([recording.about.command for recording in shown], 40)
    for number, (recording, command) in enumerate(zip(shown, commands)):
        colour = pictures.TOGETHER if tree and tree.totals else pictures.SERIES[number % len(pictures.SERIES)]
        _draw_curve(axes, recording, colour, scale, _label(recording, None if len(recordings) == 1 else command))
        _draw_ending(axes, recording, colour, scale)
    if tree:
        _draw_bands(axes, tree, bands, scale) if tree.totals else _draw_each(axes, bands, scale)
        _draw_lanes(lower[0], bands, scale)
    if group:
        name = pictures.literal(recordings[0].group[0].name, 60)
        across, up = ([value / unit for value in values] for values, unit in zip(zip(*group), scale))
        axes.plot(across, up, color=pictures.LIMIT, linewidth=1, label=f"all of {name}, less what others had at the start")
    _draw_crossings(axes, recordings, scale)
    far = _draw_limits(axes, recordings, highest, scale)
    if len(recordings) == 1 and recordings[0].spans:
        _draw_spans(axes, recordings[0], scale)
    _dress(axes, recordings, f"memory ({size_name})", far)
    (lower or [axes])[0].set_xlabel(f"time ({time.name})")
    return figure


def _label(recording: memkit.Recording, command: str | None) -> str:
    if command is not None:
        many = f", {len(recording.processes)} processes by {(recording.summed or '').upper()}" if recording.totals else ""
        return f"{memkit.pictures.literal(command, 40)} {recording.about.when:%H:%M:%S}{many}"
    meter = recording.about.meter
    if not recording.totals:
        return f"{meter} of each process; what they used together was not recorded" if recording.others else meter
    shares = f"; the areas are shares of that, in proportion to the {meter.upper()} of each"
    if recording.summed == "pss":
        return f"all processes, summed by PSS{shares}"
    return f"all processes, sum of RSS: a page that several share is in there once for each{shares * (meter != 'rss')}"


# -- one curve -------------------------------------------------------------------------------------------------------


def _draw_curve(axes: Axes, recording: memkit.Recording, colour: str, scale: Scale, label: str) -> None:
    _draw_samples(axes, recording.samples, colour, scale, label)
    if recording.highest:
        high = recording.highest
        share = high.time / max(1, recording.duration)
        side = "left" if share < 0.05 else "right" if share > 0.95 else "center"
        axes.annotate(
            memkit.units.show_bytes(high.peak) + _how_sure(recording),
            (high.time / scale.time, high.peak / scale.size),
            xytext=({"left": 4}.get(side, 0), 4),
            textcoords="offset points",
            ha=side,
            va="bottom",
            fontsize=8,
            color=colour,
            bbox=memkit.pictures.BEHIND_TEXT,
        )


def _draw_samples(
    axes: Axes,
    samples: Sequence[memkit.Sample],
    colour: str,
    scale: Scale,
    label: str | None = None,
    width: float = 1.4,
) -> None:
    times, memory = [sample.time / scale.time for sample in samples], [sample.memory / scale.size for sample in samples]
    axes.plot(times, memory, color=colour, linewidth=width, label=label)
    envelope = list(_envelope(samples, least=max((sample.peak for sample in samples), default=0) // 100))
    if envelope:
        units = scale.time, scale.size, scale.size
        across, low, high = ([value / unit for value in column] for column, unit in zip(zip(*envelope), units))
        above = label and f"{label}, peak between samples"
        axes.fill_between(across, low, high, color=colour, alpha=0.25, linewidth=0, label=above)


def _how_sure(recording: memkit.Recording) -> str:
    if not recording.peak_is_exact:
        return " (seen)"
    error = memkit.units.show_error(recording.about.peaks_error)
    return f" ±{error}" if error else ""


def _envelope(samples: Sequence[memkit.Sample], least: int = 0) -> Iterator[tuple[int, int, int]]:
    """Corners of the area between the curve and the peaks above it: (time, lower, upper) from left to right.

    A row's peak was reached between the row before and this one, so it is drawn over all that time.
    """
    for before, sample in itertools.pairwise(samples):
        if sample.peak > max(sample.memory, before.memory) + least:
            yield before.time, before.memory, before.memory
            yield before.time, before.memory, sample.peak
            yield sample.time, sample.memory, sample.peak
            yield sample.time, sample.memory, sample.memory


def _draw_ending(axes: Axes, recording: memkit.Recording, colour: str, scale: Scale) -> None:
    """A cross where a program failed, a dot where it finished, nothing where its end is not known."""
    if not recording.samples or recording.ending.kind in ("detached", "continued", "running", "unknown"):
        return
    died = recording.ending.failed
    last = recording.samples[-1]
    end, height = (last.time + recording.unseen) / scale.time, last.memory / scale.size
    if recording.unseen:  # it may have been anywhere since
        axes.plot([last.time / scale.time, end], [height] * 2, color=colour, linestyle=":")
    marker = {**ALONE, **(memkit.pictures.CROSS if died else {"color": colour, **memkit.pictures.DOT})}
    label = memkit.pictures.literal(str(recording.ending), 100) if died else None
    axes.plot([end], [height], **marker, label=label)


# -- limits ----------------------------------------------------------------------------------------------------------


def _draw_limits(axes: Axes, recordings: Sequence[memkit.Recording], highest: int, scale: Scale) -> str:
    """Draw the nearest limit of each recording as a line; one that is far above becomes a note, which is returned."""
    levels: list[tuple[int, str, str]] = []
    notes: list[str] = []
    size, series = memkit.units.show_bytes, memkit.pictures.SERIES
    for number, recording in enumerate(recordings):
        for limit in recording.limits:
            level = recording.level(limit)
            name = memkit.pictures.literal(limit.name, 60)
            words = f"{name}, {size(limit.size)}: {size(limit.left)} left at the start"
            if level is not None:
                colour = series[number % len(series)] if len(recordings) > 1 else memkit.pictures.LIMIT
                levels.append((level, words, colour))
                break
            if len(recordings) == 1 and not notes:
                notes.append(words if limit.counted == "memory" else f"{words} (counts {limit.counted})")
    drawn: list[int] = []
    for level, words, colour in sorted(levels):
        if level > FAR * highest:
            return "\n".join([*notes, f"↑ {words}"])  # the others are higher still
        if all(abs(level - other) > highest / 40 for other in drawn):
            drawn.append(level)
            axes.axhline(level / scale.size, color=colour, linewidth=1.1, linestyle=(0, (6, 3)))
            axes.annotate(
                words,
                (0.01, level / scale.size),
                xycoords=axes.get_yaxis_transform(),
                xytext=(0, 2),
                textcoords="offset points",
                va="bottom",
                fontsize=8,
                color=colour,
                bbox=memkit.pictures.BEHIND_TEXT,
            )
    return "\n".join(notes)


def _group(recording: memkit.Recording) -> list[tuple[int, int]]:
    """What the control group of the nearest limit used, less what others had at the start, as the line of the limit is."""
    limit = next((limit for limit in recording.limits if recording.level(limit) is not None), None)
    others = 0 if limit is None else limit.size - (recording.level(limit) or 0)
    return [(each.time, each.used - others) for each in recording.group if limit and each.name == limit.name]


def _draw_crossings(axes: Axes, recordings: Sequence[memkit.Recording], scale: Scale) -> None:
    """A dotted line at the time when a limit was reached, and one at its height if it limits what is drawn."""
    colour = memkit.pictures.REACHED
    for recording in recordings:
        known: set[int] = set()
        for number, crossing in enumerate(recording.crossings[:MOST_CROSSINGS]):
            share = recording.share(crossing)
            height = memkit.units.show_bytes(crossing.limit)
            name = memkit.pictures.literal(crossing.name, 60)
            what = f"{height} of {name}" if share is None else f"{share:.0%} of {name}, {height}"
            label = f"reached {what}{ACTIONS.get(crossing.action, '')}" if number < MOST_EXPLAINED else None
            axes.axvline(crossing.time / scale.time, color=colour, linewidth=1.2, linestyle=":", label=label, zorder=3)
            if crossing.name == recording.about.meter and not recording.totals and crossing.limit not in known:
                known.add(crossing.limit)
                axes.axhline(crossing.limit / scale.size, color=colour, linewidth=0.8, linestyle=":")


# -- the processes of a tree -----------------------------------------------------------------------------------------


def _bands(recording: memkit.Recording) -> list[Band]:
    """The bands of a tree of processes, from the bottom, as (lanes, colour).

    The recorded process, then those that rose highest, a band each, in the order of their starts, then one of all others.
    """
    colours = memkit.pictures.PROCESSES
    lanes = [lane for lane in recording.lanes if lane[1]]
    largest = sorted(lanes[1:], key=lambda lane: -max(sample.peak for sample in lane[1]))
    rest = largest[len(colours) - 1 :] if len(lanes) > len(colours) else []
    named = lanes[:1] + sorted(largest[: len(largest) - len(rest)], key=lambda lane: lane[0].started)
    return [([lane], colour) for lane, colour in zip(named, colours)] + ([(rest, memkit.pictures.OTHERS)] if rest else [])


def _draw_each(axes: Axes, bands: Sequence[Band], scale: Scale) -> None:
    """A curve for each process but the first, where what they use together was not recorded."""
    for lanes, colour in bands[1:]:
        for _, samples in lanes:
            _draw_samples(axes, samples, colour, scale, width=1.4 if len(lanes) == 1 else 0.5)


def _draw_bands(axes: Axes, recording: memkit.Recording, bands: Sequence[Band], scale: Scale) -> None:
    """Each band's share of the total, in proportion to what was read of its processes: together they are the total."""
    import numpy

    moments = numpy.array([total.time for total in recording.totals])
    times = moments / scale.time
    totals = numpy.array([total.memory for total in recording.totals])
    off = numpy.array([total.estimated for total in recording.totals])

    def memory(process: memkit.Process, samples: Sequence[memkit.Sample]) -> Any:
        place = numpy.searchsorted([sample.time for sample in samples], moments, side="right")
        read = numpy.array([0, *[sample.memory for sample in samples]])[place]
        ended = samples[-1].time if process.ended is None else process.ended
        return numpy.where((moments >= process.started) & (moments <= ended), read, 0)

    if bands:
        heights = [sum(memory(*lane) for lane in lanes) for lanes, _ in bands]
        summed = sum(heights)
        factors = numpy.divide(totals, summed, out=numpy.zeros(len(totals)), where=summed > 0) / scale.size
        shares = [height * factors for height in heights]
        axes.stackplot(times, *shares, colors=[colour for _, colour in bands], alpha=0.75, linewidth=0)
    if off.max() * 100 > totals.max():
        low, high = ([getattr(total, name) / scale.size for total in recording.totals] for name in ("least", "most"))
        edge = memkit.pictures.TOGETHER
        hatched: dict[str, Any] = {"facecolor": "none", "edgecolor": edge, "hatch": "/////", "alpha": 0.3, "linewidth": 0}
        axes.fill_between(times, low, high, label="by how much that may be off", **hatched)
    failed = [process for process in recording.processes[1:] if process.ending.failed and process.ended is not None]
    if failed:
        ended = [process.ended / scale.time for process in failed if process.ended is not None]
        at_end = numpy.interp(ended, times, totals / scale.size)
        label = f"processes that failed: {len(failed)}"
        axes.plot(ended, at_end, **ALONE, **memkit.pictures.CROSS, label=label)


def _draw_lanes(axes: Axes, bands: Sequence[Band], scale: Scale) -> None:
    """A bar for each process from its start to its end; those that share a band share a row.

    A cross is where it failed, a question mark where it was seen for the last time.
    """
    names = []
    programs = memkit.units.cut_apart([_program(lanes[0][0]) for lanes, _ in bands], 26)
    for row, (lanes, colour) in enumerate(bands):
        processes = [process for process, _ in lanes]
        alone = len(processes) == 1
        ends = [samples[-1].time if process.ended is None else process.ended for process, samples in lanes]
        bars = [
            (process.started / scale.time, (end - process.started) / scale.time) for process, end in zip(processes, ends)
        ]
        axes.broken_barh(bars, (row - 0.3, 0.6), color=colour, alpha=0.75 if alone else 0.3, linewidth=0)
        died = [end / scale.time for process, end in zip(processes, ends) if process.ending.failed]
        if died:
            axes.plot(died, [row] * len(died), **ALONE, **memkit.pictures.CROSS)
        elif alone and processes[0].ended is None:
            end = ends[0] / scale.time
            axes.annotate("?", (end, row), xytext=(3, 0), textcoords="offset points", va="center", fontsize=8, color=colour)
        elif alone:
            axes.plot(ends[0] / scale.time, row, marker="o", markersize=4, color=colour, clip_on=False)
        name = f"{memkit.pictures.literal(programs[row], 26)}  {processes[0].pid}"
        names.append(name if alone else f"{len(processes)} more")
    axes.set_yticks(range(len(names)), names, fontsize=7)
    axes.set_ylim(-0.6, max(1, len(names)) - 0.4)
    axes.tick_params(left=False)
    memkit.pictures.dress(axes, hide=("top", "right", "left"), grid="x")


def _program(process: memkit.Process) -> str:
    """The program of a process, without its interpreter."""
    first, *words = process.title.split() or [""]
    first = os.path.basename(first)
    return " ".join(words if words and first.startswith("python") else [first, *words])


# -- spans and the frame ---------------------------------------------------------------------------------------------


def _draw_spans(axes: Axes, recording: memkit.Recording, scale: Scale) -> None:
    """Brackets above the curve; of too many spans those that rose most."""
    chosen = memkit.transforms.largest_spans(recording.spans, MOST_SPANS)
    duration, levels = recording.duration, min(MOST_SPANS, max(span.depth for span in chosen) + 1)
    found = []
    for span in chosen:
        end = duration if span.end is None else span.end
        label = span.label if span.end is not None else f"{span.label} (unfinished)"
        found.append((span.start / scale.time, end / scale.time, max(0, levels - span.depth), label))
    memkit.pictures.draw_brackets(axes, found, duration / scale.time)


def _dress(axes: Axes, recordings: Sequence[memkit.Recording], up: str, far: str) -> None:
    pictures = memkit.pictures
    axes.set_ylabel(up)
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0, top=axes.get_ylim()[1] * (1.04 + 0.05 * len(far.splitlines())))
    if far:
        axes.text(0.995, 0.99, far, transform=axes.transAxes, ha="right", va="top", fontsize=8, color=pictures.LIMIT)
    pictures.dress_memory(axes)
    pictures.dress(axes)
    if len(recordings) == 1:
        axes.set_title(pictures.literal(recordings[0].about.command, 90), fontsize=11, loc="left")
    if not any(recording.samples for recording in recordings):
        axes.text(0.5, 0.5, "no samples were recorded", transform=axes.transAxes, ha="center")
        return
    handles = axes.get_legend_handles_labels()[0]
    if len(recordings) > pictures.MOST_IN_PLOT:
        pictures.add_legend(axes, _curves(axes), below=True, columns=2)
    else:
        pictures.add_legend(axes, handles, below=len(axes.figure.axes) > 1)


def _curves(axes: Axes) -> list[Artist]:
    """What the legend of many recordings has: their curves, and how those that failed ended."""
    return [line for line in axes.lines if not str(line.get_label()).startswith("_")]
