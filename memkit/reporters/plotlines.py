"""``--plot-lines``: the source of the traced functions with a bar for what each line grew by and how high it rose."""

import os

import memkit

SUFFIXES = (".png", ".svg", ".pdf")
MOST_LINES = 120
GROWTH, SHRINKAGE, PEAK = "#1f6fb4", "#2e8b57", "#d1603d"


def plot_path(text):
    """The type of ``--plot-lines``: a file that can be written, of a kind that can be drawn."""
    path = memkit.output_path(text)
    if os.path.splitext(path)[1].lower() not in SUFFIXES:
        raise memkit.UsageError(f"cannot tell the kind of picture from {path!r}: end it in {', '.join(SUFFIXES)}")
    return path


@memkit.hookimpl
def memkit_add_options(parser):
    parser.add_argument(
        "--plot-lines",
        metavar="FILE",
        type=plot_path,
        help="draw the traced source with bars into a .png, .svg or .pdf file",
    )


@memkit.hookimpl
def memkit_report(recordings, options):
    if not options.plot_lines:
        return
    if len(recordings) != 1:
        raise memkit.UsageError(f"--plot-lines takes one recording, not {len(recordings)}: draw a picture for each")
    if not recordings[0].lines:
        raise memkit.UsageError("--plot-lines has nothing to draw: no lines were traced; record with --lines")
    try:
        figure = draw(recordings[0])
    except ImportError:
        raise memkit.MemkitError("--plot-lines needs matplotlib: python -m pip install matplotlib") from None
    kind = os.path.splitext(options.plot_lines)[1][1:].lower()
    with memkit.output(options.plot_lines, binary=True) as file:
        figure.savefig(file, format=kind)


def draw(recording):
    """A matplotlib ``Figure``: a row for each line of source, with its text, growth and peak."""
    from matplotlib.figure import Figure

    rows = list(rows_of(recording))
    shown = rows[:MOST_LINES]
    figure = Figure(figsize=(12, 1.2 + 0.2 * len(shown)), dpi=110)
    text, growth, peak = figure.subplots(1, 3, sharey=True, gridspec_kw={"width_ratios": (6, 2, 2), "wspace": 0.02})
    figure.subplots_adjust(left=0.01, right=0.99, top=1 - 0.7 / figure.get_figheight(), bottom=0.35 / figure.get_figheight())
    text.set_ylim(len(shown) - 0.5, -0.5)
    _write_text(text, shown)
    unit, name = memkit.units.scale(max((abs(line.growth) for line in recording.lines), default=0))
    _draw_bars(growth, shown, unit, f"growth ({name})", lambda line: line.growth, lambda v: GROWTH if v > 0 else SHRINKAGE)
    unit, name = memkit.units.scale(max(line.peak for line in recording.lines))
    _draw_bars(peak, shown, unit, f"peak ({name})", lambda line: line.peak, lambda _: PEAK)
    if len(rows) > len(shown):
        text.set_xlabel(f"and {len(rows) - len(shown)} lines more", loc="left", fontsize=8)
    return figure


def rows_of(recording):
    """What stands in each row: the text, and the line if it ran. Functions are told apart by their headings."""
    for function, lines in recording.functions.items():
        source = memkit.Source(function.file, recording.about.began)
        known = {line.number: line for line in lines}
        yield f"{function.name}  {os.path.basename(function.file)}:{function.line}", None, True
        if source.remark:
            yield f"({source.remark})", None, False
        for number in range(min(known), max(known) + 1):
            if source.lines or number in known:
                yield f"{number:5}  {source.line(number)}", known.get(number), False


def _write_text(axes, rows):
    for place, (text, line, heading) in enumerate(rows):
        colour = "#000000" if line or heading else "#999999"
        axes.text(
            0,
            place,
            text[:100].replace("$", r"\$"),
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
                (max(value, 0) / unit, place),
                xytext=(3, 0),
                textcoords="offset points",
                va="center",
                fontsize=6.5,
                color="#333333",
            )
    axes.set_title(title, fontsize=9)
    axes.margins(x=0.2)
    axes.axvline(0, color="#888888", linewidth=0.6)
    axes.tick_params(left=False, labelleft=False, labelsize=7)
    axes.grid(True, axis="x", color="#e4e4e4", linewidth=0.5)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
