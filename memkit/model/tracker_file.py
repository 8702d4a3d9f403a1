"""What a tracker has written, read back: its rows, and how it ended. The same of a recording."""

from __future__ import annotations

import math
import os
import signal
from typing import NamedTuple

from memkit.base import paths
from memkit.base.errors import FormatError
from memkit.model import file_format, reader
from memkit.model.file_format import GIB, RAISED, RETURNED
from memkit.model.file_format import TRACKER_HEAD as HEAD
from memkit.model.recording import Recording
from memkit.model.row_values import is_number

_TAIL = 64


class Track(NamedTuple):
    """Memory over time, and how it ended."""

    name: str
    times: list[float]
    """Seconds since it began."""
    sizes: list[int]
    """Bytes at these times, less what a calibration subtracted."""
    ending: str
    """``completed``, ``raised``, or ``broken off``."""
    unread: int = 0
    """How many rows are damaged."""


def has_completed_successfully(path: str | os.PathLike[str]) -> bool:
    """Whether the block of a tracker, or the program of a recording, came to its end. ``path`` is the file.

    Of this and the two others exactly one is true. Raises ``FormatError`` where the file is neither a tracker's nor a
    recording, or cannot be read.
    """
    return ending(path) == "completed"


def has_crashed_gracefully(path: str | os.PathLike[str]) -> bool:
    """Whether it ended by an exception; ``KeyboardInterrupt`` is one, and ``SystemExit`` with a code other than 0."""
    return ending(path) == "raised"


def has_crashed_ungracefully(path: str | os.PathLike[str]) -> bool:
    """Whether its end was not written, or not how: it was killed, it crashed, its disk was full, or it runs still."""
    return ending(path) == "broken off"


def ending(path: str | os.PathLike[str]) -> str:
    """How it ended, in the words of ``Track.ending``."""
    path = paths.to_read(path)
    if file_format.is_recording(path):
        return _ending_of(reader.read(path))
    head, tail = _ends_of(path)
    if not f"{HEAD}\n".encode().startswith(head.replace(b"\r", b"\n")):
        raise FormatError(f"{path!r} is neither a tracker's file nor a recording: it begins with {head!r}")
    return _last_words(tail)


def _last_words(tail: bytes) -> str:
    *_, before, last = [b"", b"", *tail.replace(b"\r\n", b"\n").split(b"\n")]
    if last and before == RETURNED.encode() and RAISED.encode().startswith(last):
        return "raised"  # the rest of it did not fit on the disk
    whole = {RETURNED: "completed", RAISED: "raised"}
    return whole.get(before.decode("ascii", "replace"), "broken off") if not last else "broken off"


def read(path: paths.AnyPath) -> Track:
    """What a tracker has written, or a recording. Damaged rows are passed over, and counted. Raises ``FormatError``."""
    path = paths.to_read(path)
    name = os.path.splitext(os.path.basename(path))[0]
    if file_format.is_recording(path):
        return _of_recording(name, reader.read(path))
    ended = ending(path)
    times, sizes, unread = [], [], 0
    with open(path, encoding="ascii", errors="replace") as file:
        next(file, None)
        for line in file:
            if not line.endswith("\n") or line[:-1] in (RETURNED, RAISED):  # the last is not whole, or none of them
                continue
            try:
                time, size = map(float, line.split(",", 2))
            except ValueError:
                time = size = math.nan
            if is_number(time) and is_number(size * GIB):
                times.append(time)
                sizes.append(round(size * GIB))
            else:
                unread += 1
    return Track(name, times, sizes, ended, unread)


def _of_recording(name: str, recording: Recording) -> Track:
    times, sizes = [], []
    for sample in recording.samples:
        for size in {sample.peak: None, sample.memory: None}:
            times.append(sample.time / 1e9)
            sizes.append(size)
    return Track(name, times, sizes, _ending_of(recording), recording.unread)


def _ending_of(recording: Recording) -> str:
    ended = recording.ending
    if ended.kind == "ok":
        return "completed"
    # Of a KeyboardInterrupt that nobody caught Python makes a death by SIGINT, at its own end.
    interrupted = ended.signal == signal.SIGINT and ended.exception == "KeyboardInterrupt"
    return "raised" if interrupted or (ended.finished and ended.kind in ("error", "exited")) else "broken off"


def _ends_of(path: str) -> tuple[bytes, bytes]:
    """The first bytes of a file and the last."""
    try:
        with open(path, "rb") as file:
            head = file.read(len(HEAD) + 1)
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL))
            return head, file.read()
    except OSError as error:
        raise FormatError(f"cannot read {path!r}: {error.strerror}") from None
