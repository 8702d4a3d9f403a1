"""``memkit snapshot``: the last minutes of processes that ``memkit.watch`` records, by the files alone."""

from __future__ import annotations

import os

from memkit.base.errors import UsageError
from memkit.base.units import parse_time
from memkit.cli.exit_codes import FAILED
from memkit.cli.parser import Parser
from memkit.cli.report_options import check_outputs, parsed, reported
from memkit.cli.watched import Chain, chains_in, write_last
from memkit.model.reader import read
from memkit.record import files
from memkit.record.watch_folder import FILE_OF_WATCH

DESCRIPTION = """Report on the last minutes of a process that memkit.watch() records, or of all in the folder of a watch.

The process itself is not touched: what is read are its files, which lack at most its last 250 ms."""


def add_options(parser: Parser) -> None:
    """Add the options of ``memkit snapshot``; plugins add theirs."""
    parser.usage = f"{parser.prog} [options] (PID | FOLDER)"
    parser.add_argument("process", metavar="PID|FOLDER", help="the process, or the folder that watches record into")
    parser.add_argument(
        "--last", metavar="TIME", type=_last, default="10min", help="how much: 10min if left out; a number is of seconds"
    )
    parser.add_argument("-o", "--output", metavar="FILE", help="keep the last minutes in FILE, as a recording")


def command(name: str, words: list[str]) -> int:
    """Report on the last minutes; 1 where a report failed."""
    parser, plugins, options = parsed(name, DESCRIPTION, words, add_options)
    chains = _of_process(int(options.process)) if options.process.isdecimal() else _of_folder(options.process)
    last = options.last if isinstance(options.last, int) else parse_time(options.last)
    path = None if options.output is None else files.place_for(options.output, "")[0]
    check_outputs(parser, options, [each for chain in chains for each in chain] + ([path] if path else []))
    if path is None:
        from tempfile import TemporaryFile

        with TemporaryFile() as into:
            write_last(chains, last, into)
            into.seek(0)
            recording = read(into)
    else:
        try:
            with open(path, "wb") as into:
                write_last(chains, last, into)
        except OSError as error:
            raise UsageError(f"cannot write {options.output!r}: {error.strerror}") from None
        recording = read(path)
    return FAILED if reported(plugins, [recording], options) else 0


def _last(text: str) -> int:
    time = parse_time(text)
    if time <= 0:
        raise UsageError(f"--last {text!r}: write some time, such as 10min")
    return time


def _of_process(pid: int) -> list[Chain]:
    """The files of a process, by those that it has open. Raises ``UsageError``."""
    folder = f"/proc/{pid}/fd"
    if not os.path.isdir("/proc/self/fd"):
        raise UsageError("which files a process writes is known on Linux only: give the folder that it is watched into")
    try:
        opened = [_link(os.path.join(folder, each)) for each in os.listdir(folder)]
    except FileNotFoundError:
        raise UsageError(f"there is no process {pid}: give the folder that it was watched into") from None
    except OSError as error:
        raise UsageError(
            f"cannot look into process {pid}: {error.strerror}; give the folder that it is watched into"
        ) from None
    found = [each for each in opened if each.endswith(FILE_OF_WATCH) and os.path.exists(each)]
    chains = [chain for folder in sorted({os.path.dirname(each) for each in found}) for chain in chains_in(folder)]
    chains = [chain for chain in chains if chain[-1] in found]
    if not chains:
        raise UsageError(
            f"process {pid} is not watched: it has no file of memkit.watch() open; give the folder of one that was"
        )
    return chains[:1]


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""


def _of_folder(folder: str) -> list[Chain]:
    """The files of all processes in a folder. Raises ``UsageError``."""
    if not os.path.isdir(folder):
        raise UsageError(f"{folder!r} is neither the number of a process nor a folder")
    chains = chains_in(folder)
    if not chains:
        raise UsageError(f"there are no files of memkit.watch() in {folder!r}: nothing was watched into it")
    return chains
