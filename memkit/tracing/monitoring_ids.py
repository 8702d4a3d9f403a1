"""Tool ids of ``sys.monitoring``, and how a frame's start is told from a resumption."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType

UNASSIGNED = (4, 3)
"""The tool ids without a purpose: the others are for debuggers, coverage, profilers and optimizers."""
_TOOL_IDS = (*UNASSIGNED, 2, 5, 1, 0)  # in the order in which they are tried


def free_tool() -> int | None:
    """Take a tool id that nobody uses, and return it; None if all six are in use."""
    for tool in _TOOL_IDS:
        try:
            sys.monitoring.use_tool_id(tool, "memkit")
        except ValueError:
            continue
        return tool
    return None


def has_free_tool() -> bool:
    """Whether there is an id that nobody uses."""
    return hasattr(sys, "monitoring") and any(sys.monitoring.get_tool(tool) is None for tool in _TOOL_IDS)


def last_instruction_at_start(code: CodeType) -> int:
    """The offset of the first ``RESUME``: ``f_lasti`` of a frame that starts, while one that is resumed has another."""
    from opcode import opmap

    resume, text = opmap["RESUME"], code.co_code
    return next((offset for offset in range(0, len(text), 2) if text[offset] == resume), 0)
