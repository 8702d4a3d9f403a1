"""What a word on a command line names: a script, on the ``PATH`` too, or a module, as for memory_profiler and mprof."""

from __future__ import annotations

import os
import sys

from memkit.tracing.targets import find_module


def is_script(word: str) -> bool:
    """Whether this is a file to run, and not the name of a module; a folder that ``python -m`` can run is a module."""
    if word.endswith(".py") or os.sep in word or os.path.isfile(word):
        return True
    return not _is_module(word) and find_script(word) is not None


def find_script(word: str) -> str | None:
    """The path of a script, as it is given or on the ``PATH``."""
    if os.path.exists(word):
        return word
    places = (os.path.join(folder, word) for folder in os.get_exec_path() if folder)
    return next((path for path in places if os.path.isfile(path)), None)


def _is_module(word: str) -> bool:
    folder = None if sys.flags.safe_path else os.getcwd()
    return bool(find_module(word, folder) or find_module(f"{word}.__main__", folder))
