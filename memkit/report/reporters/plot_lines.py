"""``--plot-lines``: the source of the traced functions with a bar for what each line grew by and how high it rose."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import memkit

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Iterator, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_LINES = 120
LONGEST_TEXT = 100
LETTER, ROW, BARS, GAP = 0.0672, 0.2, 2.3, 0.35
"""Inches: the width of a letter, the height of a row, the width of the bars, and the gap before them."""
TOP, BOTTOM, EDGE = 0.35, 0.3, 0.12


class Row(NamedTuple):
    """A row of the picture."""

    text: str
    line: memkit.Line | None
    """None where nothing ran."""
    heading: bool = False
    """Whether it names a function."""


@memkit.hookimpl
def memkit_add_options(parser: memkit.OptionParser) -> None:
    option = parser.add_argument(
        "--plot-lines",
        metavar="FILE",
        type=memkit.pictures.path,
        help="draw the traced source with bars into a .png, .svg or .pdf file",
    )
    option.one_recording, option.needs = True, "lines"


@memkit.hookimpl
def memkit_report(recording: memkit.Recording, options: Namespace) -> None:
    if not options.plot_lines:
        return
    if not recording.lines:
        raise memkit.UsageError("--plot-lines has nothing to draw: no lines were traced; record with --lines")
    memkit.pictures.save(draw(recording), options.plot_lines)


def draw(recording: memkit.Recording) -> Figure:
    """A matplotlib ``Figure``: a row for each line of source, with its text, growth and peak."""
    pictures = memkit.pictures
    rows = list(rows_of(recording))
    shown, more = rows[:MOST_LINES], len(rows) - MOST_LINES
    letters = max(pictures.columns(_shown(row.text)) for row in shown)
    bottom = BOTTOM + (ROW if more > 0 else 0)
    width, height = EDGE + letters * LETTER + 2 * (GAP + BARS) + EDGE, TOP + len(shown) * ROW + bottom
    figure = pictures.new_figure(height, width=width, layout=False)

    def axes_at(left: float, wide: float, **settings: Any) -> Axes:
        place = (left / width, bottom / height, wide / width, len(shown) * ROW / height)
        return figure.add_axes(place, **settings)

    text = axes_at(EDGE, letters * LETTER)
    growth = axes_at(width - EDGE - 2 * BARS - GAP, BARS, sharey=text)
    peak = axes_at(width - EDGE - BARS, BARS, sharey=text)
    text.set_ylim(len(shown) - 0.5, -0.5)
    _write_text(text, shown)
    unit, name = memkit.units.scale(max((abs(line.growth) for line in recording.lines), default=0))
    _draw_bars(growth, shown, unit, f"growth ({name})", lambda line: line.growth, _colour)
    unit, name = memkit.units.scale(max(line.peak for line in recording.lines))
    _draw_bars(peak, shown, unit, f"peak ({name})", lambda line: line.peak, lambda _: pictures.PEAK, _before)
    if more > 0:
        words = f"and {more} more line{'s' if more > 1 else ''}; --csv-lines and --json have all of them"
        figure.text(EDGE / width, ROW / 2 / height, words, fontsize=8, va="center", color=pictures.FAINT)
    return figure


def _before(line: memkit.Line) -> int:
    """Where the bar of a peak begins: memory before the run that rose most; of an old file, in which that is not told, 0."""
    return 0 if line.rise is None else max(0, line.peak - line.rise)


def _colour(growth: int) -> str:
    return memkit.pictures.MEMORY if growth > 0 else memkit.pictures.FREED


def rows_of(recording: memkit.Recording) -> Iterator[Row]:
    """The rows from the top: for each function a heading, then its lines."""
    for function, lines in recording.functions.items():
        source = memkit.Source(function.file, recording.about.began, function, recording.sources)
        known = {line.number: line for line in lines}
        yield Row(f"{function.name}  {memkit.module_of(source.name)}:{function.line}", None, heading=True)
        if source.remark:
            yield Row(f"({source.remark})", None)
        for number in range(min(known), max(known) + 1):
            if source.lines or number in known:
                yield Row(f"{number:5}  {source.line(number).expandtabs(memkit.units.TAB)}", known.get(number))


def _shown(text: str) -> str:
    return memkit.pictures.shorten(text, LONGEST_TEXT)


def _write_text(axes: Axes, rows: Sequence[Row]) -> None:
    for place, (text, line, heading) in enumerate(rows):
        colour = "#000000" if line or heading else memkit.pictures.PALE
        axes.text(
            0,
            place,
            memkit.pictures.literal(text, LONGEST_TEXT),
            family="monospace",
            fontsize=8,
            va="center",
            color=colour,
            weight="bold" if heading else "normal",
            clip_on=True,
        )
    axes.set_xlim(0, 1)
    axes.axis("off")


def _draw_bars(
    axes: Axes,
    rows: Sequence[Row],
    unit: int,
    title: str,
    value_of: Callable[[memkit.Line], int],
    colour_of: Callable[[int], str],
    begin_of: Callable[[memkit.Line], int] = lambda _: 0,
) -> None:
    for place, (_, line, _) in enumerate(rows):
        if line is None:
            continue
        value = value_of(line)
        begin = begin_of(line)
        (bar,) = axes.barh(place, (value - begin) / unit, left=begin / unit, color=colour_of(value), height=0.75)
        bar.sticky_edges.x[:] = [0]  # there is room for the value beside a bar that begins where the axis would end
        if value:
            axes.annotate(
                f"{value / unit:.1f}",
                (value / unit, place),
                xytext=(3 if value > 0 else -3, 0),
                textcoords="offset points",
                ha="left" if value > 0 else "right",
                va="center",
                fontsize=6.5,
                color=memkit.pictures.TEXT,
            )
    axes.set_title(title, fontsize=9)
    axes.margins(x=0.22)
    axes.locator_params(axis="x", nbins=5)
    axes.axvline(0, color=memkit.pictures.PALE, linewidth=0.6)
    axes.tick_params(left=False, labelleft=False, labelsize=7)
    memkit.pictures.dress(axes, hide=("top", "right", "left"), grid="x")
