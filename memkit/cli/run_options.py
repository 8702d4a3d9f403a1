"""The options of ``memkit-run``, and what the measured process is told of them."""

from __future__ import annotations

import argparse

from memkit.base.errors import UsageError
from memkit.base.units import parse_bytes, parse_interval
from memkit.base.version import VERSION
from memkit.record.settings import SPANS, RunSettings, sampling_distance

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

REQUESTS = (
    "make each request and task a span, labelled by its route or name, where the program runs uvicorn, hypercorn, daphne, "
    "gunicorn, waitress, gevent, wsgiref, Django's runserver or Celery"
)
NO_PEAK_RESET = "leave the kernel's own record of the peak alone; peaks between samples are then exact only at new heights"
ON_LIMIT = ("report", "raise", "stop")
STOPPED = 86
"""What ``memkit.record.limit_guard`` can do, and the exit code of a program that it stops; importing it takes too long."""

_SUMS = "what it adds up is of a whole run, and files that follow one another are not"
_NOT_KEPT = {
    **dict.fromkeys(("lines", "calls", "c_calls", "keep_source"), _SUMS),
    "children": "workers that are forked have files of their own, and with --follow Python programs that are spawned",
    "live": "it draws one recording; memkit snapshot FOLDER reports meanwhile",
    "call_log": "the log is one file that grows without end",
    "no_peak_reset": "what comes between two samples, a second apart, would be missing",
    "on_limit": "at the limit more is recorded, and the program goes on",
    "sizes": "it makes several runs, each into one file",
}
"""Options that --keep does not go with, and why."""


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of memkit itself; plugins add theirs."""
    parser.usage = f"{parser.prog} [options] (script.py | -m module | -c code | --program command) [arguments]"
    parser.add_argument("-m", dest="module", nargs=argparse.REMAINDER, metavar="MODULE", help="run a module")
    parser.add_argument("-c", dest="code", nargs=argparse.REMAINDER, metavar="CODE", help="run a text of code")
    parser.add_argument(
        "--program",
        dest="command_line",
        nargs=argparse.REMAINDER,
        metavar="COMMAND",
        help="run a program that need not be Python; it is recorded from outside, with all that it starts",
    )
    parser.add_argument("--version", action="version", version=f"memkit {VERSION}", help="show the version")
    parser.add_argument("program", nargs=argparse.REMAINDER, help="a script, or a folder or zip file with a __main__")
    _add_recording_options(parser)
    _add_options_of_processes(parser)
    add_target_options(parser)
    _add_log_options(parser)


def _add_recording_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help="record into FILE, not into one here that is named after the program and the time",
    )
    parser.add_argument(
        "--keep",
        metavar="AGE,SIZE",
        type=_keep,
        help="record for weeks, as memkit.watch() does: -o is a folder of files that follow one another, all of them no "
        "older and no larger than this, such as 7d,500MB; the report is of the last ten minutes",
    )
    parser.add_argument(
        "--sizes",
        metavar="N,N,...",
        help="run the program once for each size of its input, which is put in the place of {size} among its arguments, and "
        "tell how its peak depends on it; see memkit fit",
    )
    parser.add_argument(
        "--keep-source",
        action="store_true",
        help="keep the text of files whose lines are traced in the recording: memkit compare knows lines by their text",
    )
    parser.add_argument(
        "--interval",
        metavar="SECONDS",
        type=_interval,
        default="auto",
        help="time from sample to sample, such as 0.01 or 10ms; auto (the default) begins at 1 ms and grows with the run",
    )
    parser.add_argument(
        "--meter",
        metavar="NAME",
        default="rss",
        help="what to measure: rss (the default), anon, pss, uss, vms, swap, cgroup, or a plugin's",
    )
    parser.add_argument(
        "--no-peak-reset",
        action="store_true",
        help=NO_PEAK_RESET,
    )


def _add_options_of_processes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--live",
        action="store_true",
        help="show memory now, its peak and what is left on the bottom row of the terminal while the program runs",
    )
    parser.add_argument(
        "--children",
        action="store_true",
        help="record the processes that the program starts, too, and what all use together",
    )
    parser.add_argument(
        "--follow",
        action="store_true",
        help="have Python programs that this one forks or spawns record themselves into the same file, with lines and calls",
    )
    parser.add_argument(
        "--requests",
        action="store_true",
        help=REQUESTS,
    )
    parser.add_argument(
        "--dask",
        action="store_true",
        help="with memkit-dask: make each task of the Dask workers that the program starts a span; implies --follow",
    )
    parser.add_argument(
        "--limit",
        metavar="SIZE",
        type=_limit,
        help="record where all threads are as soon as memory reaches SIZE, such as 2GiB, or a share, such as 80%%, of what "
        "really limits it",
    )
    parser.add_argument(
        "--on-limit",
        choices=ON_LIMIT,
        help="with --limit: do no more than that (report, the default), raise MemoryError in whatever the main thread runs, "
        f"which suits scripts, or stop the program with exit code {STOPPED}, which suits services, too",
    )


def add_target_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which lines and calls are traced."""
    parser.add_argument(
        "--lines",
        metavar="TARGET",
        action="append",
        help="trace line by line: file.py, file.py:function, folder/, package.module or package.module:Class.method, globs "
        "allowed; --lines alone, without =TARGET, is the program's own code, and what is below the working directory where "
        "the program is of a library, such as -m uvicorn; repeatable",
    )
    parser.add_argument(
        "--calls",
        metavar="TARGET",
        action="append",
        help="trace call by call: which path of calls grew memory; --calls alone, without =TARGET, is all of the program, "
        "with one or more targets what these call; targets as for --lines",
    )
    parser.add_argument(
        "--c-calls", action="store_true", help="with --calls: functions in C are calls of their own, at a price"
    )
    parser.add_argument(
        "--heap",
        metavar="sampled[:BYTES]|spans",
        type=_heap,
        default=False,
        help="count what each traced line and call path allocates and frees, by Python's allocators and the C "
        "library's; --calls is implied if nothing else is traced; --heap=sampled estimates it, by the stacks of few "
        "blocks, one in 512 KiB or in BYTES, at a few per cent of the time; --heap=spans counts it for each memkit.span, "
        "without tracing",
    )


