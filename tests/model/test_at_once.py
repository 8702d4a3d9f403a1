"""Rows that are taken in many at once are those that each by itself gives, and a damaged one is counted and left out."""

import io
import random

import pytest

from memkit.model import file_format
from memkit.model.from_rows import Rows
from memkit.model.reader import read

ABOUT = {"memkit": "0.1.0", "pid": 7, "argv": ["a.py"], "began": 1.7e9, "interval": 1_000_000, "engine": "native"}
DAMAGED = [
    ["sample", "x", 5],
    ["sample"],
    ["sample", -1, 5],
    ["line", 1, 1 << 40, *[1] * 9],
    ["line", 1, 2, 3, None, *[1] * 7],
    ["line", 1, 2, True, *[1] * 8],
    ["line", 1],
    ["call", -3, None, *[1] * 9],
    ["call", 1, 0, 1, 1, 1, 1, 1.5, *[1] * 4],
    ["call", 4, 0, 1 << 70, *[1] * 8],
    ["call"],
    [],
]


def made(seed):
    """Rows of all kinds, later ones of the same line and call among them, and old ones that lack what came later."""
    chance = random.Random(seed)
    rows = [["function", number, f"/f{number}.py", f"f{number}", 1] for number in range(5)]
    for moment in range(400):
        rows.append(["sample", moment, chance.randrange(1 << 30), *([chance.randrange(-9, 1 << 20)] if moment % 3 else [])])
        if moment % 7 == 0:
            rows.append(["sample", moment, chance.randrange(1 << 30), 5, 8])
        number, values = chance.randrange(5), [chance.randrange(1 << 40) for _ in range(9)]
        rows.append(["line", number, chance.randrange(3), *values[: chance.choice((5, 9))]])
        rows.append(["call", number, number - 1 if number else None, number, 1, *values[: chance.choice((4, 7))]])
    return rows


def whole(rows):
    head = file_format.header(ABOUT)
    return read(io.BytesIO(head + b"".join(file_format.row(*row) for row in rows)))


def one_by_one(rows, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(Rows, "take", lambda self, rows: [self._take_one(row) for row in rows] and None)
        return whole(rows)


@pytest.mark.parametrize("seed", range(5))
def test_rows_taken_at_once_are_those_taken_singly(seed, monkeypatch):
    rows = made(seed)
    assert whole(rows) == one_by_one(rows, monkeypatch)


@pytest.mark.parametrize("row", DAMAGED, ids=str)
def test_a_damaged_row_among_many_is_counted_and_left_out(row, monkeypatch):
    rows = made(9)
    rows.insert(500, row)
    found = whole(rows)
    assert found.unread == 1
    assert found == one_by_one(rows, monkeypatch)
