"""The functions of a recording, and their numbers."""

from __future__ import annotations

import itertools

from memkit.model import file_format
from memkit.model.file_format import MORE_FUNCTIONS
from memkit.system import engine as engines

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Rows(Protocol):
        """What rows are written into."""

        def text(self, rows: bytes) -> None: ...


with engines.compiled("tracing of lines and calls"):
    from memkit.native.tracing.code_table import NumberTable

MOST_FUNCTIONS = 25_000
"""Further functions are counted together: a program may make new ones all the time, by ``exec`` for instance."""


class Functions:
    """Numbers the functions of a recording."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._count = itertools.count()
        self._numbers = NumberTable()
        self._numbered = 0
        self._named: dict[str, int] = {}

    def number(self, file: str, name: str, line: int, *extent: int) -> int:
        """The number of a function, by where it is: code that is made anew by ``eval``, for instance, has the same again.

        Functions with another ``extent`` are others. Those beyond ``MOST_FUNCTIONS`` have one number together.
        """
        key = hash((file, name, line, *extent))
        number = self._numbers.get(key)
        if number >= 0:
            return number
        if self._numbered >= MOST_FUNCTIONS:
            return self.named(MORE_FUNCTIONS)
        self._numbered += 1
        return self._numbers.setdefault(key, self.add(file, name, line))  # another thread may have met it meanwhile

    def is_more(self, number: int) -> bool:
        """Whether it is the number of the functions beyond ``MOST_FUNCTIONS``."""
        return number == self._named.get(MORE_FUNCTIONS)

    def named(self, name: str) -> int:
        """The number of what is in no file, such as a kind of work: the same for each name, whichever thread asks first."""
        known = self._named.get(name)
        return known if known is not None else self._named.setdefault(name, self.add("", name, 0))

    def add(self, file: str, name: str, line: int) -> int:
        """Write the row of one more function, and return its number."""
        number = next(self._count)
        self.row("function", number, file, name, line)
        return number

    def row(self, *values: object) -> None:
        """Write a row that names functions by their numbers, or is of one."""
        self._rows.text(file_format.row(*values))
