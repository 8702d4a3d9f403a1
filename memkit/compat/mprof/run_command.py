"""``mprof run`` and ``mprof attach``: write a program's memory over time while it runs."""

from __future__ import annotations

import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, closing, suppress
from typing import TYPE_CHECKING, NamedTuple

import memkit
from memkit.base.errors import MemkitError, MeterError, UsageError
from memkit.base.units import LONGEST_INTERVAL, SECOND, parse_interval
from memkit.compat.mprof.dat_file import DatFile, PollingWriter, RecordingWriter
from memkit.compat.mprof.exec_detector import ExecDetector
from memkit.compat.mprof.process_memory import ProcessMemory
from memkit.compat.mprof.profiles import new_profile
from memkit.compat.script_or_module import find_script, is_script
from memkit.model import mprof_file
from memkit.model.ending import signal_name
from memkit.record.settings import RunSettings
from memkit.run import execute, launch
from memkit.run.launch import Program
from memkit.run.signals import forwarding
from memkit.run.waiting import Child

if TYPE_CHECKING:
    import psutil

METERS = {"psutil": "rss", "psutil_pss": "pss", "psutil_uss": "uss", "posix": "rss"}
SETTLED = 0.02
"""Seconds after which a program that was just loaded is polled again."""
FOLLOW_EVERY = 0.5  # seconds
IN_THE_PROGRAM = "memkit.compat.function_timestamps"
"""The module that the measured program imports, for ``@profile`` and the meters of all processes."""


def get_cmd_line(args: Iterable[str]) -> str:
    """A command in one line; words with a space or tab are quoted."""
    return mprof_file.command_line(args)


def find_first_process(name: str) -> psutil.Process | None:
    """The first process whose name contains ``name``, or else whose command line does; None if there is none."""
    import psutil

    own = _own_pids()
    others = [process for process in psutil.process_iter(["name", "cmdline"]) if process.pid not in own]
    for process in others:
        if name in (process.info["name"] or ""):
            return process
    for process in others:
        if name in " ".join(process.info["cmdline"] or ()):
            return process
    return None


def _own_pids() -> set[int]:
    """The PIDs of this process and its parents."""
    import psutil

    me = psutil.Process()
    return {me.pid, *(parent.pid for parent in me.parents())}


def run(options: Namespace) -> int:
    """Run ``mprof run``, and return its exit code."""
    try:
        interval = parse_interval(options.interval) / SECOND
    except UsageError:
        raise UsageError(f"--interval {options.interval:g}: give seconds, from 0.0001 to 86400") from None
    if options.timeout is not None and not (options.timeout >= 0 and math.isfinite(options.timeout * SECOND)):
        raise UsageError(f"--timeout {options.timeout:g}: give seconds, or 0 for no end")
    if options.backend not in METERS:
        raise UsageError(
            f"--backend {options.backend}: it counts within one process, and mprof measures from outside; leave it out"
        )
    print(f"mprof: Sampling memory every {options.interval}s", flush=True)
    if options.attach:
        return _attach(options, interval)
    print("running new process", flush=True)
    plan = _python_plan(options)
    if plan is not None:
        print("running as a Python program...", flush=True)
    return _run_new(options, interval, plan)


# -- a process that runs already -------------------------------------------------------------------------------------


def _attach(options: Namespace, interval: float) -> int:
    import psutil

    hint = options.program[0]
    print(f"attaching to existing process, using hint: {hint}", flush=True)
    try:
        process = psutil.Process(int(hint)) if hint.isdigit() else find_first_process(hint)
    except psutil.Error:
        process = None
    if process is None:
        raise MemkitError(
            "When attaching, program should be process name or pid. "  # as theirs, in one line
            f"Failed to find a process using hint: {hint}"
        )
    children = options.include_children or options.multiprocess
    memory = ProcessMemory(process.pid, METERS[options.backend], children=children)
    if options.exit_code:
        _say("-E: the exit code of a process that is not mprof's own cannot be known")
    file = DatFile(options.filename or new_profile())
    file.begin(_command_of(process))
    polling = PollingWriter(memory, file, summed=options.include_children, singly=options.multiprocess)

    def ended(due: int) -> bool:
        try:
            process.wait(max(0, due - time.monotonic_ns()) / SECOND)
        except psutil.TimeoutExpired:
            return False
        return True

    try:
        _poll_until(ended, [polling.poll], file, interval, options.timeout)
    except KeyboardInterrupt:  # the way to end it
        pass
    finally:
        file.close()
    return _report_lost(file)


