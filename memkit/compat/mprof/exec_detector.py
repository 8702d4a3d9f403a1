"""Noticing that a process now executes another program, by ``execve``."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

LOAD_POLLS, LOAD_POLL = 100, 0.001
"""How many times, and how many seconds apart, to check whether a program has been loaded."""


class ExecDetector:
    """Detects that a process executes another program than ``path``, an interpreter. It does so on Linux only.

    Where ``path`` is a script, for instance, that starts the interpreter, the interpreter is the program for which
    ``has_begun`` becomes true.
    """

    def __init__(self, pid: int, path: str, has_begun: Callable[[], bool]) -> None:
        self.detected = False
        self._pid, self._has_begun = pid, has_begun
        self._image = self._loaded_image() if self._executes(path) else None

    def is_same_program(self) -> bool:
        """Check now; returns False if it executes another program."""
        image = self._current_image()
        if self._image is None:
            self._image = image if self._has_begun() else None
        self.detected = image is not None and self._image not in (None, image)
        return not self.detected

    def _executes(self, path: str) -> bool:
        try:
            return os.readlink(f"/proc/{self._pid}/exe") == os.path.realpath(path)
        except OSError:
            return False

    def _loaded_image(self) -> tuple[bytes, bytes] | None:
        """The image, once the kernel has loaded it, which may be after ``Popen`` has returned."""
        for _ in range(LOAD_POLLS):
            image = self._current_image()
            if image is not None:
                return image
            time.sleep(LOAD_POLL)
        return None

    def _current_image(self) -> tuple[bytes, bytes] | None:
        """The addresses of code and stack, which the kernel randomizes for each program; None if they are not known."""
        try:
            with open(f"/proc/{self._pid}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
            code, stack = fields[23], fields[25]
        except (OSError, IndexError):
            return None
        return None if fields[0] in b"ZX" or b"0" in (code, stack) else (code, stack)
