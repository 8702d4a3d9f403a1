"""mprof's plot: memory over time, brackets around calls, child processes, a trend, and a cross at the maximum."""

from __future__ import annotations

import heapq
import itertools
import math
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from memkit.compat.mprof.profiles import Profile, read_mprofile_file
from memkit.report.pictures import shorten

if TYPE_CHECKING:
    from argparse import Namespace

    from matplotlib.axes import Axes

COLOURS = "kbrgcym"
CALL_COLOURS = "cygrb"
TREND = "#00e3d8"
CHILD_TREND = "black"
MOST_CALLS = 30
"""With more calls than this the legend has a line per function instead of one per call."""
MOST_NAMED = 300
"""With more functions than this the legend has those that took longest: for thousands matplotlib needs a minute."""
LONGEST_NAME = 100
"""Columns of a name in a picture. Files come from anywhere, and matplotlib takes minutes for a name of some megabytes."""


def function_labels(dotted_function_names: Iterable[str]) -> dict[str, str]:
    """For each dotted name its shortest suffix that no other name has.

    Names with the same suffix all get one more component, until they differ.
    """
    parts = {name: name.split(".") for name in dotted_function_names}
    taken = dict.fromkeys(parts, 1)
    while True:
        ends = {name: ".".join(words[-taken[name] :]) for name, words in parts.items()}
        count = Counter(ends.values())
        alike = [name for name in ends if count[ends[name]] > 1]
        longer = [name for name in alike if taken[name] < len(parts[name])]
        if not longer:
            return ends
        for name in longer:
            taken[name] += 1


def add_brackets(
    xloc: Sequence[float],
    yloc: Sequence[float],
    xshift: float = 0,
    color: str = "r",
    label: str | None = None,
    options: Namespace | None = None,
) -> None:
    """Draw an opening bracket at ``(xloc[0], yloc[0])`` and a closing one at ``(xloc[1], yloc[1])``.

    ``xshift`` is subtracted from ``xloc``; brackets outside of ``options.xlim`` are left out.
    """
    import matplotlib.pyplot as plt

    axes = plt.gca()
    for bracket in _brackets(axes, xloc, yloc, xshift, options):
        axes.plot(*zip(*bracket), "-", color=color, linewidth=2, label=label)
        label = None


