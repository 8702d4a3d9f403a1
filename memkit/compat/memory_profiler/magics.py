"""The magics of memory_profiler: ``%memit``, and ``%mprun`` with the table of five columns."""

from __future__ import annotations

import io
from types import ModuleType

from IPython.core import page

from memkit.base.errors import UsageError
from memkit.compat.memory_profiler.profiler import LineProfiler
from memkit.compat.memory_profiler.table import show_results
from memkit.ipython.magics import MemoryMagics
from memkit.tracing.targets import codes_of


class MagicProfiler(LineProfiler):
    """The profiler of ``%mprun``, which ``-r`` returns."""

    def start(self):
        self.enable_by_count()

    def stop(self):
        self.disable_by_count()
        self.close()


class MemoryProfilerMagics(MemoryMagics):
    """``%memit`` and ``%mprun`` as memory_profiler registers them."""

    def profiler(self, targets, children):
        """What measures the lines; memory of child processes is in its numbers, if it is asked for."""
        found = MagicProfiler(include_children=children)
        for code in [code for target in targets for code in _codes(target)]:
            found.code_map.add(code)
        return found, None

    def decorator(self, profiler):
        """What ``@profile`` is meanwhile: this profiler, so that without ``-f`` decorated functions are what is measured.

        It is not the object itself: one that is imported would take that for a run to the end of the program, which prints
        its tables, and print none of its own any more.
        """
        return profiler.__call__

    def _of_none(self, typed, cell):
        return [] if cell is None else super()._of_none(typed, cell)

    def check(self, target):
        """Raise ``UsageError`` for what has no code."""
        _codes(target)

    def text(self, profiler, more=""):
        """The tables of a profiler."""
        table = io.StringIO()
        show_results(profiler, table)
        return table.getvalue()

    def show(self, profiler, text, more=""):
        """Show them in the pager; a notebook has it below the cell."""
        page.page(text)


def _codes(target) -> list:
    if isinstance(target, str):
        raise UsageError("name a function, a method, a class or a module; targets are for memkit.ipython")
    if not isinstance(target, ModuleType):
        return codes_of(target)
    own = [value for value in vars(target).values() if getattr(value, "__module__", None) == target.__name__]
    return [code for value in own if callable(value) for code in codes_of(value)]
