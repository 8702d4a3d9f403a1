"""The file that a command records into: removed where nothing was recorded, read when the recording is over."""

from __future__ import annotations

import os
from dataclasses import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from memkit.model.recording import Recording


def drop_unused(path: str, reserved: bool) -> None:
    """Remove the file that held a recording's name, where there was no recording."""
    if reserved and os.path.exists(path) and not os.path.getsize(path):
        os.unlink(path)


def just_made(path: str, unwritten: tuple[object, ...], replaced: bool) -> Recording:
    """The recording in a file; how it ended is known here, even where the row that says so found no room in the file.

    ``replaced`` is whether an earlier one was there.
    """
    from memkit.model.reader import Reader

    with Reader(path) as reader:
        reader.advance()
        reader.add(unwritten)
        return replace(reader.recording(), replaced=replaced)
