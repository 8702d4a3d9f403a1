"""The files of watches, by the process that each is of, and the last minutes in them."""

from __future__ import annotations

import os
from dataclasses import replace

from memkit.base import clocks
from memkit.base.errors import JournalError
from memkit.base.units import SECOND
from memkit.cli.catalog import lives
from memkit.model.last_minutes import last_minutes, latest, origin_of
from memkit.model.reader import read
from memkit.record.header import host
from memkit.record.watch_folder import FILE_OF_WATCH, files_in

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

    from memkit.model.recording import Recording
    from memkit.record.watch_folder import AwaitedFiles

Chain = list[str]
"""The files of one process, in which its recording went on, in order."""
LAST = 600 * SECOND
"""What a report at the end of a program tells of."""
_CONTINUED = b',"continued"]\n'
_TAIL = 1 << 16
_ONE_BOOT = 60  # seconds by which the clock may have been set between two files


def chains_in(folder: str) -> list[Chain]:
    """The files in a folder, those together in which one recording went on."""
    known = [(origin, each.path) for each in files_in(folder) if each.path.endswith(FILE_OF_WATCH)
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


def write_last(chains: list[Chain], last: int, into: BinaryIO) -> None:
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


def of_run(awaited: AwaitedFiles) -> tuple[Recording, bool]:
    """The last minutes of a program that has ended, with those that it has started; and whether they are all of it.

    Raises ``JournalError`` where they are gone, or there is no room to put them together.
    """
    from tempfile import TemporaryFile

    ours, chains = {awaited.pid}, []
    for chain in chains_in(awaited.folder):
        begun = [path for path in chain if awaited.is_new(path)]
        about = origin_of(begun[0]) if begun else None
        if about is None:
            continue
        if about.get("watch") == awaited.watch or about["pid"] in ours or about.get("parent") in ours:
            ours.add(about["pid"])
            chains.append(begun)
    if not chains:
        raise JournalError(f"its files in {awaited.folder!r} are gone, so that there is no report")
    try:
        with TemporaryFile() as into:
            write_last(chains, LAST, into)
            into.seek(0)
            recording = read(into)
    except OSError as error:
        raise JournalError(f"cannot write the last minutes into a temporary file: {error.strerror}") from None
    return replace(recording, source=awaited.folder), recording.about.clock == awaited.first
