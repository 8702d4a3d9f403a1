"""``mprof run`` and ``mprof attach``: a program's memory over time, written as it runs."""

from __future__ import annotations

import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, closing

import memkit
from memkit.base.errors import MemkitError, MeterError, UsageError
from memkit.base.units import LONGEST_INTERVAL, SECOND, parse_interval
from memkit.compat.mprof.dat_file import DatFile, Inside, Outside
from memkit.compat.mprof.process_memory import Replacement, Watch
from memkit.compat.mprof.profiles import new_profile
from memkit.compat.script_or_module import find_script, is_script
from memkit.model import mprof_file
from memkit.model.ending import signal_name
from memkit.record.settings import RunSettings
from memkit.run import execute, launch
from memkit.run.launch import Program
from memkit.run.signals import forwarding
from memkit.run.waiting import Child

METERS = {"psutil": "rss", "psutil_pss": "pss", "psutil_uss": "uss", "posix": "rss"}
SETTLED = 0.02
"""Seconds after which a program that was just loaded is looked at again."""
FOLLOW_EVERY = 0.5
IN_THE_PROGRAM = "memkit.compat.function_timestamps"
"""The module that the measured program imports for its ``@profile``."""


def get_cmd_line(args) -> str:
    """A command in one line; words with a blank or tab are quoted."""
    return mprof_file.command_line(args)


def find_first_process(name):
    """The first process whose name contains a text, or else whose command line does; None where there is none."""
    import psutil

    others = [process for process in psutil.process_iter(["name", "cmdline"]) if process.pid not in _own()]
    for process in others:
        if name in (process.info["name"] or ""):
            return process
    for process in others:
        if name in " ".join(process.info["cmdline"] or ()):
            return process
    return None


def _own():
    import psutil

    me = psutil.Process()
    return {me.pid, *(parent.pid for parent in me.parents())}


