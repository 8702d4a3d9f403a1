"""A fit as a picture: the runs, the curve, the interval around it, and the limits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from memkit.base.units import scale, show_bytes
from memkit.report import pictures
from memkit.report.fitting.document import Ceiling
from memkit.report.fitting.fit import Fit
from memkit.report.fitting.shapes import size_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_STEPS = 200
_HEADROOM = 1.6
"""Limits are drawn that are at most so many times as high as the interval goes; the others are named at the upper edge."""


def draw(fit: Fit, sizes: Sequence[float], ceilings: Sequence[Ceiling]) -> Figure:
    """A matplotlib ``Figure`` of the fit up to the largest of ``sizes``."""
    figure = pictures.new_figure(pictures.PLOT_HEIGHT + pictures.legend_height(1))
    axes = figure.subplots()
    farthest = max(*sizes, fit.largest) * 1.04
    at = [farthest * (step + 1) / _STEPS for step in range(_STEPS)]
    predicted = [fit.at(size) for size in at]
    top = max(*(each.high for each in predicted), *(run.peak for run in fit.runs))
    unit, name = scale(top)
    band = axes.fill_between(
        at,
        [each.low / unit for each in predicted],
        [each.high / unit for each in predicted],
        color=pictures.MEMORY,
        alpha=0.15,
        linewidth=0,
        label="95 % interval",
    )
    [curve] = axes.plot(at, [each.peak / unit for each in predicted], color=pictures.MEMORY, label=f"fit: {fit.model}")
    handles: list[Any] = [curve, band, *_points(axes, fit, sizes, unit)]
    axes.set_xlim(0, farthest)
    axes.set_ylim(0, top / unit * 1.08)
    _limits(axes, ceilings, unit, top)
    axes.set_xlabel("size of the input")
    axes.set_ylabel(f"peak ({name})")
    axes.set_title(pictures.literal(fit.command, 90), fontsize=9, loc="left", color=pictures.FAINT)
    axes.ticklabel_format(axis="x", style="sci", scilimits=(-3, 6))
    pictures.dress_memory(axes)
    pictures.dress(axes)
    pictures.add_legend(axes, handles, below=True, columns=4)
    return figure


def _points(axes: Axes, fit: Fit, sizes: Sequence[float], unit: int) -> list[Any]:
    found: list[Any] = []
    kinds = (("runs", True, pictures.DOT, pictures.TOGETHER), ("did not finish", False, pictures.CROSS, pictures.FAILED))
    for label, finished, marker, colour in kinds:
        runs = [run for run in fit.runs if run.finished is finished]
        if runs:
            xs, ys = [run.size for run in runs], [run.peak / unit for run in runs]
            found += axes.plot(xs, ys, linestyle="none", label=label, **{"markerfacecolor": colour, **marker})
    for size in sizes:
        each = fit.at(size)
        ends = [[(each.peak - each.low) / unit], [(each.high - each.peak) / unit]]
        axes.errorbar([size], [each.peak / unit], yerr=ends, color=pictures.PEAK, capsize=4, marker="D", markersize=5)
        words = f"{show_bytes(each.peak)} at {size_words(size)}"
        left = size > max(*sizes, fit.largest) / 2
        axes.annotate(
            words, (size, each.peak / unit), xytext=(-9 if left else 9, 8), textcoords="offset points",
            ha="right" if left else "left", fontsize=8, color=pictures.TEXT, bbox=pictures.BEHIND_TEXT,
        )  # fmt: skip
    return found


def _limits(axes: Axes, ceilings: Sequence[Ceiling], unit: int, top: int) -> None:
    for each in sorted(ceilings, key=lambda each: each.memory):
        label = f"{each.name}: {show_bytes(each.memory)}"
        if each.memory > top * _HEADROOM:
            axes.annotate(
                f"{label}, far above", (0.01, 0.99), xycoords="axes fraction", va="top", fontsize=8, color=pictures.LIMIT
            )
            return
        axes.axhline(each.memory / unit, color=pictures.LIMIT, linestyle="--", linewidth=1)
        axes.annotate(
            label, (0.01, each.memory / unit), xycoords=("axes fraction", "data"), xytext=(0, 3),
            textcoords="offset points", fontsize=8, color=pictures.LIMIT,
        )  # fmt: skip
        axes.set_ylim(top=max(axes.get_ylim()[1], each.memory / unit * 1.08))
