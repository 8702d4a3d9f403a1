"""``--flame``: the tree of calls as a picture, callers above what they called, as wide as they grew, or as ``--by`` says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import memkit

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NARROWEST = 1 / 1200
"""The share of the width below which a box is left out: about a pixel."""
MOST_LEVELS = 40
SHORTEST = 6
"""A name with room for fewer characters is left out rather than shortened."""
WIDTH, LEVEL, FONT = 12.0, 0.27, 7.5
"""Inches, inches, points."""
DID = {
    "growth": "grew or shrank",
    "rise": "rose above what there was when they began, or as what they called did together",
    "peak": "rose above the lowest that memory was, or as what they called did together",
    "time": "took",
    "heap": "allocated of what is alive at the end",
    "heap-peak": "allocated of what was alive at the heap's peak",
    "allocated": "allocated in all",
    "temporary": "allocated and freed in the same call",
}
ADVANCE = 0.64
"""The width of a character of DejaVu Sans Mono as a share of the font's size, rounded up to pixels."""


class Box(NamedTuple):
    """A call in the picture, or several of a chain in one. Left and width are shares of the whole."""

    call: memkit.Call
    left: float
    width: float
    level: int
    between: int = 0
    """How many calls it stands for, where these are the middle of a chain."""


@memkit.hookimpl
def memkit_add_options(parser: memkit.OptionParser) -> None:
    memkit.add_call_options(parser)
    memkit.add_by_option(parser)
    option = parser.add_argument(
        "--flame",
        metavar="FILE",
        type=memkit.pictures.path,
        help="draw the tree of calls by growth, or what --by says, into a .png, .svg or .pdf file",
    )
    option.one_recording, option.needs = True, "calls"


@memkit.hookimpl
def memkit_report(recording: memkit.Recording, options: Namespace) -> None:
    if not options.flame:
        return
    if not recording.calls:
        raise memkit.UsageError("--flame has nothing to draw: no calls were traced; record with --calls")
    figure = draw(memkit.chosen_calls(recording, options), memkit.chosen_by(options))
    memkit.pictures.save(figure, options.flame)


# -- where the boxes are -------------------------------------------------------------------------------------------


class Layout:
    """The boxes of a tree of calls: ``boxes``, and how many calls were left out as too ``narrow`` or too ``deep``.

    A box is as wide as its call grew or shrank, or as the boxes below it are together, if that is more: where one frees what
    another allocated, both are there, though their caller kept nothing. So it is by rise and by peak.
    """

    def __init__(self, calls: Sequence[memkit.Call], by: str | None = None):
        roots = [call for call in calls if call.parent is None]
        self.by = memkit.transforms.picture_by(calls, by)
        self.weight_of = memkit.transforms.weight_of(calls, self.by)
        self._calls = {call.id: call for call in calls}
        self._widths: dict[int, int] = {}
        self._below: dict[int | None, list[int]] = {}
        self.boxes: list[Box] = []
        self.deep = 0
        least = max(1, sum(abs(self.weight_of(call)) for call in roots) * NARROWEST)
        for call in reversed(calls):
            width = abs(self.weight_of(call))
            if width >= least:
                self._widths[call.id] = max(width, sum(self._widths[below] for below in self._below.get(call.id, ())))
                self._below.setdefault(call.parent, []).append(call.id)
        self._place()
        self.narrow = len(calls) - self.deep - sum(max(1, box.between) for box in self.boxes)

    def _place(self) -> None:
        whole = sum(self._widths[root] for root in self._below.get(None, ())) or 1
        ahead: list[tuple[int, float, int]] = []
        left = 0.0
        for root in self._ordered(None):
            ahead.append((root, left, 0))
            left += self._widths[root] / whole
        while ahead:
            id, left, level = ahead.pop()
            if self._widths[id] / whole < NARROWEST:
                continue
            chain = self._chain(id)
            for each in memkit.transforms.cut_chain(chain):
                first, between = (each[0], len(each)) if isinstance(each, list) else (each, 0)
                if level < MOST_LEVELS:
                    self.boxes.append(Box(self._calls[first], left, self._widths[first] / whole, level, between))
                else:
                    self.deep += max(1, between)
                level += 1
            for below in self._ordered(chain[-1]):
                ahead.append((below, left, level))
                left += self._widths[below] / whole

    def _ordered(self, id: int | None) -> list[int]:
        """The calls below one: what grew most first, what shrank last."""
        return sorted(self._below.get(id, ()), key=lambda below: -self.weight_of(self._calls[below]))

    def _chain(self, id: int) -> list[int]:
        """A call and those below it, as long as each has a single box below it, nearly as wide."""
        chain = [id]
        while len(below := self._below.get(id, [])) == 1 and self._widths[below[0]] >= 0.9 * self._widths[id]:
            [id] = below
            chain.append(id)
        return chain


