"""Work that is handed to other processes: of which functions it is, so that a reader finds it in what these recorded.

Nothing of the program's is run for it, such as a ``__getattr__`` of an object that is called: what it holds is looked at as
it is stored.
"""

from __future__ import annotations

import sys

from memkit.base import own_code
from memkit.tracing.handed_over import is_machinery
from memkit.tracing.pickled_code import in_its_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import CodeType
    from typing import Any

    from memkit.tracing.functions import Functions

_MOST = 10_000  # rows
_DEEPEST = 20  # wrappers in wrappers


class GivenWork:
    """Writes a row for each function of which a node of the tree hands work to other processes."""

    def __init__(self, functions: Functions) -> None:
        self._functions = functions
        self._written: set[tuple[int, int, int]] = set()

    def take(self, node: int, local: str) -> None:
        """A node hands over what this local variable of the caller holds."""
        frame = sys._getframe(1)
        found = frame.f_locals
        if _is_a(found.get("self"), "multiprocessing.pool", "ThreadPool"):
            return
        by = self._number(frame.f_code)
        for function in _functions_in(found.get(local)):
            row = node, self._number(in_its_file(function)), by
            if row not in self._written and len(self._written) < _MOST:
                self._written.add(row)
                self._functions.row("given", *row)

    def _number(self, code: CodeType) -> int:
        return self._functions.number(code.co_filename, code.co_qualname, code.co_firstlineno)


def _functions_in(work: object) -> Iterator[Any]:
    """The functions of Python that are called first where something is called."""
    for called in _calls_of_a_batch(work):
        for _ in range(_DEEPEST):
            inner = _inside(called)
            if inner is None:
                break
            called = inner
        if type(called) is _Function:
            yield called


def _calls_of_a_batch(work: object) -> Iterator[object]:
    """What a batch of joblib's calls, each function once; of other work that itself."""
    items = _stored(work).get("items") if _is_a(work, "joblib.parallel", "BatchedCalls") else None
    if type(items) is not list:
        yield work
        return
    seen: set[int] = set()
    for item in items:
        if type(item) is tuple and item and id(item[0]) not in seen:
            seen.add(id(item[0]))
            yield item[0]


def _inside(called: Any) -> object:
    """What something calls when it is called; None: it is a function of the program, or nobody knows."""
    kind = type(called)
    if kind is _Function:
        return _stored(called).get("__wrapped__") if own_code.is_own(called.__code__.co_filename) else None
    if kind is _Method:
        return called.__func__
    if kind is getattr(sys.modules.get("functools"), "partial", None):
        function, arguments = called.func, called.args
        chunk = type(function) is _Function and is_machinery(function.__code__) and arguments
        return arguments[0] if chunk else function
    if "_obj" in (stored := _stored(called)) and any(name.endswith("cloudpickle_wrapper") for name in _modules(kind)):
        return stored["_obj"]
    if kind is type:
        return _of_class(called, "__init__")
    return _of_class(kind, "__call__")


def _stored(value: object) -> dict[str, object]:
    """The attributes of an object itself."""
    try:
        found = object.__getattribute__(value, "__dict__")
    except AttributeError:
        return {}
    return found if type(found) is dict else {}


def _classes(kind: object) -> tuple[type, ...]:
    found: tuple[type, ...] = type.__dict__["__mro__"].__get__(kind)
    return found


def _modules(kind: type) -> Iterator[str]:
    for each in _classes(kind):
        name = type.__dict__["__dict__"].__get__(each).get("__module__")
        if isinstance(name, str):
            yield name


def _name(kind: type) -> object:
    return type.__dict__["__name__"].__get__(kind)


def _is_a(value: object, module: str, name: str) -> bool:
    return any(_name(each) == name for each in _classes(type(value))) and module in _modules(type(value))


def _of_class(kind: object, name: str) -> object:
    """A method as it stands in a class, if it is a function of Python."""
    for each in _classes(kind):
        found = type.__dict__["__dict__"].__get__(each).get(name)
        if found is not None:
            return found if type(found) is _Function else None
    return None


_Function = type(_of_class)
_Method = type(GivenWork(None).take)  # type: ignore[arg-type]
