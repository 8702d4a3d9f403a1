"""``memkit attach``: a process that runs already is recorded from outside, then reported on."""

from __future__ import annotations

from memkit.base.errors import JournalError, UsageError
from memkit.base.units import parse_interval, parse_time
from memkit.cli.exit_codes import FAILED
from memkit.cli.parser import Parser
from memkit.cli.printing import say
from memkit.cli.recording_file import drop_unused, just_made
from memkit.cli.report_options import check_outputs, parsed
from memkit.record import files
from memkit.run import attach
from memkit.run.progress import progress_of

DESCRIPTION = "Record a process that runs already: until it ends, Ctrl-C, or --duration is over."
_INSIDE = ("--lines", "--calls", "--c-calls", "--call-log", "--trigger", "--follow", "--limit", "--no-peak-reset")
"""Options of ``memkit-run`` that act in the interpreter of the program."""


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
        type=parse_interval,
        default="auto",
        help="time from sample to sample, such as 0.01 or 10ms; auto (the default) begins at 1 ms and grows with time",
    )
    parser.add_argument(
        "--meter", metavar="NAME", default="rss", help="what to measure: rss (the default), pss, uss, vms or swap"
    )
    parser.add_argument(
        "--children", action="store_true", help="record all that the process has started, too, and what they use together"
    )
    parser.add_argument(
        "--live", action="store_true", help="show memory now, its peak and what is left on the bottom row of the terminal"
    )


def _refuse_inside(words: list[str]) -> None:
    """Refuse options of ``memkit-run`` that cannot be had from outside. Raises ``UsageError``."""
    for word in words:
        if word.partition("=")[0] in _INSIDE:
            raise UsageError(
                f"{word}: a process that runs already is recorded from outside, so there is none of that; "
                "start it with memkit-run instead"
            )


def _duration(text: str) -> int:
    time = parse_time(text)
    if time <= 0:
        raise UsageError(f"--duration {text!r}: give it some time, such as 60 or 10min, or leave it out")
    return time


def command(name: str, words: list[str]) -> int:
    """Record a process until it ends or somebody stops that, then report; 1 where a report or rows were lost."""
    _refuse_inside(words)
    parser, plugins, options = parsed(name, DESCRIPTION, words, add_options)
    process = attach.find(options.process, options.meter)
    path, reserved = files.place_for(options.output, process.argv[0])
    lost = None
    try:
        check_outputs(parser, options, [path])
        with progress_of(path, plugins, options, lambda text: say(f"{name}: {text}")) as progress:
            attach.record(process, path, options, progress)
    except JournalError as error:
        lost = error
    finally:
        drop_unused(path, reserved)
    if lost:
        say(f"{name}: {lost}")
    recording = just_made(path, getattr(lost, "unwritten", ()))
    return FAILED if plugins.report([recording], options) or lost else 0
