"""What reports are written to: files, whole or not at all, and streams."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any, TextIO, cast, overload

from memkit.base import paths
from memkit.base.errors import MemkitError, UsageError
from memkit.base.stderr import direct
from memkit.base.units import printable, show_text
from memkit.model.file_format import SUFFIX, is_recording

if TYPE_CHECKING:
    from argparse import Namespace
    from contextlib import AbstractContextManager
    from typing import BinaryIO, Literal

    from rich.console import Console
    from rich.text import Text

_written: list[str] | None = None
NOTEBOOK_WIDTH = 100
"""Of text in a notebook, in characters: there is no terminal to ask."""
_STYLES = {
    "memkit.mark": "bold dark_orange3",
    "memkit.remark": "dark_orange3",
    "memkit.bad": "bold red3",
    "memkit.curve": "dodger_blue1",
}
"""What reports use besides bold and dim: each stands out from a white and from a black terminal."""
_NO_RICH = "a printed report needs rich: python -m pip install rich, or write --quiet"
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
        if binary and not hasattr(sys.stdout, "buffer"):
            raise MemkitError("standard output takes text only here: write the name of a file in place of '-'")
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
        if _written is not None:
            _written.append(path)
    except BaseException as error:
        if regular and os.path.exists(written):
            os.unlink(written)
        if isinstance(error, OSError):
            reason = "it is a pipe that nobody reads" if error.errno == errno.ENXIO else error.strerror or error
            raise MemkitError(f"cannot write {path!r}: {reason}") from error
        raise


@contextmanager
def naming_files(options: Namespace) -> Iterator[None]:
    """Print, where reports are printed, a line that names the files that were written meanwhile."""
    global _written
    before, _written = _written, []
    nobody_reads = False
    try:
        yield
    except BrokenPipeError:
        nobody_reads = True
        raise
    finally:
        files, _written = dict.fromkeys(_written), before
        stream = report_stream(options)
        if stream is not None and files and not nobody_reads:
            print(printable(show_text(f"{'wrote':<9}{', '.join(map(_short, files))}")), file=stream)


def _short(path: str) -> str:
    folder = paths.working_folder()
    return os.path.relpath(path, folder) if folder and os.path.dirname(path) == folder else path


def _opened(path: str, binary: bool) -> IO[Any]:
    if binary:
        return open(path, "wb", opener=_opened_at_once)
    return open(path, "w", encoding="utf-8", newline="", errors="backslashreplace", opener=_opened_at_once)


def _opened_at_once(path: str, flags: int) -> int:
    """A descriptor; of a pipe that nobody reads an error, and no waiting."""
    fd = os.open(path, flags | getattr(os, "O_NONBLOCK", 0), 0o666)
    if hasattr(os, "set_blocking"):
        os.set_blocking(fd, True)
    return fd


def report_stream(options: Namespace) -> TextIO | None:
    """The stream for a report that is printed; None where ``--quiet`` was given or there is no such stream.

    After a run that is stderr, out of the program's way, and where an option writes its report to standard output (``-``)
    too; otherwise stdout.
    """
    taken = options.command != "report" or "-" in vars(options).values()
    # Without its standard streams (pythonw) Python has None in their place.
    stream = cast("TextIO | None", sys.stderr if taken else sys.stdout)
    if stream is not None and options.command == "profile":  # in the middle of a program
        stream = direct(stream)
    return None if getattr(options, "quiet", False) else stream


def console(stream: TextIO) -> Console:
    """A ``Console`` of rich for a report that is printed on ``stream``, as wide as the terminal.

    Besides rich's styles it knows ``memkit.mark``, ``memkit.remark``, ``memkit.bad`` and ``memkit.curve``, which can be read
    on white and on black.

    In a notebook, too, it prints on the stream, without colours; each print is a message of its own there, so print a report
    at once. Raises ``MemkitError`` where rich is not installed.
    """
    try:
        from rich.console import Console
        from rich.theme import Theme
    except ImportError:
        raise MemkitError(_NO_RICH) from None

    class Quiet(Console):
        def on_broken_pipe(self) -> None:
            # rich would end the program here, and take its standard output away, whatever stream this one is.
            raise BrokenPipeError

    theme = Theme(_STYLES)
    found = Quiet(file=stream, highlight=False, soft_wrap=True, theme=theme)
    if not found.is_jupyter:
        return found
    return Quiet(  # one for notebooks would display each print as HTML by itself, whatever the stream
        file=stream,
        highlight=False,
        soft_wrap=True,
        theme=theme,
        force_jupyter=False,
        force_terminal=False,
        width=NOTEBOOK_WIDTH,
    )


def styled(*parts: str | tuple[str, str]) -> Text:
    """A line of rich Text, from words and (words, style) pairs; what would act on a terminal is shown as an escape."""
    try:
        from rich.text import Span, Text
    except ImportError:
        raise MemkitError(_NO_RICH) from None
    plain, spans = "", []
    for part in parts:
        words, style = (part, "") if isinstance(part, str) else part
        if style and words:
            spans.append(Span(len(plain), len(plain) + len(words), style))
        plain += words
    if plain.isprintable():  # as nearly every line is: assembling it takes three times as long
        return Text(plain, tab_size=8, spans=spans)
    text = Text.assemble(*parts)
    text.plain = printable(text.plain)
    return text


def cut(rows: Iterable[Text], width: int | None) -> Iterator[Text]:
    """Rows that end with the line of the terminal: what went on below, from the left, would be taken for another row."""
    for row in rows:
        if width is not None:
            row.truncate(width, overflow="ellipsis")
        yield row


def _may_be_terminal(stream: TextIO) -> bool:
    """Whether rich may take a stream for a terminal, which it is asked for; to ask takes as long as to print a table."""
    ask = getattr(stream, "isatty", None)
    return (ask is not None and ask()) or "FORCE_COLOR" in os.environ or "TTY_COMPATIBLE" in os.environ


def print_rows(stream: TextIO, rows: Callable[[int | None], Iterable[Text]], wide: bool = False) -> None:
    """Print rows of rich Text, all at once.

    ``rows`` gives them for the width of a terminal that they should fit in, or for None: anywhere else, and if ``wide``.
    """
    to = console(stream) if _may_be_terminal(stream) else None
    if to is not None and to.is_terminal:
        to.print(*rows(None if wide else to.width), sep="\n", markup=False)
    else:  # there is nothing to lay out and to colour: rich takes as long as all else
        stream.write("".join(f"{row.plain}\n" for row in rows(None)))
        stream.flush()
