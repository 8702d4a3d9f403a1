"""The recordings in a folder: which there are, how each ended, and whether one is still being made."""

from __future__ import annotations

import os
from dataclasses import replace

from memkit.base.errors import FormatError, UsageError
from memkit.base.units import show_bytes, show_time
from memkit.model import file_format
from memkit.model.ending import Ending
from memkit.model.reader import read
from memkit.record.header import host

TYPE_CHECKING = False
if TYPE_CHECKING:
    from memkit.model.recording import Recording

RUNNING = Ending("running", finished=False)


def recordings_in(folder: str) -> list[str]:
    try:
        names = os.listdir(folder)
    except OSError as error:
        raise UsageError(f"cannot look into {folder!r}: {error.strerror}") from None
    paths = [os.path.normpath(os.path.join(folder, name)) for name in names if name.endswith(file_format.SUFFIX)]
    return sorted((path for path in paths if file_format.is_recording(path)), key=os.path.getmtime)


def row_of(file: str) -> tuple[str, ...]:
    try:
        recording = read_now(file)
    except FormatError as error:
        return (file, "?", "?", "?", "", str(error))
    when = recording.about.when.strftime("%Y-%m-%d %H:%M:%S")
    together = "" if recording.together is None else show_bytes(recording.together)
    return (file, when, show_time(recording.duration), show_bytes(recording.peak), together, str(recording.ending))


def is_growing(file: str) -> bool:
    """Whether the process that makes a recording lives, and has not ended it."""
    try:
        return read_now(file).ending == RUNNING
    except FormatError:
        return False


def read_now(file: str) -> Recording:
    """The recording in a file; the endings of what still runs say so, where the file cannot tell.

    Raises ``FormatError``.
    """
    recording = read(file)
    about = recording.about
    if recording.ending.kind != "unknown" or about.host not in (None, host()):
        return recording
    if not lives(about.recorder or about.pid, about.began):
        return recording
    processes = (
        each._replace(ending=RUNNING)
        if each.ending.kind == "unknown" and lives(each.pid, about.began + each.started / 1e9)
        else each
        for each in recording.processes
    )
    return replace(recording, ending=RUNNING, processes=tuple(processes))


def lives(pid: int, since: float) -> bool:
    """Whether the process that had a PID at a moment, in seconds since the epoch, still has it."""
    import psutil

    try:
        process = psutil.Process(pid)
        born: float = process.create_time()
        return born <= since + 1 and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.Error, ValueError, OverflowError):  # of a number that can be no PID
        return False
