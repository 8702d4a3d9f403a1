"""``--flame`` of a comparison: both trees of calls in one picture, red where it is more now, blue where it is less."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from memkit.base.errors import UsageError
from memkit.base.units import show_bytes, show_on_a_line, show_time
from memkit.model.calls import Call
from memkit.report import pictures
from memkit.report.comparing.changes import HEAP, MEASURES, MEMORY_SAMPLED
from memkit.report.comparing.comparison import Comparison
from memkit.report.comparing.rows import ComparedRow
from memkit.report.comparing.tables import name_of
from memkit.report.comparing.words import place
from memkit.report.reporters import flame
from memkit.report.transforms import NOISE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

KEYS = tuple(measure for measure in MEASURES if measure != "peak")
LIKE = "#f2f0ec"
_PALEST, _DARKEST = 0.12, 0.62
"""Of each half of the colours: black text can be read on all of them."""


def draw(comparison: Comparison, by: str | None = None) -> Figure:
    """A matplotlib ``Figure`` of the calls of both sides: as wide as the larger of the two, coloured by the difference."""
    if not comparison.paths:
        raise UsageError("--flame has nothing to draw: calls were not recorded on both sides; record with --calls")
    rows = {row.id: row for row in comparison.paths}
    by = by or _by(comparison)
    if by not in KEYS:
        raise UsageError(f"--flame by {by}: a picture of a comparison can be by {', '.join(KEYS)}")
    if not any(row.change(by).known for row in comparison.paths):
        raise UsageError(f"--flame by {by}: that is not known of both sides; record with --heap")
    layout = _layout(comparison.paths, by)
    levels = 1 + max((box.level for box in layout.boxes), default=0)
    height = 1.25 + flame.LEVEL * levels
    figure = pictures.new_figure(height, width=flame.WIDTH, layout=False)
    axes = figure.add_axes((0.01, 0.75 / height, 0.98, flame.LEVEL * levels / height))
    axes.set_xlim(0, 1)
    axes.set_ylim(levels, 0)
    axes.axis("off")
    most = max((abs(_difference(row, by)) for row in comparison.paths), default=0)
    _boxes(axes, layout, rows, by, most)
    title = f"{name_of(comparison.before)} → {name_of(comparison.after)}: {comparison.sentence}"
    title = pictures.shorten(show_on_a_line(title), 150)
    figure.text(0.01, 1 - 0.15 / height, title, fontsize=11, va="top", parse_math=False)
    how = f"callers above what they called; as wide as their {by} was before or is now, whichever is more"
    left_out = layout.deep + layout.narrow
    paths = f"{left_out:,} paths that are" if left_out > 1 else "a path that is"
    more = f"\nleft out: {paths} too narrow or too deep" if left_out else ""
    figure.text(0.01, 0.5 / height, how + more, fontsize=7.5, va="top", color=pictures.FAINT)
    _legend(figure, height, by, most)
    return figure


def _by(comparison: Comparison) -> str:
    """What the picture is by: growth, where that changed nowhere rise, else time; of a sampled heap alive or heap-peak."""
    for by in ("growth", "rise"):
        if any(abs(_difference(row, by)) >= NOISE for row in comparison.paths):
            return by
    if any(row.change("growth").new for row in comparison.paths):
        return "growth"
    if any(row.change("time").known for row in comparison.paths):
        return "time"
    return next((by for by in MEMORY_SAMPLED if any(row.change(by).real for row in comparison.paths)), "alive")


def _difference(row: ComparedRow, by: str) -> int:
    return row.change(by).difference or 0


def _layout(rows: Sequence[ComparedRow], by: str) -> flame.Layout:
    """Where the boxes are, as in the picture of one recording: each path as a call with the larger of its two figures."""
    sizes = {}
    for row in rows:
        change = row.change(by)
        sizes[row.id] = max(abs(change.old or 0), abs(change.new or 0))
    for row in reversed(rows) if by in HEAP else ():  # what a path allocated is without what it called
        if row.parent is not None:
            sizes[row.parent] += sizes[row.id]
    calls = []
    for row in rows:
        assert row.id is not None, "a path has a number"
        function, size = row.place.function, sizes[row.id]
        calls.append(Call(row.id, row.parent, function, 0, 1, size, size, 0, 0, 0, 0))
    return flame.Layout(calls, "growth")


def _boxes(axes: Axes, layout: flame.Layout, rows: dict[int | None, ComparedRow], by: str, most: int) -> None:
    from matplotlib.collections import PolyCollection

    corners, fill = [], []
    for box in layout.boxes:
        row = rows[box.call.id]
        left, right, top = box.left, box.left + box.width, box.level
        corners.append(((left, top + 0.03), (right, top + 0.03), (right, top + 0.97), (left, top + 0.97)))
        fill.append(pictures.GRID if box.between else colour(row.change(by).real, most))
        if text := label(box, row, by):
            axes.text(
                left + 3 / 72 / (flame.WIDTH * 0.98),
                top + 0.52,
                text,
                family="monospace",
                fontsize=flame.FONT,
                va="center",
                parse_math=False,
            )
    if corners:
        axes.add_collection(PolyCollection(corners, facecolors=fill, linewidths=0.6, edgecolor="white"))


def colour(difference: int, most: int) -> Any:
    """Red for more, blue for less, the darker the more of the largest difference; nearly white for none."""
    from matplotlib import colormaps

    if not most or not difference:
        return LIKE
    depth = _PALEST + (_DARKEST - _PALEST) * abs(difference) / most
    return colormaps["RdBu_r"](0.5 + (depth if difference > 0 else -depth) / 2)


def label(box: flame.Box, row: ComparedRow, by: str) -> str:
    """The text in a box: as much as fits, and nothing where too little does."""
    room = int((box.width * flame.WIDTH * 0.98 * 72 - 7) / (flame.FONT * flame.ADVANCE))
    name = show_on_a_line(row.place.function.name)
    if room < flame.SHORTEST and room < len(name):
        return ""
    if box.between:
        return pictures.shorten(f"... {box.between:,} calls between", room)
    state = f" ({row.state})" if row.state != "both" else ""
    show = show_time if by == "time" else show_bytes
    change = row.change(by)
    size = f"{'+' if _difference(row, by) >= 0 else ''}{show(_difference(row, by))}"
    sides = f", {show(change.old)} → {show(change.new)}"
    where = f"  {place(row)}" if place(row) else ""
    for text in (
        f"{name}{where}{state}  {size}{sides}",
        f"{name}{state}  {size}{sides}",
        f"{name}{state}  {size}",
        f"{name}  {size}",
    ):
        if len(text) <= room:
            return text
    return pictures.shorten(name, room)


def _legend(figure: Figure, height: float, by: str, most: int) -> None:
    from matplotlib.patches import Patch

    show = show_time if by == "time" else show_bytes
    patches = [
        Patch(facecolor=colour(most, most), label=f"more, up to {show(most)}"),
        Patch(facecolor=colour(-most, most), label="less"),
        Patch(facecolor=LIKE, edgecolor=pictures.GRID, label="as before, or not more than chance"),
    ]
    place_of_it = (0.99, 0.4 / height)
    figure.legend(handles=patches, fontsize=7.5, frameon=False, ncols=3, loc="center right", bbox_to_anchor=place_of_it)
