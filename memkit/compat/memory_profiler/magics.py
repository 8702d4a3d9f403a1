"""The magics of memory_profiler: ``%memit``, and ``%mprun`` with the table of five columns."""

from __future__ import annotations

import io
from types import CodeType, ModuleType
from typing import TYPE_CHECKING

from IPython.core import page

from memkit.base.errors import UsageError
from memkit.compat.memory_profiler.profiler import LineProfiler
from memkit.compat.memory_profiler.table import show_results
from memkit.ipython.cell_source import CellSource
from memkit.ipython.magics import MemoryMagics, Profiler
from memkit.tracing.targets import codes_of

if TYPE_CHECKING:
    from memkit.tracing.targets import OneTarget


class MagicProfiler(LineProfiler):
    """The profiler of ``%mprun``, which ``-r`` returns."""

    def start(self) -> None:
        self.enable_by_count()

    def stop(self) -> None:
        self.disable_by_count()
        self.close()


class MemoryProfilerMagics(MemoryMagics):
    """``%memit`` and ``%mprun`` as memory_profiler registers them."""

    def profiler(self, targets: list[OneTarget], children: bool) -> tuple[MagicProfiler, None]:
        """A profiler of the targets' lines; with ``children`` its numbers include the memory of child processes."""
        found = MagicProfiler(include_children=children)
        for code in [code for target in targets for code in _codes(target)]:
            found.code_map.add(code)
        return found, None

    def decorator(self, profiler: Profiler) -> object:
        """The builtin ``profile`` while the code runs: this profiler, which then also measures decorated functions.

        It is the method and not the object: the importable decorator takes the object for that of a run, whose tables are
        printed at its end, and would print none itself.
        """
        assert isinstance(profiler, MagicProfiler)
        return profiler.__call__

    def _default_targets(self, source: CellSource, cell: str | None) -> list[OneTarget]:
        return [] if cell is None else super()._default_targets(source, cell)

    def check(self, target: object) -> None:
        """Raise ``UsageError`` for a target without code."""
        _codes(target)

    def text(self, profiler: Profiler, more: str = "") -> str:
        """The tables of a profiler."""
        assert isinstance(profiler, MagicProfiler)
        table = io.StringIO()
        show_results(profiler, table)
        return table.getvalue()

    def show(self, profiler: Profiler, text: str, more: str = "") -> None:
        """Show them in the pager, which a notebook has below the cell."""
        page.page(text)


def _codes(target: object) -> list[CodeType]:
    if isinstance(target, str):
        raise UsageError("name a function, a method, a class or a module; targets are for memkit.ipython")
    if not isinstance(target, ModuleType):
        return codes_of(target)
    own = [value for value in vars(target).values() if getattr(value, "__module__", None) == target.__name__]
    return [code for value in own if callable(value) for code in codes_of(value)]
