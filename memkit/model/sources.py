"""The source that traced lines stand in, as far as it can still be trusted."""

from __future__ import annotations

import linecache
import os
import sys
from typing import Any

NO_NUMBER = " "
"""Of a cell that is run without going into the history: a front end asks for something on its own account."""


class Source:
    """The text of a file, for reporters.

    ``recorded`` is when the lines were recorded, in seconds since the epoch: a file that was changed later is marked.
    """

    def __init__(self, file: str, recorded: float | None = None):
        linecache.checkcache(file)
        self.lines = [line.rstrip("\n") for line in linecache.getlines(file)]
        """The lines of text; empty where there is none to be had."""
        self.name = _cell(file) or file
        """What to call it: the file, or the cell of IPython that it was typed in."""
        self.remark = None
        """What is wrong with the text, in a line, or None."""
        if not self.lines:
            self.remark = f"the source is not to be found: {file}"
        elif recorded is not None and os.path.exists(file) and os.path.getmtime(file) > recorded:
            self.remark = "the file was changed after the recording began: the text may stand beside the wrong lines"

    def line(self, number: int) -> str:
        """The text of a line, counted from 1; empty where there is none."""
        return self.lines[number - 1] if 0 < number <= len(self.lines) else ""


def _cell(file: str) -> str | None:
    """``In [5]`` for the file name that IPython gave to a cell; None for anything else."""
    shell = _shell()
    if shell is None or not hasattr(shell.compile, "format_code_name"):
        return None
    known = shell.compile.format_code_name(file)
    return known[1].replace("In[", "In [") if known else None


def running_cell() -> str | None:
    """``In [5]`` for the cell of IPython that runs now; None where a program runs, be it by ``%run``."""
    shell = _shell()
    if shell is None or sys.modules.get("__main__") is not shell.user_module:
        return None
    running = shell.displayhook.exec_result
    if running is None and getattr(shell, "kernel", None) is None:
        return None
    numbered = running is not None and running.info.store_history
    return f"In [{cell_number(shell) if numbered else NO_NUMBER}]"


def cell_number(shell: Any) -> int:
    """The number of the cell that runs now; of one without, that which IPython names its source by."""
    running = getattr(shell.displayhook, "exec_result", None)
    number = getattr(running, "execution_count", None)
    return int(shell.execution_count if number is None else number)


def _shell() -> Any:  # an InteractiveShell, whose package has no types
    """The IPython that runs here, or None. It is not imported for that."""
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython is not None else None
