"""What all pictures share: the files they go to, their size, palette, frame, units and words.

matplotlib is imported by the functions that need it.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NamedTuple

from memkit.base.errors import UsageError
from memkit.base.units import SECOND, TAB, show_text
from memkit.report.output import output, output_path

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Literal

    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SUFFIXES = (".png", ".svg", ".pdf")

# -- size, in inches -------------------------------------------------------------------------------------------------

WIDTH, PLOT_HEIGHT, DPI = 10.0, 5.0, 120
LEGEND_ROW = 0.18
MOST_IN_PLOT = 3
"""The legend of more curves than this is below the plot, where it hides nothing."""

# -- palette ---------------------------------------------------------------------------------------------------------

SERIES = ("#1f6fb4", "#d1603d", "#2e8b57", "#8e5ea2", "#b8860b", "#3a9ea5")
"""Of curves that are drawn over each other, in order. The first three stand out from white and from black."""
PROCESSES = (*SERIES, "#c26a96", "#7d8f2a", "#6f7fd1", "#a0522d", "#86c5a4", "#e3a1a1")
MEMORY, PEAK, FREED = SERIES[:3]
FREED_AREA, FREED_HATCH = "#a9d8b8", "#4f9d6c"
"""For an area with black text on it, and its hatching."""
FAILED, LIMIT, REACHED, TOGETHER, OTHERS = "#c0202a", "#a3264f", "#e07b00", "#222222", "#a8a8a8"
TEXT, FAINT, PALE, GRID = "#333333", "#666666", "#999999", "#dddddd"

_EDGE: dict[str, Any] = {"markeredgecolor": "white", "markeredgewidth": 0.8, "clip_on": False}
DOT: dict[str, Any] = {"marker": "o", "markersize": 5, **_EDGE}
CROSS: dict[str, Any] = {"marker": "X", "markersize": 9, "markerfacecolor": FAILED, **_EDGE}
"""Markers at the end of a curve: it finished, and it failed."""
BEHIND_TEXT: dict[str, Any] = {"boxstyle": "square,pad=0.1", "facecolor": "white", "alpha": 0.75, "linewidth": 0}

# -- files -----------------------------------------------------------------------------------------------------------


def path(text: str | os.PathLike[str]) -> str:
    """The type of an option that names a picture: refuses, before anything runs, what cannot be drawn or written.

    The suffix has to be ``.png``, ``.svg`` or ``.pdf``, and matplotlib installed. Raises ``UsageError``.
    """
    found = output_path(text)
    if os.path.splitext(found)[1].lower() not in SUFFIXES:
        raise UsageError(f"cannot tell the kind of picture from {found!r}: end it in {', '.join(SUFFIXES)}")
    require_matplotlib()
    return found


def require_matplotlib() -> None:
    """Raise ``UsageError`` where matplotlib is not installed."""
    if find_spec("matplotlib") is None:
        raise UsageError("a picture needs matplotlib: python -m pip install matplotlib")


def new_figure(height: float = PLOT_HEIGHT, *, width: float = WIDTH, layout: bool = True) -> Figure:
    """A matplotlib ``Figure`` that pyplot knows nothing of, in inches; ``layout``: whether matplotlib lays it out."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=DPI, layout="constrained" if layout else None)


def save(figure: Figure, path: str) -> None:
    """Write a figure into a file, whole or not at all; the suffix says which kind of picture."""
    import warnings

    _give_fonts(figure)
    with output(path, binary=True) as file, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")  # a box stands for it: no font has every letter
        figure.savefig(file, format=os.path.splitext(path)[1][1:].lower())


CJK_FONTS = (
    *("Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans CJK KR", "Noto Sans SC", "Noto Sans JP", "Source Han Sans SC"),
    *("WenQuanYi Zen Hei", "WenQuanYi Micro Hei", "Droid Sans Fallback", "IPAGothic", "Unifont"),  # Linux
    *("PingFang SC", "Hiragino Sans", "Apple SD Gothic Neo", "Arial Unicode MS"),  # macOS
    *("Microsoft YaHei", "Yu Gothic", "Malgun Gothic", "SimHei"),  # Windows
)
"""Fonts with Chinese, Japanese or Korean letters, which that of matplotlib has not."""
_FIRST_OF_CJK = "\u2e80"


def _give_fonts(figure: Figure) -> None:
    """Give texts that have letters of Chinese, Japanese or Korean the fonts for them that are installed."""
    from matplotlib.text import Text

    odd = [text for text in figure.findobj(Text) if max(text.get_text(), default="") >= _FIRST_OF_CJK]
    if not odd:
        return
    from matplotlib import font_manager

    known = {font.name for font in font_manager.fontManager.ttflist}
    more = [name for name in CJK_FONTS if name in known]
    for text in odd:
        text.set_fontfamily([*text.get_fontfamily(), *more])


# -- frame and legend ------------------------------------------------------------------------------------------------