def _command_of(process: psutil.Process) -> list[str]:
    import psutil

    try:
        words: list[str] = process.cmdline() or [process.name()]
        return words
    except psutil.Error:
        return [str(process.pid)]


# -- a new one -------------------------------------------------------------------------------------------------------


def _run_new(options: Namespace, interval: float, plan: _Plan | None) -> int:
    words = options.program if plan is None else [plan.python[0], *options.program[plan.begins :]]
    with ExitStack() as stack:
        folder = tempfile.mkdtemp(prefix="mprof-")
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        journal = os.path.join(folder, "run.memkit")
        command = options.program if plan is None else _recording_command(plan, journal, options, interval)
        file = stack.enter_context(closing(DatFile(options.filename or new_profile())))
        forward_to = stack.enter_context(forwarding())
        try:
            # The program inherits descriptors, as under a shell.
            process = subprocess.Popen(command, close_fds=False)
        except OSError as error:
            raise MemkitError(f"cannot run {command[0]!r}: {error.strerror}") from None
        forward_to(process)
        file.begin(words)
        if not _follow(process, command, file, journal if plan is not None else None, options, interval):
            _say(f"sampling ended after {options.timeout:g} s; the program goes on as process {process.pid}")
            process.returncode = 0  # prevents subprocess's warning that nobody waits for it
        if plan is not None and process.returncode == execute.REFUSED and not os.path.exists(journal):
            file.discard()
            return 1  # it has printed the reason
    incomplete = _report_lost(file)
    return _status(process.returncode, options.exit_code) or incomplete


def _recording_command(plan: _Plan, journal: str, options: Namespace, interval: float) -> list[str]:
    """The command that runs a Python program with a recording of itself."""
    settings = RunSettings(path=journal, interval=interval, meter=METERS[options.backend])
    if options.include_children:  # only the memory of calls is measured from inside
        meter = f"{settings.meter}_of_all"
        settings.interval, settings.meter = LONGEST_INTERVAL // SECOND, f"{meter}={IN_THE_PROGRAM}:{meter}"
    settings.profile = f"{IN_THE_PROGRAM}:profile"
    return launch.command(plan.program, settings, None if plan.python == [sys.executable] else plan.python)


def _report_lost(file: DatFile) -> int:
    """Report rows that were lost; returns 1 if there are any, and else 0."""
    if file.lost:
        _say(file.lost)
    return 1 if file.lost else 0


def _follow(
    process: subprocess.Popen[bytes],
    command: list[str],
    file: DatFile,
    journal: str | None,
    options: Namespace,
    interval: float,
) -> bool:
    """Write the memory of a program until it has ended; False if the timeout came first."""
    polling = _polling_writer(process, file, journal, options)
    polls: list[Callable[[], object]] = [polling.poll] if polling else []
    recording, detector = None, None
    if journal is not None:
        detector = ExecDetector(process.pid, command[0], lambda: os.path.exists(journal))
        until = time.time() + options.timeout if options.timeout else None
        recording = RecordingWriter(journal, file, polling=polling if options.include_children else None, until=until)
        polls += [_every(FOLLOW_EVERY, recording.advance), _every(FOLLOW_EVERY, detector.is_same_program)]
    tick = interval if polling else max(interval, FOLLOW_EVERY)
    began = time.monotonic()
    with Child(process) as child:
        ended = child.ended_by
        over = _poll_until(ended, polls, file, tick, options.timeout, early=SETTLED)
        if over and recording is not None and detector is not None and detector.detected:  # it no longer records itself
            recording.finish(time.time())
            recording, polling = None, _polling_writer(process, file, None, options)
            left = options.timeout and max(options.timeout - time.monotonic() + began, 1 / SECOND)
            over = _poll_until(ended, [polling.poll] if polling else [], file, interval, left)
    if over:
        process.wait()
    if polling is not None:
        polling.finish()
    if recording is not None:
        recording.finish(time.time())
    return over


def _polling_writer(
    process: subprocess.Popen[bytes], file: DatFile, journal: str | None, options: Namespace
) -> PollingWriter | None:
    """The writer that polls a new program; None if that is not needed, or not possible."""
    children = options.include_children or options.multiprocess
    if journal is not None and not children:
        return None
    try:
        memory = ProcessMemory(process.pid, METERS[options.backend], children=children)
    except MeterError as error:
        with suppress(subprocess.TimeoutExpired):  # a process has no memory any more shortly before it can be reaped
            process.wait(SETTLED)
        if process.poll() is None:
            _say(str(error))
        return None
    own = journal is None or options.include_children
    return PollingWriter(
        memory, file, summed=options.include_children, singly=options.multiprocess, own=own, settled=not own
    )


