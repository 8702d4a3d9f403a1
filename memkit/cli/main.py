"""The commands: parse, launch or read, report, exit code."""

from __future__ import annotations

import itertools
import os
import sys

from memkit.base import paths
from memkit.base.errors import FormatError, JournalError, MemkitError, UsageError, nearest
from memkit.base.plugins import Plugins
from memkit.base.units import parse_interval, printable, show_text
from memkit.base.version import VERSION
from memkit.cli import catalog
from memkit.cli.options import add_run_options, check, settings
from memkit.cli.parser import Parser
from memkit.model.reader import Reader, read
from memkit.model.recording import Recording
from memkit.record import files
from memkit.run import attach, launch
from memkit.run.any_program import run as run_program
from memkit.run.launch import Children, Program
from memkit.run.progress import progress_of
from memkit.tracing.targets import Targets

FAILED, WRONG_USAGE, INTERRUPTED = 1, 2, 130


def main(words: list[str] | None = None) -> int:
    """The ``memkit`` command; returns its exit code."""
    words = sys.argv[1:] if words is None else words
    if words[:1] == ["run"]:
        return _guarded("memkit run", run_command, words[1:])
    return _guarded("memkit", _dispatch, words)


def run(words: list[str] | None = None) -> int:
    """The ``memkit-run`` command; returns the program's exit code."""
    return _guarded("memkit-run", run_command, sys.argv[1:] if words is None else words)


def _guarded(name: str, command, words: list[str]) -> int:
    """Run a command; what it refuses is one line on stderr."""
    try:
        return command(name, words)
    except UsageError as error:
        return _say(f"{name}: {error}", getattr(error, "code", WRONG_USAGE))
    except FormatError as error:
        return _say(f"{name}: {error}", WRONG_USAGE)
    except MemkitError as error:
        return _say(f"{name}: {error}", FAILED)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        return _reader_went_away()


def _reader_went_away() -> int:
    """Of a closed pipe (``| head``) nobody needs to be told; Python would complain at its exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            os.dup2(nowhere, stream.fileno())
    return 0


def _say(text: str, code: int = 0) -> int:
    if sys.stderr is not None:
        print("\n".join(map(printable, text.split("\n"))), file=sys.stderr)
    return code


# -- memkit-run ----------------------------------------------------------------------------------------------------

_RUN = """\
Run a program and record what it does to memory: one in Python, or with --program any.

The program runs as without memkit: its arguments, input, output, signals and exit code are its own. What it did is written
into a file as it happens, so that a program that is killed is reported on like any other."""


def run_command(name: str, words: list[str]) -> int:
    """Launch a program under measurement, then report; the exit code is the program's."""
    parser, plugins, options = parsed(name, _RUN, words, add_run_options)
    program = _program(options)
    meter = place_of_meter(options.meter, plugins)
    if program.mode == "program" and "=" in meter:
        raise UsageError(
            f"meter {options.meter!r} measures the process that it runs in: --program needs one of memkit's own"
        )
    named = {"code": "command", "input": "input"}.get(program.mode, program.target)
    check(options)
    path, reserved = files.place_for(options.output, named)
    try:
        check_outputs(parser, options, [path] if program.mode != "script" else [program.target, path])
        targets = [target for target in (*(options.lines or ()), *(options.calls or ())) if target]
        if targets:
            script = program.mode == "script"
            Targets(targets).check(os.path.dirname(os.path.realpath(program.target)) if script else paths.working_folder())
        exit = _launched(name, program, path, meter, plugins, options)
    finally:
        _drop_unused(path, reserved)
    if exit.recorded:
        try:
            failed = plugins.report([_just_made(path, exit.unwritten)], options)
        except BrokenPipeError:
            failed = _reader_went_away()
    else:
        failed = exit.status not in (WRONG_USAGE, INTERRUPTED)
        if failed:
            _say(f"{name}: there is no recording in {path!r}: the program ended before it began, or removed it")
    return exit.status or (FAILED if failed else 0)


def _launched(name: str, program: Program, path: str, meter: str, plugins: Plugins, options) -> launch.Exit:
    """How a program ended that was run to its end."""

    def complain(text):
        _say(f"{name}: {text}")

    with progress_of(path, plugins, options, complain) as progress:
        if program.mode == "program":
            return run_program(program, path, parse_interval(options.interval), meter, progress, complain)
        command = launch.command(program, settings(options, path, meter))
        children = Children(program.words, parse_interval(options.interval), meter) if options.children else None
        return launch.launch(command, path, progress, children, followed=options.follow)