def run(options) -> int:
    """What ``mprof run`` does, by its options; returns mprof's exit code."""
    try:
        interval = parse_interval(options.interval) / SECOND
    except UsageError:
        raise UsageError(f"--interval {options.interval:g}: give seconds, from 0.0001 to 86400") from None
    if options.timeout is not None and not (options.timeout >= 0 and math.isfinite(options.timeout * SECOND)):
        raise UsageError(f"--timeout {options.timeout:g}: give seconds, or 0 for no end")
    if options.backend not in METERS:
        raise UsageError(
            f"--backend {options.backend}: it counts within one process, and mprof looks from outside; leave it out"
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


def _attach(options, interval) -> int:
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
    watch = Watch(process.pid, METERS[options.backend], children=options.include_children or options.multiprocess)
    if options.exit_code:
        _say("-E: the exit code of a process that is not mprof's own cannot be known")
    file = DatFile(options.filename or new_profile())
    file.begin(_command_of(process))
    outside = Outside(watch, file, summed=options.include_children, singly=options.multiprocess)

    def ended(due):
        try:
            process.wait(max(0, due - time.monotonic_ns()) / SECOND)
        except psutil.TimeoutExpired:
            return False
        return True

    try:
        _look_until(ended, [outside.look], file, interval, options.timeout)
    except KeyboardInterrupt:  # the way to end it
        pass
    finally:
        file.close()
    return _wholeness(file)


def _command_of(process):
    import psutil

    try:
        return process.cmdline() or [process.name()]
    except psutil.Error:
        return [str(process.pid)]


# -- a new one -------------------------------------------------------------------------------------------------------


def _run_new(options, interval, plan) -> int:
    words = options.program if plan is None else [plan[0][0], *options.program[plan[2] :]]
    with ExitStack() as stack:
        folder = tempfile.mkdtemp(prefix="mprof-")
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        journal = os.path.join(folder, "run.memkit")
        if plan is not None:
            python, program, _ = plan
            settings = RunSettings(path=journal, interval=interval, meter=METERS[options.backend])
            if options.include_children:  # memory of calls alone comes from inside
                meter = f"{settings.meter}_of_all"
                settings.interval, settings.meter = LONGEST_INTERVAL // SECOND, f"{meter}={IN_THE_PROGRAM}:{meter}"
            settings.profile = f"{IN_THE_PROGRAM}:profile"
            command = launch.command(program, settings, None if python[0] == sys.executable and not python[1:] else python)
        else:
            command = options.program
        file = stack.enter_context(closing(DatFile(options.filename or new_profile())))
        forward_to = stack.enter_context(forwarding())
        try:
            # Inherited descriptors are the program's, as under a shell.
            process = subprocess.Popen(command, close_fds=False)
        except OSError as error:
            raise MemkitError(f"cannot run {command[0]!r}: {error.strerror}") from None
        forward_to(process)
        file.begin(words)
        if not _follow(process, file, journal if plan is not None else None, options, interval):
            _say(f"sampling ended after {options.timeout:g} s; the program goes on as process {process.pid}")
            process.returncode = 0  # nobody waits for it any more, and nobody is to be warned of that
        if plan is not None and process.returncode == execute.REFUSED and not os.path.exists(journal):
            file.discard()
            return 1  # it has said why
    incomplete = _wholeness(file)
    return _status(process.returncode, options.exit_code) or incomplete


def _wholeness(file) -> int:
    """The exit code for what became of the file."""
    if file.lost:
        _say(file.lost)
    return 1 if file.lost else 0


def _follow(process, file, journal, options, interval) -> bool:
    """Write what a program does until it has ended; False where time was up before."""
    outside = _outside(process, file, journal, options)
    looks = [outside.look] if outside else []
    inside = None
    if journal is not None:
        replacement = Replacement(process.pid, process.args[0], lambda: os.path.exists(journal))
        until = time.time() + options.timeout if options.timeout else None
        inside = Inside(journal, file, together=outside if options.include_children else None, until=until)
        looks += [_every(FOLLOW_EVERY, inside.advance), _every(FOLLOW_EVERY, lambda: not replacement.has_come())]
    beat = interval if outside else max(interval, FOLLOW_EVERY)
    began = time.monotonic()
    with Child(process) as child:
        ended = child.ended_by
        over = _look_until(ended, looks, file, beat, options.timeout, early=SETTLED)
        if over and inside is not None and replacement.seen:  # it records itself no more
            inside.finish(time.time())
            inside, outside = None, _outside(process, file, None, options)
            left = options.timeout and max(options.timeout - time.monotonic() + began, 1 / SECOND)
            over = _look_until(ended, [outside.look] if outside else [], file, interval, left)
    if over:
        process.wait()
    if outside is not None:
        outside.finish()
    if inside is not None:
        inside.finish(time.time())
    return over


def _outside(process, file, journal, options) -> Outside | None:
    """What reads a new program from outside; None where it need not be, or cannot be."""
    children = options.include_children or options.multiprocess
    if journal is not None and not children:
        return None
    try:
        watch = Watch(process.pid, METERS[options.backend], children=children)
    except MeterError as error:
        if process.poll() is None:  # one that has ended so soon has nothing to be read
            _say(str(error))
        return None
    own = journal is None or options.include_children
    return Outside(watch, file, summed=options.include_children, singly=options.multiprocess, own=own, settled=not own)


def _every(seconds, act):
    """A function that acts when called, but not more often than this."""
    next_time = 0.0

    def look():
        nonlocal next_time
        if time.monotonic() >= next_time:
            next_time = time.monotonic() + seconds
            return act()
        return None

    return look


def _look_until(ended, looks, file, interval, timeout, early=None) -> bool:
    """Look at each beat until the process has ended, or until time is up: False then.

    Beats are counted from the start, so that they do not drift; one that is missed is left out. With ``early`` there is one
    more look so many seconds after the first. ``ended`` waits until a moment on the monotonic clock.
    """
    start = time.monotonic_ns()
    last = start + round(timeout * SECOND) if timeout else None
    step = round(interval * SECOND)
    beat = 0
    while True:
        if any([look() is False for look in looks]):
            return True
        file.flush()
        if early is not None and early < interval:
            due, early = start + round(early * SECOND), None
        else:
            beat = max(beat, (time.monotonic_ns() - start) // step) + 1
            due = start + beat * step
        if last is not None and due >= last:
            return ended(last)
        if ended(due):
            return True


def _status(code: int, passed_on: bool) -> int:
    """mprof's own exit code. That of a failed program is always said, and with ``-E`` passed on: 128 + N after signal N."""
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


def _python_plan(options) -> tuple[list[str], Program, int] | None:
    """The interpreter with its flags, what it is to run, and at which word that begins; None to run it as anything else."""
    words = options.program
    if options.nopython or not (options.python or words[0].endswith(".py")):
        return None
    if not re.fullmatch(r"python[\d.]*[tdw]*(\.exe)?", os.path.basename(words[0]), re.IGNORECASE):
        return [sys.executable], _program(words), 0
    python = shutil.which(words[0])
    if python is None:
        raise MemkitError(f"cannot run {words[0]!r}: there is no such interpreter on the PATH")
    flags = launch.interpreter_flags(words[1:])
    rest = words[1 + len(flags) :]
    if flags and flags[-1] != words[len(flags)]:  # -Im and the like: the flag was cut off before its m
        rest = ["-" + words[len(flags)][len(flags[-1]) :], *rest]
    if not rest or rest[0] == "-":
        return None
    if python != sys.executable and not _can_record(python):
        _say(f"{python} cannot record itself, which takes Python 3.11 and psutil: function timestamps are left out")
        return None
    return [python, *flags], _program(rest), 1


def _program(words) -> Program:
    """A script, a module or a text of code, as the interpreter or mprof would name it."""
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
    nowhere = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.run([python, "-c", text], **nowhere).returncode == 0


def _say(text: str) -> None:
    print(f"mprof: {text}", file=sys.stderr)
