"""Threads whose names differ only in numbers, such as those of a pool: beyond a few, calls are not told apart by thread."""

from __future__ import annotations

from itertools import groupby

MOST_THREADS = 8
"""How many such threads have call trees of their own."""


def without_numbers(name: str) -> str:
    """A name with a star for each number in it."""
    return "".join("*" if is_number else "".join(letters) for is_number, letters in groupby(name, str.isdigit))
