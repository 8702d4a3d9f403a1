"""Paths of files, as they are given to memkit: text, bytes or path objects."""

from __future__ import annotations

import os
import stat

from memkit.base.errors import FormatError, MemkitError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

    AnyPath: TypeAlias = str | bytes | os.PathLike[str] | os.PathLike[bytes]

OWNERS = 0o600
"""The permissions of a new file that is written while a program runs: it has command lines, or what code is called."""


def text_of(path: object, refusal: type[MemkitError] = UsageError) -> str:
    """A path as text. Raises ``refusal`` for what can be none."""
    try:
        text = os.fsdecode(path)  # type: ignore[arg-type]  # its TypeError tells what can be no path
        os.fsencode(text)
    except TypeError:
        raise refusal(f"{path!r} is no path: give text, or a path object") from None
    except UnicodeError:
        raise refusal(f"{path!r} is no path: the file system has no such characters") from None
    if "\0" in text:
        raise refusal(f"{path!r} is no path: a path has no NUL characters")
    return text


def to_read(path: object) -> str:
    """A path as text, of something that can be read more than once. Raises ``FormatError``: opening a pipe would wait."""
    text = text_of(path, FormatError)
    try:
        is_pipe = stat.S_ISFIFO(os.stat(text).st_mode)
    except OSError:  # whoever opens it says what is wrong with it
        return text
    if is_pipe:
        raise FormatError(f"cannot read {text!r}: it is a pipe; give the name of a file")
    return text


def to_write(path: str) -> str:
    """A path of a file that can be written. Raises ``UsageError`` for one that cannot."""
    folder = os.path.dirname(path) or "."
    if not path:
        raise UsageError("the name of the output file is empty")
    if os.path.isdir(path):
        raise UsageError(f"cannot write {path!r}: it is a folder")
    if not os.path.isdir(folder):
        raise UsageError(f"cannot write {path!r}: there is no folder {folder!r}")
    if not os.access(path if os.path.exists(path) else folder, os.W_OK):
        raise UsageError(f"cannot write {path!r}: permission denied")
    return path


def working_folder() -> str | None:
    """The working directory; None where it is gone."""
    try:
        return os.getcwd()
    except OSError:
        return None


def absolute(path: AnyPath) -> str:
    """The same from the root on. Raises ``UsageError``."""
    text = text_of(path)
    try:
        return os.path.abspath(text)
    except OSError as error:
        raise UsageError(
            f"{text!r} leads nowhere, the working directory is gone ({error.strerror}): give all of it"
        ) from None
