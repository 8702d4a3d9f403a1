"""Targets, names and objects that say what is to be traced, and whether a code object is one of them.

===============================  =====================================================================================
target                           what is traced
===============================  =====================================================================================
a function, method, class        its code; of a class, every function in it. Decorators, properties, ``partial`` and the
                                 like are unwrapped
a code object                    itself
a module, ``"package.module"``   everything in its file
``"package.module:name"``        a function or class of that module, by its qualified name; globs are allowed
``"file.py"``, ``"src/*.py"``    everything in the files
``"file.py:name"``               a function or class in the file
``"folder/"``, ``"."``           everything below the folder that is of no library
===============================  =====================================================================================

Code that is nested in a target (inner functions, lambdas, comprehensions) is traced as well, and has a table of its own.
A module need not be imported yet: its code is recognised when it first runs.
"""

from __future__ import annotations

import os
import sys
from types import MappingProxyType

from memkit.base.decorators import is_command
from memkit.base.errors import UsageError, nearest
from memkit.model.definitions import definitions, is_python
from memkit.tracing import libraries

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import CodeType, ModuleType
    from typing import Any, TypeGuard

    OneTarget = str | ModuleType | CodeType | type | Callable[..., Any] | property | staticmethod[..., Any]
    Target = OneTarget | Iterable[OneTarget]

_MOST_FILES = 10_000
_WRAPPERS = ("__wrapped__", "__func__", "func", "dispatcher", "fget", "fset", "fdel")


class Targets:
    """A set of targets. Raises ``UsageError`` for what cannot be one."""

    def __init__(self, targets: object = ()) -> None:
        self._codes: dict[int, CodeType] = {}
        self._named: list[CodeType] = []
        self._places: list[_Place] = []
        for target in targets if _is_group(targets) else [targets]:
            self.add(target)

    def add(self, target: object) -> None:
        """Add one more."""
        if isinstance(target, str):
            self._places.append(_Place(target))
        elif isinstance(target, type(sys)):
            self._places.append(_Place.of_file(getattr(target, "__file__", None), target))
        else:
            for code in codes_of(target):
                if id(code) not in self._codes:
                    self._named.append(code)
                self._codes[id(code)] = code

    def wants(self, code: CodeType) -> bool:
        """Whether this very code object is a target, or nested in one."""
        if id(code) in self._codes:
            self._add_nested(code)
            return True
        return any(place.holds(code) for place in self._places)

    def rules_out(self, code: CodeType) -> bool:
        """Whether this code, which stands in a file, is no target, where functions are all that was named."""
        return id(code) not in self._codes and not self._places and not code.co_filename.startswith("<")

    def _add_nested(self, code: CodeType) -> None:
        for constant in code.co_consts:
            if isinstance(constant, type(code)):
                self._codes[id(constant)] = constant

    def texts(self) -> list[str]:
        """The same targets as text, for another process."""
        named = [f"{code.co_filename}:{code.co_qualname}" for code in self._named]
        return [*(text for place in self._places for text in place.texts()), *named]

    def check(self, folder: str | None = None, *, now: bool = False) -> None:
        """Raise ``UsageError`` for a name that is not in its file, with the most similar one that is.

        Modules are searched in ``folder`` before ``sys.path``. A module inside a package may appear later, unless it must
        exist ``now``. A name that a module has from another is followed there.
        """
        for place in self._places:
            place.check_place(folder, now)
            place.check_name(folder)

    def check_names(self) -> None:
        """The same for what is there now: a file or module that is not there may be made later."""
        for place in self._places:
            place.check_name(None)


def codes_of(target: object) -> list[CodeType]:
    """The code objects of a callable or class, through all that wraps them; a code object itself."""
    if isinstance(target, type(codes_of.__code__)):
        return [target]
    found = _search(target, set())
    if not found:
        raise UsageError(f"{target!r} has no Python code to trace: name a function, a method, a class or a module")
    return found


