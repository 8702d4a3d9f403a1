"""Statements of several lines: while one runs, the interpreter comes back to lines that it has begun already.

They are known by the places of their instructions.
"""

from __future__ import annotations

import sys
from opcode import opname

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType

STATEMENT_AT = 20
"""The bit above the number of a row from which the compiled tracer expects the number of its statement."""
MOST = 2047
"""Numbers of statements; after these they begin anew."""


def _numbers(*beginnings: str) -> frozenset[int]:
    return frozenset(number for number, name in enumerate(opname) if name.startswith(beginnings))


_SIMPLE = ("CALL", "BUILD", "BINARY", "COMPARE", "CONTAINS", "LIST", "SET_", "DICT", "MAP", "UNARY", "FORMAT")
_EXPRESSIONS = _numbers(*_SIMPLE, "LOAD_ATTR", "LOAD_METHOD", "STORE_ATTR", "STORE_SUBSCR", "RAISE", "IMPORT")
"""Instructions whose place is that of an expression, or of a statement that holds no others."""
_JUMPS = _numbers("POP_JUMP", "JUMP_IF")
_OF_WHOLE_CONDITIONS = sys.version_info < (3, 12)
"""Whether the place of a jump of a condition is all that depends on it: an ``if`` with its body."""
_WITH_BODIES = _numbers("BEFORE_", "WITH_EXCEPT", "CHECK_E")
"""Instructions whose place may be all of a ``with`` or a handler; others with the same place are of that, too."""


def statement_numbers(code: CodeType) -> dict[int, int]:
    """For each line of a statement of several lines a number, 1 and above, that its neighbours do not have."""
    ranges, bodies = set(), set()
    before = 0
    for (line, last, _, _), instruction in zip(code.co_positions(), code.co_code[::2]):
        if line and last and last > line:
            if instruction in _EXPRESSIONS:
                ranges.add((line, last))
            elif instruction in _WITH_BODIES:
                bodies.add((line, last))
            elif instruction in _JUMPS:
                whole = _OF_WHOLE_CONDITIONS and opname[instruction].startswith("POP_JUMP")
                ranges.add((line, max(line, before) if whole else last))  # the condition ends where the jump is
        before = line or before
    found: dict[int, int] = {}
    number, end = 0, 0
    for line, last in sorted(ranges - bodies):
        if line > end:
            number = number % MOST + 1
        end = max(end, last)
        found.update(dict.fromkeys(range(line, last + 1), number))
    return found
