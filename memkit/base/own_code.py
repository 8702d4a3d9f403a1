"""Which code is memkit's own: told by the folder of the package, so that no module is named and a move breaks nothing."""

from __future__ import annotations

import os

PACKAGE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "")
"""The folder of this package, with a separator at its end."""

_STARTERS = ("memkit/run/bootstrap.py", "memkit/start.py")

uninterruptible: set[str] = set()
"""Files of code in which no exception may be raised from outside: a recording would lose its end."""


def is_own(file: str) -> bool:
    """Whether a file is of this package."""
    return file.startswith(PACKAGE)


def starts_a_program(file: str) -> bool:
    """Whether a file is what memkit starts a measured program by: of this installation, or of another version's."""
    return file.replace("\\", "/").endswith(_STARTERS)
