"""The figure of ``mprof plot``: one file or several drawn into it, dressed, and shown or saved."""

from __future__ import annotations

import os
import re
import sys

from memkit.base.errors import MemkitError, UsageError
from memkit.compat.mprof.flame import flame_plotter
from memkit.compat.mprof.plot import plot_file

SIZE, DPI = (14, 6), 90
BOX, FLAME_BOX = (0.1, 0.1, 0.6, 0.75), (0.1, 0.1, 0.8, 0.8)
NARROWEST = 0.35
"""The least of the figure's width that the axes keep, however wide the legend is."""
RIGHT = 0.99
LARGEST = 300  # inches; there is an end to what matplotlib can draw
_UNNAMED = re.compile(r"_child\d+")
"""What matplotlib calls a line without a label."""


def draw(names, options) -> None:
    """Draw files, and show the figure or save it."""
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
    drawn = []
    for name in names:
        profile = plotter(name, index=len(drawn), timestamps=timestamps, options=options)
        if profile["mem_usage"]:
            drawn.append(profile)
    if not drawn:
        return
    _dress(figure, axes, drawn, options)
    _give(figure, drawn[-1]["filename"], options)


def _dress(figure, axes, drawn, options):
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


def _legend(axes):
    """A legend with the names as they are: to matplotlib those that begin with ``_`` are none, and ``$`` is mathematics."""
    lines = [line for line in axes.get_lines() if not _UNNAMED.fullmatch(line.get_label())]
    settings = {"loc": "center left", "bbox_to_anchor": (1, 0.5), "fontsize": "medium"}
    legend = axes.legend(lines, [f"a{line.get_label()}".replace("$", "S") for line in lines], **settings)
    for text, line in zip(legend.get_texts(), lines):
        text.set_parse_math(False)
        text.set_text(line.get_label())
    legend.get_frame().set_alpha(0.5)
    legend.set_in_layout(False)
    return legend


def _make_room(figure, axes, legend):
    """Have the whole legend be in the picture: the axes get narrower, and where that is not enough the picture larger."""
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


def _shortened(title, length=110):
    return title if len(title) <= length else title[: length - 1] + "…"


def _give(figure, name, options):
    """Save the figure, or show it; where nothing can be shown, save it beside the file, and say so."""
    import matplotlib
    import matplotlib.pyplot as plt

    interactive = {each.lower() for each in matplotlib.backends.backend_registry.list_builtin(_interactive())}
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


def _interactive():
    from matplotlib.backends import BackendFilter

    return BackendFilter.INTERACTIVE
