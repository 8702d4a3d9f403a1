"""``--plot``: memory over time as a picture; the suffix of the file says which kind."""

import itertools
import os
from importlib.util import find_spec

import memkit

SUFFIXES = (".png", ".svg", ".pdf")
COLOURS = ("#1f6fb4", "#d1603d", "#2e8b57", "#8e5ea2", "#b8860b", "#3a9ea5")
MOST_SPANS = 40
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
    """A matplotlib ``Figure`` of one recording, or of several laid over each other."""
    from matplotlib.figure import Figure

    below = len(recordings) if len(recordings) > MOST_INSIDE else 0
    figure = Figure(figsize=(10, 5 + LEGEND_ROW * ((below + 1) // 2)), dpi=120, layout="constrained")
    axes = figure.subplots()
    seconds = max((recording.duration for recording in recordings), default=0) / memkit.units.SECOND
    time, time_name = (60, "min") if seconds > 600 else (1, "s") if seconds > 1 else (1e-3, "ms")
    size, size_name = memkit.units.scale(max((recording.peak or 0 for recording in recordings), default=0))
    time *= memkit.units.SECOND
    for number, recording in enumerate(recordings):
        colour = COLOURS[number % len(COLOURS)]
        _draw_curve(axes, recording, colour, time, size, _label(recording, alone=len(recordings) == 1))
        _draw_ending(axes, recording, colour, time, size)
    if len(recordings) == 1 and recordings[0].spans:
        _draw_spans(axes, recordings[0].spans, recordings[0].duration, time, size)
    _dress(axes, recordings, f"time ({time_name})", f"memory ({size_name})")
    return figure


def _label(recording, alone):
    command = _shortened(recording.about.command, 40)
    name = recording.about.meter if alone else f"{command} {recording.about.when:%H:%M:%S}"
    return name


def _draw_curve(axes, recording, colour, time, size, label):
    times = [sample.time / time for sample in recording.samples]
    memory = [sample.memory / size for sample in recording.samples]
    axes.plot(times, memory, color=colour, linewidth=1.4, label=label)
    envelope = list(_envelope(recording.samples, least=(recording.peak or 0) // 100))
    if envelope:
        across, low, high = ([value / unit for value in column] for column, unit in zip(zip(*envelope), (time, size, size)))
        axes.fill_between(across, low, high, color=colour, alpha=0.25, linewidth=0, label=f"{label}, peak between samples")
    if recording.highest:
        high = recording.highest
        share = high.time / max(1, recording.duration)
        side = "left" if share < 0.05 else "right" if share > 0.95 else "center"
        axes.annotate(
            memkit.units.show_bytes(high.peak) + _how_sure(recording),
            (high.time / time, high.peak / size),
            xytext=({"left": 4}.get(side, 0), 4),
            textcoords="offset points",
            ha=side,
            va="bottom",
            fontsize=8,
            color=colour,
        )


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
    """A cross where a program died, a dot where it finished, nothing where its end is not known."""
    if not recording.samples or recording.ending.kind == "unknown":
        return
    died = recording.ending.kind != "ok"
    last = recording.samples[-1]
    if recording.unseen:  # it may have gone anywhere since
        axes.plot([last.time / time, recording.duration / time], [last.memory / size] * 2, color=colour, linestyle=":")
    axes.plot(
        [(recording.duration if recording.unseen else last.time) / time],
        [recording.end / size],
        marker="X" if died else "o",
        markersize=9 if died else 5,
        linestyle="none",
        color="#c0202a" if died else colour,
        markeredgecolor="white",
        markeredgewidth=0.8,
        clip_on=False,
        zorder=5,
        label=_shortened(str(recording.ending), 100) if died else None,
    )


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


def _dress(axes, recordings, across, up):
    from matplotlib.ticker import MaxNLocator

    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0, top=axes.get_ylim()[1] * 1.04)
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
    elif len(recordings) > MOST_INSIDE:
        axes.figure.legend(fontsize=8, frameon=False, loc="outside lower left", ncols=2, handles=_curves(axes))
    elif axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=8, frameon=False, loc="best")


def _curves(axes):
    """What a legend of many recordings tells apart: their curves, and how those that died did."""
    return [line for line in axes.lines if not line.get_label().startswith("_")]


def _shortened(text, length):
    return text if len(text) <= length else text[: length - 1] + "…"
