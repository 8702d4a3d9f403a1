"""Imports of memkit's while a program runs whose folder has a file with the name of a standard module."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_known: dict[str, set[str]] = {}  # the names of standard modules that a folder has


class StandardModules:
    """While this is open, imports find the standard modules; afterwards the program finds its own again.

    Without it, what memkit imports late would import the program's ``token`` or ``types`` in place of Python's.
    """

    def __enter__(self) -> None:
        self._folder = sys.path[0] if sys.path else None
        self._shadowed = _shadowed(self._folder) if self._folder is not None else []
        if self._shadowed:
            del sys.path[0]

    def __exit__(self, *error: object) -> None:
        if not self._shadowed or self._folder is None:
            return
        sys.path.insert(0, self._folder)
        for name in self._shadowed:  # who has imported it keeps it
            sys.modules.pop(name, None)


def resource_module() -> Any:
    """Python's ``resource``; None where there is none, or the program has imported another of that name."""
    with StandardModules():
        try:
            import resource
        except ImportError:
            return None
    return resource if hasattr(resource, "getrusage") else None


def _shadowed(folder: str) -> list[str]:
    """The standard modules, not imported so far, that a folder has files or folders of the same name as."""
    if folder not in _known:
        try:
            names = {name.partition(".")[0] for name in os.listdir(folder or ".")}
            is_standard = os.path.realpath(folder) == os.path.dirname(os.path.realpath(os.__file__))
        except OSError:  # a zip file, for instance, or a folder that is gone
            names, is_standard = set(), False
        _known[folder] = set() if is_standard else names & sys.stdlib_module_names
    return [name for name in _known[folder] if name not in sys.modules]
