"""``memkit run``, which is ``memkit-run``: a program is run under measurement, then reported on."""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import suppress

from memkit.base import paths
from memkit.base.errors import UsageError, nearest
from memkit.base.plugins import Plugins
from memkit.base.units import parse_interval, show_time
from memkit.cli.exit_codes import FAILED, INTERRUPTED, WRONG_USAGE, reader_went_away
from memkit.cli.kept_sources import keep_sources
from memkit.cli.parser import Parser
from memkit.cli.printing import say
from memkit.cli.recording_file import drop_unused, just_made
from memkit.cli.report_options import check_outputs, left, parsed, reported
from memkit.cli.run_options import add_run_options, check, missing, settings
from memkit.cli.script import check_script
from memkit.model.file_format import Awaited, is_recording
from memkit.record import files
from memkit.record.child_process import without_heap
from memkit.run import launch
from memkit.run.launch import Children, Exit, Program
from memkit.run.signals import put_off
from memkit.system import engine, preload

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from memkit.model.recording import Recording
    from memkit.record.watch_folder import AwaitedFiles
    from memkit.run.signals import Handler

DESCRIPTION = """\
Run a program and record what it does to memory: one in Python, or with --program any.

The program runs as without memkit: its arguments, input, output, signals and exit code are its own. What it did is written
into a file as it happens, so that a program that is killed is reported on like any other."""


def command(name: str, words: list[str]) -> int:
    """Run a program under measurement, then report; the exit code is the program's."""
    parser, plugins, options = _without_reporters(name, words) or parsed(name, DESCRIPTION, words, add_run_options)
    check(options)
    if options.sizes is not None:
        from memkit.cli.sizes import run_sizes

        return run_sizes(name, words, parser, options, command)
    program = _program(parser, options)
    meter = place_of_meter(options.meter, plugins)
    if program.mode == "program" and "=" in meter:
        raise UsageError(
            f"meter {options.meter!r} measures the process that it runs in: --program needs one of memkit's own"
        )
    named = {"code": "command", "input": "input"}.get(program.mode, program.target)
    plugins.check_needs(options, missing(options))
    path, reserved, awaited = _place(options, named)
    replaces = is_recording(path)
    with put_off() as afterwards:
        try:
            if program.mode == "script" and os.path.exists(path) and os.path.samefile(path, program.target):
                raise UsageError(f"-o {options.output!r} is the program itself: give the recording another name")
            check_outputs(parser, options, [path] if program.mode != "script" else [program.target, path])
            _check_targets(program, options)
            exit = _launched(name, program, awaited, meter, plugins, options, afterwards)
            if options.keep_source and exit.recorded:
                keep_sources(path)
        finally:
            drop_unused(path, reserved)
        code = _reported(name, exit, awaited, replaces, plugins, options)
    return exit.status or code


def _without_reporters(name: str, words: list[str]) -> tuple[Parser, Plugins, argparse.Namespace] | None:
    """Parser, plugins and options where no report is asked for and no other plugin is installed; None elsewhere.

    Nothing that reports is imported then, which is most of what starting up costs.
    """
    if not {"-q", "--quiet"} & set(words):
        return None
    parser = Parser(name, DESCRIPTION, help=False)
    add_run_options(parser)
    parser.add_argument("-q", "--quiet", action="store_true")
    try:
        options = parser.parse(words)
    except UsageError:  # an option of a reporter, or a mistake
        return None
    if not options.quiet or not engine.is_meter(options.meter):
        return None
    plugins = Plugins(complain=lambda _: None, reporters=False)
    options.command = "run"
    return None if plugins.found else (parser, plugins, options)


def _check_targets(program: Program, options: argparse.Namespace) -> None:
    """Refuse targets of ``--lines`` and ``--calls`` that name nothing. Raises ``UsageError``."""
    script = program.mode == "script"
    folder = os.path.dirname(os.path.realpath(program.target)) if script else paths.working_folder()
    for name in ("lines", "calls"):
        given = getattr(options, name)
        if given and any(given):
            from memkit.tracing.targets import Targets

            found = Targets([target for target in given if target])
            found.check(folder)
            setattr(options, name, [*found.texts(), *(target for target in given if not target)])


def _place(options: argparse.Namespace, named: str) -> tuple[str, bool, Awaited | AwaitedFiles]:
    """Where to record into, whether a file was made there to reserve it, and what stands for the recording until then."""
    if options.keep is None:
        path, reserved = files.place_for(options.output, named)
        return path, reserved, Awaited(path)
    from memkit.record.watch_folder import AwaitedFiles, folder_for  # they weigh

    path = folder_for(options.output)
    return path, False, AwaitedFiles(path)