def _add_log_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--call-log",
        metavar="FILE",
        type=_log_path,
        help="write every call, return, line and exception at which memory had changed into FILE, as CSV, as it happens",
    )
    parser.add_argument(
        "--trigger",
        metavar="SIZE",
        type=parse_bytes,
        help="with --call-log: by how much memory must have changed, such as 4096 or 1MiB; a page if left out, 0 is all",
    )


def traced(options: argparse.Namespace) -> set[str]:
    """What is traced: lines, calls and heap, which is told by all calls if by nothing else, unless it is sampled."""
    found = {name for name in ("lines", "calls") if getattr(options, name) is not None}
    if options.heap == SPANS:
        return found
    if sampling_distance(options.heap) is not None:
        return {*found, "heap"}
    return found if not options.heap else {*(found or {"calls"}), "heap"}


def check(options: argparse.Namespace) -> None:
    """Refuse options that say nothing without another. Raises ``UsageError``."""
    if options.trigger is not None and options.call_log is None:
        raise UsageError("--trigger goes with --call-log FILE, which says where to log")
    if options.on_limit is not None and options.limit is None:
        raise UsageError("--on-limit goes with --limit SIZE, which says when")
    if options.command_line is None:
        check_calls(options)
        if options.dask:
            from memkit.integrations import dask

            dask.check()
            options.follow = True
    _check_kept(options)
    if options.children or options.command_line is not None:
        from memkit.system.processes import METERS

        if options.meter not in METERS:
            option = "--children" if options.children else "--program"
            raise UsageError(
                f"{option} goes with the meters {', '.join(METERS)}: {options.meter!r} cannot measure other processes"
            )
    if options.command_line is None:
        return
    for name in ("lines", "calls", "c_calls", "heap", "requests", "dask", "call_log", "follow", "limit", "keep_source"):
        if getattr(options, name):
            name = name.replace("_", "-")
            raise UsageError(f"--{name} looks into the interpreter of a Python program; --program is recorded from outside")


def _check_kept(options: argparse.Namespace) -> None:
    """Refuse what files that follow one another cannot have. Raises ``UsageError``."""
    if options.keep is None:
        return
    if options.command_line is not None:
        raise UsageError("--keep records a Python program from inside; --program is recorded from outside, into one file")
    if options.heap and sampling_distance(options.heap) is None:
        raise UsageError("--keep goes with --heap=sampled: to count every block for weeks would take too long")
    if options.meter != "rss":
        raise UsageError(f"--keep goes with the meter rss, and not with --meter {options.meter}")
    for name, why in _NOT_KEPT.items():
        if getattr(options, name):
            raise UsageError(f"--{name.replace('_', '-')} does not go with --keep: {why}")


def missing(options: argparse.Namespace) -> dict[str, str]:
    """What reports of the run cannot be made of, each with the remedy; lines may be those of the program's own @profile."""
    if options.command_line is not None:
        return dict.fromkeys(("calls", "lines", "heap"), "--program is recorded from outside, without any")
    return not_traced(options, ("calls", "heap"))


def not_traced(options: argparse.Namespace, wanted: Iterable[str]) -> dict[str, str]:
    """What of some is not traced, each with the option that would."""
    known = traced(options) | ({"calls"} if sampling_distance(options.heap) is not None else set())
    return {name: f"add --{name}" for name in wanted if name not in known}


def check_calls(options: argparse.Namespace) -> None:
    """Refuse functions in C where no calls are traced, and calls where a heap is sampled. Raises ``UsageError``."""
    if options.calls is not None and sampling_distance(options.heap) is not None:
        raise UsageError("--heap=sampled reads stacks and traces no calls: leave out --calls, or write --heap")
    if options.c_calls and "calls" not in traced(options):
        raise UsageError("--c-calls goes with --calls, which says that calls are traced")


def settings(options: argparse.Namespace, path: str, meter: str) -> RunSettings:
    """What the measured process is to be told; the tree is the supervisor's to watch."""
    inside = ("lines", "calls", "c_calls", "heap", "requests", "call_log", "trigger")
    names = (*inside, "interval", "follow", "limit", "on_limit", "keep")
    given = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    return RunSettings(path=path, meter=meter, peak_reset=not options.no_peak_reset, **given)


def _heap(text: str) -> bool | str:
    if not text:
        return True
    sampling_distance(text)
    return text


def _keep(text: str) -> str:
    from memkit.record.watch_folder import Keep

    return Keep(text).text


def _log_path(text: str) -> str:
    from memkit.record import event_log

    return event_log.checked(text)


def _limit(text: str) -> str:
    from memkit.record import limit_guard

    limit_guard.parse(text)
    return text


def _interval(text: str) -> str:
    parse_interval(text)
    return text
