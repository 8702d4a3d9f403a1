"""The figure of ``mprof plot``: draws one or several files, and shows or saves the figure."""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING

from memkit.base.errors import MemkitError, UsageError
from memkit.compat.mprof.flame import flame_plotter
from memkit.compat.mprof.plot import plot_file
from memkit.compat.mprof.profiles import Profile

if TYPE_CHECKING:
    from argparse import Namespace

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend

SIZE, DPI = (14, 6), 90
BOX, FLAME_BOX = (0.1, 0.1, 0.6, 0.75), (0.1, 0.1, 0.8, 0.8)
NARROWEST = 0.35
"""The least of the figure's width that the axes keep, however wide the legend is."""
RIGHT = 0.99
PIECE = 1000
"""Points of a curve that are drawn at once."""
LARGEST = 300  # inches; there is an end to what matplotlib can draw
_UNNAMED = re.compile(r"_child\d+")
"""What matplotlib calls a line without a label."""


def draw(names: list[str], options: Namespace) -> None:
    """Draw files, and show or save the figure."""
    import matplotlib

    with matplotlib.rc_context():
        # The time for a curve with many ups and downs is that of its longest piece, squared.
        matplotlib.rcParams["agg.path.chunksize"] = matplotlib.rcParams["agg.path.chunksize"] or PIECE
        _draw(names, options)


def _draw(names: list[str], options: Namespace) -> None:
    import matplotlib

    backend = options.backend or (None if os.environ.get("MPLBACKEND") or not options.output else "agg")
    try:
        if backend:
            matplotlib.use(backend)
        import matplotlib.pyplot as plt

        figure = plt.figure(figsize=SIZE, dpi=DPI)
    except (ImportError, ValueError) as error:
        raise UsageError(f"--backend {backend!r}: {error}") from None
    axes = figure.add_axes(FLAME_BOX if options.flame else BOX)
    plotter = flame_plotter if options.flame else plot_file
    timestamps = len(names) == 1 and not options.no_function_ts
    if options.xlim is not None:
        axes.set_xlim(*options.xlim)
    drawn: list[Profile] = []
    for name in names:
        profile = plotter(name, index=len(drawn), timestamps=timestamps, options=options)
        if profile["mem_usage"]:
            drawn.append(profile)
    if not drawn:
        return
    _label(figure, axes, drawn, options)
    _show_or_save(figure, drawn[-1]["filename"], options)


def _label(figure: Figure, axes: Axes, drawn: list[Profile], options: Namespace) -> None:
    axes.set_xlabel("time (in seconds)")
    axes.set_ylabel("memory used (in MiB)")
    title = options.title
    if title is None and len(drawn) == 1:
        title = (drawn[0]["cmd_line"] or "").strip()
    if title:
        axes.set_title(_shortened(title), pad=18, parse_math=False)
    axes.grid(True)
    if options.xlim is not None:
        axes.set_xlim(*options.xlim)
    if options.flame:
        return
    _make_room(figure, axes, _legend(axes))


def _legend(axes: Axes) -> Legend:
    """A legend with literal labels: matplotlib leaves out labels that begin with ``_``, and reads ``$`` as mathematics."""
    lines = [line for line in axes.get_lines() if not _UNNAMED.fullmatch(str(line.get_label()))]
    labels = [f"a{line.get_label()}".replace("$", "S") for line in lines]
    legend = axes.legend(lines, labels, loc="center left", bbox_to_anchor=(1, 0.5), fontsize="medium")
    for text, line in zip(legend.get_texts(), lines):
        text.set_parse_math(False)
        text.set_text(str(line.get_label()))
    legend.get_frame().set_alpha(0.5)
    legend.set_in_layout(False)
    return legend


def _make_room(figure: Figure, axes: Axes, legend: Legend) -> None:
    """Fit the whole legend into the figure: make the axes narrower, and if that is not enough the figure larger."""
    left, bottom, width, height = BOX
    box = legend.get_window_extent()
    wide, high = figure.get_size_inches()
    beside = box.x1 / figure.dpi - (left + width) * wide  # inches from the axes to the end of the legend
    if beside > (RIGHT - left - width) * wide:
        wide = min(max(wide, beside / (RIGHT - left - NARROWEST)), LARGEST)
        width = max(NARROWEST, RIGHT - left - beside / wide)
        axes.set_position((left, bottom, width, height))
    high = min(max(high, box.height / figure.dpi / (2 * bottom + height) * 1.05), LARGEST)
    figure.set_size_inches(wide, high)


def _shortened(title: str, length: int = 110) -> str:
    return title if len(title) <= length else title[: length - 1] + "…"


def _show_or_save(figure: Figure, name: str, options: Namespace) -> None:
    """Save or show the figure. If it cannot be shown, save it beside the file and print where."""
    import matplotlib
    import matplotlib.pyplot as plt
    from matplotlib.backends.registry import BackendFilter, backend_registry

    interactive = {each.lower() for each in backend_registry.list_builtin(BackendFilter.INTERACTIVE)}
    output = options.output
    if output is None and matplotlib.get_backend().lower() not in interactive:
        output = f"{os.path.splitext(name)[0]}.png"
        reason = f"--backend {options.backend} shows nothing" if options.backend else "there is no display here"
        print(f"mprof: {reason}: the plot is in {output}", file=sys.stderr)
    if output is None:
        plt.show()
        return
    try:
        figure.savefig(output)
    except (OSError, ValueError) as error:
        raise MemkitError(f"cannot write {output!r}: {getattr(error, 'strerror', None) or error}") from None
