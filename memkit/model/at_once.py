"""Many rows of one kind, checked and taken in at once: nearly all rows of a file are of three kinds."""

from __future__ import annotations

from array import array
from itertools import chain
from operator import itemgetter
from typing import Any

from memkit.model.recording import Sample
from memkit.model.row_values import check, check_whole

_VALUES, _TIME = itemgetter(slice(1, None)), itemgetter(1)
_WHOLE_LINE = 12
"""The length of a ``line`` row that lacks nothing."""
_NOT_IN_OLD_LINES = (None, None, 0, None)
"""What the last fields of a line are where its row does not have them."""


def samples_of(rows: list[Any], pid: int) -> list[Sample]:
    """Samples of the recorded process. Raises if one of the rows is damaged."""
    new = tuple.__new__
    array("q", chain.from_iterable(map(_VALUES, rows)))  # refuses what is no whole number of 64 bits
    if min(map(_TIME, rows), default=0) < 0:
        raise ValueError
    return [new(Sample, (row[1], pid, row[2], row[2] if len(row) == 3 or row[3] < 0 else row[2] + row[3])) for row in rows]


def sums_of_lines(rows: list[Any]) -> dict[tuple[int, int], Any]:
    """The last sums of each line, which are totals. Raises where a row is damaged, or lacks what old ones do not have."""
    check_whole(chain.from_iterable(map(_VALUES, rows)))
    numbers = list(map(itemgetter(2), rows))
    check((min(numbers), max(numbers)), "ll")
    if min(map(len, rows)) < _WHOLE_LINE:
        raise ValueError
    return {(row[1], row[2]): tuple(row[3:_WHOLE_LINE]) for row in rows}


def whole_line(*sums: Any) -> Any:
    """The sums of a line, with what old rows do not have. TypeError for a row that is damaged."""
    if len(sums) < 5:
        raise TypeError(sums)
    return (*sums[:9], *_NOT_IN_OLD_LINES[len(sums) - 5 :])
