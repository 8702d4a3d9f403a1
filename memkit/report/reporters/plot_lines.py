"""``--plot-lines``: the source of the traced functions with a bar for what each line grew by and how high it rose."""

import os
from importlib.util import find_spec

import memkit

SUFFIXES = (".png", ".svg", ".pdf")
MOST_LINES = 120
LONGEST_TEXT = 100
LETTER, ROW, BARS, GAP = 0.0672, 0.2, 2.3, 0.35
"""Inches: the width of a letter, the height of a row, the width of the bars, and what is left free before them."""
TOP, BOTTOM, EDGE = 0.35, 0.3, 0.12
GROWTH, SHRINKAGE, PEAK = "#1f6fb4", "#2e8b57", "#d1603d"


def plot_path(text):
    """The type of ``--plot-lines``: a file that can be written, of a kind that can be drawn."""
    path = memkit.output_path(text)
    if os.path.splitext(path)[1].lower() not in SUFFIXES:
        raise memkit.UsageError(f"cannot tell the kind of picture from {path!r}: end it in {', '.join(SUFFIXES)}")
    if find_spec("matplotlib") is None:
        raise memkit.UsageError("--plot-lines needs matplotlib: python -m pip install matplotlib")
    return path


@memkit.hookimpl
def memkit_add_options(parser):
    parser.add_argument(
        "--plot-lines",
        metavar="FILE",
        type=plot_path,
        help="draw the traced source with bars into a .png, .svg or .pdf file",
    ).one_recording = True


@memkit.hookimpl
def memkit_report(recording, options):
    if not options.plot_lines:
        return
    if not recording.lines:
        raise memkit.MemkitError("--plot-lines has nothing to draw: no lines were traced; record with --lines")
    figure = draw(recording)
    kind = os.path.splitext(options.plot_lines)[1][1:].lower()
    with memkit.output(options.plot_lines, binary=True) as file:
        figure.savefig(file, format=kind)


def draw(recording):
    """A matplotlib ``Figure``: a row for each line of source, with its text, growth and peak."""
    from matplotlib.figure import Figure

    rows = list(rows_of(recording))
    shown, more = rows[:MOST_LINES], len(rows) - MOST_LINES
    letters = max(len(_cut(text)) for text, _, _ in shown)
    bottom = BOTTOM + (ROW if more > 0 else 0)
    width, height = EDGE + letters * LETTER + 2 * (GAP + BARS) + EDGE, TOP + len(shown) * ROW + bottom
    figure = Figure(figsize=(width, height), dpi=110)

    def axes_at(left, wide, **settings):
        place = (left / width, bottom / height, wide / width, len(shown) * ROW / height)
        return figure.add_axes(place, **settings)

    text = axes_at(EDGE, letters * LETTER)
    growth = axes_at(width - EDGE - 2 * BARS - GAP, BARS, sharey=text)
    peak = axes_at(width - EDGE - BARS, BARS, sharey=text)
    text.set_ylim(len(shown) - 0.5, -0.5)
    _write_text(text, shown)
    unit, name = memkit.units.scale(max((abs(line.growth) for line in recording.lines), default=0))
    _draw_bars(growth, shown, unit, f"growth ({name})", lambda line: line.growth, lambda v: GROWTH if v > 0 else SHRINKAGE)
    unit, name = memkit.units.scale(max(line.peak for line in recording.lines))
    _draw_bars(peak, shown, unit, f"peak ({name})", lambda line: line.peak, lambda _: PEAK)
    if more > 0:
        words = f"and {more} more line{'s' if more > 1 else ''}; --csv-lines and --json have all of them"
        figure.text(EDGE / width, ROW / 2 / height, words, fontsize=8, va="center", color="#666666")
    return figure


def rows_of(recording):
    """What stands in each row: the text, and the line if it ran. Functions are told apart by their headings."""
    for function, lines in recording.functions.items():
        source = memkit.Source(function.file, recording.about.began)
        known = {line.number: line for line in lines}
        yield f"{function.name}  {os.path.basename(source.name)}:{function.line}", None, True
        if source.remark:
            yield f"({source.remark})", None, False
        for number in range(min(known), max(known) + 1):
            if source.lines or number in known:
                yield f"{number:5}  {source.line(number)}", known.get(number), False


def _cut(text):
    text = memkit.units.show_text(text)
    return text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 1] + "…"


def _write_text(axes, rows):
    for place, (text, line, heading) in enumerate(rows):
        colour = "#000000" if line or heading else "#999999"
        axes.text(
            0,
            place,
            _cut(text).replace("$", r"\$"),
            family="monospace",
            fontsize=8,
            va="center",
            color=colour,
            weight="bold" if heading else "normal",
            clip_on=True,
        )
    axes.set_xlim(0, 1)
    axes.axis("off")


def _draw_bars(axes, rows, unit, title, value_of, colour_of):
    for place, (_, line, _) in enumerate(rows):
        if line is None:
            continue
        value = value_of(line)
        axes.barh(place, value / unit, color=colour_of(value), height=0.75)
        if value:
            axes.annotate(
                f"{value / unit:.1f}",
                (value / unit, place),
                xytext=(3 if value > 0 else -3, 0),
                textcoords="offset points",
                ha="left" if value > 0 else "right",
                va="center",
                fontsize=6.5,
                color="#333333",
            )
    axes.set_title(title, fontsize=9)
    axes.margins(x=0.22)
    axes.locator_params(axis="x", nbins=5)
    axes.axvline(0, color="#888888", linewidth=0.6)
    axes.tick_params(left=False, labelleft=False, labelsize=7)
    axes.grid(True, axis="x", color="#e4e4e4", linewidth=0.5)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
