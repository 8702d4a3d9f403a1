"""``%%memkit``: records a cell, with the options of ``memkit-run``."""

from __future__ import annotations

import argparse
import base64
import functools
import html
import keyword
import os
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import memkit
from memkit.base.errors import MeterError, UsageError, nearest
from memkit.cli import report_options, run, run_options
from memkit.ipython.cell_source import CellSource, builtin_profile, errors_as_warnings, warn
from memkit.model.file_format import is_recording
from memkit.record import files
from memkit.record.exit_status import how_it_ended
from memkit.record.recorder import Recorder, record
from memkit.report.output import naming_files
from memkit.tracing.targets import Targets

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

_ABOUT = "Record a cell and show what it did to memory: its curve, its lines and those of the functions in it."
_HELP = {
    "output": "record into FILE; without it the recording is kept in an unnamed file",
    "children": "record the processes that the cell starts, too, and what all use together",
    "follow": "with -o: have Python processes that the cell forks or spawns record themselves into the same file, with "
    "lines and calls",
    "on_limit": "with --limit: do no more than that (report, the default), or raise MemoryError in the main thread",
    "lines": "trace other code, too, line by line: a function of another cell, file.py, file.py:function, package.module or "
    "package.module:Class.method, globs allowed; the lines of the cell are always there; repeatable",
    "calls": "trace call by call: which path of calls grew memory; --calls alone, without =TARGET, is what the cell calls, "
    "each target adds what it calls; targets as for --lines",
}
"""Help texts of options that mean something else for a cell than for a program."""
_RUNS_THE_CELL = "run_cell_magic"
"""The function of IPython that has a magic of memkit's run the cell; frames of memkit are not in a stack."""
_PICTURES = {".png": "image/png", ".svg": "image/svg+xml"}
"""What a front end shows: suffix -> MIME type."""
_NOT_FOR_CELLS = ("program", "module", "code", "command_line", "live", "requests", "dask", "sizes", "keep")


class RecordedCell:
    """A cell and the options of its recording. Raises ``UsageError`` before anything runs.

    ``source`` is None if the options only asked for help.
    """

    source: CellSource | None = None

    def __init__(self, shell: InteractiveShell, line: str, cell: str | None) -> None:
        self._shell = shell
        self._remark: str | None = None
        try:
            words = shlex.split(line)
        except ValueError as error:
            raise UsageError(f"{line!r}: {error}") from None
        try:
            parser, self._plugins, self._options = report_options.parsed("%%memkit", _ABOUT, words, _add_options)
        except SystemExit:  # --help
            return
        if cell is None:
            raise UsageError("there is no cell below: write %%memkit on its first line; %memkit --help shows the options")
        chosen = self._options
        if chosen.program or any(way is not None for way in (chosen.module, chosen.code, chosen.command_line)):
            raise UsageError("the cell is what is run: name no program, no -m, no -c and no --program")
        _refuse_what_is_of_programs(chosen)
        run_options.check(chosen)
        self._plugins.check_needs(chosen, run_options.missing(chosen))
        run.place_of_meter(chosen.meter, self._plugins)
        if chosen.output is not None:
            files.place_for(chosen.output, "")
        self._replaces = chosen.output is not None and is_recording(chosen.output)
        report_options.check_outputs(parser, chosen, [chosen.output] if chosen.output else [])
        self._pictures = [
            getattr(chosen, action.dest)
            for action in parser._actions
            if action.type is memkit.pictures.path and getattr(chosen, action.dest)
        ]
        self.source = CellSource(shell, cell, "the cell is empty", valued=True)
        self._recorder = self._new_recorder(self.source)
        self._log: memkit.EventLog | None = None
        if chosen.call_log is not None:
            self._log = memkit.EventLog(chosen.call_log, trigger=chosen.trigger)

    def _new_recorder(self, source: CellSource) -> Recorder:
        chosen = self._options
        settings = {"interval": chosen.interval, "meter": chosen.meter, "peak_reset": not chosen.no_peak_reset}
        settings |= {
            "children": chosen.children,
            "follow": chosen.follow,
            "limit": chosen.limit,
            "on_limit": chosen.on_limit,
            "c_calls": chosen.c_calls,
            "heap": chosen.heap,
        }
        if "calls" in run_options.traced(chosen):
            settings["calls"] = self._targets(chosen.calls or ())
        lines = self._targets(chosen.lines or ())
        try:
            return record(chosen.output, lines=lines, **settings)
        except MeterError as error:
            if chosen.lines is not None or chosen.calls is not None:
                raise
            self._remark = f"no lines: {error}"
            return record(chosen.output, **settings)

    def _targets(self, words: Iterable[str]) -> Targets:
        """The cell, and what is named: by a name of the user's namespace, as a function of another cell, or as a target."""
        assert self.source is not None
        space = self._shell.user_ns
        found: list[Any] = [self.source.code]
        for word in filter(None, words):
            head, *attributes = word.removeprefix("__main__:").split(".")
            if word.startswith("__main__:") and head not in space:
                raise UsageError(f"target {word!r}: no cell has made {head!r}{nearest(head, space)}")
            if head in space and all(map(str.isidentifier, attributes)):
                try:
                    found.append(functools.reduce(getattr, attributes, space[head]))
                except AttributeError as error:
                    raise UsageError(f"target {word!r}: {error}") from None
            else:
                found.append(word)
        targets = Targets(found)
        targets.check()
        return targets

    def begin(self) -> None:
        """Begin to record. The event log starts last and stops first, so that the recorder causes no events in it."""
        self._recorder.start()
        if self._log is None:
            return
        for function in (RecordedCell.begin, CellSource.run):
            self._log.leave_out(function.__code__)
        try:
            self._log.start()
            self._log.pause()
        except BaseException:
            self._stop(self._recorder.stop)
            raise

    def run(self) -> object:
        """Run the cell and stop the recording; returns the value of its last expression, unless a semicolon follows it."""
        __tracebackhide__ = True
        assert self.source is not None
        ending: tuple[object, ...] = ()
        try:
            with builtin_profile():
                value = self.source.run(self._log)
                return None if self.source.silenced else value
        except BaseException as error:
            ending = how_it_ended(error)
            raise
        finally:
            if self._log is not None:
                self._stop(self._log.stop)
            self._stop(self._recorder.stop, *ending)

    def _stop(self, stop: Callable[..., None], *ending: object) -> None:
        with errors_as_warnings("the recording is incomplete"):
            stop(*ending)

    def report(self) -> None:
        """Show the recording, assign it to its variable, and let the plugins report. A failure is one line on stderr."""
        chosen = self._options
        with errors_as_warnings("the recording cannot be shown"):
            recorded = self._recorder.recording
            assert recorded is not None
            recording = replace(_without_idle_threads(recorded), replaced=self._replaces)
            if chosen.out:
                self._shell.user_ns[chosen.out] = recording
            if not getattr(chosen, "quiet", False):  # an option of a plugin, which may be left out
                self._show(recording)
            quiet, chosen.quiet = getattr(chosen, "quiet", False), True  # it has been shown
            with naming_files(chosen):
                try:
                    self._plugins.report([recording], chosen)  # which reports failures on stderr
                except UsageError as error:
                    warn(f"%%memkit: {error}")
                chosen.quiet = quiet
            if not quiet:
                self._show_pictures()

    def _show(self, recording: memkit.Recording) -> None:
        chosen = vars(self._options)
        wished = {name: chosen[name] for name in ("sort", "hide", "show_all", "by_thread") if chosen.get(name) is not None}
        disabled = [plugin.name for plugin in self._plugins.found if plugin.state == "disabled"]
        shown = memkit.mimebundle(recording, without=disabled, **wished)
        if not shown["text/plain"]:
            return
        if self._remark:
            shown["text/plain"] += f"\n{self._remark}"
            shown["text/html"] = f"<div>{shown['text/html']}<div>{html.escape(self._remark)}</div></div>"
        if getattr(self._shell, "kernel", None) is None:
            print(shown["text/plain"])
        else:
            self._shell.display_pub.publish(data=shown, metadata={})

    def _show_pictures(self) -> None:
        """Show the pictures that were just drawn, where there is a front end."""
        if getattr(self._shell, "kernel", None) is None:
            return
        for file in self._pictures:
            suffix = os.path.splitext(file)[1].lower()
            if suffix in _PICTURES and os.path.isfile(file):
                with open(file, "rb") as picture:
                    content = picture.read()
                shown = content.decode() if suffix == ".svg" else base64.b64encode(content).decode()
                self._shell.display_pub.publish(data={_PICTURES[suffix]: shown, "text/plain": file})


