"""The magics. This module imports IPython, so only ``load_ipython_extension`` of ``memkit.ipython`` imports it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Protocol

from IPython.core import page
from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_cell_magic, line_magic, magics_class

import memkit
from memkit.base.units import show_bytes
from memkit.ipython.cell_source import CellSource, builtin_profile, errors_as_warnings, warn
from memkit.ipython.magic_args import number, split
from memkit.ipython.mem_watcher import active
from memkit.ipython.memit import Children, MemitResult, memit
from memkit.ipython.settle import release_free_memory
from memkit.tracing.targets import Targets

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from memkit.tracing.targets import OneTarget


class Profiler(Protocol):
    """A profiler of ``%mprun``."""

    def start(self) -> object: ...

    def stop(self) -> None: ...


@contextmanager
def usage(prefix: str = "") -> Iterator[None]:
    """Turn memkit's errors into IPython's ``UsageError``, which it shows in one line."""
    try:
        yield
    except memkit.MemkitError as error:
        raise UsageError(f"{prefix}{error}") from None


class ShellMagics(Magics):
    """Magics that a shell has registered."""

    shell: InteractiveShell


@magics_class
class WatchMagics(ShellMagics):
    """``%memwatch``, and ipython_memory_usage's names for it: ``%imu_start`` and ``%imu_stop``."""

    @line_magic
    def memwatch(self, line: str) -> None:
        """Print the memory use of every cell: ``%memwatch on``, ``off`` or ``toggle``."""
        self._switch(line.strip())

    def _switch(self, word: str) -> None:
        if word not in ("on", "off", "toggle"):
            raise UsageError(f"%memwatch {word!r}: write %memwatch on, off or toggle")
        watcher = active(self.shell)
        wanted = watcher is None if word == "toggle" else word == "on"
        if wanted and watcher is None:
            with usage("%memwatch: "):
                memkit.MemWatcher(self.shell).start_watching_memory()
        elif not wanted and watcher is not None:
            watcher.stop_watching_memory()

    @line_magic
    def imu_start(self, line: str) -> None:
        """The same as ``%memwatch on``."""
        self._alias("imu_start", line, "on")

    @line_magic
    def imu_stop(self, line: str) -> None:
        """The same as ``%memwatch off``."""
        self._alias("imu_stop", line, "off")

    def _alias(self, name: str, line: str, word: str) -> None:
        if line.strip():
            raise UsageError(f"%{name} {line.strip()!r}: write %{name} alone, which is %memwatch {word}")
        self._switch(word)


