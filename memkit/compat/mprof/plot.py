"""mprof's picture: memory over time, brackets around calls, children, a trend, and a cross at the highest."""

from __future__ import annotations

import itertools
import math
import time

from memkit.compat.mprof.profiles import read_mprofile_file

COLOURS = "kbrgcym"
CALL_COLOURS = "cygrb"
TREND = "#00e3d8"
CHILD_TREND = "black"
MOST_CALLS = 30
"""With more calls than so many the legend has a line for each function."""


def function_labels(dotted_function_names) -> dict[str, str]:
    """For each dotted name the shortest end of it that no other has.

    Names that share an end get one component more, all of them, until they differ.
    """
    parts = {name: name.split(".") for name in dotted_function_names}
    taken = dict.fromkeys(parts, 1)
    while True:
        ends = {name: ".".join(words[-taken[name] :]) for name, words in parts.items()}
        alike = [name for name in ends if sum(end == ends[name] for end in ends.values()) > 1]
        longer = [name for name in alike if taken[name] < len(parts[name])]
        if not longer:
            return ends
        for name in longer:
            taken[name] += 1


def add_brackets(xloc, yloc, xshift=0, color="r", label=None, options=None):
    """Draw a bracket that opens at ``(xloc[0], yloc[0])`` and one that closes at ``(xloc[1], yloc[1])``.

    ``xshift`` is what to take off ``xloc``; brackets outside of ``options.xlim`` are left out.
    """
    import matplotlib.pyplot as plt

    axes = plt.gca()
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    limits = getattr(options, "xlim", None)
    foot, height = (right - left) / 60, (top - bottom) / 20
    for place, level, inwards in zip(xloc, yloc, (1, -1)):
        place -= xshift
        if limits is not None and not limits[0] <= place <= limits[1]:
            continue
        end = place + inwards * foot
        across, up = (end, place, place, end), (level + height, level + height, level - height, level - height)
        axes.plot(across, up, "-", color=color, linewidth=2, label=label)
        label = None


def plot_file(filename, index=0, timestamps=True, children=True, options=None) -> dict:
    """Draw a file into the current axes; ``index`` is its number among those that are drawn over each other.

    ``timestamps``: whether to draw brackets and the cross at the highest; ``children``: whether to draw these. ``options``
    has ``slope`` and ``xlim``. Returns what ``read_mprofile_file`` does.
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


def say_empty(filename) -> None:
    print(
        f"** No memory usage values have been found in the profile file.**\nFile path: {filename}\n"
        f'File may be empty or invalid.\nIt can be deleted with "mprof rm {filename}"'
    )


def curve(profile):
    """Times from the first on, memory, and when that was; both ends of calls are points of it, too."""
    points = list(zip(profile["timestamp"], profile["mem_usage"]))
    for begin, end, before, after, *_ in itertools.chain.from_iterable(profile["func_timestamp"].values()):
        points += [(begin, before), (end, after)]
    points.sort(key=lambda point: point[0])
    start = points[0][0]
    return [when - start for when, _ in points], [memory for _, memory in points], start


def started(profile) -> str:
    """When a file begins, as the legend says it."""
    first = min(profile["timestamp"])
    thousandths = f"{first % 1:.3f}"
    first += thousandths.startswith("1")  # it was rounded up to the next second
    return time.strftime("%d / %m / %Y - start at %H:%M:%S", time.localtime(first)) + thousandths[1:]


def draw_curve(times, memory, style, label, marker=None):
    import matplotlib.pyplot as plt

    plt.plot(times, memory, style, marker=marker, label=label)


# -- the trend -------------------------------------------------------------------------------------------------------


def trend(times, memory) -> tuple[float, float] | None:
    """Slope and value at 0 of the line with the least squares; None where all times are one."""
    count = len(times)
    centre, level = math.fsum(times) / count, math.fsum(memory) / count
    spread = math.fsum((when - centre) ** 2 for when in times)
    if spread == 0:
        return None
    slope = math.fsum((when - centre) * (value - level) for when, value in zip(times, memory)) / spread
    return slope, level - slope * centre


def slope_label(times, memory, options):
    found = trend(times, memory) if getattr(options, "slope", False) else None
    return "" if found is None else f" slope {found[0] + 0.0:.5f}"


def draw_trend(times, memory, options, colour):
    import matplotlib.pyplot as plt

    found = trend(times, memory) if getattr(options, "slope", False) else None
    if found is not None:
        ends = [times[0], times[-1]]
        plt.plot(ends, [found[0] * when + found[1] for when in ends], "--", linewidth=0.5, color=colour)


# -- what stands around the curve ------------------------------------------------------------------------------------


def draw_cross(times, memory, across, up):
    """Dashed red lines through the highest point, as far as two pairs of limits."""
    import matplotlib.pyplot as plt

    highest = max(range(len(memory)), key=memory.__getitem__)
    plt.hlines(memory[highest], *across, colors="r", linestyles="dashed")
    plt.vlines(times[highest], *up, colors="r", linestyles="dashed")


def _draw_children(children, start, index, options):
    import matplotlib.pyplot as plt

    series = {pid: sorted((when - start, memory) for memory, when in points) for pid, points in children.items()}
    for number, (pid, points) in enumerate(series.items(), index + 1):
        times, memory = [list(column) for column in zip(*points)]
        colour = COLOURS[number % len(COLOURS)]
        plt.plot(times, memory, colour + "+-", label=f"child {pid}{slope_label(times, memory, options)}")
        draw_trend(times, memory, options, CHILD_TREND)
    when, highest = max(itertools.chain.from_iterable(series.values()), key=lambda point: point[1])
    draw_cross([when], [highest], plt.gca().get_xlim(), plt.gca().get_ylim())


def _draw_calls(calls, start, options):
    """A pair of brackets for each call."""
    labels = function_labels(calls)
    merged = sum(map(len, calls.values())) > MOST_CALLS
    for (name, each), colour in zip(sorted(calls.items()), itertools.cycle(CALL_COLOURS)):
        all_of_it = math.fsum(call[1] - call[0] for call in each)
        for number, (begin, end, before, after, *_) in enumerate(each):
            label = f"{labels[name]} {end - begin:.3f}s"
            if merged:
                label = None if number else f"{labels[name]} {len(each)} calls {all_of_it:.3f}s"
            add_brackets((begin, end), (before, after), xshift=start, color=colour, label=label, options=options)