# -- the picture ---------------------------------------------------------------------------------------------------


def draw(recording: memkit.Recording, by: str | None = None) -> Figure:
    """A matplotlib ``Figure`` of the calls of a recording: growth, or what it is by, across; peaks in colour."""
    pictures = memkit.pictures
    layout = Layout(recording.calls, by)
    levels = 1 + max((box.level for box in layout.boxes), default=0)
    height = 1.25 + LEVEL * levels
    figure = pictures.new_figure(height, width=WIDTH, layout=False)
    axes = figure.add_axes((0.01, 0.75 / height, 0.98, LEVEL * levels / height))
    axes.set_xlim(0, 1)
    axes.set_ylim(levels, 0)
    axes.axis("off")
    colour = _Colours(recording.calls)
    _draw_boxes(axes, layout, colour)
    figure.text(0.01, 1 - 0.15 / height, _on_a_line(_title(recording, layout), 150), fontsize=11, va="top", parse_math=False)
    how = f"callers above what they called; as wide as they {_did(recording, layout.by)}"
    figure.text(0.01, 0.5 / height, "\n".join([how, *_remarks(layout)]), fontsize=7.5, va="top", color=pictures.FAINT)
    _draw_legend(figure, height, layout, colour)
    return figure


def _did(recording: memkit.Recording, by: str) -> str:
    when = memkit.heaps.when(recording)
    return DID[by] if by != "heap" or when == "at the end" else f"allocated of what was alive {when}"


def _title(recording: memkit.Recording, layout: Layout) -> str:
    roots = [call for call in recording.calls if call.parent is None]
    grown = memkit.units.show_bytes(sum(call.growth for call in roots))
    took = memkit.units.show_time(sum(call.time for call in roots))
    peak = memkit.units.show_bytes(max(call.peak for call in recording.calls))
    rise = memkit.units.show_bytes(max(call.rise or 0 for call in roots))
    sums = {
        "growth": f"calls grew memory by {grown}",
        "rise": f"calls by rise, the highest {rise}; they grew memory by {grown}",
        "peak": f"calls by peak; they grew memory by {grown}",
        "time": f"calls took {took} and grew memory by {grown}",
    }
    if layout.by in memkit.heaps.KEYS:
        size = memkit.units.show_bytes(sum(map(layout.weight_of, roots)))
        sums[layout.by] = f"calls by what they {_did(recording, layout.by)}: {size}"
        peak = f"{peak} resident"
    peak = "sampled" if memkit.heaps.is_sampled(recording.calls) else f"peak {peak}"
    return f"{_on_a_line(recording.about.command, 80)}: {sums[layout.by]}, {peak}"


def _remarks(layout: Layout) -> list[str]:
    left_out = []
    if layout.deep:
        left_out.append(f"{layout.deep:,} calls deeper than {MOST_LEVELS} levels")
    if layout.narrow:
        left_out.append(f"{layout.narrow:,} narrower than a dot")
    return [f"left out: {', '.join(left_out)}"] if left_out else []


class _Colours:
    """The colour of a peak: the higher the darker, never too dark to read black text on."""

    def __init__(self, calls: Sequence[memkit.Call]):
        from matplotlib import colormaps
        from matplotlib.colors import ListedColormap, Normalize

        self.map = ListedColormap([colormaps["YlOrRd"](0.03 + 0.42 * step / 255) for step in range(256)])
        unit, self.unit = memkit.units.scale(max(call.peak for call in calls))
        self._unit = unit
        self.norm = Normalize(min(call.own_peak for call in calls) / unit, max(call.peak for call in calls) / unit)
        self.flat = self.norm.vmin == self.norm.vmax

    def of(self, peak: int) -> Any:
        return self.map(0.5 if self.flat else self.norm(peak / self._unit))


def _shrank(box: Box, layout: Layout) -> bool:
    return layout.by == "growth" and box.call.growth < 0


