"""The magics. This module imports IPython, so nothing imports it but IPython itself: see ``memkit.ipython``."""

from __future__ import annotations

import os
from contextlib import contextmanager, nullcontext

from IPython.core import page
from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_cell_magic, line_magic, magics_class

import memkit
from memkit.base.units import show_bytes
from memkit.ipython.cell_source import Typed, end, harmless, profile_is_there, tell
from memkit.ipython.magic_args import number, split
from memkit.ipython.mem_watcher import active
from memkit.ipython.memit import Children, memit
from memkit.ipython.settle import give_back
from memkit.tracing.targets import Targets


@contextmanager
def usage(prefix: str = ""):
    """What memkit refuses is what IPython shows in one line."""
    try:
        yield
    except memkit.MemkitError as error:
        raise UsageError(f"{prefix}{error}") from None


@magics_class
class WatchMagics(Magics):
    """``%memwatch``, and ``%imu_start`` and ``%imu_stop`` for those who have them in their fingers."""

    @line_magic
    def memwatch(self, line):
        """Tell after every cell what it did to memory: ``%memwatch on``, ``off`` or ``toggle``."""
        word = line.strip()
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
    def imu_start(self, line):
        """The same as ``%memwatch on``."""
        self._alias("imu_start", line, "on")

    @line_magic
    def imu_stop(self, line):
        """The same as ``%memwatch off``."""
        self._alias("imu_stop", line, "off")

    def _alias(self, name, line, word):
        if line.strip():
            raise UsageError(f"%{name} {line.strip()!r}: write %{name} alone, which is %memwatch {word}")
        self.memwatch(word)