def _just_made(path: str, unwritten: tuple) -> Recording:
    """The recording in a file; how it ended is known here, even where the row that says so found no room in the file."""
    with Reader(path) as reader:
        reader.advance()
        reader.add(unwritten)
        return reader.recording()


def _drop_unused(path: str, reserved: bool) -> None:
    """Remove the file that held a recording's name, where there was no recording."""
    if reserved and os.path.exists(path) and not os.path.getsize(path):
        os.unlink(path)


def _program(options) -> Program:
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
        _check_script(words[0])
        return Program("script", words[0], words[1:])
    if sys.stdin is None or sys.stdin.isatty():
        raise UsageError("'-' is a program from standard input, where there is none: name a script, or write '- < FILE'")
    return Program("input", "-", words[1:])


def _check_script(script: str) -> None:
    """Refuse what is no script."""
    if not os.path.exists(script):
        raise UsageError(f"cannot find {script!r}: check the path, or write -m for a module")
    if os.path.isdir(script) and not any(os.path.exists(os.path.join(script, f"__main__.py{c}")) for c in ("", "c")):
        raise UsageError(f"cannot run the folder {script!r}: there is no __main__.py in it")
    if not os.access(script, os.R_OK):
        raise UsageError(f"cannot read {script!r}: permission denied")


def place_of_meter(name: str, plugins: Plugins) -> str:
    """A meter that works here: its name, or the place of a plugin's callable."""
    from memkit.system import engine

    if name in engine.METERS:
        engine.meter_named(name)
        return name
    theirs = plugins.meters()
    if name not in theirs:
        known = [*engine.METERS, *theirs]
        raise UsageError(f"unknown meter {name!r}{nearest(name, known)}; there are {', '.join(known)}")
    module, function = (getattr(theirs[name], word, "") for word in ("__module__", "__qualname__"))
    if not callable(theirs[name]) or not module or not function or "<" in function:
        raise UsageError(
            f"meter {name!r} is {theirs[name]!r}: its plugin must give a function of a module, found by its name"
        )
    return f"{name}={module}:{function}"


def check_outputs(parser, options, taken: list[str]) -> None:
    """Refuse to write a report over what is run or read, or two reports into one file."""
    seen = set(map(os.path.realpath, taken))
    for action in parser._actions:
        value = getattr(options, action.dest, None)
        container = getattr(action, "container", None)
        written = container is not None and container.title == "reports" and not action.choices
        if not (written or action.dest == "call_log") or not isinstance(value, str):
            continue
        path = os.path.realpath(value)
        if value != "-" and path in seen:
            name = action.option_strings[-1]
            raise UsageError(f"{name} {value!r}: that file is in use already: give each a file of its own")
        seen.add(path)


def parsed(name: str, text: str, words: list[str], add_options):
    """A command's parser, plugins and options. Plugins add options, and ``-p no:NAME`` is an option that says which do."""
    disabled = {word[3:] for before, word in itertools.pairwise(words) if before == "-p" and word.startswith("no:")}
    while True:
        plugins = Plugins(disabled)
        parser = Parser(prog=name, description=text)
        add_options(parser)
        parser.add_argument(
            "-p",
            dest="plugins",
            action="append",
            default=[],
            metavar="no:NAME",
            help="leave a plugin out; see memkit plugins",
        )
        plugins.add_options(parser.add_argument_group("reports"))
        options = parser.parse(words)
        for word in options.plugins:
            if not word.startswith("no:"):
                raise UsageError(f"-p {word!r}: write -p no:NAME; a plugin is switched on by its own option")
        wanted = {word[3:] for word in options.plugins}
        if wanted == disabled:
            plugins.check_names(disabled)
            plugins.remember(parser.ours)
            options.command = name.split()[-1].removeprefix("memkit-")
            return parser, plugins, options
        disabled = wanted  # the first look took an argument of the program's for ours


# -- memkit ----------------------------------------------------------------------------------------------------------

_ABOUT = f"""\
memkit {VERSION}: how much memory a Python program uses over time, and how it ended.

commands:
  run       run a program and record it; the same as memkit-run
  attach    record a process that runs already
  report    report on recordings
  list      list the recordings in a folder
  clean     remove the recordings in a folder
  plugins   list the plugins
  info      what can be measured on this machine

memkit COMMAND --help tells more."""


