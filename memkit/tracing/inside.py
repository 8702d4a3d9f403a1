"""The rows of what happened inside a span: of the call paths and lines that grew and rose most in it."""

from __future__ import annotations

from memkit.model import file_format

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

_MOST = 3  # paths that are told for their growth, and lines for their rise
_SLIGHT = 20  # what has not so much as this part of the highest is not told


def calls_inside(span: int, found: list[list[int]]) -> list[bytes]:
    """Rows of the paths that grew most themselves, and of one that rose most: the deepest that rose as high as its callers.

    ``found`` is of each path that changed: its number and that of its caller, its growth and its rise.
    """
    chosen = {row[0]: row for row in _high(((row[2], row) for row in found), _MOST)}
    rose = _deepest(found)
    if rose is not None:
        chosen[rose[0]] = rose
    return [file_format.row("span_call", span, call, growth, rise) for call, _, growth, rise, *_ in chosen.values()]


def lines_inside(span: int, found: list[list[int]]) -> list[bytes]:
    """Rows of the lines that rose most themselves, beyond what traced code that they called had reached, and that kept most.

    ``found`` is of each line that changed in a thread: its function and number, its growth, rise and own rise.
    """
    lines: dict[tuple[int, int], list[int]] = {}
    for function, line, growth, rise, own_rise in found:
        known = lines.setdefault((function, line), [function, line, 0, 0, 0])
        known[2:] = known[2] + growth, max(known[3], rise), max(known[4], own_rise)
    rose, grew = (((row[4], row) for row in lines.values()), ((min(row[2], row[4]), row) for row in lines.values()))
    chosen = {(row[0], row[1]): row for row in [*_high(rose, _MOST), *_high(grew, _MOST)]}
    return [file_format.row("span_line", span, *row[:4]) for row in chosen.values()]


def _high(ranked: Iterable[tuple[int, list[int]]], most: int) -> list[list[int]]:
    best = sorted((pair for pair in ranked if pair[0] > 0), key=lambda pair: -pair[0])[:most]
    return [row for value, row in best if value * _SLIGHT >= best[0][0]]


def _deepest(found: list[list[int]]) -> list[int] | None:
    """From the path that rose most down to the last one that rose at least half as high as it."""
    callees: dict[int, list[list[int]]] = {}
    for row in found:
        callees.setdefault(row[1], []).append(row)

    def rise(row: list[int]) -> Any:
        return row[3]

    path = max(found, key=rise, default=None)
    if path is None or path[3] <= 0:
        return None
    least = path[3]
    while path[0] in callees:
        next_one = max(callees[path[0]], key=rise)
        if 2 * next_one[3] < least:
            break
        path = next_one
    return path
