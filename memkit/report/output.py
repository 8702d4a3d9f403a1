"""What reports are written to: files, whole or not at all, and streams."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any, TextIO, cast, overload

from memkit.base import paths
from memkit.base.errors import MemkitError, UsageError
from memkit.model.file_format import SUFFIX, is_recording

if TYPE_CHECKING:
    from argparse import Namespace
    from contextlib import AbstractContextManager
    from typing import BinaryIO, Literal

    from rich.console import Console

NOTEBOOK_WIDTH = 100
"""Of text in a notebook, in characters: there is no terminal to ask."""
_SOURCES = (".py", ".pyw", ".pyx", ".ipynb", SUFFIX)


def output_path(text: str | os.PathLike[str]) -> str:
    """The type of an option that names a file to write: refuses, before anything runs, one that cannot be written.

    ``-`` is standard output. Raises ``UsageError``.
    """
    path = os.fspath(text)
    if path == "-":
        return path
    if os.path.isfile(path) and (os.path.splitext(path)[1] in _SOURCES or is_recording(path)):
        raise UsageError(f"{path!r} is a program or a recording, so it is left alone: give the report another name")
    return paths.to_write(path)


@overload
def output(path: str | os.PathLike[str], *, binary: Literal[True]) -> AbstractContextManager[BinaryIO]: ...
@overload
def output(path: str | os.PathLike[str], *, binary: Literal[False] = False) -> AbstractContextManager[TextIO]: ...
def output(path: str | os.PathLike[str], *, binary: bool = False) -> Any:
    """A file open for writing, which takes its name only when all has been written.

    ``path`` is a name, or ``-`` for standard output. Text is UTF-8; a byte of a file's name that is not UTF-8 is written
    as a backslash and its code. Raises ``MemkitError`` where the system refuses.
    """
    return _output(path, binary)


@contextmanager
def _output(path: str | os.PathLike[str], binary: bool) -> Iterator[IO[Any]]:
    if path == "-":
        yield sys.stdout.buffer if binary else sys.stdout
        return
    path = os.path.realpath(path)
    regular = not os.path.exists(path) or os.path.isfile(path)
    written = f"{path}.part-{os.getpid()}" if regular else path
    try:
        with _opened(written, binary) as file:
            yield file
        if regular:
            os.replace(written, path)
    except BaseException as error:
        if regular and os.path.exists(written):
            os.unlink(written)
        if isinstance(error, OSError):
            raise MemkitError(f"cannot write {path!r}: {error.strerror or error}") from error
        raise


def _opened(path: str, binary: bool) -> IO[Any]:
    if binary:
        return open(path, "wb")
    return open(path, "w", encoding="utf-8", newline="", errors="backslashreplace")


def report_stream(options: Namespace) -> TextIO | None:
    """The stream for a report that is printed; None where ``--quiet`` was given or there is no such stream.

    After a run that is stderr, out of the program's way, and where an option writes its report to standard output (``-``)
    too; otherwise stdout.
    """
    taken = options.command != "report" or "-" in vars(options).values()
    # Without its standard streams (pythonw) Python has None in their place.
    stream = cast("TextIO | None", sys.stderr if taken else sys.stdout)
    return None if getattr(options, "quiet", False) else stream


def console(stream: TextIO) -> Console:
    """A ``Console`` of rich for a report that is printed on ``stream``, as wide as the terminal.

    In a notebook, too, it prints on the stream, without colours; each print is a message of its own there, so print a report
    at once. Raises ``MemkitError`` where rich is not installed.
    """
    try:
        from rich.console import Console
    except ImportError:
        raise MemkitError("a printed report needs rich: python -m pip install rich, or write --quiet") from None
    found = Console(file=stream, highlight=False, soft_wrap=True)
    if not found.is_jupyter:
        return found
    return Console(  # one for notebooks would display each print as HTML by itself, whatever the stream
        file=stream,
        highlight=False,
        soft_wrap=True,
        force_jupyter=False,
        force_terminal=False,
        width=NOTEBOOK_WIDTH,
    )