def _dispatch(_: str, words: list[str]) -> int:
    parser = Parser(prog="memkit", description=_ABOUT, usage="memkit COMMAND ...")
    parser.add_argument("--version", action="version", version=f"memkit {VERSION}", help="show the version")
    if not words:
        parser.print_help()
        return WRONG_USAGE
    command, *rest = words
    if command.startswith("-"):
        parser.parse(words)
        return 0
    if command not in _COMMANDS:
        known = ["run", *_COMMANDS]
        raise UsageError(f"unknown command {command!r}{nearest(command, known)}; there are {', '.join(known)}")
    return _COMMANDS[command](f"memkit {command}", rest)


def attach_command(name: str, words: list[str]) -> int:
    """Record a process that runs already: until it ends, Ctrl-C, or --duration is over."""
    attach.refuse_inside(words)
    parser, plugins, options = parsed(name, attach_command.__doc__, words, attach.add_attach_options)
    process = attach.find(options.process, options.meter)
    path, reserved = files.place_for(options.output, process.argv[0])
    lost = None
    try:
        check_outputs(parser, options, [path])
        with progress_of(path, plugins, options, lambda text: _say(f"{name}: {text}")) as progress:
            attach.record(process, path, options, progress)
    except JournalError as error:
        lost = error
    finally:
        _drop_unused(path, reserved)
    if lost:
        _say(f"{name}: {lost}")
    recording = _just_made(path, getattr(lost, "unwritten", ()))
    return FAILED if plugins.report([recording], options) or lost else 0


def report_command(name: str, words: list[str]) -> int:
    """Report on recordings. Several are reported on one by one, and drawn into one plot."""

    def add_options(parser):
        parser.add_argument("files", nargs="+", metavar="FILE", help="a recording")

    parser, plugins, options = parsed(name, report_command.__doc__, words, add_options)
    check_outputs(parser, options, options.files)
    recordings = [read(file) for file in options.files]
    return FAILED if plugins.report(recordings, options) else 0


def list_command(name: str, words: list[str]) -> int:
    """List the recordings in a folder, oldest first."""
    parser = Parser(prog=name, description=list_command.__doc__)
    parser.add_argument("folder", nargs="?", default=".", help="this one if left out")
    files = catalog.recordings_in(parser.parse(words).folder)
    rows = [catalog.row_of(file) for file in files]
    _print_table(("file", "when", "took", "peak", "ended"), rows) if rows else _say("there are no recordings here")
    return 0


def clean_command(name: str, words: list[str]) -> int:
    """Remove the recordings in a folder, except one that is being made."""
    parser = Parser(prog=name, description=clean_command.__doc__)
    parser.add_argument("folder", nargs="?", default=".", help="this one if left out")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be removed")
    options = parser.parse(words)
    code = 0
    for file in catalog.recordings_in(options.folder):
        if catalog.is_growing(file):
            print(printable(show_text(f"left {file}: it is being recorded")))
            continue
        try:
            if not options.dry_run:
                os.unlink(file)
        except OSError as error:
            code = _say(f"{name}: cannot remove {file!r}: {error.strerror}", FAILED)
            continue
        print(printable(show_text(f"{'would remove' if options.dry_run else 'removed'} {file}")))
    return code


def plugins_command(name: str, words: list[str]) -> int:
    """List the plugins: where each comes from, its hooks, and whether it works."""
    Parser(prog=name, description=plugins_command.__doc__).parse(words)
    plugins = Plugins(complain=lambda _: None)
    rows = [
        (plugin.name, f"{plugin.distribution} {plugin.version}", plugin.state, " ".join(plugin.hooks))
        for plugin in plugins.found
    ]
    _print_table(("plugin", "distribution", "state", "hooks"), rows)
    return 0


def info_command(name: str, words: list[str]) -> int:
    """Tell what memkit can measure on this machine, and why not better."""
    Parser(prog=name, description=info_command.__doc__).parse(words)
    from memkit.cli import info

    _print_table(("", ""), info.facts())
    return 0


_COMMANDS = {
    "attach": attach_command,
    "report": report_command,
    "list": list_command,
    "clean": clean_command,
    "plugins": plugins_command,
    "info": info_command,
}


def _print_table(heads: tuple, rows) -> None:
    rows = [tuple(printable(show_text(str(cell))) for cell in row) for row in rows]
    lines = ([heads] if any(heads) else []) + rows
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads) - 1)]
    for line in lines:
        print("  ".join([cell.ljust(width) for cell, width in zip(line, widths)] + [line[-1]]).rstrip())