def _every(seconds: float, act: Callable[[], object]) -> Callable[[], object]:
    """A function that calls ``act``, but not more often than once in so many seconds."""
    next_time = 0.0

    def poll() -> object:
        nonlocal next_time
        if time.monotonic() >= next_time:
            next_time = time.monotonic() + seconds
            return act()
        return None

    return poll


def _poll_until(
    ended: Callable[[int], bool],
    polls: Sequence[Callable[[], object]],
    file: DatFile,
    interval: float,
    timeout: float | None,
    early: float | None = None,
) -> bool:
    """Poll at each tick until the process has ended or a poll returns False; False if the timeout came first.

    Ticks are counted from the start, so that they do not drift; missed ticks are skipped. ``early``: seconds after the first
    poll at which there is one between ticks. ``ended`` waits until a time on the monotonic clock, in nanoseconds.
    """
    start = time.monotonic_ns()
    last = start + round(timeout * SECOND) if timeout else None
    step = round(interval * SECOND)
    tick = 0
    while True:
        if any([poll() is False for poll in polls]):
            return True
        file.flush()
        if early is not None and early < interval:
            due, early = start + round(early * SECOND), None
        else:
            tick = max(tick, (time.monotonic_ns() - start) // step) + 1
            due = start + tick * step
        if last is not None and due >= last:
            return ended(last)
        if ended(due):
            return True


def _status(code: int, passed_on: bool) -> int:
    """mprof's own exit code. That of a failed program is printed, and passed on with ``-E``: 128 + N after signal N."""
    if not code:
        return 0
    status = code if code > 0 else 128 - code
    if passed_on:
        print(f"ERROR:mprof:Program resulted with a non-zero exit code: {status}", file=sys.stderr)
        return status
    how = f"exited with code {code}" if code > 0 else f"was killed by {signal_name(-code)}"
    _say(f"the program {how}; with -E that is mprof's exit code, too")
    return 0


# -- Python programs -------------------------------------------------------------------------------------------------


class _Plan(NamedTuple):
    """How to run a Python program."""

    python: list[str]
    """The interpreter and its flags."""
    program: Program
    begins: int
    """The index of the first word after the interpreter in mprof's arguments."""


def _python_plan(options: Namespace) -> _Plan | None:
    """How to run the program as a Python program that records itself; None if it is not one."""
    words = options.program
    if options.nopython or not (options.python or words[0].endswith(".py")):
        return None
    if not re.fullmatch(r"python[\d.]*[tdw]*(\.exe)?", os.path.basename(words[0]), re.IGNORECASE):
        return _Plan([sys.executable], _program(words), 0)
    python = shutil.which(words[0])
    if python is None:
        raise MemkitError(f"cannot run {words[0]!r}: there is no such interpreter on the PATH")
    flags = launch.interpreter_flags(words[1:])
    rest = words[1 + len(flags) :]
    if flags and flags[-1] != words[len(flags)]:  # -Im and the like: the flag ends before its m
        rest = ["-" + words[len(flags)][len(flags[-1]) :], *rest]
    if not rest or rest[0] == "-":
        return None
    if python != sys.executable and not _can_record(python):
        _say(f"{python} cannot record itself, which takes Python 3.11 and psutil: function timestamps are left out")
        return None
    return _Plan([python, *flags], _program(rest), 1)


def _program(words: list[str]) -> Program:
    """The script, module or code that the arguments name, by the rules of the interpreter and of mprof."""
    first, *rest = words
    for letter, mode in (("-m", "module"), ("-c", "code")):
        if first.startswith(letter):
            words = [first[2:], *rest] if first[2:] else rest
            if not words:
                raise UsageError(f"{letter} needs a {mode} after it")
            return Program(mode, words[0], words[1:])
    if not is_script(first):
        return Program("module", first, rest)
    path = find_script(first)
    if path is None:
        raise MemkitError(f"Could not find script {first}")
    return Program("script", path, rest)


def _can_record(python: str) -> bool:
    """Whether another interpreter can run this memkit."""
    folder = os.path.dirname(os.path.dirname(os.path.abspath(memkit.__file__)))
    text = f"import sys; sys.path.insert(0, {folder!r}); import memkit; memkit.rss()"
    null = subprocess.DEVNULL
    return subprocess.run([python, "-c", text], stdin=null, stdout=null, stderr=null).returncode == 0


def _say(text: str) -> None:
    print(f"mprof: {text}", file=sys.stderr)
