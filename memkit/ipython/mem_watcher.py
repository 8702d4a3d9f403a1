"""``MemWatcher``: prints the memory use of each IPython cell when the cell has run."""

from __future__ import annotations

import io
import sys
import weakref
from typing import TYPE_CHECKING, NamedTuple

from memkit.base.errors import MemkitError, UsageError
from memkit.base.stderr import to_stderr
from memkit.base.units import SECOND
from memkit.ipython.measurement import Measured, Measurement
from memkit.model.sources import NO_NUMBER

if TYPE_CHECKING:
    from IPython.core.interactiveshell import ExecutionInfo, ExecutionResult, InteractiveShell

MIB = 1 << 20
SHORTEST_WITH_CURVE = SECOND // 50
"""A shorter cell gets no curve: it would have no shape, and displaying it takes longer than printing the line."""


class Measurements(NamedTuple):
    """The memory use of a cell."""

    memory_delta: float
    """Memory at the end of the cell minus memory at its start, in MiB."""
    time_delta: float
    """The duration, in seconds."""
    memory_peak: float
    """The peak during the cell minus memory at its end, in MiB."""
    memory_usage: float
    """Resident memory at the end, in MiB."""


class MemWatcher:
    """Prints the memory use of every IPython cell in one line; in Jupyter with a small curve if the cell is long enough.

    ::

        watcher = memkit.MemWatcher()
        watcher.start_watching_memory()

    ``%memwatch on`` does the same. A shell has one active watcher: starting another one stops it. Raises ``UsageError``
    outside IPython.
    """

    curve = True
    """Whether to show a curve with the line where the front end can display it."""

    def __init__(self, shell: InteractiveShell | None = None) -> None:
        self.shell = shell or _shell()
        self._open: list[_Cell] = []
        self._last: Measured | None = None
        self._ended: int | None = None  # memory at the end of the previous cell
        self._untold: tuple[_Cell, Measured] | None = None  # whose line would be in a text that is captured
        self._outermost: int | str | None = None  # the execution count of the cell that runs nested ones

    def __repr__(self) -> str:
        return f"<memkit.{type(self).__name__} {'watching' if self.watching else 'not watching'}>"

    @property
    def watching(self) -> bool:
        """Whether it is on."""
        return active(self.shell) is self

    @property
    def measurements(self) -> Measurements | None:
        """The memory use of the previous cell, or None if no cell was watched yet."""
        last = self._last
        if last is None:
            return None
        return Measurements(last.growth / MIB, last.time / SECOND, last.rise / MIB, last.after / MIB)

    def start_watching_memory(self) -> None:
        """Watch every cell from now on, and the rest of this one. Does nothing if it is on already."""
        other = active(self.shell)
        if other is self:
            return
        if other is not None:
            other.stop_watching_memory()
        _watchers[self.shell] = self
        self._ended = None
        self.shell.events.register("pre_run_cell", self._before)
        self.shell.events.register("post_run_cell", self._after)
        running = getattr(self.shell.displayhook, "exec_result", None)
        if running is not None:
            self._open.append(_Cell(running.info, False, self._measurement(), 0))

    def stop_watching_memory(self) -> None:
        """Stop watching. Does nothing if it is off already."""
        if not self.watching:
            return
        del _watchers[self.shell]
        self.shell.events.unregister("pre_run_cell", self._before)
        self.shell.events.unregister("post_run_cell", self._after)
        while self._open:
            self._open.pop().measurement.cancel()

    # -- callbacks of IPython -------------------------------------------------------------------------------------------

    def _before(self, info: ExecutionInfo | None = None) -> None:
        try:
            self._begin(info)
        except (MemkitError, OSError) as error:
            self._give_up(error)

    def _begin(self, info: ExecutionInfo | None) -> None:
        running = getattr(self.shell.displayhook, "exec_result", None)
        nested = bool(self._open)
        if nested and running is not None:
            self._outermost = running.execution_count if running.info.store_history else NO_NUMBER
        measurement = self._measurement()
        between = 0 if nested or self._ended is None else measurement.before - self._ended
        self._open.append(_Cell(info, nested, measurement, between))

    def _measurement(self) -> Measurement:
        return Measurement(curve=self.curve and _has_front_end(self.shell))

    def _after(self, result: ExecutionResult | None = None) -> None:
        """A cell has ended. IPython does not announce the start of an empty cell; an aborted cell has no result."""
        info = getattr(result, "info", None)
        cell = next((each for each in reversed(self._open) if each.info is info or result is None), None)
        untold = self._untold
        if cell is not None:
            self._open.remove(cell)
        elif untold is not None and not _is_captured(self.shell):  # in this cell, below %%capture, this was switched on
            self._untold = None
            self._show(self._name(untold[0]._replace(info=info), result), untold[1], untold[0].between)
            return
        else:
            return
        try:
            self._last = measured = cell.measurement.end()
            if not cell.nested:
                self._ended = measured.after
            if not _is_captured(self.shell):
                self._show(self._name(cell, result), measured, cell.between)
            elif not cell.nested:  # otherwise the cell around it is told of
                self._untold = cell, measured
        except (MemkitError, OSError) as error:
            self._give_up(error)

    def _name(self, cell: _Cell, result: ExecutionResult | None) -> str:
        number = getattr(result, "execution_count", None)
        if not getattr(cell.info, "store_history", True):  # it has no execution count of its own
            number = self._outermost if cell.nested else NO_NUMBER
        return f"In [{self.shell.execution_count if number is None else number}]{' (nested)' if cell.nested else ''}"

    def _show(self, name: str, measured: Measured, between: int) -> None:
        text = line(name, measured) + between_cells(between)
        if measured.time < SHORTEST_WITH_CURVE or not (self.curve and _has_front_end(self.shell)):
            print(text)
            return
        from memkit.ipython.pictures import sparkline

        picture = sparkline(measured.samples, measured.before, measured.time)
        html = f'<div style="font-family:monospace;font-size:12px;opacity:.85">{picture} {text}</div>'
        self.shell.display_pub.publish(data={"text/plain": text, "text/html": html}, metadata={})

    def _give_up(self, error: Exception) -> None:
        self.stop_watching_memory()
        to_stderr(f"cells are not watched any more: {error}")


