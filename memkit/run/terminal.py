"""The bottom row of a terminal, kept apart from the program that scrolls above it.

The row is reserved by a scroll region (DECSTBM), and drawn with the cursor saved and restored, in one write, so that a
program that prints, asks or colours finds everything as it left it. Nothing is drawn while a program reads single keys or
draws on the whole screen, while the terminal is another job's, and while its output is held (Ctrl-S); the whole screen is
the program's then. What is drawn depends on nothing drawn before: a program that clears the screen or takes the region away
loses the row until it is drawn again.
"""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager

from memkit.base.descriptors import writable

FEWEST_ROWS, FEWEST_COLUMNS = 4, 12
_SAVE, _RESTORE = "\x1b7", "\x1b8"
# The whole screen scrolls; one down, which scrolls it where the cursor is at the bottom, and one up in the same column.
_MAKE_ROOM = f"{_SAVE}\x1b[r{_RESTORE}\x1bD\x1b[A"
# After a change of size: where the old row stands depends on whether the terminal brought back what had scrolled off, but
# that is below the cursor always.
_EMPTY_BELOW = f"{_SAVE}\x1b[0m\x1b[B\r\x1b[J{_RESTORE}"
_LACKING = ("", "dumb", "unknown", "emacs")


class BottomRow:
    """The bottom row of the terminal that ``fd`` leads to; ``styled`` is whether it may be shown in reverse."""

    def __init__(self, fd: int, styled: bool = True):
        import termios

        self._fd = fd
        self._modes_of = lambda: _modes(termios, fd)
        self._modes = self._modes_of()
        self._styles = ("\x1b[0;7m", "\x1b[0m") if styled else ("\x1b[0m", "")
        self._size = None  # of the terminal when the row was reserved; None: it is not
        self._lost = False

    def show(self, text_for) -> None:
        """Draw what ``text_for`` gives for a number of columns, unless the terminal is not ours to draw on now."""
        try:
            if self._lost or not self._can_take():
                return
            columns, rows = os.get_terminal_size(self._fd)
            if rows < FEWEST_ROWS or columns < FEWEST_COLUMNS or not self._is_free():
                self.leave()
                return
            self._draw(text_for(columns - 1), columns, rows)  # a full row would have the cursor wait at its end
        except OSError:  # the terminal went away
            self._lost = True

    def _draw(self, text: str, columns: int, rows: int) -> None:
        before = "" if self._size == (columns, rows) else _MAKE_ROOM if self._size is None else _MAKE_ROOM + _EMPTY_BELOW
        on, off = self._styles
        self._size = (columns, rows)  # before it is so: Ctrl-Z may come between
        self._write(f"{before}{_SAVE}\x1b[1;{rows - 1}r\x1b[{rows};1H{on}{text}\x1b[K{off}{_RESTORE}")

    def leave(self) -> None:
        """Give the row back, empty, and the whole screen with it.

        What a program of the whole screen has drawn there is left alone; such programs want newlines as they are.
        """
        if self._size is None or self._lost:
            return
        try:
            size, self._size = self._size, None
            rows = os.get_terminal_size(self._fd).lines
            empty = rows == size[1] and self._modes_of()[0] == self._modes[0]
            self._write(f"{_SAVE}\x1b[r\x1b[{rows};1H\x1b[0m\x1b[K{_RESTORE}" if empty else f"{_SAVE}\x1b[r{_RESTORE}")
        except OSError:
            self._lost = True

    def _is_free(self) -> bool:
        return self._modes_of() == self._modes and self._is_foreground()

    def _is_foreground(self) -> bool:
        try:
            return os.tcgetpgrp(self._fd) == os.getpgrp()
        except OSError:  # not the terminal that commands this process
            return True

    def _can_take(self) -> bool:
        return writable(self._fd)

    def _write(self, text: str) -> None:
        # Another job has the terminal, perhaps: with "stty tostop" this would stop us.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})
        try:
            os.write(self._fd, text.encode(errors="replace"))
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _modes(termios, fd: int) -> tuple:
    """What a program changes that takes the terminal for itself: lines, echo, and newlines as they are."""
    _, output, _, local, *_ = termios.tcgetattr(fd)
    return output & (termios.OPOST | termios.ONLCR), local & (termios.ICANON | termios.ECHO)


@contextmanager
def bottom_row():
    """The bottom row of the terminal that stands before the user, given back at the end; None where there is none."""
    fd = _terminal()
    if fd is None:
        yield None
        return
    row = BottomRow(fd, styled=not os.environ.get("NO_COLOR"))
    try:
        with _given_back_while_stopped(row):
            yield row
    finally:
        row.leave()
        os.close(fd)


def _terminal() -> int | None:
    """A descriptor of the terminal: that of stderr, or the one that commands this process."""
    try:
        import termios  # noqa: F401
    except ImportError:  # Windows
        return None
    if os.environ.get("TERM", "") in _LACKING:
        return None
    try:
        return os.dup(2) if os.isatty(2) else os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
    except OSError:
        return None


@contextmanager
def _given_back_while_stopped(row: BottomRow):
    """While Ctrl-Z has stopped this process the terminal is the shell's."""

    def stop(number, _):
        row.leave()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)  # it is over when somebody continues us
        signal.signal(number, stop)

    if signal.getsignal(signal.SIGTSTP) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTSTP, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
