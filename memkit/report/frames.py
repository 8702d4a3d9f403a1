"""Stacks of frames, such as those at a limit: which of the frames are the program's own, and which are of libraries."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memkit.model.calls import LIBRARIES, matcher

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from memkit.model.limit_events import Frame


def own_frames(
    frames: Sequence[Frame], globs: Iterable[str] = (), *, libraries: bool = True
) -> list[tuple[Frame, tuple[Frame, ...]]]:
    """The program's own frames of a stack, the innermost first, each with the frames of libraries that it called.

    Files are hidden as by :meth:`memkit.Recording.hiding`. If no frame is left, all are the program's own.
    """
    hidden = matcher((*globs, *(LIBRARIES if libraries else ())))
    if all(hidden(frame.file) for frame in frames):
        return [(frame, ()) for frame in frames]
    found: list[tuple[Frame, tuple[Frame, ...]]] = []
    inside: list[Frame] = []
    for frame in frames:
        if hidden(frame.file):
            inside.append(frame)
        else:
            found.append((frame, tuple(inside)))
            inside = []
    return found


def packages(frames: Iterable[Frame]) -> list[str]:
    """The names of the packages that the files of frames are in, or of modules that are in none, each once."""
    return list(dict.fromkeys(map(_package, (frame.file for frame in frames))))


def _package(file: str) -> str:
    if file.startswith("<frozen "):
        return file[len("<frozen ") :].rstrip(">").partition(".")[0]
    steps = file.replace("\\", "/").split("/")
    for place in range(len(steps) - 2, -1, -1):
        library = steps[place].lower().startswith("python") and place and steps[place - 1].lower() in ("lib", "lib64")
        if library or steps[place].lower() in ("site-packages", "dist-packages", "lib"):
            return steps[place + 1].removesuffix(".py")
    return steps[-1].removesuffix(".py")
