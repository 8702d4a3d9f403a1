"""Memory over time as SVG: a whole plot of a recording, and a curve as small as a word. No scripts, no fonts, any theme.

Lines and words are in the colour of the text around them; the colours of the palette that it uses stand out from white and
from black.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape

from memkit.base.units import scale, show_bytes, show_error, show_time
from memkit.model.recording import Recording, Span
from memkit.report import transforms
from memkit.report.pictures import FAILED, MEMORY, PEAK, shorten, time_unit

WIDTH, HEIGHT = 760, 250
LEFT, RIGHT, TOP, BOTTOM = 74, 16, 26, 34
COLUMNS = 600
SPAN_ROW, MOST_SPANS, MOST_LEVELS = 17, 40, 6
SIZE_STEPS = (1, 2, 2.5, 5, 10)
LETTER = 6.7
"""The width of a letter of the smallest text, about."""
SPARK_WIDTH, SPARK_HEIGHT = 90, 16
STILL = 1 << 20
"""A curve that moves by less than this is drawn as one that hardly moves."""


def sparkline(samples: Iterable[tuple[int, int, int]], before: int, duration: int) -> str:
    """A small curve of (time, memory, peak) rows, from the lowest to the highest; ``before`` is memory at the start."""
    points = [(0, before, before), *samples]
    low = min(memory for _, memory, _ in points)
    high = max(max(peak for *_, peak in points), low + STILL)
    end = max(duration, points[-1][0], 1)

    def place(time: int, memory: int) -> str:
        x = 1 + (SPARK_WIDTH - 2) * time / end
        return f"{x:.1f},{SPARK_HEIGHT - 2 - (SPARK_HEIGHT - 4) * (memory - low) / (high - low):.1f}"

    along: list[str] = []
    above: list[tuple[int, int, int]] = []
    last = before
    for time, memory, peak in _thinned(points):
        if peak > memory:
            above.append((time, max(memory, last), peak))
        along.append(place(time, memory))
        last = memory
    spikes = "".join(f"M{place(time, memory)} L{place(time, peak)} " for time, memory, peak in above)
    base = SPARK_HEIGHT - 1
    return (
        f'<svg width="{SPARK_WIDTH}" height="{SPARK_HEIGHT}" viewBox="0 0 {SPARK_WIDTH} {SPARK_HEIGHT}" '
        f'style="vertical-align:middle" role="img" aria-label="memory during the cell">'
        f'<polygon points="1,{base} {" ".join(along)} {along[-1].split(",")[0]},{base}" fill="{MEMORY}" fill-opacity=".25"/>'
        f'<polyline points="{" ".join(along)}" fill="none" stroke="{MEMORY}" stroke-width="1.2"/>'
        f'<path d="{spikes}" stroke="{PEAK}" stroke-width="1.2" fill="none"/></svg>'
    )


def _thinned(points: Sequence[tuple[int, int, int]]) -> Iterator[tuple[int, int, int]]:
    """At most as many points as there are dots: of those that share a dot the last, with the highest peak."""
    step = -(-len(points) // SPARK_WIDTH)
    for first in range(0, len(points), step):
        group = points[first : first + step]
        yield group[-1][0], group[-1][1], max(max(memory, peak) for _, memory, peak in group)


def plot(recording: Recording) -> str:
    """The curve of a recording, solid up to what was read and light up to the peak between samples, with spans above it."""
    if not recording.samples:
        return ""
    spans = transforms.largest_spans(recording.spans, MOST_SPANS)
    levels = min(MOST_LEVELS, max((span.depth for span in spans), default=-1) + 1)
    canvas = _Canvas(recording, TOP + levels * SPAN_ROW)
    parts = [*_grid(canvas), *_areas(canvas, recording), *_highest(canvas, recording), *_ending(canvas, recording)]
    parts += [part for span in spans if span.depth < levels for part in _span(canvas, span, levels)]
    return (
        f'<svg viewBox="0 0 {WIDTH} {canvas.height}" width="{WIDTH}" role="img" aria-label="memory over time" '
        f'style="max-width:100%;height:auto;color:inherit;font:11px sans-serif">{"".join(parts)}</svg>'
    )


class _Canvas:
    """Where things are on the picture."""

    def __init__(self, recording: Recording, top: int):
        self.top, self.height = top, HEIGHT + top - TOP
        self.duration = max(recording.duration, 1)
        most = max(recording.peak or 0, 4)
        unit, self.unit = scale(most)
        self.step = _step(most / unit, 4, SIZE_STEPS) * unit
        self.most = self.step * -(-most // self.step)
        self.size = unit

    def x(self, time: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * min(time / self.duration, 1)

    def y(self, memory: float) -> float:
        return self.height - BOTTOM - (self.height - BOTTOM - self.top) * memory / self.most


def _step(most: float, count: int, steps: Sequence[float]) -> float:
    """A step of which about so many make up a range: one of ``steps``, of 1 to 10, times a power of ten."""
    rough = max(most, 1e-9) / count
    power = 10.0
    while power > rough:
        power /= 10
    while power * 10 <= rough:
        power *= 10
    return next(power * factor for factor in steps if power * factor >= rough)


def _text(x: float, y: float, words: str, anchor: str = "start", more: str = "", hint: str = "") -> str:
    hint = f"<title>{escape(hint)}</title>" if hint else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="currentColor" {more}>{hint}{escape(words)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, more: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" {more}/>'


def _grid(canvas: _Canvas) -> Iterator[str]:
    steps = round(canvas.most / canvas.step)
    for number in range(steps + 1):
        memory = number * canvas.step
        y = canvas.y(memory)
        yield _line(LEFT, y, WIDTH - RIGHT, y, f'stroke="currentColor" stroke-opacity="{0.5 if not number else 0.15}"')
        yield _text(LEFT - 8, y + 4, f"{memory / canvas.size:g} {canvas.unit}", "end", 'fill-opacity=".8"')
    unit = time_unit(canvas.duration)
    length = canvas.duration / unit.size
    step = _step(length, 6, unit.steps)
    for number in range(int(length / step + 1e-9) + 1):
        x = canvas.x(number * step * unit.size)
        bottom = canvas.height - BOTTOM
        yield _line(x, bottom, x, bottom + 4, 'stroke="currentColor" stroke-opacity=".5"')
        if x < WIDTH - RIGHT - 14:
            yield _text(x, bottom + 16, f"{number * step:g} {unit.name}" if number else "0", "middle", 'fill-opacity=".8"')


def _areas(canvas: _Canvas, recording: Recording) -> Iterator[str]:
    memory, peak = recording.columns(COLUMNS)
    width = (WIDTH - LEFT - RIGHT) / COLUMNS
    bottom, right = canvas.y(0), WIDTH - RIGHT

    def edge(values: Sequence[int]) -> Iterator[str]:
        for place, value in enumerate(values):
            x, y = LEFT + place * width, canvas.y(value)
            yield f"{x:.1f},{y:.1f} {x + width:.1f},{y:.1f}"

    curve = " ".join(edge(memory))
    if any(high > low for high, low in zip(peak, memory)):
        back = " ".join(" ".join(reversed(each.split())) for each in reversed(list(edge(memory))))
        yield f'<polygon points="{" ".join(edge(peak))} {back}" fill="{PEAK}" fill-opacity=".45"/>'
    yield f'<polygon points="{LEFT},{bottom:.1f} {curve} {right},{bottom:.1f}" fill="{MEMORY}" fill-opacity=".3"/>'
    yield f'<polyline points="{curve}" fill="none" stroke="{MEMORY}" stroke-width="1.5"/>'


def _highest(canvas: _Canvas, recording: Recording) -> Iterator[str]:
    high = recording.highest
    if high is None:
        return
    share = high.time / canvas.duration
    error = show_error(recording.about.peaks_error) if recording.peak_is_exact else ""
    words = f"peak {show_bytes(high.peak)}" + (f" ±{error}" if error else "" if recording.peak_is_exact else " (seen)")
    anchor = "start" if share < 0.15 else "end" if share > 0.85 else "middle"
    yield _text(canvas.x(high.time), canvas.y(high.peak) - 6, words, anchor, 'font-weight="bold"')


def _ending(canvas: _Canvas, recording: Recording) -> Iterator[str]:
    if not recording.ending.failed:
        return
    last = recording.samples[-1]
    x, y = canvas.x(last.time) - 5, canvas.y(last.memory)
    yield _line(x - 5, y - 5, x + 5, y + 5, f'stroke="{FAILED}" stroke-width="2.5"')
    yield _line(x - 5, y + 5, x + 5, y - 5, f'stroke="{FAILED}" stroke-width="2.5"')


def _span(canvas: _Canvas, span: Span, levels: int) -> Iterator[str]:
    """A bracket above the curve; the outermost stand highest."""
    left, right = canvas.x(span.start), canvas.x(canvas.duration if span.end is None else span.end)
    y = canvas.top - TOP + 12 - (levels - 1 - span.depth) * SPAN_ROW
    path = f"M{left:.1f},{y + 4:.1f} V{y:.1f} H{max(right, left + 1):.1f} V{y + 4:.1f}"
    yield f'<path d="{path}" fill="none" stroke="currentColor" stroke-opacity=".6"/>'
    room = int((right - left) / LETTER)
    label = span.label if span.end is not None else f"{span.label} (unfinished)"
    if room >= 3:
        hint = f"{span.label}: {show_time(span.duration)}"
        yield _text((left + right) / 2, y - 3, shorten(label, room), "middle", 'font-size="10"', hint)
