"""``memkit attach``: a process that runs already is recorded, from outside or from inside, then reported on."""

from __future__ import annotations

from memkit.base.errors import JournalError, UsageError
from memkit.base.units import parse_interval, parse_time
from memkit.cli.exit_codes import FAILED, INTERRUPTED
from memkit.cli.parser import Parser
from memkit.cli.printing import say
from memkit.cli.recording_file import drop_unused, just_made
from memkit.cli.report_options import check_outputs, left, parsed, reported
from memkit.cli.run_options import NO_PEAK_RESET, REQUESTS, add_target_options, check_calls, not_traced, traced
from memkit.model.file_format import is_recording
from memkit.record import files
from memkit.run import attach
from memkit.run.progress import progress_of
from memkit.run.signals import put_off

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from memkit.run.external import ExternalProcess
    from memkit.run.progress import Progress
    from memkit.run.signals import Handler

DESCRIPTION = """Record a process that runs already: until it ends, Ctrl-C, or --duration is over.

--lines, --calls, --heap and --requests look into a Python program. It must be started by memkit-run, or have called
memkit.listen(); where it and this memkit run on Python 3.14 or later, any will do."""
_FROM_THE_START = ("--call-log", "--trigger", "--follow", "--limit", "--on-limit")
"""Options of ``memkit-run`` that a program has from its beginning or not at all."""


def add_options(parser: Parser) -> None:
    """Add the options of ``memkit attach``; plugins add theirs."""
    parser.usage = f"{parser.prog} [options] (PID | NAME)"
    parser.add_argument("process", metavar="PID|NAME", help="a process: its number, or a part of its name or command line")
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help="record into FILE, not into one here that is named after the process and the time",
    )
    parser.add_argument(
        "--duration", metavar="TIME", type=_duration, help="end the recording after so long, such as 60 or 10min"
    )
    parser.add_argument(
        "--interval",
        metavar="SECONDS",
        type=_interval,
        default="auto",
        help="time from sample to sample, such as 0.01 or 10ms; auto (the default) begins at 1 ms and grows with time",
    )
    parser.add_argument(
        "--meter", metavar="NAME", default="rss", help="what to measure: rss (the default), anon, pss, uss, vms or swap"
    )
    parser.add_argument(
        "--children", action="store_true", help="record all that the process has started, too, and what they use together"
    )
    parser.add_argument(
        "--live", action="store_true", help="show memory now, its peak and what is left on the bottom row of the terminal"
    )
    add_target_options(parser)
    parser.add_argument("--requests", action="store_true", help=REQUESTS)
    parser.add_argument("--no-peak-reset", action="store_true", help=NO_PEAK_RESET)


def _refuse(words: list[str]) -> None:
    """Refuse options of ``memkit-run`` that a process cannot be given that runs already. Raises ``UsageError``."""
    for word in words:
        if word.partition("=")[0] in _FROM_THE_START:
            raise UsageError(f"{word}: a process that runs already can have no such thing; start it with memkit-run instead")


def _is_inside(options: argparse.Namespace) -> bool:
    """Whether the process is to be recorded from inside."""
    inside = bool(traced(options) or options.heap or options.requests)
    check_calls(options)
    if options.no_peak_reset and not inside:
        raise UsageError("--no-peak-reset goes with --lines, --calls, --heap or --requests: from outside nothing is reset")
    return inside


def _record_inside(
    process: ExternalProcess, path: str, options: argparse.Namespace, progress: Progress, afterwards: Handler
) -> bool:
    from memkit.run import inside

    return inside.record(process, path, options, progress, afterwards)


def _interval(text: str) -> str:
    parse_interval(text)
    return text


def _duration(text: str) -> int:
    time = parse_time(text)
    if time <= 0:
        raise UsageError(f"--duration {text!r}: give it some time, such as 60 or 10min, or leave it out")
    return time


def command(name: str, words: list[str]) -> int:
    """Record a process until it ends or somebody stops that, then report; 1 where a report or rows were lost."""
    _refuse(words)
    parser, plugins, options = parsed(name, DESCRIPTION, words, add_options)
    inside = _is_inside(options)
    plugins.check_needs(options, not_traced(options, ("lines", "calls", "heap")))
    process = attach.find(options.process, options.meter)
    path, reserved = files.place_for(options.output, process.argv[0])
    replaces = is_recording(path)
    lost = None
    with put_off() as afterwards:
        try:
            check_outputs(parser, options, [path])
            with progress_of(path, plugins, options, lambda text: say(f"{name}: {text}")) as progress:
                if not inside:
                    attach.record(process, path, options, progress, afterwards)
                elif not _record_inside(process, path, options, progress, afterwards):
                    return INTERRUPTED
        except JournalError as error:
            lost = error
        finally:
            drop_unused(path, reserved)
        if lost:
            say(f"{name}: {lost}")
        try:
            recording = just_made(path, getattr(lost, "unwritten", ()), replaces)
            return FAILED if reported(plugins, [recording], options) or lost else 0
        except KeyboardInterrupt:
            return left(name, plugins, path)
