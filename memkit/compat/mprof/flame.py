"""mprof's flame plot: calls as rectangles, stacked by depth, under the curve of memory over time."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, TypedDict

from memkit.compat.mprof.plot import (
    COLOURS,
    LONGEST_NAME,
    TREND,
    curve,
    draw_cross,
    draw_curve,
    draw_trend,
    say_empty,
    slope_label,
    started,
)
from memkit.compat.mprof.profiles import Profile, read_mprofile_file
from memkit.report.pictures import shorten

if TYPE_CHECKING:
    from argparse import Namespace

    from matplotlib.axes import Axes
    from matplotlib.backend_bases import FigureCanvasBase, MouseEvent
    from matplotlib.collections import PolyCollection
    from matplotlib.text import Text
    from matplotlib.transforms import Bbox


class _Hovered(TypedDict):
    hovered_rect: PolyCollection | None
    hovered_text: Text | None
    alpha: float | None


FLAME_PLOTTER_VARS: _Hovered = {"hovered_rect": None, "hovered_text": None, "alpha": None}
"""The rectangle under the mouse, in a window."""

MOST_HOVERED = 100
"""With more rectangles than this no names are shown under the mouse, since they would lag behind it."""
HUES = (0.0, 0.1)  # red and orange by turns
ALPHA = 0.5
HOVERED_ALPHA = 0.8


def flame_plotter(
    filename: str, index: int = 0, timestamps: bool = True, children: bool = True, options: Namespace | None = None
) -> Profile:
    """Draw a file into the current axes, and its calls as rectangles; the arguments are those of ``plot_file``.

    Children are not drawn. In a window the rectangle under the mouse shows its name, and a click on it zooms to its width; a
    click outside of all rectangles resets the zoom.
    """
    import matplotlib.pyplot as plt

    profile = read_mprofile_file(filename)
    if not profile["mem_usage"]:
        say_empty(filename)
        return profile
    times, memory, start = curve(profile)
    label = started(profile) + slope_label(times, memory, options)
    draw_curve(times, memory, COLOURS[index % len(COLOURS)] + "-", label)
    draw_trend(times, memory, options, TREND)
    if timestamps:
        below = plt.gca()
        draw_cross(times, memory, below.get_xlim(), below.get_ylim())
        _draw_rectangles(below, profile["func_timestamp"], start)
        plt.sca(below)
    return profile


def add_timestamp_rectangle(
    ax: Axes,
    x0: float,
    x1: float,
    y0: float,
    y1: float,
    func_name: str,
    color: str | tuple[float, float, float] = "none",
) -> tuple[PolyCollection, Text]:
    """Draw a rectangle and its name, which is hidden; returns both."""
    rectangle = ax.fill_betweenx((y0, y1), x0, x1, color=color, alpha=ALPHA, linewidth=1)
    name = shorten(func_name, LONGEST_NAME)
    text = ax.text(x0, y1, name, horizontalalignment="left", verticalalignment="top", visible=False)
    text.set_parse_math(False)
    return rectangle, text


def _draw_rectangles(below: Axes, calls: dict[str, list[list[float]]], start: float) -> None:
    axes = below.twinx()
    axes.axis("off")
    below.set_zorder(axes.get_zorder() + 1)
    below.patch.set_visible(False)
    levels: dict[float, list[tuple[float, float, str]]] = {}
    for name, each in calls.items():
        for begin, end, _, _, *depth in each:
            levels.setdefault(depth[0] if depth else 0, []).append((begin - start, end - start, name))
    drawn: list[tuple[PolyCollection, Text | None]] = []
    many = sum(map(len, levels.values())) >= MOST_HOVERED
    for level, spans in sorted(levels.items()):
        spans.sort()
        if many:
            parts = ((spans[first :: len(HUES)], hue) for first, hue in enumerate(HUES))
            drawn += [(_rectangles(axes, part, level, _colour(hue, level)), None) for part, hue in parts if part]
            continue
        for (begin, end, name), hue in zip(spans, itertools.cycle(HUES)):
            drawn.append(add_timestamp_rectangle(axes, begin, end, level, level + 1, name, _colour(hue, level)))
    axes.autoscale_view()
    axes.set_ylim(0, max(levels, default=0) + 1.5)
    canvas = below.figure.canvas
    mouse = _Mouse(below, canvas, drawn)
    vars(below)["flame_mouse"] = mouse  # the canvas has only weak references to its methods
    if not many:
        canvas.mpl_connect("motion_notify_event", mouse.move)
    canvas.mpl_connect("button_press_event", mouse.click)


def _rectangles(
    axes: Axes, spans: list[tuple[float, float, str]], level: float, colour: tuple[float, float, float]
) -> PolyCollection:
    """The rectangles of a level, as one object of matplotlib, without names."""
    from matplotlib.collections import PolyCollection

    high = level + 1
    corners = [[(begin, level), (begin, high), (end, high), (end, level)] for begin, end, _ in spans]
    drawn = PolyCollection(corners, color=colour, alpha=ALPHA, linewidth=1)
    axes.add_collection(drawn, autolim=True)
    return drawn


def _colour(hue: float, level: float) -> tuple[float, float, float]:
    """Paler with every level."""
    from matplotlib.colors import hsv_to_rgb

    red, green, blue = hsv_to_rgb((hue, max(0.15, 1 - 0.35 * level), 1))
    return float(red), float(green), float(blue)


class _Mouse:
    """Handles the mouse: names under it, and zoom by clicks."""

    def __init__(self, below: Axes, canvas: FigureCanvasBase, drawn: list[tuple[PolyCollection, Text | None]]) -> None:
        self._below, self._canvas, self._drawn = below, canvas, drawn
        self._whole: tuple[float, float] | None = None  # the limits before the first click

    def _under(self, event: MouseEvent) -> tuple[PolyCollection | None, Text | None, Bbox | None]:
        """What was drawn there, its name if it has one, and the rectangle."""
        for drawn, text in self._drawn:
            found, which = drawn.contains(event)
            if found:
                return drawn, text, drawn.get_paths()[which["ind"][0]].get_extents()
        return None, None, None

    def move(self, event: MouseEvent) -> None:
        rectangle, text, _ = self._under(event)
        known = FLAME_PLOTTER_VARS
        if rectangle is known["hovered_rect"]:
            return
        if known["hovered_rect"] is not None and known["hovered_text"] is not None:
            known["hovered_rect"].set_alpha(known["alpha"])
            known["hovered_text"].set_visible(False)
        alpha = None if rectangle is None else rectangle.get_alpha()
        known.update({"hovered_rect": rectangle, "hovered_text": text, "alpha": alpha})
        if rectangle is not None and text is not None:
            rectangle.set_alpha(HOVERED_ALPHA)
            text.set_visible(True)
        self._canvas.draw_idle()

    def click(self, event: MouseEvent) -> None:
        if event.inaxes is None or self._canvas.widgetlock.locked():  # the window's own zoom is at work
            return
        self._whole = self._whole or self._below.get_xlim()
        box = self._under(event)[2]
        if box is None:
            self._below.set_xlim(self._whole)
        else:
            self._below.set_xlim(box.x0, box.x1)
        self._canvas.draw_idle()
