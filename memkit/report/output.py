"""What reports are written to: files, whole or not at all, and streams."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager

from memkit.base import paths
from memkit.base.errors import MemkitError, UsageError
from memkit.model.file_format import SUFFIX, is_recording

NOTEBOOK_WIDTH = 100
"""Of text in a notebook, in characters: there is no terminal that could be asked."""
_SOURCES = (".py", ".pyw", ".pyx", ".ipynb", SUFFIX)


def output_path(text) -> str:
    """The type of an option that names a file to write: refuses, before anything runs, one that cannot be written.

    ``-`` is standard output. Raises ``UsageError``.
    """
    path = os.fspath(text)
    if path == "-":
        return path
    if os.path.isfile(path) and (os.path.splitext(path)[1] in _SOURCES or is_recording(path)):
        raise UsageError(f"{path!r} is a program or a recording, so it is left alone: give the report another name")
    return paths.to_write(path)


@contextmanager
def output(path, *, binary: bool = False):
    """A file open for writing, which takes its name only when all has been written.

    ``path`` is a name, or ``-`` for standard output. Text is UTF-8; what UTF-8 cannot spell, as
    in the name of a file that was none, is a backslash and its code. Raises ``MemkitError`` where the system refuses.
    """
    if path == "-":
        yield sys.stdout.buffer if binary else sys.stdout
        return
    path = os.path.realpath(path)
    regular = not os.path.exists(path) or os.path.isfile(path)
    written = f"{path}.part-{os.getpid()}" if regular else path
    try:
        text = {} if binary else {"encoding": "utf-8", "newline": "", "errors": "backslashreplace"}
        with open(written, "wb" if binary else "w", **text) as file:
            yield file
        if regular:
            os.replace(written, path)
    except BaseException as error:
        if regular and os.path.exists(written):
            os.unlink(written)
        if isinstance(error, OSError):
            raise MemkitError(f"cannot write {path!r}: {error.strerror or error}") from error
        raise


def console(stream):
    """A ``Console`` of rich for a report that is printed on ``stream``, as wide as the terminal.

    In a notebook, too, it prints on the stream, without colours; each print is a message of its own there, so print a report
    at once. Raises ``MemkitError`` where rich is not installed.
    """
    try:
        from rich.console import Console
    except ImportError:
        raise MemkitError("a printed report needs rich: python -m pip install rich, or write --quiet") from None
    settings = {"file": stream, "highlight": False, "soft_wrap": True}
    found = Console(**settings)
    if found.is_jupyter:  # left alone it would display each print as HTML by itself, whatever the stream
        found = Console(**settings, force_jupyter=False, force_terminal=False, width=NOTEBOOK_WIDTH)
    return found
