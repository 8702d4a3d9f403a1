"""``python -m memkit.compat.memory_profiler``: runs a program with ``profile`` as a builtin."""

from __future__ import annotations

import builtins
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, TextIO, TypeVar

from memkit.compat.memory_profiler.backends import choose_backend
from memkit.compat.memory_profiler.profiler import LineProfiler, differs, printing, switched_off
from memkit.compat.memory_profiler.table import Stream, show_results
from memkit.compat.memory_profiler.time_stamper import TimeStamper
from memkit.compat.script_or_module import find_script, is_script
from memkit.record.memory_reader import BACKENDS, start_tracemalloc, stop_tracemalloc
from memkit.run import execute

if TYPE_CHECKING:
    from argparse import Namespace

Function = TypeVar("Function")

VERSION = "0.61.0"
WRONG_USAGE = 2
MAX_DECIMALS = 20


def main() -> None:
    """Run the program that the command line names, and write the results when it ends, also by an exception."""
    options = _options()
    if not options.program:
        print("A program to run must be provided. Use -h for help")
        sys.exit(1)
    target, *arguments = options.program
    backend, include_children = options.backend, options.include_children
    stream = _opened(options.filename)
    profiler: RunProfiler | RunStamper
    if options.timestamp:
        profiler = RunStamper(backend, include_children, stream)
    else:
        profiler = RunProfiler(backend=backend, include_children=include_children, max_mem=options.max_mem)
    pid = os.getpid()
    try:
        if is_script(target):
            _run(execute.run_script, _find_script(target), profiler, options.backend, arguments)
        else:
            _run(execute.run_module, target, profiler, options.backend, arguments)
    except BaseException:
        execute.hide_own_frames(_files_of_callers())
        raise
    finally:
        if pid == os.getpid():  # the parent of a fork writes the results
            lost = _show(profiler, options.precision, stream)
    if lost:
        sys.exit(1)


def _files_of_callers() -> set[str]:
    """The files of the functions that run now: this one, the module that Python was told to run, and ``runpy``."""
    found: set[str] = set()
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        found.add(frame.f_code.co_filename)
        frame = frame.f_back
    return found


def _options() -> Namespace:
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
    if not 0 <= options.precision <= MAX_DECIMALS:
        sys.exit(_say(f"--precision {options.precision}: give decimals, from 0 to {MAX_DECIMALS}", WRONG_USAGE))
    return options


def _opened(path: str | None) -> TextIO | None:
    """The file that the results are appended to. Exits if it cannot be opened, before the program runs."""
    try:
        return open(path, "a", errors="backslashreplace") if path else None
    except OSError as error:
        sys.exit(_say(f"cannot write {path!r}: {error.strerror}; choose another file with -o", WRONG_USAGE))


def _say(text: str, code: int) -> int:
    print(f"memory_profiler: {text}", file=sys.stderr)
    return code


class RunProfiler(LineProfiler):
    """The builtin ``profile`` of a run, which prints the tables at the end."""

    def __call__(
        self,
        func: Function | None = None,
        precision: int = 1,
        stream: Stream | None = None,
        backend: str = "psutil",
        include_children: bool = False,
    ) -> Function | Callable[[Function], Function]:
        def decorate(function: Function) -> Function:
            if switched_off():
                return function
            if stream is not None or differs(self, backend, include_children):
                return printing(function, stream, precision, choose_backend(backend), include_children)
            return self._measured(function)

        return decorate if func is None else decorate(func)


class RunStamper(TimeStamper):
    """The builtin ``profile`` of a run with ``--timestamp``."""

    def __call__(
        self, func: Function | None = None, precision: int | None = None, **settings: object
    ) -> Function | TimeStamper:
        return func if func is not None and switched_off() else super().__call__(func, precision, **settings)


def _show(profiler: RunProfiler | RunStamper, precision: int, stream: TextIO | None) -> bool:
    """Write the results; returns whether some could not be written, which is reported."""
    lost: Exception | None = getattr(profiler, "lost", None)
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
    except (OSError, ValueError) as error:  # a full disk, or an output that the program has closed
        lost = lost or error
    if lost:
        _say(f"the results are incomplete: {getattr(lost, 'strerror', None) or lost}", 1)
    return bool(lost)


# -- the program -------------------------------------------------------------------------------------------------------


def exec_with_profiler(filename: str, profiler: object, backend: str = "psutil", passed_args: Sequence[str] = ()) -> None:
    """Run a file as ``__main__`` with ``profiler`` as the builtin ``profile``, and restore the interpreter's state."""
    path = _find_script(filename)
    with _restored():
        _run(execute.run_script, path, profiler, backend, passed_args)


def run_module_with_profiler(
    module: str, profiler: object, backend: str = "psutil", passed_args: Sequence[str] = ()
) -> None:
    """Run a module as ``__main__`` in the same way."""
    with _restored():
        _run(execute.run_module, module, profiler, backend, passed_args)


@contextmanager
def _restored() -> Iterator[None]:
    """Give a program a ``__main__`` of its own, and restore that, the arguments, the path and the builtin afterwards."""
    main, arguments, path = sys.modules["__main__"], sys.argv, list(sys.path)
    names = vars(builtins)
    before = {name: names[name] for name in ("profile",) if name in names}
    sys.modules["__main__"] = type(sys)("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"], sys.argv, sys.path[:] = main, arguments, path
        names.pop("profile", None)
        names.update(before)


def _run(run: Callable[[str], None], target: str, profiler: object, backend: str, arguments: Sequence[str]) -> None:
    tracing = backend == "tracemalloc" and start_tracemalloc()
    vars(builtins)["profile"] = profiler
    _prepare_main(target, arguments, module=run is execute.run_module)
    try:
        run(target)
    finally:
        if tracing:
            stop_tracemalloc()


def _prepare_main(target: str, arguments: Sequence[str], module: bool) -> None:
    """Set ``__main__``, the arguments and the path to what the program expects."""
    sys.argv = [target, *arguments]
    space = vars(sys.modules["__main__"])
    for name in [name for name in space if not name.startswith("__")]:
        del space[name]
    space.update(__spec__=None, __package__=None, __doc__=None)
    if not module and sys.path and sys.path[0] in ("", os.getcwd()) and not sys.flags.safe_path:
        del sys.path[0]  # the script's own folder takes its place


def _find_script(script_name: str) -> str:
    """The path of a script, as given or on ``PATH``. Exits if there is none."""
    found = find_script(script_name)
    if found is None:
        print(f"Could not find script {script_name}", file=sys.stderr)
        raise SystemExit(1)
    return found
