"""A terminal for tests: programs run in it, and what stands on its screen and what has scrolled off can be looked at."""

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
from pathlib import Path

IN_TERMINAL = str(Path(__file__).parent / "programs" / "in_terminal.py")
PIECE = re.compile(r"\x1b\[([?\d;]*)([A-Za-z])|\x1b(.)|([\x00-\x1f])|([^\x00-\x1f]+)", re.DOTALL)


class Screen:
    """What a terminal shows that understands what programs of memkit's and its tests write."""

    def __init__(self, rows, columns):
        self.rows, self.columns = rows, columns
        self.lines = [""] * rows
        self.gone = []
        """What has scrolled off at the top."""
        self.row = self.column = 0
        self.region = (0, rows - 1)
        self.saved = (0, 0)
        self.rest = ""

    def feed(self, text):
        text = self.rest + text
        place = 0
        while match := PIECE.match(text, place):
            if match[0] == "\x1b":
                break
            place = match.end()
            self.do(*match.groups())
        self.rest = text[place:]

    def do(self, numbers, command, escape, control, written):
        values = [int(number) if number.isdigit() else 0 for number in (numbers or "").split(";")]
        if command == "r":
            self.region = (max(values[0], 1) - 1, (values[1] if len(values) > 1 else self.rows) - 1)
            self.row = self.column = 0
        elif command == "H":
            self.row, self.column = max(values[0], 1) - 1, max(values[-1] if len(values) > 1 else 1, 1) - 1
        elif command in ("A", "B"):
            self.row += max(values[0], 1) * (1 if command == "B" else -1)
            self.row = min(max(self.row, 0), self.rows - 1)
        elif command in ("J", "K"):
            last = self.row + 1 if command == "K" else self.rows
            self.lines[self.row : last] = [self.lines[self.row][: self.column], *[""] * (last - self.row - 1)]
        elif escape == "7":
            self.saved = (self.row, self.column)
        elif escape == "8":
            self.row, self.column = self.saved
        elif escape == "D" or control == "\n":
            self.down()
        elif control == "\r":
            self.column = 0
        elif written:
            line = self.lines[self.row].ljust(self.column)
            self.lines[self.row] = line[: self.column] + written + line[self.column + len(written) :]
            self.column += len(written)
        else:
            assert command == "m" or control in ("\a", "\b"), (numbers, command, escape, control)

    def down(self):
        top, bottom = self.region
        if self.row == bottom:
            self.gone.append(self.lines.pop(top))
            self.lines.insert(bottom, "")
        elif self.row < self.rows - 1:
            self.row += 1

    def enlarge(self, rows, pulls):
        """Become higher; ``pulls`` is whether what has scrolled off comes back, as in many terminals."""
        back = self.gone[self.rows - rows :] if pulls else []
        del self.gone[len(self.gone) - len(back) :]
        self.lines = back + self.lines + [""] * (rows - self.rows - len(back))
        self.row += len(back)
        self.rows, self.region = rows, (0, rows - 1)

    @property
    def bottom(self):
        return self.lines[-1].rstrip()

    @property
    def transcript(self):
        """All that was ever written and not written over, without the empty end."""
        return "\n".join(line.rstrip() for line in self.gone + self.lines).rstrip("\n")


class Terminal:
    """A terminal in which a command runs as the job in the foreground."""

    def __init__(self, command, folder, rows=12, columns=80, **environment):
        self.screen = Screen(rows, columns)
        self.seen = ""
        self.ours, theirs = pty.openpty()
        self.resize(rows, columns)
        self.before = termios.tcgetattr(theirs)
        words = [sys.executable, IN_TERMINAL, *command]
        known = {**os.environ, "TERM": "xterm", "PYTHONIOENCODING": "utf-8", **environment}
        streams = dict.fromkeys(("stdin", "stdout", "stderr"), theirs)
        self.process = subprocess.Popen(words, cwd=folder, env=known, start_new_session=True, **streams)
        self._theirs = theirs  # so that its modes can be asked for at the end

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(60)
        os.close(self._theirs)
        os.close(self.ours)

    def resize(self, rows, columns):
        fcntl.ioctl(self.ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read(self, seconds):
        """Take in what is there, or comes within some seconds; False where nothing does."""
        if not select.select([self.ours], [], [], seconds)[0]:
            return False
        text = os.read(self.ours, 65536).decode()
        self.seen += text
        self.screen.feed(text)
        return True

    def until(self, condition):
        """Go on until the screen is as it should be."""
        while not condition(self.screen):
            assert self.read(60), self.screen.lines

    def type(self, text):
        os.write(self.ours, text.encode())

    def end(self):
        """The exit code, after all has been read."""
        while self.process.poll() is None or select.select([self.ours], [], [], 0)[0]:
            self.read(0.05)
        return self.process.returncode

    @property
    def modes(self):
        return termios.tcgetattr(self._theirs)
