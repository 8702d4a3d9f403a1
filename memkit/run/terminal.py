"""The bottom row of a terminal, reserved while a program scrolls above it.

A scroll region (DECSTBM) reserves the row. It is drawn in one write that saves and restores the cursor, so that programs
that print, read input or use colours are not disturbed. Nothing is drawn, and nothing reserved, while a program reads single
keys or uses the whole screen, while the terminal belongs to another job, and while its output is stopped (Ctrl-S). Each
drawing is complete: if a program clears the screen or resets the region, the row comes back with the next drawing.
"""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager

from memkit.base.descriptors import writable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    TerminalModes = tuple[int, int]

FEWEST_ROWS, FEWEST_COLUMNS = 4, 12
_SAVE, _RESTORE = "\x1b7", "\x1b8"
# Reset the region, move down (which scrolls if the cursor is at the bottom), and move up again in the same column.
_MAKE_ROOM = f"{_SAVE}\x1b[r{_RESTORE}\x1bD\x1b[A"
# After a change of size: where the old row is now depends on the terminal, but it is always below the cursor.
_EMPTY_BELOW = f"{_SAVE}\x1b[0m\x1b[B\r\x1b[J{_RESTORE}"
_INCAPABLE = ("", "dumb", "unknown", "emacs")


class BottomRow:
    """The bottom row of the terminal behind ``fd``; ``styled`` is whether it is shown in reverse video."""

    def __init__(self, fd: int, styled: bool = True) -> None:
        self._fd = fd
        self._modes = _modes(fd)
        self._styles = ("\x1b[0;7m", "\x1b[0m") if styled else ("\x1b[0m", "")
        self._size: tuple[int, int] | None = None  # of the terminal, if the row is reserved
        self._lost = False

    def show(self, text_for: Callable[[int], str]) -> None:
        """Draw the text that ``text_for`` returns for a number of columns, if the terminal is free for it now."""
        try:
            if self._lost or not writable(self._fd):
                return
            columns, rows = os.get_terminal_size(self._fd)
            if rows < FEWEST_ROWS or columns < FEWEST_COLUMNS or not self._is_free():
                self.leave()
                return
            self._draw(text_for(columns - 1), columns, rows)  # a full row would leave the cursor in its last column
        except OSError:  # the terminal went away
            self._lost = True

    def _draw(self, text: str, columns: int, rows: int) -> None:
        before = "" if self._size == (columns, rows) else _MAKE_ROOM if self._size is None else _MAKE_ROOM + _EMPTY_BELOW
        on, off = self._styles
        self._size = (columns, rows)  # before the write: Ctrl-Z may come in between
        self._write(f"{before}{_SAVE}\x1b[1;{rows - 1}r\x1b[{rows};1H{on}{text}\x1b[K{off}{_RESTORE}")

    def leave(self) -> None:
        """Erase the row, and let the whole screen scroll again.

        A program that uses the whole screen (and switches newline translation off) may have drawn on the row: then it is
        not erased.
        """
        if self._size is None or self._lost:
            return
        try:
            size, self._size = self._size, None
            rows = os.get_terminal_size(self._fd).lines
            erase = rows == size[1] and _modes(self._fd)[0] == self._modes[0]
            self._write(f"{_SAVE}\x1b[r\x1b[{rows};1H\x1b[0m\x1b[K{_RESTORE}" if erase else f"{_SAVE}\x1b[r{_RESTORE}")
        except OSError:
            self._lost = True

    def _is_free(self) -> bool:
        return _modes(self._fd) == self._modes and self._is_foreground()

    def _is_foreground(self) -> bool:
        try:
            return os.tcgetpgrp(self._fd) == os.getpgrp()
        except OSError:  # not the controlling terminal of this process
            return True

    def _write(self, text: str) -> None:
        # If another job is in the foreground, "stty tostop" would stop this process.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})
        try:
            os.write(self._fd, text.encode(errors="replace"))
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _modes(fd: int) -> TerminalModes:
    """The modes that a program changes to use the whole screen: newline translation; line input and echo."""
    import termios

    _, output, _, local, *_ = termios.tcgetattr(fd)
    return output & (termios.OPOST | termios.ONLCR), local & (termios.ICANON | termios.ECHO)


@contextmanager
def bottom_row() -> Iterator[BottomRow | None]:
    """The bottom row of the user's terminal, until the end of the block; None if there is no terminal."""
    fd = _terminal()
    if fd is None:
        yield None
        return
    row = BottomRow(fd, styled=not os.environ.get("NO_COLOR"))
    try:
        with _left_while_stopped(row):
            yield row
    finally:
        row.leave()
        os.close(fd)


def _terminal() -> int | None:
    """A descriptor of the terminal: that of stderr, or the controlling terminal."""
    try:
        import termios  # noqa: F401
    except ImportError:  # Windows
        return None
    if os.environ.get("TERM", "") in _INCAPABLE:
        return None
    try:
        return os.dup(2) if os.isatty(2) else os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
    except OSError:
        return None


@contextmanager
def _left_while_stopped(row: BottomRow) -> Iterator[None]:
    """Leave the terminal to the shell while Ctrl-Z has stopped this process."""

    def stop(number: int, _: FrameType | None) -> None:
        row.leave()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)  # returns when this process is continued
        signal.signal(number, stop)

    if signal.getsignal(signal.SIGTSTP) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTSTP, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