@magics_class
class MemoryMagics(Magics):
    """``%memit`` and ``%mprun``, with memory_profiler's options."""

    @line_cell_magic
    def memit(self, line="", cell=None):
        """Measure the memory that a statement takes.

        ``%memit [-r REPEATS] [-t SECONDS] [-i SECONDS] [-c] [-o] [-q] STATEMENT``

        The statement is run once for each repeat, in your namespace. Of a cell, ``%%memit``, the lines below are measured,
        and a statement beside the magic is run before them and not measured.

        -r REPEATS  how often to run it (1); the highest peak counts
        -t SECONDS  begin no further repeat when so much time has passed
        -i SECONDS  with -c: how often to look at the child processes (0.1)
        -c          count child processes, too
        -o          return the result
        -q          print nothing
        """
        __tracebackhide__ = True
        with usage():
            options, statement = split("memit", line, "coq", "rti")
            settings = {
                "repeat": number("memit", options, "r", 1),
                "timeout": number("memit", options, "t", None, float),
                "interval": number("memit", options, "i", 0.1, float),
                "include_children": "c" in options,
            }
        with usage("%memit: "):
            setup = Typed(self.shell, statement) if cell is not None and statement.strip() else None
            source = statement if cell is None else cell
            measured = Typed(self.shell, source, "there is nothing to measure: add a statement")
        if setup is not None:
            setup.run()
        with usage("%memit: "):
            result = memit(measured.run, **settings)
        if "q" not in options:
            print(result if result.exact else f"{result} (as far as was seen)")
        return result if "o" in options and not measured.silenced else None

    @line_cell_magic
    def mprun(self, line="", cell=None):
        """Measure a statement line by line.

        ``%mprun -f FUNCTION [-f ...] [-T FILE] [-r] [-c] STATEMENT``

        Of a cell, ``%%mprun``, the lines below are run after the statement; without ``-f`` they are what is measured.

        -f FUNCTION  a function, method, class or module, or a target such as package.module:name; from a file or a cell
        -T FILE      write the tables into a file as well
        -r           return the profiler, whose ``recording`` has it all
        -c           tell what the child processes took, too
        """
        __tracebackhide__ = True
        with usage():
            options, statement = split("mprun", line, "rc", "fT")
        with usage("%mprun: "):
            typed = Typed(self.shell, "\n".join(filter(str.strip, (statement, cell or ""))), "there is nothing to run")
            targets = [self._named(word) for word in options.get("f", ())] or self._of_none(typed, cell)
            file = memkit.output_path(os.path.expanduser(options["T"][-1])) if "T" in options else None
            profiler, watch = self.profiler(targets, "c" in options)
        self._run(typed, profiler, file, watch)
        return profiler if "r" in options and not typed.silenced else None

    def profiler(self, targets: list, children: bool):
        """What measures the lines of some targets, and what looks at child processes meanwhile, or None."""
        return memkit.LineProfiler(*targets), Children(0.1) if children else None

    def decorator(self, profiler):
        """What ``@profile`` is meanwhile: memkit's, which writes into the recording that is going on."""
        return memkit.profile

    def _of_none(self, typed, cell) -> list:
        """What is measured without ``-f``: a cell itself."""
        if cell is None:
            raise memkit.UsageError("no lines are measured without -f FUNCTION; %%mprun measures those of its cell")
        return [typed.code]

    def _named(self, word: str):
        """What ``-f`` means: an expression, or a target with a colon."""
        with usage(f"%mprun -f {word}: "):
            try:
                found = word if ":" in word else eval(word, self.shell.user_global_ns, self.shell.user_ns)
            except Exception as error:
                raise memkit.UsageError(f"{type(error).__name__}: {error}") from None
            self.check(found)
        return found

    def check(self, target) -> None:
        """Raise ``UsageError`` for what has no lines that could be measured."""
        Targets([target]).check(now=True)

    def _run(self, typed, profiler, file, watch):
        """Run what was typed; its tables are shown however it ended."""
        __tracebackhide__ = True
        said = ""
        give_back()  # what was free already would hide what is taken
        with usage("%mprun: "):
            profiler.start()
        try:
            with watch or nullcontext(), profile_is_there(self.decorator(profiler)):
                typed.run()
        except SystemExit:
            said = "*** SystemExit exception caught in code being profiled."
        except KeyboardInterrupt:
            said = "*** KeyboardInterrupt exception caught in code being profiled."
        finally:
            end(profiler)
            text = self._shown(profiler, _about_children(watch))
        if said:
            print(said)
        if file is not None:
            _save(text, file)

    def _shown(self, profiler, more) -> str:
        """The tables of a profiler, which have been shown; a line says why there are none, if so."""
        text = ""
        with harmless("no tables can be shown"):
            text = self.text(profiler, more)
            self.show(profiler, text, more)
        return text

    def text(self, profiler, more="") -> str:
        """The tables of a profiler as text."""
        from memkit.ipython.html import line_tables

        return "\n".join(filter(None, (line_tables(profiler.recording), more))) + "\n"

    def show(self, profiler, text, more="") -> None:
        """Show the tables of a profiler: their text in the pager of a terminal, or the tables below the cell."""
        if getattr(self.shell, "kernel", None) is None:
            page.page(text)
            return
        from memkit.ipython.html import line_tables_html

        self.shell.display_pub.publish(
            data={"text/plain": text, "text/html": line_tables_html(profiler.recording, more)}, metadata={}
        )


def _save(text: str, file: str) -> None:
    try:
        with memkit.output(file) as out:
            out.write(text)
    except memkit.MemkitError as error:
        tell(str(error))
    else:
        print(f"\n*** Profile printout saved to text file {file}. ")


def _about_children(watch) -> str:
    if watch is None:
        return ""
    return f"children: at most {show_bytes(watch.most)} together, looked at every {watch.interval} s"


@magics_class
class RecordMagics(Magics):
    """``%%memkit``."""

    @line_cell_magic
    def memkit(self, line="", cell=None):
        """Record the cell and show what it did to memory: its curve, and its lines and those of the functions in it.

        The options are those of memkit-run, and ``--out NAME`` keeps the recording under a name of your own.
        """
        from memkit.ipython.cells import RecordedCell

        __tracebackhide__ = True
        with usage("%%memkit: "):
            recorded = RecordedCell(self.shell, line, cell)
            if recorded.typed is None:
                return None
            recorded.begin()
        try:
            return recorded.run()
        finally:
            recorded.report()
