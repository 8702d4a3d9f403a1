"""What the text logs of pymemtrace have in common: how they begin and end, how they are named, and how they nest."""

from __future__ import annotations

import itertools
import os
import sys
import threading
import time

from memkit.base.errors import lost_rows
from memkit.system import engine

_ordinals = itertools.count()
_local = threading.local()
_everywhere: dict[str, list] = {}

OWN = []
"""The files whose events are no part of the program."""


class TextLog:
    """A log that is written while a ``with`` block runs. Logs of one kind nest: the innermost writes, the others wait."""

    kind = ""
    letter = ""
    detaching = ""
    attaching = ""

    def __init__(self, message: str | None, filepath: str | None):
        self._message, self._filepath = message, filepath
        self._path = None
        """None while it is not being written."""

    def __enter__(self):
        if self._path is not None:
            raise RuntimeError(f"the {self.kind} log {self._path!r} is being written already: leave its with block first")
        _pause()
        try:
            self._attach(sys._getframe(1))
        finally:
            _go_on()
        return self

    def _attach(self, frame):
        self._stack = stack_of(self.kind)
        path = self._filepath if self._filepath is not None else generated_path(self.letter, len(self._stack))
        self._open(path)
        if self._stack:
            self._stack[-1].write_message_to_log(f"{self.detaching}{path}")
        self._path = path
        self._begin(frame)
        self._stack.append(self)

    def __exit__(self, kind, error, trace):
        if self._path is None:
            return False
        _pause()
        try:
            path = self._detach(sys._getframe(1))
        finally:
            _go_on()
        if self._journal.error and error is None:
            raise lost_rows(self._journal, repr(path))
        return False

    def _detach(self, frame):
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
        """The log that is being written now, perhaps of a block inside this one; None outside the block."""
        return self._stack[-1]._path if self._path is not None else None

    def _check(self, text, method: str) -> None:
        if self._path is None:
            raise OSError("Log file is closed.")
        if not isinstance(text, str):
            raise ValueError(f"{method}() requires a single string, not type {type(text).__name__}")

    def _write(self, text: str) -> None:
        self._journal.text(text.encode("utf-8", "surrogateescape" if _is_escaped(text) else "backslashreplace"))

    def _open(self, path):
        """Make the journal, and begin its file. Raises ``OSError``."""
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o666)
        journal = self._journal = engine.Journal(fd, os.path.abspath(path))
        message = f"{self._message}\n" if self._message is not None else ""
        self._write(f"{message}SOF\n{self._head()}\n")
        journal.flush()
        if journal.error:
            raise OSError(journal.error, os.strerror(journal.error), path)


def stack_of(kind: str) -> list[TextLog]:
    """The logs of a kind that this thread is in, outermost first. References are traced for the whole process."""
    stacks = _everywhere if kind.startswith("reference") else _local.__dict__
    return stacks.setdefault(kind, [])


def _pause():
    """What a log does to begin or end is nothing for the others."""
    for stack in (*_everywhere.values(), *_local.__dict__.values()):
        if stack:
            stack[-1]._suspend()


def _go_on():
    for stack in (*_everywhere.values(), *_local.__dict__.values()):
        if stack:
            stack[-1]._resume()


def generated_path(letter: str, depth: int) -> str:
    """The name that a log gets which was given none."""
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
    stack = stack_of(kind)
    return stack[-1].log_file_path() if stack else None


# -- arguments ---------------------------------------------------------------------------------------------------------


def arguments(names: dict, given: tuple, named: dict) -> dict:
    """The arguments of a call by name, ``names`` being those there are with their defaults. Raises ``TypeError``."""
    if len(given) + len(named) > len(names):
        raise TypeError(f"function takes at most {len(names)} arguments ({len(given) + len(named)} given)")
    values = dict(zip(names, given))
    for name in named:
        if name not in names:
            raise TypeError(f"this function got an unexpected keyword argument {name!r}")
        if name in values:
            raise TypeError(f"argument {name!r} given by name and by position")
    return {**names, **values, **named}


def text_or_none(value, position: int) -> str | None:
    if value is not None and not isinstance(value, str):
        raise TypeError(f"argument {position} must be str, not {type(value).__name__}")
    return value


def path_or_none(value) -> str | None:
    return value if value is None or isinstance(value, str) else os.fsdecode(value)


def _is_escaped(text: str) -> bool:
    try:
        text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return True


OWN.append(arguments.__code__.co_filename)