def _search(target: Any, seen: set[int]) -> list[CodeType]:
    if id(target) in seen:
        return []
    seen.add(id(target))
    if isinstance(target, type):
        return [code for value in vars(target).values() if _may_hold(value) for code in _search(value, seen)]
    inner = [getattr(target, name, None) for name in _WRAPPERS]
    if isinstance(getattr(target, "registry", None), MappingProxyType):  # of functools.singledispatch
        inner += target.registry.values()
    if is_command(target):
        inner.append(target.callback)
    found = [code for value in inner if value is not None and _may_hold(value) for code in _search(value, seen)]
    code = getattr(target, "__code__", None)
    if code is not None and not found:
        return [code]
    call = getattr(type(target), "__call__", None)  # noqa: B004 (of the type: for callable instances)
    if not found and not isinstance(target, type) and hasattr(call, "__code__"):
        return _search(call, seen)
    return found


def _may_hold(value: object) -> bool:
    return callable(value) or hasattr(value, "fget") or hasattr(value, "__func__") or hasattr(value, "func")


def folder_of(where: str) -> str | None:
    """The folder that a text names, from the root on and with a separator at its end; None where it names something else."""
    if where in (".", "..") or where.endswith(("/", os.sep)) or (os.sep in where and os.path.isdir(where)):
        return os.path.join(os.path.abspath(where), "")
    return None


def _is_group(targets: object) -> TypeGuard[Iterable[object]]:
    return isinstance(targets, (list, tuple, set, frozenset))


