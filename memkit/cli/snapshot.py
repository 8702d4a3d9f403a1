"""``memkit snapshot``: the last minutes of processes that ``memkit.watch`` records, by the files alone."""

from __future__ import annotations

import os

from memkit.base import clocks
from memkit.base.errors import UsageError
from memkit.base.units import SECOND, parse_time
from memkit.cli.catalog import lives
from memkit.cli.exit_codes import FAILED
from memkit.cli.parser import Parser
from memkit.cli.report_options import check_outputs, parsed, reported
from memkit.model import file_format
from memkit.model.last_minutes import last_minutes, latest, origin_of
from memkit.model.reader import read
from memkit.record import files
from memkit.record.header import host
from memkit.record.watch_folder import WATCH, files_in

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

    Chain = list[str]
    """The files of one process, in which its recording went on, in order."""

DESCRIPTION = """Report on the last minutes of a process that memkit.watch() records, or of all in the folder of a watch.

The process itself is not touched: what is read are its files, which lack at most its last 250 ms."""
_CONTINUED = b',"continued"]\n'
_TAIL = 1 << 16
_ONE_BOOT = 60  # seconds by which the clock may have been set between two files
_FILES_OF_WATCH = f".{WATCH}{file_format.SUFFIX}"


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
            _write(chains, last, into)
            into.seek(0)
            recording = read(into)
    else:
        try:
            with open(path, "wb") as into:
                _write(chains, last, into)
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
    found = [each for each in opened if each.endswith(_FILES_OF_WATCH) and os.path.exists(each)]
    chains = [chain for folder in sorted({os.path.dirname(each) for each in found}) for chain in _chains(folder)]
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
    chains = _chains(folder)
    if not chains:
        raise UsageError(f"there are no files of memkit.watch() in {folder!r}: nothing was watched into it")
    return chains


def _chains(folder: str) -> list[Chain]:
    """The files in a folder, those together in which one recording went on."""
    known = [(origin, each.path) for each in files_in(folder) if _FILES_OF_WATCH in each.path
             if (origin := origin_of(each.path)) is not None]  # fmt: skip
    found: dict[int, list[tuple[float, str]]] = {}  # by process, when the machine booted and the files, of its last
    chains: list[Chain] = []
    for origin, path in sorted(known, key=lambda each: each[0]["began"]):
        boot = origin["began"] - origin["clock"] / SECOND
        before = found.get(origin["pid"], [])
        if not before or abs(before[-1][0] - boot) > _ONE_BOOT or not _goes_on(before[-1][1]):
            before = found[origin["pid"]] = []
            chains.append([])
        else:
            chain = next(each for each in chains if each and each[-1] == before[-1][1])
            chains.remove(chain)
            chains.append(chain)
        chains[-1].append(path)
        before.append((boot, path))
    return chains


def _goes_on(path: str) -> bool:
    """Whether a recording went on in another file."""
    with open(path, "rb") as file:
        file.seek(max(0, os.path.getsize(path) - _TAIL))
        return _CONTINUED in file.read()


def _write(chains: list[Chain], last: int, into: BinaryIO) -> None:
    """Write the last minutes of all, up to the latest moment that is known of any."""
    ends = []
    for chain in sorted(chains, key=lambda chain: (origin_of(chain[0]) or {"began": 0})["began"]):
        about = origin_of(chain[-1])
        if about is None:
            continue
        alive = about.get("host") == host() and not _goes_on(chain[-1]) and lives(about["pid"], about["began"])
        end = clocks.monotonic_ns() if alive else latest(chain[-1], about)
        ends.append((about["began"] + (end - about["clock"]) / SECOND, end, alive, chain))
    until = max(when for when, *_ in ends)
    written = False
    for when, end, alive, chain in ends:
        left = last - round((until - when) * SECOND)
        if left > 0:
            last_minutes(chain, into, left, end, alive=alive, follows=written)
            written = True
