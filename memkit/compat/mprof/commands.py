"""The commands of mprof: their arguments, options and exit codes."""

from __future__ import annotations

import os
import re
import sys
from argparse import REMAINDER, ArgumentParser, ArgumentTypeError, RawTextHelpFormatter

from memkit.base.errors import MemkitError, UsageError
from memkit.compat.memory_profiler import __version__
from memkit.compat.mprof import profiles

ALL_ACTIONS = ("run", "rm", "clean", "list", "plot", "attach", "peak")
FAILED, WRONG_USAGE, INTERRUPTED = 1, 2, 130
BACKENDS = ("psutil", "psutil_pss", "psutil_uss", "posix", "tracemalloc")

help_msg = """
Commands:

    run      run a command or a Python program, and record its memory
    attach   record a process that runs already, by its pid or name: run --attach
    rm       remove recorded files, by number or name
    clean    remove all recorded files in this folder
    list     list the recorded files in this folder, with their numbers
    plot     draw recorded files
    peak     print the highest memory in recorded files

mprof <command> --help tells more.
"""


def print_usage() -> None:
    print("Usage: mprof <command> <options> <arguments>")
    print(help_msg)


def get_action() -> str:
    """Remove the command from ``sys.argv`` and return it. Prints the commands and exits with 1 if it is unknown."""
    if len(sys.argv) <= 1 or sys.argv[1] not in ALL_ACTIONS:
        if sys.argv[1:] == ["--version"]:
            print(__version__)
            sys.exit(0)
        print_usage()
        sys.exit(FAILED)
    return sys.argv.pop(1)


def main() -> None:
    """The command ``mprof``."""
    try:
        _ACTIONS[get_action()]()
    except UsageError as error:
        sys.exit(_say(error, WRONG_USAGE))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # | head; Python would complain at its exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (MemkitError, ValueError, OSError) as error:
        sys.exit(_say(error, FAILED))


def _say(error: object, code: int) -> int:
    print(f"mprof: {error}", file=sys.stderr)
    return code


def _parser(usage: str, about: str | None = None) -> ArgumentParser:
    parser = ArgumentParser(prog="mprof", usage=usage, description=about, formatter_class=RawTextHelpFormatter)
    parser.add_argument("--version", action="version", version=__version__)
    return parser


# -- run and attach --------------------------------------------------------------------------------------------------


def run_action() -> None:
    """``mprof run``"""
    place = _index_of_module_or_code(sys.argv)
    options = _run_parser().parse_args(sys.argv[1:place])
    if place < len(sys.argv):
        options.python, options.program = True, sys.argv[place:]
    if not options.program:
        print("A program to run must be provided. Use -h for help")
        sys.exit(FAILED)
    from memkit.compat.mprof.run_command import run

    if (code := run(options)) or options.exit_code:
        sys.exit(code)


def _index_of_module_or_code(words: list[str]) -> int:
    """The index of ``-m`` or ``-c``, which a Python program begins with; the number of words if there is none."""
    for place in range(1, len(words)):
        if re.match("-[mc]", words[place]):
            return place
        if not words[place].startswith("-") and not _TAKES_A_VALUE.fullmatch(words[place - 1]):
            break
    return len(words)


_TAKES_A_VALUE = re.compile("-[CMEa]*[Tto]|--(interval|timeout|output|backend)")  # options of mprof run that take a value


def attach_action() -> None:
    """``mprof attach`` is ``mprof run --attach``."""
    sys.argv.insert(1, "--attach")
    run_action()


def _run_parser() -> ArgumentParser:
    parser = _parser("mprof run [options] program")
    parser.add_argument("--python", action="store_true", help="the program is one of Python: record calls of @profile, too")
    parser.add_argument("--nopython", action="store_true", help="do not, even if its name ends in .py")
    parser.add_argument("--interval", "-T", type=float, default=0.1, help="seconds from sample to sample; 0.1 if left out")
    parser.add_argument(
        "--include-children", "-C", action="store_true", help="add up the memory of all processes that it starts"
    )
    parser.add_argument("--multiprocess", "-M", action="store_true", help="record each process that it starts by itself")
    parser.add_argument("--exit-code", "-E", action="store_true", help="exit with the program's exit code")
    parser.add_argument("--attach", "-a", action="store_true", help="record a process that runs already, by its pid or name")
    parser.add_argument(
        "--timeout", "-t", type=float, help="stop recording after so many seconds, and leave the program running; 0 is never"
    )
    parser.add_argument(
        "--output",
        "-o",
        dest="filename",
        metavar="FILENAME",
        help="the file to write; mprofile_<YYYYMMDDhhmmss>.dat in this folder if left out",
    )
    parser.add_argument(
        "--backend", choices=BACKENDS, default="psutil", help="what to measure: resident memory, or with _pss or _uss that"
    )
    parser.add_argument(
        "program",
        nargs=REMAINDER,
        help="a command, or a script and its words;\nwith --python a module, an interpreter and its words, -m or -c",
    )
    return parser


