"""Which code is memkit's own: told by the folder of the package, so that no module is named and a move breaks nothing."""

from __future__ import annotations

import os

PACKAGE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "")
"""The folder of this package, with a separator at its end."""

uninterruptible: set[str] = set()
"""Files of code in which no exception may be raised from outside: a recording would lose its end."""


def is_own(file: str) -> bool:
    """Whether a file is of this package."""
    return file.startswith(PACKAGE)


def is_of_any(file: str) -> bool:
    """Whether a file is of a package called memkit: this one, or that of another installation."""
    return file.endswith(".py") and "memkit" in file.replace("\\", "/").split("/")[:-1]
