"""Memory over time of what trackers have written and of recordings, as a picture that says how each ended."""

from __future__ import annotations

import os
from collections.abc import Iterable
from importlib.util import find_spec

from memkit.base.errors import UsageError
from memkit.base.paths import text_of
from memkit.base.units import scale, show_text
from memkit.model import tracker_file
from memkit.report import output

_SUFFIXES = (".png", ".svg", ".pdf")
_COLOURS = ("#1f6fb4", "#d1603d", "#2e8b57", "#8e5ea2", "#b8860b", "#3a9ea5")
_STROKES = ("-", "--", ":", "-.")
_ENDS = {
    "completed": {"marker": "o", "markersize": 6},
    "raised": {"marker": "X", "markersize": 10, "markerfacecolor": "#c0202a"},
    "broken off": {"marker": "D", "markersize": 7, "markerfacecolor": "#222222"},
}
_WORDS = {"completed": "", "raised": ": raised an exception", "broken off": ": killed, or still running"}
_MOST_INSIDE = 3
_LEGEND_ROW = 0.19  # inches
_TENS, _TWELVES, _BINARY = (1, 2, 5, 10), (1, 2, 3, 6, 10), (1, 2, 4, 5, 10)
_UNITS = (  # the longest time that one is for, its seconds, its name, and the steps that people count it in
    (1e-3, 1e-6, "µs", _TENS),
    (1, 1e-3, "ms", _TENS),
    (180, 1, "s", _TENS),
    (12 * 60, 60, "min", _TENS),
    (3 * 3600, 60, "min", _TWELVES),
    (12 * 3600, 3600, "h", _TENS),
    (2 * 86400, 3600, "h", _TWELVES),
    (float("inf"), 86400, "days", _TENS),
)


def plot_reports(paths, *, save: str | os.PathLike[str] | None = None, figure=None):
    """Draw memory over time of trackers' files and of recordings, laid over each other: a matplotlib ``Figure``.

    A dot is where one came to its end, a cross where it raised an exception, a diamond where it was killed or has not ended.
    ``paths`` is one or several. ``save``: a .png, .svg or .pdf file to draw into. ``figure``: one to draw into, in
    place of a new one that pyplot knows nothing of. Raises ``FormatError`` for a file that is neither, ``UsageError`` where
    there is nothing to draw or no way to.
    """
    if isinstance(paths, (str, bytes, os.PathLike)):
        paths = [paths]
    elif not isinstance(paths, Iterable):
        raise UsageError(f"plot_reports() takes paths, not {paths!r}")
    paths = list(paths)
    if not paths:
        raise UsageError("there is nothing to draw: give plot_reports() a file, or several")
    if find_spec("matplotlib") is None:
        raise UsageError("plot_reports needs matplotlib: python -m pip install matplotlib")
    saved = None if save is None else _picture_path(save)
    found = [tracker_file.read(path) for path in paths]
    figure = figure or _new_figure(len(found))
    _draw(figure, found, _names(found, paths))
    if saved:
        with output.output(saved, binary=True) as file:
            figure.savefig(file, format=os.path.splitext(saved)[1][1:].lower())
    return figure


def _picture_path(save) -> str:
    path = output.output_path(text_of(save))
    if os.path.splitext(path)[1].lower() not in _SUFFIXES:
        raise UsageError(f"cannot tell the kind of picture from {path!r}: end it in {', '.join(_SUFFIXES)}")
    return path


def _new_figure(count: int):
    from matplotlib.figure import Figure

    below = (count + 1) // 2 if count > _MOST_INSIDE else 0
    return Figure(figsize=(10, 5 + _LEGEND_ROW * below), dpi=120, layout="constrained")


def _names(found, paths) -> list[str]:
    """The names of the files; with their folders where two are the same."""
    names = [track.name for track in found]
    whole = [os.path.splitext(os.fsdecode(path))[0] for path in paths]
    return [show_text(name if names.count(name) == 1 else path) for name, path in zip(names, whole)]


def _draw(figure, found, names) -> None:
    axes = figure.subplots()
    unit, unit_name, steps = _unit_of(max((track.times[-1] for track in found if track.times), default=0))
    sizes = [abs(size) for track in found for size in track.sizes]
    size, size_name = scale(max(sizes, default=0))
    curves = []
    for number, (track, name) in enumerate(zip(found, names)):
        colour = _COLOURS[number % len(_COLOURS)]
        stroke = _STROKES[number // len(_COLOURS) % len(_STROKES)]
        times, heights = [time / unit for time in track.times], [each / size for each in track.sizes]
        label = name + (_WORDS[track.ending] if track.times else ": no rows")
        label += f" ({track.unread:,} rows unread)" if track.unread else ""
        how = {"markerfacecolor": colour, "markeredgecolor": "white", "markeredgewidth": 0.8, **_ENDS[track.ending]}
        curves += axes.plot(times, heights, stroke, color=colour, linewidth=1.4, label=label)
        if times:  # an empty curve would take part in the layout unless it is clipped
            curves[-1].set(markevery=[-1], clip_on=False, **how)
    _dress(axes, f"time ({unit_name})", f"memory ({size_name})", steps)
    if not sizes:
        axes.set(xticks=[], yticks=[], xlabel="time", ylabel="memory")
        axes.text(0.5, 0.5, "no rows were written", transform=axes.transAxes, ha="center")
    if len(found) > _MOST_INSIDE:
        figure.legend(handles=curves, fontsize=8, frameon=False, loc="outside lower left", ncols=2)
    else:
        axes.legend(handles=curves, fontsize=8, frameon=False, loc="best")


def _unit_of(longest: float):
    return next(rest for most, *rest in _UNITS if longest < most)


def _dress(axes, across, up, steps) -> None:
    from matplotlib.ticker import MaxNLocator

    low, high = axes.get_ylim()
    low, high = low if low < -abs(high) / 20 else 0, max(high, 0)  # a calibrated curve may begin a little below 0
    axes.set_ylim(low, high + (high - low) * 0.04)
    axes.set_xlim(left=0)
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=10, steps=steps))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=8, steps=_BINARY))
    axes.grid(True, color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
