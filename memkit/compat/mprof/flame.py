"""mprof's other picture: calls as rectangles, stacked by their depth, under the line of memory over time."""

from __future__ import annotations

import itertools

from memkit.compat.mprof.plot import (
    COLOURS,
    TREND,
    curve,
    draw_cross,
    draw_curve,
    draw_trend,
    say_empty,
    slope_label,
    started,
)
from memkit.compat.mprof.profiles import read_mprofile_file

FLAME_PLOTTER_VARS = {"hovered_rect": None, "hovered_text": None, "alpha": None}
"""What the mouse is over, in a window."""

MOST_HOVERED = 100
"""With more rectangles than so many their names are not shown under the mouse, which would lag behind it."""
HUES = (0.0, 0.1)  # red and orange by turns
ALPHA = 0.5
HOVERED_ALPHA = 0.8


def flame_plotter(filename, index=0, timestamps=True, children=True, options=None) -> dict:
    """Draw a file into the current axes, and its calls as rectangles; the arguments are those of ``plot_file``.

    Children are not drawn. In a window a rectangle under the mouse shows its name, and a click on it makes it as wide as the
    picture; a click beside them all shows everything again.
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


def add_timestamp_rectangle(ax, x0, x1, y0, y1, func_name, color="none"):
    """A rectangle and its name, which is hidden: ``(rectangle, text)``."""
    rectangle = ax.fill_betweenx((y0, y1), x0, x1, color=color, alpha=ALPHA, linewidth=1)
    text = ax.text(x0, y1, func_name, horizontalalignment="left", verticalalignment="top", visible=False)
    text.set_parse_math(False)
    return rectangle, text


def _draw_rectangles(below, calls, start):
    axes = below.twinx()
    axes.axis("off")
    below.set_zorder(axes.get_zorder() + 1)
    below.patch.set_visible(False)
    levels = {}
    for name, each in calls.items():
        for begin, end, _, _, *depth in each:
            levels.setdefault(depth[0] if depth else 0, []).append((begin - start, end - start, name))
    drawn = []
    for level, stretches in sorted(levels.items()):
        for (begin, end, name), hue in zip(sorted(stretches), itertools.cycle(HUES)):
            drawn.append(add_timestamp_rectangle(axes, begin, end, level, level + 1, name, _colour(hue, level)))
    axes.set_ylim(0, max(levels, default=0) + 1.5)
    canvas = below.figure.canvas
    mouse = below.flame_mouse = _Mouse(below, canvas, drawn)  # the canvas holds it weakly
    if len(drawn) < MOST_HOVERED:
        canvas.mpl_connect("motion_notify_event", mouse.move)
    canvas.mpl_connect("button_press_event", mouse.click)


def _colour(hue, level):
    """Paler with every level."""
    from matplotlib.colors import hsv_to_rgb

    return tuple(map(float, hsv_to_rgb((hue, max(0.15, 1 - 0.35 * level), 1))))


class _Mouse:
    """What the rectangles answer to the mouse."""

    def __init__(self, below, canvas, drawn):
        self._below, self._canvas, self._drawn = below, canvas, drawn
        self._whole = None  # the limits before the first click

    def _under(self, event):
        for rectangle, text in self._drawn:
            if rectangle.contains(event)[0]:
                return rectangle, text
        return None, None

    def move(self, event):
        rectangle, text = self._under(event)
        known = FLAME_PLOTTER_VARS
        if rectangle is known["hovered_rect"]:
            return
        if known["hovered_rect"] is not None:
            known["hovered_rect"].set_alpha(known["alpha"])
            known["hovered_text"].set_visible(False)
        known.update(hovered_rect=rectangle, hovered_text=text, alpha=rectangle and rectangle.get_alpha())
        if rectangle is not None:
            rectangle.set_alpha(HOVERED_ALPHA)
            text.set_visible(True)
        self._canvas.draw_idle()

    def click(self, event):
        if event.inaxes is None or self._canvas.widgetlock.locked():  # the window's own zoom is at work
            return
        self._whole = self._whole or self._below.get_xlim()
        rectangle, _ = self._under(event)
        if rectangle is None:
            self._below.set_xlim(self._whole)
        else:
            box = rectangle.get_paths()[0].get_extents()
            self._below.set_xlim(box.x0, box.x1)
        self._canvas.draw_idle()
