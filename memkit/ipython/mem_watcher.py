"""Watching the cells of IPython: what each did to memory, told when it has run."""

from __future__ import annotations

import sys
import weakref
from typing import NamedTuple

from memkit.base.errors import MemkitError, UsageError
from memkit.base.units import SECOND
from memkit.ipython.measurement import Measured, Stretch
from memkit.model.sources import NO_NUMBER

MIB = 1 << 20
LASTING = SECOND // 50
"""Of a shorter cell no curve is shown: it would tell nothing, and to show one takes longer than to print."""


class Measurements(NamedTuple):
    """What the last cell did to memory."""

    memory_delta: float
    """By how much memory had changed when the cell ended, in MiB."""
    time_delta: float
    """How long it ran, in seconds."""
    memory_peak: float
    """How far memory rose meanwhile above what it was at the end, in MiB."""
    memory_usage: float
    """Resident memory when it ended, in MiB."""


class MemWatcher:
    """Tells after every cell of IPython what it did to memory, in a line; in Jupyter with a small curve if the cell lasted.

    ::

        watcher = memkit.MemWatcher()
        watcher.start_watching_memory()

    ``%memwatch on`` does the same. A shell has one watcher at a time: another one that starts takes its place. Raises
    ``UsageError`` outside IPython.
    """

    curve = True
    """Whether a curve goes with the line where it can be shown."""

    def __init__(self, shell=None):
        self.shell = shell or _shell()
        self._open: list[_Cell] = []
        self._last: Measured | None = None
        self._outermost = None  # the number of the cell that others were run by

    def __repr__(self):
        return f"<memkit.{type(self).__name__} {'watching' if self.watching else 'not watching'}>"

    @property
    def watching(self) -> bool:
        """Whether it is on."""
        return active(self.shell) is self

    @property
    def measurements(self) -> Measurements | None:
        """What the cell before this one did, or None where none was watched."""
        last = self._last
        if last is None:
            return None
        return Measurements(last.growth / MIB, last.time / SECOND, last.rise / MIB, last.after / MIB)

    def start_watching_memory(self) -> None:
        """Tell of every cell from now on, and of the rest of this one. Harmless where it is on already."""
        other = active(self.shell)
        if other is self:
            return
        if other is not None:
            other.stop_watching_memory()
        _watchers[self.shell] = self
        self.shell.events.register("pre_run_cell", self._before)
        self.shell.events.register("post_run_cell", self._after)
        running = getattr(self.shell.displayhook, "exec_result", None)
        if running is not None:
            self._open.append(_Cell(running.info, False, self._stretch()))

    def stop_watching_memory(self) -> None:
        """Tell no more. Harmless where it is off already."""
        if not self.watching:
            return
        del _watchers[self.shell]
        self.shell.events.unregister("pre_run_cell", self._before)
        self.shell.events.unregister("post_run_cell", self._after)
        while self._open:
            self._open.pop().stretch.drop()

    # -- what IPython calls --------------------------------------------------------------------------------------------

    def _before(self, info=None):
        try:
            self._begin(info)
        except (MemkitError, OSError) as error:
            self._give_up(error)

    def _begin(self, info):
        running = getattr(self.shell.displayhook, "exec_result", None)
        nested = bool(self._open)
        if nested and running is not None:
            self._outermost = running.execution_count if running.info.store_history else NO_NUMBER
        self._open.append(_Cell(info, nested, self._stretch()))

    def _stretch(self):
        return Stretch(curve=self.curve and _has_front_end(self.shell))

    def _after(self, result=None):
        """A cell has ended. Of an empty one nobody told that it began, and one that was torn down has no result."""
        info = getattr(result, "info", None)
        cell = next((each for each in reversed(self._open) if each.info is info or result is None), None)
        if cell is None:
            return
        self._open.remove(cell)
        try:
            self._last = cell.stretch.end()
            self._tell(self._name(cell, result), self._last)
        except (MemkitError, OSError) as error:
            self._give_up(error)

    def _name(self, cell, result) -> str:
        number = getattr(result, "execution_count", None)
        if not getattr(cell.info, "store_history", True):  # it has no number of its own
            number = self._outermost if cell.nested else NO_NUMBER
        return f"In [{self.shell.execution_count if number is None else number}]{' (nested)' if cell.nested else ''}"

    def _tell(self, name: str, measured: Measured):
        text = line(name, measured)
        if measured.time < LASTING or not (self.curve and _has_front_end(self.shell)):
            print(text)
            return
        from memkit.ipython.pictures import sparkline

        picture = sparkline(measured.samples, measured.before, measured.time)
        html = f'<div style="font-family:monospace;font-size:12px;opacity:.85">{picture} {text}</div>'
        self.shell.display_pub.publish(data={"text/plain": text, "text/html": html}, metadata={})

    def _give_up(self, error):
        self.stop_watching_memory()
        print(f"memkit: cells are not watched any more: {error}", file=sys.stderr)


class _Cell(NamedTuple):
    """A cell that runs."""

    info: object
    nested: bool
    """Whether it was run by another one."""
    stretch: Stretch


def line(name: str, measured: Measured, sizes: int = 1, times: int = 2) -> str:
    """What is told of a cell, with so many decimals of MiB and of seconds."""
    delta = round(measured.growth / MIB, sizes) + 0.0  # no -0.0
    return (
        f"{name} used {delta:.{sizes}f} MiB RAM in {measured.time / SECOND:.{times}f}s, "
        f"peaked {measured.rise / MIB:.{sizes}f} MiB above current{'' if measured.exact else ' as far as was seen'}, "
        f"total RAM usage {measured.after / MIB:.{sizes}f} MiB"
    )


_watchers = weakref.WeakKeyDictionary()


def active(shell) -> MemWatcher | None:
    """The watcher that is on in a shell."""
    return _watchers.get(shell)


def _shell():
    """The IPython that runs here. It is not looked for where nobody has imported it."""
    module = sys.modules.get("IPython")
    shell = module.get_ipython() if module is not None else None
    if shell is None:
        raise UsageError("MemWatcher watches the cells of IPython, and this is not IPython: use memkit.record() here")
    return shell


def _has_front_end(shell) -> bool:
    """Whether HTML may be shown: there is a kernel between the shell and whoever looks on."""
    return getattr(shell, "kernel", None) is not None
