"""The recordings in a folder: which there are, how each ended, and whether one is still being made."""

from __future__ import annotations

import os

from memkit.base.errors import FormatError, UsageError
from memkit.base.units import show_bytes, show_time
from memkit.model import file_format
from memkit.model.reader import read


def recordings_in(folder: str) -> list[str]:
    try:
        names = os.listdir(folder)
    except OSError as error:
        raise UsageError(f"cannot look into {folder!r}: {error.strerror}") from None
    paths = [os.path.normpath(os.path.join(folder, name)) for name in names if name.endswith(file_format.SUFFIX)]
    return sorted((path for path in paths if file_format.is_recording(path)), key=os.path.getmtime)


def row_of(file: str) -> tuple[str, ...]:
    try:
        recording = read(file)
    except FormatError as error:
        return (file, "?", "?", "?", "", str(error))
    when = recording.about.when.strftime("%Y-%m-%d %H:%M:%S")
    ending = "still running" if is_growing(file) else str(recording.ending)
    together = "" if recording.together is None else show_bytes(recording.together)
    return (file, when, show_time(recording.duration), show_bytes(recording.peak), together, ending)


def is_growing(file: str) -> bool:
    """Whether the process that makes a recording lives, and has not ended it."""
    try:
        recording = read(file)
    except FormatError:
        return False
    if recording.ending.kind != "unknown":
        return False
    import psutil

    try:
        born: float = psutil.Process(recording.about.recorder or recording.about.pid).create_time()
    except psutil.Error:
        return False
    return born <= recording.about.began + 1
