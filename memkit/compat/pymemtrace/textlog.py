"""``TextLog``, the base of pymemtrace's logs: their names, their first and last rows, messages, and nesting."""

from __future__ import annotations

import itertools
import os
import sys
import threading
import time
from typing import TYPE_CHECKING, Literal, Protocol, Self

from memkit.base import paths
from memkit.base.errors import lost_rows
from memkit.system import engine

if TYPE_CHECKING:
    from types import FrameType, TracebackType

_ordinals = itertools.count()

OWN_FILES: list[str] = []
"""The files of memkit's code that runs in a block: its events are not the program's."""


class Block(Protocol):
    """An open ``with`` block whose events can be paused."""

    def _suspend(self) -> None: ...

    def _resume(self) -> None: ...


class TextLog:
    """A log that is written while a ``with`` block is open. Logs of one kind nest: only the innermost one is written.

    A subclass has the texts of the log, and starts and stops the events that are written into it.
    """

    kind = ""
    letter = ""
    detaching = ""
    attaching = ""

    def __init__(self, message: str | None, filepath: str | None) -> None:
        self._message, self._filepath = message, filepath
        self._path: str | None = None
        """None while the block is not open."""

    def _head(self) -> str:
        """The row with the names of the columns."""
        raise NotImplementedError

    def _now(self) -> str:
        """The first columns of a message row."""
        raise NotImplementedError

    def _begin(self, frame: FrameType) -> None:
        raise NotImplementedError

    def _end(self, frame: FrameType) -> None:
        raise NotImplementedError

    def _suspend(self) -> None:
        raise NotImplementedError

    def _resume(self) -> None:
        raise NotImplementedError

    def __enter__(self) -> Self:
        if self._path is not None:
            raise RuntimeError(f"the {self.kind} log {self._path!r} is being written already: leave its with block first")
        suspend_blocks()
        try:
            self._attach(sys._getframe(1))
        finally:
            resume_blocks()
        return self

    def _attach(self, frame: FrameType) -> None:
        self._stack = stack_of(self.kind)
        path = self._filepath if self._filepath is not None else generated_path(self.letter, len(self._stack))
        self._open(path)
        if self._stack:
            self._stack[-1].write_message_to_log(f"{self.detaching}{path}")
        self._path = path
        self._begin(frame)
        self._stack.append(self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Literal[False]:
        if self._path is None:
            return False
        suspend_blocks()
        try:
            path = self._detach(sys._getframe(1))
        finally:
            resume_blocks()
        if self._journal.error and error is None:
            raise lost_rows(self._journal, repr(path))
        return False

    def _detach(self, frame: FrameType) -> str | None:
        self._end(frame)
        self._journal.text(b"EOF\n")
        self._journal.close()
        path, self._path = self._path, None
        last = self._stack[-1] is self
        self._stack.remove(self)
        if last and self._stack:
            self._stack[-1].write_message_to_log(self.attaching)
        return path

    def write_message_to_log(self, text: str) -> None:
        """Write a ``MSG:`` row, or one for each line of the text. Raises ``OSError`` before and after the block."""
        self._check(text, "write_message_to_log")
        now = self._now()
        for line in text.splitlines() or [""]:
            self._write(f"MSG:{now} # {line}\n")

    def log_file_path(self) -> str | None:
        """The log that is written now, which may be that of a block inside this one; None outside the block."""
        return self._stack[-1]._path if self._path is not None else None

    def _check(self, text: object, method: str) -> None:
        if self._path is None:
            raise OSError("Log file is closed.")
        if not isinstance(text, str):
            raise ValueError(f"{method}() requires a single string, not type {type(text).__name__}")

    def _write(self, text: str) -> None:
        self._journal.text(text.encode("utf-8", "surrogateescape" if _is_escaped(text) else "backslashreplace"))

    def _open(self, path: str) -> None:
        """Create the file and write its head. Raises ``OSError``."""
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, paths.OWNERS)
        journal = self._journal = engine.Journal(fd, os.path.abspath(path))
        message = f"{self._message}\n" if self._message is not None else ""
        self._write(f"{message}SOF\n{self._head()}\n")
        journal.flush()
        if journal.error:
            raise OSError(journal.error, os.strerror(journal.error), path)


# -- open blocks -------------------------------------------------------------------------------------------------------

_of_thread = threading.local()
_of_process: dict[str, list[TextLog]] = {}
counting: list[Block] = []
"""The open blocks that only count, outermost first."""


def stack_of(kind: str) -> list[TextLog]:
    """The open logs of a kind, outermost first: of this thread, or of the process for logs that trace references."""
    stacks: dict[str, list[TextLog]] = _of_process if kind == "reference" else _of_thread.__dict__
    return stacks.setdefault(kind, [])


def suspend_blocks() -> None:
    """Pause the innermost block of each kind, so that opening or closing another one causes no events in it."""
    for stack in (*_of_process.values(), *_of_thread.__dict__.values(), counting):
        if stack:
            stack[-1]._suspend()


def resume_blocks() -> None:
    for stack in (*_of_process.values(), *_of_thread.__dict__.values(), counting):
        if stack:
            stack[-1]._resume()


def generated_path(letter: str, depth: int) -> str:
    """The default name of a log."""
    now = time.strftime("%Y%m%d_%H%M%S", time.gmtime())
    numbers = f"{next(_ordinals)}_{os.getpid()}_{threading.get_native_id()}"
    name = f"{now}_{numbers}_{letter}_{depth}_PY{sys.version.split()[0]}.log"
    return os.path.join(os.getcwd(), name)


def write_message(kind: str, name: str, text: str) -> None:
    """Write a message to the innermost log of a kind. Raises ``ValueError`` where there is none."""
    stack = stack_of(kind)
    if not stack:
        raise ValueError(f"Trying to write to a {name} log file when no reference tracer is active.")
    stack[-1].write_message_to_log(text)


def innermost_path(kind: str) -> str | None:
    """The path of the innermost log of a kind, or None."""
    stack = stack_of(kind)
    return stack[-1].log_file_path() if stack else None


# -- arguments ---------------------------------------------------------------------------------------------------------


def arguments(names: dict[str, object], given: tuple[object, ...], named: dict[str, object]) -> dict[str, object]:
    """The arguments of a call by name; ``names`` are the parameters with their defaults. Raises ``TypeError``."""
    if len(given) + len(named) > len(names):
        raise TypeError(f"function takes at most {len(names)} arguments ({len(given) + len(named)} given)")
    values = dict(zip(names, given))
    for name in named:
        if name not in names:
            raise TypeError(f"this function got an unexpected keyword argument {name!r}")
        if name in values:
            raise TypeError(f"argument {name!r} given by name and by position")
    return {**names, **values, **named}


def text_or_none(value: object, position: int) -> str | None:
    if value is not None and not isinstance(value, str):
        raise TypeError(f"argument {position} must be str, not {type(value).__name__}")
    return value


def path_or_none(value: object) -> str | None:
    return value if value is None or isinstance(value, str) else os.fsdecode(value)  # type: ignore[arg-type]  # or TypeError


def _is_escaped(text: str) -> bool:
    try:
        text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return True


OWN_FILES.append(arguments.__code__.co_filename)