def dress(axes: Axes, *, hide: Sequence[str] = ("top", "right"), grid: Literal["x", "y", "both"] = "both") -> None:
    """Give axes memkit's grid, and no lines at the sides to ``hide``; ``grid``: across which axes."""
    axes.grid(True, axis=grid, color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    for side in hide:
        axes.spines[side].set_visible(False)


def dress_memory(axes: Axes) -> None:
    """Give the axis of memory ticks at numbers that people divide bytes by."""
    from matplotlib.ticker import MaxNLocator

    axes.yaxis.set_major_locator(MaxNLocator(nbins=8, steps=[1, 2, 4, 5, 8, 10]))


def legend_height(rows: int) -> float:
    """The inches that a legend below the plot adds to the figure."""
    return LEGEND_ROW * rows


def add_legend(axes: Axes, handles: Sequence[Artist], *, below: bool, columns: int = 1) -> None:
    """Add a legend in the plot, or below it, where it hides nothing."""
    settings: dict[str, Any] = {"handles": handles, "fontsize": 8, "frameon": False}
    if below:
        axes.figure.legend(loc="outside lower left", ncols=columns, **settings)
    elif handles:
        axes.legend(loc="best", **settings)


# -- brackets above a curve --------------------------------------------------------------------------------------------

_STEP = 0.07  # of the height, from level to level
_LETTERS = 110  # of a label, across the plot
_LONGEST_UPRIGHT, _UPRIGHT, _LEAST_APART = 10, 0.22, 0.016
"""Of upright labels: columns of text, the share of the height that they add, and of the width from one to the next."""


def draw_brackets(axes: Axes, brackets: Sequence[tuple[float, float, int, str]], width: float) -> None:
    """Draw a bracket above what is drawn for each (left, right, level, label), the higher the level the higher.

    A label that has no room in its bracket stands upright, if it is in the highest level. ``width`` is that of the plot.
    """
    top = axes.get_ylim()[1]
    highest = max(level for _, _, level, _ in brackets)
    upright: list[float] = []
    for left, right, level, label in brackets:
        height = top + top * _STEP * level
        foot = height - top * _STEP * 0.3
        axes.plot([left, left, right, right], [foot, height, height, foot], color=FAINT, linewidth=0.9)
        room = int(_LETTERS * (right - left) / (width or 1))
        place = (left + right) / 2, height
        settings: dict[str, Any] = {"ha": "center", "va": "bottom", "color": TEXT, "textcoords": "offset points"}
        if room >= min(8, columns(label)) and room > 3:
            axes.annotate(literal(label, room), place, xytext=(0, 2), fontsize=7.5, **settings)
        elif level == highest and all(abs(place[0] - other) >= width * _LEAST_APART for other in upright):
            upright.append(place[0])
            text = literal(label, _LONGEST_UPRIGHT)
            axes.annotate(text, place, xytext=(0, 3), fontsize=7, rotation=90, **settings)
    axes.set_ylim(top=top + top * (_STEP * (highest + 1) + (_UPRIGHT if upright else 0)))


# -- units and words -------------------------------------------------------------------------------------------------


class TimeUnit(NamedTuple):
    """A unit that suits a duration."""

    size: int
    """Nanoseconds."""
    name: str
    steps: tuple[int, ...]
    """Between ticks, as people count it: multiples of these."""


_TENS, _TWELVES = (1, 2, 5, 10), (1, 2, 3, 6, 10)
_MINUTE, _HOUR, _DAY = 60 * SECOND, 3600 * SECOND, 86_400 * SECOND
_TIMES = (  # the longest duration that a unit is for
    (SECOND // 1000, TimeUnit(SECOND // 1_000_000, "µs", _TENS)),
    (SECOND, TimeUnit(SECOND // 1000, "ms", _TENS)),
    (3 * _MINUTE, TimeUnit(SECOND, "s", _TENS)),
    (12 * _MINUTE, TimeUnit(_MINUTE, "min", _TENS)),
    (3 * _HOUR, TimeUnit(_MINUTE, "min", _TWELVES)),
    (12 * _HOUR, TimeUnit(_HOUR, "h", _TENS)),
    (2 * _DAY, TimeUnit(_HOUR, "h", _TWELVES)),
)


def time_unit(longest: float) -> TimeUnit:
    """The unit for an axis of time that is so many nanoseconds long."""
    return next((unit for most, unit in _TIMES if longest < most), TimeUnit(_DAY, "days", _TENS))


def shorten(text: str, most: int) -> str:
    """Text that any font can draw, of at most so many columns; tabs are blanks."""
    text = show_text(text).expandtabs(TAB)
    if columns(text) <= most:
        return text
    text = text[: most - 1]
    while columns(text) > most - 1:
        text = text[:-1]
    return text + "…"


def columns(text: str) -> int:
    """How many columns a text takes in letters of one width, where those of Chinese, Japanese and Korean take two."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(2 if east_asian_width(letter) in "WF" else 0 if combining(letter) else 1 for letter in text)


def literal(text: str, most: int) -> str:
    """The same where matplotlib would read mathematics between two dollar signs."""
    return shorten(text, most).replace("$", r"\$")
