"""Names that a module imports from another, followed to where they are defined, without importing anything."""

from __future__ import annotations

import os

from memkit.model.definitions import definitions

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ast
    from collections.abc import Callable, Iterator

    FindModule = Callable[[str], str | None]

_DEEPEST = 20  # modules from the first to the one that defines a name


def defined_at(file: str, name: str, module: str, find: FindModule, depth: int = _DEEPEST) -> list[str]:
    """The targets that define what a file has by a name: ``file.py:name``, or a file where the name is a module's.

    ``module`` is the dotted name of the file, ``find`` finds the file of a module.
    """
    import ast

    text = _text_of(file)
    if any(known == name for known, _ in definitions(text)):
        return [f"{file}:{name}"]
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    package = module if os.path.basename(file) == "__init__.py" else module.rpartition(".")[0]
    found: list[str] = []
    for source, further in _sources(tree, name, package) if depth else ():
        within = find(source) if source else file  # another name of this module
        if within is not None:
            found += defined_at(within, further, source or module, find, depth - 1) if further else [within]
    return list(dict.fromkeys(found))


def imported_names(file: str) -> list[str]:
    """The names that a module has from others."""
    import ast

    try:
        tree = ast.parse(_text_of(file))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    found = [node for node in _at_top(tree) if isinstance(node, (ast.ImportFrom, ast.Import))]
    return [alias.asname or alias.name for node in found for alias in node.names]


def _text_of(file: str) -> bytes:
    try:
        with open(file, "rb") as source:
            return source.read()
    except OSError:
        return b""


def _sources(tree: ast.Module, name: str, package: str) -> Iterator[tuple[str, str]]:
    """The modules that a name may come from, each with the name that it has there; an empty name is the module itself."""
    import ast

    head, dot, rest = name.partition(".")
    for node in _at_top(tree):
        if isinstance(node, ast.ImportFrom):
            source = _absolute(node, package)
            names = [alias.name for alias in node.names if alias.name == "*" or (alias.asname or alias.name) == head]
            for known in names:
                yield source, name if known == "*" else known + dot + rest
                yield f"{source}.{known}", rest  # where that is a module
        elif isinstance(node, ast.Import):
            yield from ((alias.name, rest) for alias in node.names if (alias.asname or alias.name) == head)
        elif isinstance(node, ast.Assign) and head in map(ast.unparse, node.targets):
            yield "", ast.unparse(node.value) + dot + rest  # which is another name, or none at all


def _at_top(node: ast.AST) -> Iterator[ast.AST]:
    """The statements that run when a module is imported, or may run: those in ``if`` and ``try``, too."""
    import ast

    for child in ast.iter_child_nodes(node):
        if not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.expr)):
            yield child
            yield from _at_top(child)


def _absolute(node: ast.ImportFrom, package: str) -> str:
    if not node.level:
        return node.module or ""
    parts = package.split(".")
    base = ".".join(parts[: len(parts) - node.level + 1])
    return f"{base}.{node.module}" if node.module else base
