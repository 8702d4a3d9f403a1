"""The functions and classes that a Python text defines."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ast
    from collections.abc import Iterator


def definitions(text: str | bytes) -> Iterator[tuple[str, int]]:
    """The qualified name of each, and the line that its code begins at, with its decorators; none if it is not Python."""
    tree = _parsed(text)
    if tree is not None:
        yield from _inside(tree, "")


def is_python(text: str | bytes) -> bool:
    """Whether a text can be parsed."""
    return _parsed(text) is not None


def _parsed(text: str | bytes) -> ast.AST | None:
    import ast

    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _inside(node: ast.AST, before: str) -> Iterator[tuple[str, int]]:
    import ast

    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            name = before + child.name
            yield name, min([child.lineno, *(decorator.lineno for decorator in child.decorator_list)])
            yield from _inside(child, f"{name}." if isinstance(child, ast.ClassDef) else f"{name}.<locals>.")
        else:
            yield from _inside(child, before)