def _without_idle_threads(recording: memkit.Recording) -> memkit.Recording:
    """The recording without the threads that ran none of the traced code: a kernel has some of its own."""
    callers = {call.parent for call in recording.calls}
    calls = tuple(call for call in recording.calls if call.parent is not None or call.id in callers)
    crossings = tuple(crossing._replace(stacks=tuple(_of_the_cell(crossing.stacks))) for crossing in recording.crossings)
    return replace(recording, calls=calls, crossings=crossings)


def _of_the_cell(stacks: Iterable[memkit.Stack]) -> Iterator[memkit.Stack]:
    """The stacks without the frames of IPython that run the cell, and without IPython's own threads."""
    modules = [sys.modules[name] for name in ("IPython", "ipykernel") if name in sys.modules]
    machinery = [os.path.dirname(module.__file__ or "") for module in modules]
    for stack in stacks:
        by_it = [any(frame.file.startswith(os.path.join(folder, "")) for folder in machinery) for frame in stack.frames]
        runs_it = [by and frame.function.endswith(_RUNS_THE_CELL) for frame, by in zip(stack.frames, by_it)]
        if any(runs_it):
            outermost = len(runs_it) - 1 - runs_it[::-1].index(True)
            yield stack._replace(frames=stack.frames[:outermost])
        elif not any(by_it):
            yield stack


def _refuse_what_is_of_programs(chosen: argparse.Namespace) -> None:
    if chosen.on_limit == "stop":
        raise UsageError("--on-limit stop would end the kernel: write --on-limit raise")
    if chosen.follow and chosen.output is None:
        raise UsageError("--follow needs a file that several processes can write into: write -o FILE")
    if chosen.live:
        raise UsageError("--live is for memkit-run: below a cell there is no bottom row of a terminal")
    whole = {"--requests": chosen.requests, "--dask": chosen.dask, "--sizes": chosen.sizes is not None}
    whole["--keep"] = chosen.keep is not None
    for option in filter(whole.get, whole):
        raise UsageError(f"{option} is for memkit-run, which runs a whole program")


def _add_options(parser: argparse.ArgumentParser) -> None:
    run_options.add_run_options(parser)
    parser.usage = "%%%%memkit [options]"
    for action in parser._actions:
        if action.dest in _NOT_FOR_CELLS:
            action.help = argparse.SUPPRESS
        action.help = _HELP.get(action.dest, action.help)
        if action.dest == "on_limit":
            action.metavar = "{report,raise}"
    parser.add_argument("--out", metavar="NAME", type=_name, help="keep the recording under this name")


def _name(text: str) -> str:
    if not text.isidentifier() or keyword.iskeyword(text):
        raise UsageError(f"--out {text!r}: write the name of a variable")
    return text
