"""Which code is of libraries, and what is a program's own code where it begins in one, as a server does that runs an app.

Libraries are the standard library, installed packages, and all else in the virtual environment that runs here.
"""

from __future__ import annotations

import os
import sys

from memkit.base import own_code, paths

_PACKAGES = ("/site-packages/", "/dist-packages/")
_LONGEST_COMMAND = 4000  # bytes of the script of a command that only starts what is in a library


def is_below(file: str, folder: str) -> bool:
    """Whether a file is below a folder, which has a separator at its end, and of no library that is below it, too."""
    if file.startswith(folder):
        return not _is_library(file, folder)
    if _is_library(file) and not _is_library(folder):  # as nearly every file is; the links of a path take longer to follow
        return False
    real, start = os.path.realpath(file), os.path.join(os.path.realpath(folder), "")
    return real.startswith(start) and not _is_library(real, start)


def own_target(file: str, *, module: bool, package: bool) -> str:
    """The target for the own code of a program that begins in a file: a script's, or a module's, perhaps of a package.

    Where that is of a library, the code of the program is what is below the working directory.
    """
    folder = paths.working_folder()
    of_library = _is_library(os.path.realpath(file)) or _is_library(file) if module else _starts_a_library(file)
    if of_library and folder is not None:
        return os.path.join(folder, "")
    return os.path.join(os.path.dirname(file), "*") if package else file


def _is_library(file: str, folder: str = os.sep) -> bool:
    """Whether a file is of a library that is below a folder. The folder may be in a library itself."""
    rest = os.path.join(os.sep, file.removeprefix(folder)).replace(os.sep, "/")
    if any(name in rest for name in _PACKAGES) or own_code.is_own(file):
        return True
    return any(file.startswith(place) and len(place) > len(folder) for place in _PLACES)


def _places() -> list[str]:
    """The folders of the standard library and, if there is one, of the virtual environment. Each ends with a separator."""
    found = [os.path.dirname(os.__file__)]
    if sys.prefix != sys.base_prefix:
        found.append(sys.prefix)
    return [os.path.join(place, "") for each in found for place in (each, os.path.realpath(each))]


_PLACES = _places()


def _starts_a_library(script: str) -> bool:
    """Whether a script only starts what is in a library: that of an installed command, or Django's ``manage.py``."""
    try:
        with open(script, "rb") as file:
            text = file.read(_LONGEST_COMMAND)
    except OSError:
        return False
    if os.path.basename(script) == "manage.py":
        return b"django.core.management" in text
    is_installed = os.path.dirname(os.path.realpath(script)) == os.path.dirname(sys.executable) or _is_library(script)
    return is_installed and b"sys.exit(" in text and (b"def " not in text or b"load_entry_point" in text)