@magics_class
class MemoryMagics(ShellMagics):
    """``%memit`` and ``%mprun``, with memory_profiler's options."""

    @line_cell_magic
    def memit(self, line: str = "", cell: str | None = None) -> MemitResult | None:
        """Measure the memory that a statement takes.

        ``%memit [-r REPEATS] [-t SECONDS] [-i SECONDS] [-c] [-o] [-q] STATEMENT``

        The statement runs in your namespace, once per repeat. With ``%%memit`` the lines of the cell are measured; a
        statement on the line of the magic runs before them and is not measured.

        -r REPEATS  how many times to run it (1); the result is the highest peak
        -t SECONDS  begin no further repeat after this time
        -i SECONDS  with -c: the interval at which child processes are polled (0.1)
        -c          add the memory of child processes
        -o          return the result
        -q          print nothing
        """
        __tracebackhide__ = True
        with usage():
            options, statement = split("memit", line, "coq", "rti")
            repeat = number("memit", options, "r", 1, int)
            timeout = number("memit", options, "t", None, float)
            interval = number("memit", options, "i", 0.1, float)
        with usage("%memit: "):
            setup = CellSource(self.shell, statement) if cell is not None and statement.strip() else None
            source = statement if cell is None else cell
            measured = CellSource(self.shell, source, "there is nothing to measure: add a statement")
        if setup is not None:
            setup.run()
        with usage("%memit: "):
            children = "c" in options
            result = memit(measured.run, repeat=repeat, timeout=timeout, interval=interval, include_children=children)
        if "q" not in options:
            print(result if result.exact else f"{result} (sampled)")
        return result if "o" in options and not measured.silenced else None

    @line_cell_magic
    def mprun(self, line: str = "", cell: str | None = None) -> Profiler | None:
        """Measure a statement line by line.

        ``%mprun -f FUNCTION [-f ...] [-T FILE] [-r] [-c] STATEMENT``

        With ``%%mprun`` the lines of the cell run after the statement; without ``-f`` they are what is measured.

        -f FUNCTION  a function, method, class or module, or a target such as package.module:name; from a file or a cell
        -T FILE      also write the tables into a file
        -r           return the profiler, which has a ``recording``
        -c           also show the memory of child processes
        """
        __tracebackhide__ = True
        with usage():
            options, statement = split("mprun", line, "rc", "fT")
        with usage("%mprun: "):
            source = CellSource(self.shell, "\n".join(filter(str.strip, (statement, cell or ""))))
            targets = [self._target(word) for word in options.get("f", ())] or self._default_targets(source, cell)
            file = memkit.output_path(os.path.expanduser(options["T"][-1])) if "T" in options else None
            profiler, watch = self.profiler(targets, "c" in options)
        self._run(source, profiler, file, watch)
        return profiler if "r" in options and not source.silenced else None

    def profiler(self, targets: list[OneTarget], children: bool) -> tuple[Profiler, Children | None]:
        """A profiler of the lines of the targets, and a poller of child processes or None."""
        return memkit.LineProfiler(*targets), Children(0.1) if children else None

    def decorator(self, profiler: Profiler) -> object:
        """The builtin ``profile`` while the code runs: memkit's, which writes into the active recording."""
        return memkit.profile

    def _default_targets(self, source: CellSource, cell: str | None) -> list[OneTarget]:
        """The targets without ``-f``: the cell itself."""
        if cell is None:
            raise memkit.UsageError("no lines are measured without -f FUNCTION; %%mprun measures those of its cell")
        return [source.code]

    def _target(self, word: str) -> OneTarget:
        """The target that ``-f`` names: an expression, or a target with a colon."""
        with usage(f"%mprun -f {word}: "):
            try:
                found: OneTarget = word if ":" in word else eval(word, self.shell.user_global_ns, self.shell.user_ns)
            except Exception as error:
                raise memkit.UsageError(f"{type(error).__name__}: {error}") from None
            self.check(found)
        return found

    def check(self, target: object) -> None:
        """Raise ``UsageError`` for a target without lines to measure."""
        Targets([target]).check(now=True)

    def _run(self, source: CellSource, profiler: Profiler, file: str | None, watch: Children | None) -> None:
        """Run the code, and show its tables even if it raises."""
        __tracebackhide__ = True
        said = ""
        release_free_memory()  # the code would reuse it, and grow by less
        with usage("%mprun: "):
            profiler.start()
        try:
            with watch or nullcontext(), builtin_profile(self.decorator(profiler)):
                source.run()
        except SystemExit:
            said = "*** SystemExit exception caught in code being profiled."
        except KeyboardInterrupt:
            said = "*** KeyboardInterrupt exception caught in code being profiled."
        finally:
            with errors_as_warnings("the recording is incomplete"):
                profiler.stop()
            text = self._shown(profiler, _about_children(watch))
        if said:
            print(said)
        if file is not None:
            _save(text, file)

    def _shown(self, profiler: Profiler, more: str) -> str:
        """Show the tables of a profiler and return their text; on failure one line says why there are none."""
        text = ""
        with errors_as_warnings("no tables can be shown"):
            text = self.text(profiler, more)
            self.show(profiler, text, more)
        return text

    def text(self, profiler: Profiler, more: str = "") -> str:
        """The tables of a profiler as text, and ``more`` below them."""
        from memkit.ipython.html import line_tables

        assert isinstance(profiler, memkit.LineProfiler) and profiler.recording is not None
        return "\n".join(filter(None, (line_tables(profiler.recording), more))) + "\n"

    def show(self, profiler: Profiler, text: str, more: str = "") -> None:
        """Show the tables of a profiler: as text in the pager of a terminal, or as HTML below the cell."""
        if getattr(self.shell, "kernel", None) is None:
            page.page(text)
            return
        from memkit.ipython.html import line_tables_html

        assert isinstance(profiler, memkit.LineProfiler) and profiler.recording is not None
        self.shell.display_pub.publish(
            data={"text/plain": text, "text/html": line_tables_html(profiler.recording, more)}, metadata={}
        )


def _save(text: str, file: str) -> None:
    try:
        with memkit.output(file) as out:
            out.write(text)
    except memkit.MemkitError as error:
        warn(str(error))
    else:
        print(f"\n*** Profile printout saved to text file {file}. ")


def _about_children(watch: Children | None) -> str:
    if watch is None:
        return ""
    return f"children: at most {show_bytes(watch.most)} together, polled every {watch.interval} s"


@magics_class
class RecordMagics(ShellMagics):
    """``%%memkit``."""

    @line_cell_magic
    def memkit(self, line: str = "", cell: str | None = None) -> object:
        """Record the cell and show its memory use: the curve, the cell's lines, and those of the functions in it.

        The options are those of memkit-run, and ``--out NAME``, which assigns the recording to a variable.
        """
        from memkit.ipython.cells import RecordedCell

        __tracebackhide__ = True
        with usage("%%memkit: "):
            recorded = RecordedCell(self.shell, line, cell)
            if recorded.source is None:
                return None
            recorded.begin()
        try:
            return recorded.run()
        finally:
            recorded.report()