def _launched(
    name: str,
    program: Program,
    awaited: Awaited | AwaitedFiles,
    meter: str,
    plugins: Plugins,
    options: argparse.Namespace,
    afterwards: Handler,
) -> Exit:
    """How a program ended that was run to its end. ``afterwards`` handles the signals that come when it has."""

    def complain(text: str) -> None:
        with suppress(BrokenPipeError):  # the program is run, whoever reads this
            say(f"{name}: {text}")

    path = awaited.path
    if program.mode == "program":
        from memkit.run.any_program import run
        from memkit.run.progress import progress_of

        with progress_of(path, plugins, options, complain) as progress:
            return run(program, path, parse_interval(options.interval), meter, progress, complain, afterwards)
    asked = settings(options, path, meter)
    if not isinstance(awaited, Awaited):
        asked.watch = awaited.watch
    words = launch.command(program, asked)
    environment = without_heap(preload.environment() or dict(os.environ)) if options.heap else None
    if options.dask:
        from memkit.integrations.dask import preloading

        environment = preloading(environment if environment is not None else os.environ)
    children = Children(program.words, parse_interval(options.interval), meter) if options.children else None
    in_one_file = options.keep is None
    how: dict[str, Any] = {"followed": options.follow and in_one_file, "environment": environment, "afterwards": afterwards}
    if not in_one_file or not (options.live or plugins.has("memkit_follow")):
        return launch.launch(words, awaited, None, children, **how)
    from memkit.run.progress import progress_of

    with progress_of(path, plugins, options, complain) as progress:
        return launch.launch(words, awaited, progress, children, **how)


def _reported(
    name: str,
    exit: Exit,
    awaited: Awaited | AwaitedFiles,
    replaced: bool,
    plugins: Plugins,
    options: argparse.Namespace,
) -> int:
    """Report on the recording, which has ``replaced`` an earlier one or not.

    Returns an exit code, which is 0 unless that failed or was refused, or there is none.
    """
    path = awaited.path
    if exit.recorded:
        if not plugins.has("memkit_report"):
            return 0
        try:
            if isinstance(awaited, Awaited):
                recording = just_made(path, exit.unwritten, replaced)
            else:
                recording = _last_minutes(name, awaited)
            return FAILED if reported(plugins, [recording], options) else 0
        except UsageError as error:
            return say(f"{name}: {error}; the recording is safe", WRONG_USAGE)
        except BrokenPipeError:
            return reader_went_away()
        except KeyboardInterrupt:
            return left(name, plugins, path)
    if exit.status in (WRONG_USAGE, INTERRUPTED):
        return 0
    return say(f"{name}: there is no recording in {path!r}: the program ended before it began, or removed it", FAILED)


def _last_minutes(name: str, awaited: AwaitedFiles) -> Recording:
    from memkit.cli.watched import of_run

    recording, is_whole = of_run(awaited)
    if not is_whole:
        lasted = show_time(recording.duration)
        say(f"{name}: the report is of the last {lasted}: memkit report {awaited.folder} is of all that was kept")
    return recording


def _program(parser: Parser, options: argparse.Namespace) -> Program:
    """What is to be run."""
    if options.command_line is not None:
        if not options.command_line or not options.command_line[0]:
            raise UsageError("--program needs a command after it")
        return Program("program", options.command_line[0], options.command_line[1:])
    for mode, words in (("module", options.module), ("code", options.code)):
        if words is not None:
            if not words:
                raise UsageError(f"-{mode[0]} needs a {mode} after it")
            return Program(mode, words[0], words[1:])
    words = options.program
    if not words:
        raise UsageError("nothing to run: name a script, -m MODULE or -c CODE; see memkit-run --help")
    if words[0] != "-":
        check_script(words, parser.ours)
        return Program("script", words[0], words[1:])
    if sys.stdin is None or sys.stdin.isatty():
        raise UsageError("'-' is a program from standard input, where there is none: name a script, or write '- < FILE'")
    return Program("input", "-", words[1:])


def place_of_meter(name: str, plugins: Plugins) -> str:
    """A meter that works here: its name, or the place of a plugin's callable."""
    if engine.is_meter(name):
        engine.meter_named(name)
        return name
    theirs = plugins.meters()
    if name not in theirs:
        known = [*engine.METERS, engine.GROUP, *theirs]
        raise UsageError(f"unknown meter {name!r}{nearest(name, known)}; there are {', '.join(known)}")
    module, function = (getattr(theirs[name], word, "") for word in ("__module__", "__qualname__"))
    if not callable(theirs[name]) or not module or not function or "<" in function:
        raise UsageError(
            f"meter {name!r} is {theirs[name]!r}: its plugin must give a function of a module, found by its name"
        )
    return f"{name}={module}:{function}"
