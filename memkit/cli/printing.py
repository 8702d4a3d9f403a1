"""What commands print besides reports: messages on stderr, tables on standard output."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from memkit.base.units import printable, show_text


def say(text: str, code: int = 0) -> int:
    """Print a message on stderr; returns ``code``, for a command that ends with it."""
    if sys.stderr is not None:
        print("\n".join(map(printable, text.split("\n"))), file=sys.stderr)
    return code


def print_table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows in columns, below their heads unless all of these are empty."""
    texts = [tuple(printable(show_text(str(cell))) for cell in row) for row in rows]
    lines = ([tuple(heads)] if any(heads) else []) + texts
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads) - 1)]
    for line in lines:
        print("  ".join([cell.ljust(width) for cell, width in zip(line, widths)] + [line[-1]]).rstrip())
