"""The source that traced lines stand in, as far as it can still be trusted."""

from __future__ import annotations

import linecache
import os
import re
import sys
from typing import TYPE_CHECKING, Any

from memkit.base.units import show_on_a_line
from memkit.model.definitions import definitions, is_python
from memkit.model.file_format import GENERATED

if TYPE_CHECKING:
    from collections.abc import Iterable

    from memkit.model.calls import Function

_DEF = re.compile(r"\s*(async\s+def|def|class)\s")
_MOST_DECORATORS = 50
"""Lines from the first decorator of a function to its ``def``."""
_last: tuple[list[str], list[str]] = [], []
"""The lines of a file as ``linecache`` has them, and without their ends."""
NO_NUMBER = " "
"""Of a cell that is run without going into the history: a front end asks for something on its own account."""


class Source:
    """The text of a file, for reporters.

    ``recorded`` is when the lines were recorded, in seconds since the epoch: a file that was changed later is marked. With a
    ``function``, in whose file its ``def`` no longer stands where it began, the text is that of the ``def`` of its name, if
    there is one, at the numbers of lines that the function has. A text that the recording itself has among its ``sources``
    comes before one that is found here.
    """

    def __init__(
        self,
        file: str,
        recorded: float | None = None,
        function: Function | None = None,
        sources: Iterable[tuple[str, str]] = (),
    ):
        text = next((text for name, text in sources if name == file), None)
        if text is not None:
            self.lines = text.splitlines()
        else:
            self.lines = [] if "\0" in file else _lines_of(file)  # Python 3.11 raises ValueError for such a name
        """The lines of text; empty where there is none to be had."""
        self.name = _cell(file) or file
        """What to call it: the file, or the cell of IPython that it was typed in."""
        self.remark = None
        """What is wrong with the text, in a line, or None."""
        if text is not None:
            return
        moved = 0 if function is None or not self.lines else _moved(self.lines, function)
        if file.endswith(GENERATED):
            self.remark = "these are lines of code that was generated from the file, and its text was not kept"
        elif not self.lines:
            self.remark = f"the source is not to be found: {file}"
        elif function is None and recorded is not None and _is_other(file, self.lines):
            self.remark = "the file is not Python: the code that ran was made from it, and may have other lines"
            self.lines = []
        elif moved is None:
            self.remark = "the file was changed after this code was loaded: its text is no longer there"
            self.lines = []
        elif moved:
            self.remark = "the file was changed after this code was loaded: the text is that of its name, as it is now"
            self.lines = self.lines[moved:] if moved > 0 else [""] * -moved + self.lines
        elif recorded is not None and os.path.exists(file) and os.path.getmtime(file) > recorded:
            self.remark = "the file was changed after the recording began: the text may stand beside the wrong lines"

    def line(self, number: int) -> str:
        """The text of a line, counted from 1; empty where there is none."""
        return self.lines[number - 1] if 0 < number <= len(self.lines) else ""


def place_of(function: Function) -> str:
    """Where a function is, in short: ``load.py:12``, ``json/__init__.py:299``, ``In [5]:1``; nothing for one in C."""
    if not function.file:
        return ""
    if (name := Source(function.file).name) != function.file:
        return f"{name}:{function.line}"
    parts = function.file.replace("\\", "/").split("/")
    short = "/".join(parts[-2:] if parts[-1].startswith("__") else parts[-1:])
    return f"{show_on_a_line(short)}:{function.line}"


def module_of(file: str) -> str:
    """A file in short, for a picture: of a library its path in there, ``pandas/core/frame.py``; else its last step."""
    steps = file.replace("\\", "/").split("/")
    for place in range(len(steps) - 2, 0, -1):
        of_python = steps[place].lower().startswith("python") and steps[place - 1].lower() in ("lib", "lib64")
        if of_python or steps[place] in ("site-packages", "dist-packages"):
            return show_on_a_line("/".join(steps[place + 1 :]))
    return show_on_a_line("/".join(steps[-2:] if steps[-1].startswith("__") else steps[-1:]))


def _is_other(file: str, lines: list[str]) -> bool:
    """Whether the text of a file is not what ran, as far as that can be told without the functions in it."""
    return not file.startswith("<") and not file.endswith((".py", ".pyw")) and not is_python("\n".join(lines))


def _moved(lines: list[str], function: Function) -> int | None:
    """By how many lines the text of a function has moved since it was compiled; None where it is not to be found."""
    name = function.name.rpartition(".")[2]
    if not name.isidentifier() or not function.file.endswith((".py", ".pyw")):
        return 0  # a lambda, for instance; and what is no Python file may have been made into Python
    begins = lines[max(function.line, 1) - 1 :][:_MOST_DECORATORS]
    if begins and begins[0].lstrip().startswith("@"):
        begins = [line for line in begins if _DEF.match(line)]
    above = lines[function.line - 2] if 1 < function.line <= len(lines) else ""
    if begins and not above.lstrip().startswith("@") and re.match(rf"\s*(async\s+def|def|class)\s+{name}\b", begins[0]):
        return 0
    known = list(definitions("\n".join(lines)))
    places = [line for name, line in known if name == function.name]
    if not places:
        return None if known else 0  # it is not Python at the moment
    return min((place - function.line for place in places), key=abs)


def _lines_of(file: str) -> list[str]:
    global _last
    linecache.checkcache(file)
    found = linecache.getlines(file)
    last = _last
    if found is not last[0]:  # else they were asked for before, as by a function that prints its table at each call
        last = _last = found, [line.rstrip("\n") for line in found]
    return [*last[1]]


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