class _Place:
    """A file, several by a glob or below a folder, or a module; and perhaps a name in it."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._name: str
        where, _, self._name = text.partition(":") if not _is_drive(text) else _split_drive(text)
        if not where or (":" in text and not self._name):
            raise UsageError(f"target {text!r}: write file.py, file.py:name, folder/, package.module or package.module:name")
        self._folder = folder_of(where)
        is_file = where.endswith(".py") or os.sep in (self._folder or where) or where[0] == "<" or os.path.isfile(where)
        self._path: str | None = None
        self._module: str | None = None
        if is_file:
            self._path = where if where.startswith("<") else os.path.abspath(where)
        else:
            self._module = where
        if self._module and not all(part.isidentifier() for part in where.split(".")):
            raise UsageError(f"target {text!r}: {where!r} is neither a file nor the name of a module")
        self._known: dict[str, bool] = {}
        self._elsewhere: list[_Place] = []  # what its name leads to

    @classmethod
    def of_file(cls, path: str | None, owner: object) -> _Place:
        """The file of a module."""
        if not path:
            raise UsageError(f"{owner!r} is not made of Python source, so none of its lines can be traced")
        return cls(path)

    def texts(self) -> list[str]:
        """The text that it was made of, independent of the current folder, or those that its name leads to."""
        if self._elsewhere:
            return [text for place in self._elsewhere for text in place.texts()]
        where = self._folder or self._module or self._path or ""
        return [f"{where}:{self._name}" if self._name else where]

    def holds(self, code: CodeType) -> bool:
        """Whether a code object is in it."""
        if self._elsewhere:
            return any(place.holds(code) for place in self._elsewhere)
        file = code.co_filename
        if file not in self._known:
            if len(self._known) >= _MOST_FILES:  # code of a text may have a file name of its own each time
                self._known.clear()
            self._known[file] = self._is_file(file)
        return self._known[file] and (not self._name or self._is_named(code.co_qualname))

    def _is_file(self, file: str) -> bool:
        if self._folder is not None:
            return not file.startswith("<") and libraries.is_below(os.path.abspath(file), self._folder)
        if self._path is not None:
            whole = file if file.startswith("<") else os.path.abspath(file)
            return whole == self._path or _matches(whole, self._path) or _same(whole, self._path)
        module = self._module or ""
        origin = find_module(module)
        if origin is not None:
            return os.path.abspath(file) == origin
        steps = module.replace(".", os.sep)
        return file.endswith((f"{os.sep}{steps}.py", f"{os.sep}{steps}{os.sep}__init__.py"))

    def _is_named(self, name: str) -> bool:
        parts = name.split(".")
        heads = [".".join(parts[: count + 1]) for count in range(len(parts))]
        return any(head == self._name or _matches(head, self._name) for head in heads)

    def check_place(self, folder: str | None, now: bool) -> None:
        """Raise ``UsageError`` if the file or module does not exist; see ``Targets.check``."""
        if self._path is not None:
            if not _is_glob(self._path) and not self._path.startswith("<") and not os.path.exists(self._path):
                kind = "file" if self._folder is None else "folder"
                raise UsageError(f"target {self._text!r}: there is no {kind} {self._path!r}")
            return
        module = self._module or ""
        there = self._file(folder) is not None or module in sys.builtin_module_names or self._is_loaded(folder)
        if not there and (now or "." not in module):
            name = self._name or module
            raise UsageError(f"target {self._text!r}: there is no module {module!r}; for a function write file.py:{name}")
        if now and module in sys.builtin_module_names:
            raise UsageError(f"target {self._text!r}: {module!r} is not made of Python source")

    def check_name(self, folder: str | None) -> None:
        """Raise ``UsageError`` if there is no such name in the file or module, which is there."""
        if not self._name:
            return
        if self._is_loaded(folder) and (codes := self._codes_of_object()):
            places = [_Place(f"{code.co_filename}:{code.co_qualname}") for code in codes]
            self._elsewhere = [] if all(map(self.holds, codes)) else places
            return
        file = self._file(folder)
        if file is None or not file.endswith(".py"):
            return
        names = names_in(file)
        if names is None or any(self._is_named(name) for name in names):
            return
        from memkit.tracing.reexports import defined_at, imported_names

        def find(module: str) -> str | None:
            return find_module(module, folder) or find_module(module)

        if self._module:
            self._elsewhere = [_Place(text) for text in defined_at(file, self._name, self._module, find)]
            names += imported_names(file)
        if not self._elsewhere:
            where, hint = os.path.basename(file), nearest(self._name, [name for name in names if name != self._name])
            raise UsageError(f"target {self._text!r}: there is no {self._name!r} in {where}{hint}")

    def _file(self, folder: str | None) -> str | None:
        """The file, if it is one and there."""
        if self._module is not None:
            return find_module(self._module, folder) or find_module(self._module)
        known = self._path is not None and not _is_glob(self._path) and os.path.exists(self._path)
        return self._path if known else None

    def _is_loaded(self, folder: str | None) -> bool:
        """Whether it is a module of this process, and not of one that is to be started in a folder."""
        return folder is None and self._module is not None and self._module in sys.modules

    def _codes_of_object(self) -> list[CodeType]:
        """The code of what the loaded module has by the name; none if it has no such name, or no Python code of its own."""
        found: Any = sys.modules[self._module or ""]
        try:
            for name in self._name.split("."):
                found = getattr(found, name)
            return codes_of(found)
        except (AttributeError, UsageError):
            return []


def _is_drive(text: str) -> bool:
    return len(text) > 2 and text[1] == ":" and text[2] in "\\/"


def _split_drive(text: str) -> tuple[str, str, str]:
    where, colon, name = text[2:].partition(":")
    return text[:2] + where, colon, name


def _is_glob(text: str) -> bool:
    return any(sign in text for sign in "*?[")


def _matches(text: str, pattern: str) -> bool:
    if not _is_glob(pattern):
        return False
    from fnmatch import fnmatchcase

    return fnmatchcase(text, pattern)


def _same(one: str, other: str) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False


def find_module(name: str, folder: str | None = None) -> str | None:
    """The file of a module by its dotted name, found without importing anything; None if that is not possible.

    ``folder`` is searched before ``sys.path``.
    """
    known = sys.modules.get(name) if folder is None else None
    if known is not None:
        file = getattr(known, "__file__", None)
        return os.path.abspath(file) if file else None
    from importlib.machinery import PathFinder

    places, spec = None if folder is None else [folder, *sys.path], None
    so_far = ""
    for part in name.split("."):
        if so_far and places is None:  # it is no package
            return None
        so_far = f"{so_far}.{part}" if so_far else part
        spec = PathFinder.find_spec(so_far, places)
        if spec is None:
            return None
        places = spec.submodule_search_locations
    return os.path.abspath(spec.origin) if spec is not None and spec.origin and spec.has_location else None


def names_in(file: str) -> list[str] | None:
    """The qualified names of the functions and classes in a source file; None if it cannot be read, or is not Python."""
    try:
        with open(file, "rb") as source:
            text = source.read()
    except OSError:
        return None
    return [name for name, _ in definitions(text)] if is_python(text) else None
