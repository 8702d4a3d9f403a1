"""A plot of memory over time of trackers' files and of recordings, which marks how each ended."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from memkit.base.errors import UsageError
from memkit.base.paths import text_of
from memkit.base.units import SECOND, scale, show_text
from memkit.model import tracker_file
from memkit.report import pictures

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

_STROKES = ("-", "--", ":", "-.")
_ENDS: dict[str, dict[str, Any]] = {
    "completed": pictures.DOT,
    "raised": pictures.CROSS,
    "broken off": {**pictures.CROSS, "marker": "D", "markersize": 7, "markerfacecolor": pictures.TOGETHER},
}
_WORDS = {"completed": "", "raised": ": raised an exception", "broken off": ": killed, or still running"}


def plot_reports(
    paths: str | bytes | os.PathLike[Any] | Iterable[str | bytes | os.PathLike[Any]],
    *,
    save: str | bytes | os.PathLike[Any] | None = None,
    figure: Figure | None = None,
) -> Figure:
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
    pictures.require_matplotlib()
    saved = None if save is None else pictures.path(text_of(save))
    found = [tracker_file.read(path) for path in paths]
    figure = figure or _new_figure(len(found))
    _draw(figure, found, _names(found, paths))
    if saved:
        pictures.save(figure, saved)
    return figure


def _new_figure(count: int) -> Figure:
    below = (count + 1) // 2 if count > pictures.MOST_IN_PLOT else 0
    return pictures.new_figure(pictures.PLOT_HEIGHT + pictures.legend_height(below))


def _names(found: Sequence[tracker_file.Track], paths: Sequence[str | bytes | os.PathLike[Any]]) -> list[str]:
    """The names of the files; with their folders where two are the same."""
    names = [track.name for track in found]
    whole = [os.path.splitext(os.fsdecode(path))[0] for path in paths]
    return [show_text(name if names.count(name) == 1 else path) for name, path in zip(names, whole)]


def _draw(figure: Figure, found: Sequence[tracker_file.Track], names: Sequence[str]) -> None:
    axes = figure.subplots()
    time = pictures.time_unit(max((track.times[-1] for track in found if track.times), default=0) * SECOND)
    sizes = [abs(size) for track in found for size in track.sizes]
    size, size_name = scale(max(sizes, default=0))
    curves: list[Line2D] = []
    for number, (track, name) in enumerate(zip(found, names)):
        colour = pictures.SERIES[number % len(pictures.SERIES)]
        stroke = _STROKES[number // len(pictures.SERIES) % len(_STROKES)]
        times, heights = [each * SECOND / time.size for each in track.times], [each / size for each in track.sizes]
        label = name + (_WORDS[track.ending] if track.times else ": no rows")
        label += f" ({track.unread:,} rows unread)" if track.unread else ""
        curves += axes.plot(times, heights, stroke, color=colour, linewidth=1.4, label=label)
        if times:  # an empty curve would take part in the layout unless it is clipped
            curves[-1].set(markevery=[-1], **{"markerfacecolor": colour, **_ENDS[track.ending]})
    _dress(axes, time, f"memory ({size_name})")
    if not sizes:
        axes.set(xticks=[], yticks=[], xlabel="time", ylabel="memory")
        axes.text(0.5, 0.5, "no rows were written", transform=axes.transAxes, ha="center")
    pictures.add_legend(axes, curves, below=len(found) > pictures.MOST_IN_PLOT, columns=2)


def _dress(axes: Axes, time: pictures.TimeUnit, up: str) -> None:
    from matplotlib.ticker import MaxNLocator

    low, high = axes.get_ylim()
    low, high = low if low < -abs(high) / 20 else 0, max(high, 0)  # a calibrated curve may begin a little below 0
    axes.set_ylim(low, high + (high - low) * 0.04)
    axes.set_xlim(left=0)
    axes.set_xlabel(f"time ({time.name})")
    axes.set_ylabel(up)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=10, steps=list(time.steps)))
    pictures.dress_memory(axes)
    pictures.dress(axes)
