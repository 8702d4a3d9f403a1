"""What tracers of any kind ask of the interpreter."""

from __future__ import annotations

import sys

NAMELESS = (4, 3)
"""The tool numbers that belong to no kind of tool: others are a debugger's, coverage's, a profiler's, an optimizer's."""
_TOOL_IDS = (*NAMELESS, 2, 5, 1, 0)  # the others' are left to them as long as there is one that is not


def free_tool() -> int | None:
    """A tool number of ``sys.monitoring`` that nobody has, taken; None where all six are at work."""
    for number in _TOOL_IDS:
        try:
            sys.monitoring.use_tool_id(number, "memkit")
        except ValueError:
            continue
        return number
    return None


def last_instruction_at_start(code) -> int:
    """The last instruction of a frame that begins, by which a start is told from a resumption."""
    from opcode import opmap

    resume, text = opmap["RESUME"], code.co_code
    return next((place for place in range(0, len(text), 2) if text[place] == resume), 0)
