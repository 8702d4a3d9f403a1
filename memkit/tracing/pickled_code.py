"""Code that was pickled by value, and the file that it is from.

cloudpickle, with which joblib, dask, ray and spark send functions to their workers, replaces the name of the file. What it
sends of a function's globals names the file still: it is believed if a function of this name begins there at this line.
"""

from __future__ import annotations

import os
import sys

from memkit.model.file_format import PICKLED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, FrameType, FunctionType

_MOST = 10_000  # functions that are remembered
_DECORATORS = 50  # lines that they may take before the name of their function

_found: dict[tuple[str, str, int], bool] = {}
_first: dict[CodeType, CodeType] = {}


def named_after_its_file(code: CodeType) -> CodeType:
    """The code object; one that cloudpickle has made, and that runs now, with the file that it is from, if that is known."""
    if code.co_filename != PICKLED:
        return code
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code is not code:
        frame = frame.f_back
    return code if frame is None else _of_file(code, frame.f_globals.get("__file__"))


def come_home(function: FunctionType) -> None:
    """Give a function that was pickled by value the file that it is from, and the code of one like it that came before.

    A worker gets such a function anew with each task: what was kept for each would add up.
    """
    code = in_its_file(function)
    if len(_first) >= _MOST:
        _first.clear()
    function.__code__ = _first.setdefault(code, code)


def in_its_file(function: FunctionType) -> CodeType:
    """The code of a function; of one that cloudpickle has made with the file that it is from, if that is known."""
    return _of_file(function.__code__, function.__globals__.get("__file__"))


def wanted_by(wanted: Callable[[CodeType], bool], code: CodeType, named: CodeType) -> bool:
    """Whether code is wanted, as it is or as :func:`named_after_its_file` gives it."""
    return wanted(code) or (named is not code and wanted(named))


def _of_file(code: CodeType, file: object) -> CodeType:
    """The code with the name of a file, and what is nested in it, if the file has it."""
    if code.co_filename != PICKLED or not isinstance(file, str):
        return code
    file = os.path.abspath(file)
    key = file, code.co_name, code.co_firstlineno
    if key not in _found:
        if len(_found) >= _MOST:
            _found.clear()
        _found[key] = _begins_there(*key)
    return _renamed(code, file) if _found[key] else code


def _renamed(code: CodeType, file: str) -> CodeType:
    constants = tuple(_renamed(each, file) if isinstance(each, type(code)) else each for each in code.co_consts)
    return code.replace(co_filename=file, co_consts=constants)


def _begins_there(file: str, name: str, number: int) -> bool:
    """Whether a function of this name begins in this line of a file, or right after its decorators."""
    try:
        with open(file, encoding="utf-8", errors="replace") as source:
            lines = [line for count, line in zip(range(number + _DECORATORS), source) if count >= number - 1]
    except (OSError, ValueError):
        return False
    if name.startswith("<"):  # a lambda or comprehension has no name to look for
        return bool(lines) and (name != "<lambda>" or "lambda" in lines[0])
    for place, line in enumerate(lines):
        words = [word for word in line.replace("(", " ").replace("[", " ").split() if word != "async"]
        if words[:1] == ["def"]:
            return words[1:2] == [name]
        if place == 0 and not line.lstrip().startswith("@"):
            return False
    return False