class _Cell(NamedTuple):
    """A cell that is running."""

    info: ExecutionInfo | None
    nested: bool
    """Whether another cell runs it."""
    measurement: Measurement
    between: int
    """Bytes by which memory grew between the end of the previous cell and its beginning."""


def line(name: str, measured: Measured, sizes: int = 1, times: int = 2) -> str:
    """The line about a cell; ``sizes`` and ``times`` are the decimals of MiB and of seconds."""
    delta = round(measured.growth / MIB, sizes) + 0.0  # no -0.0
    return (
        f"{name} used {delta:.{sizes}f} MiB RAM in {measured.time / SECOND:.{times}f}s, "
        f"peaked {measured.rise / MIB:.{sizes}f} MiB above current{'' if measured.exact else ' (sampled)'}, "
        f"total RAM usage {measured.after / MIB:.{sizes}f} MiB"
    )


def between_cells(size: int) -> str:
    """What makes the lines add up: what was no cell's doing, such as that of a thread or of the kernel that sends output."""
    text = f"{size / MIB:+.1f}"
    return "" if text[1:] == "0.0" else f" ({text} MiB between cells)"


_watchers: weakref.WeakKeyDictionary[InteractiveShell, MemWatcher] = weakref.WeakKeyDictionary()


def active(shell: InteractiveShell) -> MemWatcher | None:
    """The active watcher of a shell."""
    return _watchers.get(shell)


def _shell() -> InteractiveShell:
    """The running IPython shell. IPython is not imported for this: where nobody has imported it, there is no shell."""
    module = sys.modules.get("IPython")
    shell: InteractiveShell | None = module.get_ipython() if module is not None else None
    if shell is None:
        raise UsageError("MemWatcher watches the cells of IPython, and this is not IPython: use memkit.record() here")
    return shell


def _is_captured(shell: InteractiveShell) -> bool:
    """Whether what is printed now is for the program, as in a cell below ``%%capture``."""
    return isinstance(sys.stdout, io.StringIO) or type(shell.display_pub).__name__ == "CapturingDisplayPublisher"


def _has_front_end(shell: InteractiveShell) -> bool:
    """Whether the shell runs in a kernel, whose front end can display HTML."""
    return getattr(shell, "kernel", None) is not None