def _brackets(
    axes: Axes, xloc: Sequence[float], yloc: Sequence[float], xshift: float, options: Namespace | None
) -> Iterator[list[tuple[float, float]]]:
    """The points of an opening bracket and of a closing one, as far as they are in the window."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    limits = getattr(options, "xlim", None)
    foot, height = (right - left) / 60, (top - bottom) / 20
    for place, level, inwards in zip(xloc, yloc, (1, -1)):
        place -= xshift
        if limits is None or limits[0] <= place <= limits[1]:
            end = place + inwards * foot
            yield [(end, level + height), (place, level + height), (place, level - height), (end, level - height)]


def plot_file(
    filename: str, index: int = 0, timestamps: bool = True, children: bool = True, options: Namespace | None = None
) -> Profile:
    """Draw a file into the current axes; ``index`` is its number among the files in these axes.

    ``timestamps``: whether to draw brackets and the cross at the maximum; ``children``: whether to draw child processes.
    ``options`` has ``slope`` and ``xlim``. Returns the content of the file, as ``read_mprofile_file`` does.
    """
    import matplotlib.pyplot as plt

    profile = read_mprofile_file(filename)
    if not profile["mem_usage"]:
        say_empty(filename)
        return profile
    times, memory, start = curve(profile)
    draw_curve(
        times, memory, COLOURS[index % len(COLOURS)] + "-", started(profile) + slope_label(times, memory, options), "+"
    )
    draw_trend(times, memory, options, TREND)
    reach = plt.gca().get_xlim(), plt.gca().get_ylim()
    if timestamps:
        _draw_calls(profile["func_timestamp"], start, options)
        draw_cross(times, memory, *reach)
    if children and profile["children"]:
        _draw_children(profile["children"], start, index, options)
    return profile


def say_empty(filename: str) -> None:
    print(
        f"** No memory usage values have been found in the profile file.**\nFile path: {filename}\n"
        f'File may be empty or invalid.\nIt can be deleted with "mprof rm {filename}"'
    )


def curve(profile: Profile) -> tuple[list[float], list[float], float]:
    """Times since the first point, memory, and the time of the first point. Both ends of calls are points, too."""
    points = list(zip(profile["timestamp"], profile["mem_usage"]))
    for begin, end, before, after, *_ in itertools.chain.from_iterable(profile["func_timestamp"].values()):
        points += [(begin, before), (end, after)]
    points.sort(key=lambda point: point[0])
    start = points[0][0]
    return [when - start for when, _ in points], [memory for _, memory in points], start


def started(profile: Profile) -> str:
    """The time of the first sample, as the legend shows it."""
    first = min(profile["timestamp"])
    thousandths = f"{first % 1:.3f}"
    first += thousandths.startswith("1")  # it was rounded up to the next second
    return time.strftime("%d / %m / %Y - start at %H:%M:%S", time.localtime(first)) + thousandths[1:]


def draw_curve(times: Sequence[float], memory: Sequence[float], style: str, label: str, marker: str | None = None) -> None:
    import matplotlib.pyplot as plt

    plt.plot(times, memory, style, marker=marker, label=label)


# -- the trend -------------------------------------------------------------------------------------------------------


def trend(times: Sequence[float], memory: Sequence[float]) -> tuple[float, float] | None:
    """Slope and intercept of the least-squares line; None if all times are equal."""
    count = len(times)
    centre, level = math.fsum(times) / count, math.fsum(memory) / count
    spread = math.fsum((when - centre) ** 2 for when in times)
    if spread == 0:
        return None
    slope = math.fsum((when - centre) * (value - level) for when, value in zip(times, memory)) / spread
    return slope, level - slope * centre


def slope_label(times: Sequence[float], memory: Sequence[float], options: Namespace | None) -> str:
    found = trend(times, memory) if getattr(options, "slope", False) else None
    return "" if found is None else f" slope {found[0] + 0.0:.5f}"


def draw_trend(times: Sequence[float], memory: Sequence[float], options: Namespace | None, colour: str) -> None:
    import matplotlib.pyplot as plt

    found = trend(times, memory) if getattr(options, "slope", False) else None
    if found is not None:
        ends = [times[0], times[-1]]
        plt.plot(ends, [found[0] * when + found[1] for when in ends], "--", linewidth=0.5, color=colour)


# -- calls, children and the cross ------------------------------------------------------------------------------------


def draw_cross(
    times: Sequence[float], memory: Sequence[float], across: tuple[float, float], up: tuple[float, float]
) -> None:
    """Dashed red lines through the highest point, between the limits of both axes."""
    import matplotlib.pyplot as plt

    highest = max(range(len(memory)), key=memory.__getitem__)
    plt.hlines(memory[highest], across[0], across[1], colors="r", linestyles="dashed")
    plt.vlines(times[highest], up[0], up[1], colors="r", linestyles="dashed")


def _draw_children(
    children: dict[str, list[tuple[float, float]]], start: float, index: int, options: Namespace | None
) -> None:
    import matplotlib.pyplot as plt

    series = {pid: sorted((when - start, memory) for memory, when in points) for pid, points in children.items()}
    for number, (pid, points) in enumerate(series.items(), index + 1):
        times, memory = [list(column) for column in zip(*points)]
        colour = COLOURS[number % len(COLOURS)]
        plt.plot(times, memory, colour + "+-", label=f"child {pid}{slope_label(times, memory, options)}")
        draw_trend(times, memory, options, CHILD_TREND)
    when, highest = max(itertools.chain.from_iterable(series.values()), key=lambda point: point[1])
    draw_cross([when], [highest], plt.gca().get_xlim(), plt.gca().get_ylim())


def _draw_calls(calls: dict[str, list[list[float]]], start: float, options: Namespace | None) -> None:
    """A pair of brackets for each call."""
    labels = {name: shorten(label, LONGEST_NAME) for name, label in function_labels(calls).items()}
    functions = zip(sorted(calls.items()), itertools.cycle(CALL_COLOURS))
    if sum(map(len, calls.values())) > MOST_CALLS:
        found = [_Function(labels[name], each, colour) for (name, each), colour in functions]
        _draw_functions(found, start, options)
        return
    for (name, each), colour in functions:
        for begin, end, before, after, *_ in each:
            label = f"{labels[name]} {end - begin:.3f}s"
            add_brackets((begin, end), (before, after), xshift=start, color=colour, label=label, options=options)


class _Function(NamedTuple):
    label: str
    calls: list[list[float]]
    colour: str

    def total(self) -> float:
        return math.fsum(call[1] - call[0] for call in self.calls)


def _draw_functions(functions: list[_Function], start: float, options: Namespace | None) -> None:
    """The brackets of many calls, as one object of matplotlib for each colour, and their functions in the legend."""
    import matplotlib.pyplot as plt
    from matplotlib.collections import LineCollection

    axes = plt.gca()
    shown: list[_Function] = []
    drawn: dict[str, list[list[tuple[float, float]]]] = {}
    for function in functions:
        found = [
            bracket
            for begin, end, before, after, *_ in function.calls
            for bracket in _brackets(axes, (begin, end), (before, after), start, options)
        ]
        if found:
            drawn.setdefault(function.colour, []).extend(found)
            shown.append(function)
    for colour, brackets in drawn.items():
        lines = LineCollection(brackets, colors=colour, linewidths=2, capstyle="projecting", zorder=2)
        axes.add_collection(lines, autolim=True)
    axes.autoscale_view()
    named = {id(function) for function in heapq.nlargest(MOST_NAMED, shown, key=_Function.total)}
    for function in shown:
        if id(function) in named:
            label = f"{function.label} {len(function.calls)} calls {function.total():.3f}s"
            axes.plot([], [], "-", color=function.colour, linewidth=2, label=label)
    if len(shown) > len(named):
        axes.plot([], [], linestyle="none", label=f"and {len(shown) - len(named)} more functions, which took less time")
