"""``CodeMap``: the measurements of code objects' lines, in memory_profiler's format."""

from __future__ import annotations

import functools
import inspect
import linecache
import os
from collections.abc import Iterator
from types import CodeType

from memkit.record.memory_reader import MIB, Reader

Measured = tuple[float, float, int]
"""A line: increment and memory in MiB, and occurrences."""

_NOTEBOOK = ("ipython-input", "<ipython-input")


class CodeMap(dict[CodeType, dict[int, Measured]]):
    """Code objects, each with ``{line: (increment, memory, occurrences)}``, in MiB, in order of first execution.

    Code nested in a function shares the dictionary of that function. ``_toplevel`` lists the functions: file, code object
    and range of lines.
    """

    def __init__(self, include_children: bool = False, backend: str = "psutil") -> None:
        super().__init__()
        self.include_children = include_children
        self._backend = backend
        self._toplevel: list[tuple[str, CodeType, range]] = []

    def add(self, code: CodeType, toplevel_code: CodeType | None = None) -> None:
        """Add a code object, and those nested in it."""
        if code in self:
            return
        if toplevel_code is None:
            filename = code.co_filename
            if filename.endswith((".pyc", ".pyo")):
                filename = filename[:-1]
            lines = _lines_of(code, filename)
            if lines is None:
                print(f"ERROR: Could not find file {filename}")
                if filename.startswith(_NOTEBOOK):
                    print(
                        "NOTE: %mprun can only be used on functions defined in physical files, "
                        "and not in the IPython environment."
                    )
                return
            toplevel_code = code
            self._toplevel.append((filename, code, lines))
            self[code] = {}
        else:
            self[code] = self[toplevel_code]
        for constant in code.co_consts:
            if inspect.iscode(constant):
                self.add(constant, toplevel_code=toplevel_code)

    def trace(self, code: CodeType, lineno: int, prev_lineno: int) -> None:
        """Account for a line that has just run after another, for callers that trace by themselves."""
        memory = (Reader(None, self._backend, self.include_children).read() or 0) / MIB
        lines = self[code]
        grown, _, count = lines.get(lineno, (0.0, 0.0, 0))
        before = lines.get(prev_lineno, (0.0, 0.0, 0))[1]
        lines[lineno] = (grown + memory - before, memory, count + 1)

    def items(self) -> Iterator[tuple[str, Iterator[tuple[int, Measured | None]]]]:  # type: ignore[override]  # memory_profiler's
        """For each measured function its file, and its lines: number, and what was measured or None."""
        for filename, code, lines in self._toplevel:
            measured = self[code]
            if measured:
                yield filename, ((line, measured.get(line)) for line in lines)


@functools.lru_cache(maxsize=1000)
def _lines_of(code: CodeType, filename: str) -> range | None:
    """The line numbers of a function, from its first decorator on; None if its file cannot be found."""
    linecache.checkcache(filename)
    texts = linecache.getlines(filename)
    if not os.path.exists(filename) and not texts:
        return None
    if code.co_name == "<module>":
        return range(1, len(texts) + 1)
    try:
        text, start = inspect.getsourcelines(code)
        return range(start, start + len(text))
    except (OSError, IndexError, SyntaxError):  # tokenize's error is a SyntaxError from 3.12 on
        last = max((line for _, _, line in code.co_lines() if line), default=code.co_firstlineno)
        return range(code.co_firstlineno, last + 1)