def _draw_boxes(axes: Axes, layout: Layout, colour: _Colours) -> None:
    from matplotlib.collections import PolyCollection

    pictures = memkit.pictures
    freed, hatched = pictures.FREED_AREA, {"hatch": "////", "edgecolor": pictures.FREED_HATCH}
    kinds: dict[str, tuple[list[Any], list[Any]]] = {"grew": ([], []), "shrank": ([], []), "between": ([], [])}
    for box in layout.boxes:
        kind = "between" if box.between else "shrank" if _shrank(box, layout) else "grew"
        left, right, top = box.left, box.left + box.width, box.level
        kinds[kind][0].append(((left, top + 0.03), (right, top + 0.03), (right, top + 0.97), (left, top + 0.97)))
        kinds[kind][1].append({"grew": colour.of(box.call.peak), "shrank": freed, "between": pictures.GRID}[kind])
        if text := label(box, layout.by):
            axes.text(
                left + 3 / 72 / (WIDTH * 0.98),
                top + 0.52,
                text,
                family="monospace",
                fontsize=FONT,
                va="center",
                parse_math=False,
                bbox={"boxstyle": "square,pad=0.1", "facecolor": freed, "linewidth": 0} if kind == "shrank" else None,
            )
    for kind, (corners, fill) in kinds.items():
        if corners:
            edge: dict[str, Any] = hatched if kind == "shrank" else {"edgecolor": "white"}
            axes.add_collection(PolyCollection(corners, facecolors=fill, linewidths=0.6, **edge))


def label(box: Box, by: str) -> str:
    """The text in a box: as much as fits, and nothing where too little does."""
    room = int((box.width * WIDTH * 0.98 * 72 - 7) / (FONT * ADVANCE))
    if room < SHORTEST and room < len(box.call.function.name):
        return ""
    if box.between:
        return _on_a_line(f"... {box.between:,} calls between", room)
    name = _on_a_line(box.call.function.name, 1000)
    peak = f", peak {memkit.units.show_bytes(box.call.peak)}"
    size = _growth(box.call) if by == "growth" else memkit.units.show_time(box.call.time)
    if by == "rise":
        size = f"rose {memkit.units.show_bytes(box.call.rise)}"
    elif by in memkit.heaps.KEYS:
        size, peak = memkit.units.show_bytes(memkit.transforms.weight_of((box.call,), by)(box.call)), ""  # of something else
    elif by == "peak":
        size = memkit.units.show_bytes(box.call.growth, sign=True)
    where = f"  {_on_a_line(_place(box.call.function), 1000)}" if box.call.function.file else ""
    for text in (f"{name}{where}  {size}{peak}", f"{name}  {size}{peak}", f"{name}  {size}"):
        if len(text) <= room:
            return text
    return _on_a_line(name, room)


def _growth(call: memkit.Call) -> str:
    """A growth, and where a call grew though it freed something itself, that too: a box cannot show it."""
    freed = call.growth > 0 and call.own_growth <= -memkit.transforms.NOISE
    own = f" (itself {memkit.units.show_bytes(call.own_growth)})" if freed else ""
    return memkit.units.show_bytes(call.growth, sign=True) + own


def _draw_legend(figure: Figure, height: float, layout: Layout, colour: _Colours) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.patches import Patch

    if not colour.flat:
        below = figure.add_axes((0.78, 0.34 / height, 0.2, 0.13 / height))
        bar = figure.colorbar(ScalarMappable(colour.norm, colour.map), cax=below, orientation="horizontal")
        bar.outline.set_linewidth(0.4)
        bar.ax.tick_params(labelsize=7, length=2)
        what = "grew, by peak" if layout.by == "growth" else "by peak"
        what += " of resident memory" if layout.by in memkit.heaps.KEYS else ""
        bar.ax.set_title(f"{what} ({colour.unit})", fontsize=7.5, loc="left", pad=3)
    patches = []
    if layout.by == "growth" and colour.flat:
        patches.append(Patch(facecolor=colour.map(0.5), label="grew"))
    if any(_shrank(box, layout) for box in layout.boxes):
        freed, hatch = memkit.pictures.FREED_AREA, memkit.pictures.FREED_HATCH
        patches.append(Patch(facecolor=freed, edgecolor=hatch, hatch="////", label="shrank"))
    if any(box.between for box in layout.boxes):
        patches.append(Patch(facecolor=memkit.pictures.GRID, label="several calls in one"))
    if patches:
        place = (0.765, 0.4 / height)
        columns = len(patches)
        figure.legend(handles=patches, fontsize=7.5, frameon=False, ncols=columns, loc="center right", bbox_to_anchor=place)


def _place(function: memkit.Function) -> str:
    return f"{memkit.module_of(memkit.Source(function.file).name)}:{function.line}"


def _on_a_line(text: str, most: int) -> str:
    """Text of at most so many characters, with a space for each line break."""
    return memkit.pictures.shorten(" ".join(text.split()), most)