# -- rm, clean and list ----------------------------------------------------------------------------------------------


def rm_action() -> None:
    """``mprof rm``"""
    parser = _parser("mprof rm [options] numbers_or_filenames")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be removed")
    parser.add_argument("numbers_or_filenames", nargs="*", help="numbers of mprof list, negative from the end, or names")
    options = parser.parse_args()
    if not options.numbers_or_filenames:
        print("A profile to remove must be provided (number or filename)")
        sys.exit(FAILED)
    _remove(profiles.get_profile_filenames(options.numbers_or_filenames), options.dry_run)


def clean_action() -> None:
    """``mprof clean``"""
    parser = _parser("mprof clean\nThis command takes no argument.")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be removed")
    options = parser.parse_args()
    _remove(profiles.get_profile_filenames("all"), options.dry_run)


def _remove(names: list[str], dry_run: bool) -> None:
    if dry_run:
        print("Files to be removed: ")
    for name in names:
        if dry_run:
            print(name)
        else:
            os.remove(name)


def list_action() -> None:
    """``mprof list``"""
    _parser("mprof list\nThis command takes no argument.").parse_args()
    for number, name in enumerate(profiles.all_profiles()):
        year, month, day, hour, minute, second = profiles.digits_of(name)
        print(f"{number} {name} {hour}:{minute}:{second} {day}/{month}/{year}")


# -- plot and peak ---------------------------------------------------------------------------------------------------


def peak_action() -> None:
    """``mprof peak``"""
    parser = _parser("mprof peak [options] [file.dat]", "Print the highest memory in a file, the last one if none is named.")
    parser.add_argument("profiles", nargs="*", help="files of mprof run, by name or number")
    parser.add_argument("--func", help="the highest during calls of this function, such as __main__.load")
    options = parser.parse_args()
    for name in profiles.get_profiles(options):
        for line in profiles.peak_lines(profiles.read_mprofile_file(name), options.func):
            print(line)


def plot_action() -> None:
    """``mprof plot``"""
    parser = _parser("mprof plot [options] [file.dat]", "Draw files of mprof run, the last one if none is named.")
    parser.add_argument("--title", "-t", help="the title of the picture; the command if left out")
    parser.add_argument("--no-function-ts", "-n", action="store_true", help="leave out calls, and the cross at the highest")
    parser.add_argument("--output", "-o", help="write the picture into a file, of the kind that its name ends in")
    parser.add_argument("--window", "-w", dest="xlim", type=xlim_type, help="draw these seconds only, such as 0,20.5")
    parser.add_argument("--flame", "-f", action="store_true", help="draw calls as rectangles, not as brackets")
    parser.add_argument("--slope", "-s", action="store_true", help="draw the trend, and say how steep it is")
    parser.add_argument("--backend", help="what matplotlib is to draw with")
    parser.add_argument("profiles", nargs="*", help="files of mprof run, by name or number")
    options = parser.parse_args()
    try:
        import matplotlib  # noqa: F401 (whether it is there)
    except ImportError as error:
        print("matplotlib is needed for plotting.")
        print(error)
        sys.exit(FAILED)
    from memkit.compat.mprof.picture import draw

    draw(profiles.get_profiles(options), options)


def xlim_type(value: str) -> tuple[float, float]:
    """Two numbers with a comma between them."""
    try:
        first, last = map(float, value.split(","))
    except ValueError:
        raise ArgumentTypeError(f"invalid xlim_type value: {value!r}") from None
    if not first < last:
        raise ArgumentTypeError(f"{value!r} ends before it begins")
    return first, last


_ACTIONS = {
    "run": run_action,
    "attach": attach_action,
    "rm": rm_action,
    "clean": clean_action,
    "list": list_action,
    "plot": plot_action,
    "peak": peak_action,
}
