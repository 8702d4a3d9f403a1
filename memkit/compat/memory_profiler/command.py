"""Running a program with ``profile`` a builtin: ``python -m memkit.compat.memory_profiler``, with its options."""

from __future__ import annotations

import builtins
import os
import sys
from contextlib import contextmanager

from memkit.compat.memory_profiler.backends import choose_backend
from memkit.compat.memory_profiler.profiler import LineProfiler, differs, printing, switched_off
from memkit.compat.memory_profiler.table import show_results
from memkit.compat.memory_profiler.time_stamper import TimeStamper
from memkit.compat.script_or_module import find_script, is_script
from memkit.record.memory_reader import BACKENDS, start_tracemalloc, stop_tracemalloc
from memkit.run import execute

VERSION = "0.61.0"
WRONG_USAGE = 2
MOST_DECIMALS = 20


def main(own_files: tuple[str, ...] = ()) -> None:
    """Run the program that the command line names, and write what was measured when it ends, however it does.

    ``own_files`` are further ones that a traceback of the program does not show.
    """
    options = _options()
    if not options.program:
        print("A program to run must be provided. Use -h for help")
        sys.exit(1)
    target, *arguments = options.program
    settings = {"backend": options.backend, "include_children": options.include_children}
    stream = _opened(options.filename)
    profiler = (
        RunStamper(**settings, stream=stream) if options.timestamp else RunProfiler(**settings, max_mem=options.max_mem)
    )
    pid = os.getpid()
    try:
        if is_script(target):
            _run(execute.run_script, _find_script(target), profiler, options.backend, arguments)
        else:
            _run(execute.run_module, target, profiler, options.backend, arguments)
    except BaseException:
        execute.hide_own_frames(("<frozen runpy>", *own_files))
        raise
    finally:
        if pid == os.getpid():  # what a fork ended by itself is told by its parent
            lost = _show(profiler, options.precision, stream)
    if lost:
        sys.exit(1)


def _options():
    from argparse import REMAINDER, ArgumentParser

    parser = ArgumentParser(
        usage="python -m memory_profiler script_file.py",
        description="Measure the lines of functions decorated with @profile, and print them as the program ends.",
    )
    parser.add_argument("--version", action="version", version=VERSION)
    parser.add_argument(
        "--pdb-mmem", dest="max_mem", metavar="MAXMEM", type=float, help="enter the debugger above so many MiB, once"
    )
    parser.add_argument("--precision", type=int, default=3, help="decimals in the table (%(default)s)")
    parser.add_argument("-o", dest="filename", metavar="FILE", help="append the results to a file")
    parser.add_argument("--timestamp", action="store_true", help="when functions began and ended, instead of their lines")
    parser.add_argument("--include-children", action="store_true", help="add the memory of all child processes")
    parser.add_argument("--backend", choices=sorted(BACKENDS), default="psutil", help="what to measure (%(default)s)")
    parser.add_argument("program", nargs=REMAINDER, help="script or module, and its arguments")
    options = parser.parse_args()
    if not 0 <= options.precision <= MOST_DECIMALS:
        sys.exit(_say(f"--precision {options.precision}: give decimals, from 0 to {MOST_DECIMALS}", WRONG_USAGE))
    return options


def _opened(path):
    """The file that the results are appended to; exits where it cannot be, before anything is run."""
    try:
        return open(path, "a") if path else None
    except OSError as error:
        sys.exit(_say(f"cannot write {path!r}: {error.strerror}; choose another file with -o", WRONG_USAGE))


def _say(text, code):
    print(f"memory_profiler: {text}", file=sys.stderr)
    return code


class RunProfiler(LineProfiler):
    """The builtin ``profile`` of a run: what is decorated is printed at the end."""

    def __call__(self, func=None, precision=1, stream=None, backend="psutil", include_children=False):
        if func is None:
            return lambda function: self(function, precision, stream, backend, include_children)
        if switched_off():
            return func
        if stream is not None or differs(self, backend, include_children):
            return printing(func, stream, precision, choose_backend(backend), include_children)
        return super().__call__(func, precision)


class RunStamper(TimeStamper):
    """The same with ``--timestamp``."""

    def __call__(self, func=None, precision=None, **settings):
        return func if func is not None and switched_off() else super().__call__(func, precision, **settings)


def _show(profiler, precision, stream) -> bool:
    """Write what was measured; whether some of it did not reach its file, which is said."""
    lost = getattr(profiler, "lost", None)
    try:
        if isinstance(profiler, LineProfiler):
            profiler.close()
            show_results(profiler, stream, precision)
        else:
            profiler.show_results(stream)
        if stream is not None:
            stream.close()
        elif sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:  # | head; Python would complain at its exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), (stream or sys.stdout).fileno())
    except (OSError, ValueError) as error:  # a full disk; an output that the program has closed
        lost = lost or error
    if lost:
        _say(f"the results are not whole: {getattr(lost, 'strerror', None) or lost}", 1)
    return bool(lost)


# -- the program -------------------------------------------------------------------------------------------------------


def exec_with_profiler(filename, profiler, backend="psutil", passed_args=()):
    """Run a file as ``__main__`` with ``profiler`` as the builtin ``profile``; everything is as it was afterwards."""
    path = _find_script(filename)
    with _guest():
        _run(execute.run_script, path, profiler, backend, passed_args)


def run_module_with_profiler(module, profiler, backend="psutil", passed_args=()):
    """Run a module as ``__main__`` in the same way."""
    with _guest():
        _run(execute.run_module, module, profiler, backend, passed_args)


@contextmanager
def _guest():
    """What a program has while it runs within another: a ``__main__``, arguments, a path and builtins, as if of its own."""
    main, arguments, path = sys.modules["__main__"], sys.argv, list(sys.path)
    had_profile = "profile" in vars(builtins), vars(builtins).get("profile")
    sys.modules["__main__"] = type(sys)("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"], sys.argv, sys.path[:] = main, arguments, path
        if had_profile[0]:
            builtins.profile = had_profile[1]
        else:
            vars(builtins).pop("profile", None)


def _run(run, target, profiler, backend, arguments):
    tracing = backend == "tracemalloc" and start_tracemalloc()
    builtins.profile = profiler
    _make_way(target, arguments, module=run is execute.run_module)
    try:
        run(target)
    finally:
        if tracing:
            stop_tracemalloc()


def _make_way(target, arguments, module):
    """Have ``__main__``, the arguments and the path be the program's."""
    sys.argv = [target, *arguments]
    space = vars(sys.modules["__main__"])
    for name in [name for name in space if not name.startswith("__")]:
        del space[name]
    space.update(__spec__=None, __package__=None, __doc__=None)
    if not module and sys.path and sys.path[0] in ("", os.getcwd()) and not sys.flags.safe_path:
        del sys.path[0]  # the script's own folder comes in its place


def _find_script(script_name):
    """The path of a script, as it is given or on ``PATH``; exits where there is none."""
    found = find_script(script_name)
    if found is None:
        print(f"Could not find script {script_name}", file=sys.stderr)
        raise SystemExit(1)
    return found
