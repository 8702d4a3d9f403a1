"""The statements of a Python text: which one a line belongs to, what it says in any layout, and which names it uses."""

from __future__ import annotations

import ast
from bisect import bisect_right
from collections.abc import Iterator
from typing import NamedTuple

_BODIES = ("body", "orelse", "finalbody", "handlers", "cases")
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


class Statement(NamedTuple):
    """A simple statement, or the head of one that has others below it."""

    first: int
    last: int
    text: str
    """As Python writes it: layout, quotes and comments are gone."""
    names: frozenset[str]
    """The last parts of the names that it reads: of ``json.dumps(rows)`` these are json, dumps and rows."""


class Statements:
    """The statements of a text; lines belong to none where it is not Python."""

    def __init__(self, lines: list[str]):
        self.lines = lines
        self._known: dict[int, Statement] = {}
        self._definitions: dict[tuple[str, int], tuple[int, int]] = {}
        self._spans: list[tuple[int, int, list[ast.AST]]] = []
        self._outermost: set[int] = set()
        try:
            tree = ast.parse("\n".join(lines))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return
        found: list[tuple[int, int, ast.AST]] = []
        self._walk(tree, found)
        for first, last, node in sorted(found, key=lambda each: (each[0], getattr(each[2], "col_offset", 0))):
            if self._spans and first <= self._spans[-1][1]:  # two on a line, or one in another: they are one
                before, end, nodes = self._spans[-1]
                self._spans[-1] = before, max(end, last), [*nodes, node]
            else:
                self._spans.append((first, last, [node]))
        self._starts = [first for first, _, _ in self._spans]

    def _walk(self, tree: ast.AST, found: list[tuple[int, int, ast.AST]]) -> None:
        """Collect the statements and where functions are, without recursion: texts may be deep."""
        ahead: list[tuple[ast.AST, str]] = [(tree, "")]
        while ahead:
            node, before = ahead.pop()
            if isinstance(node, (ast.stmt, ast.ExceptHandler)):
                found.append((*_lines_of(node), node))
                if not before:
                    self._outermost.add(found[-1][0])
            if isinstance(node, _DEFINITIONS):
                first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
                self._definitions[before + node.name, first] = first, node.end_lineno or node.lineno
                before += f"{node.name}." if isinstance(node, ast.ClassDef) else f"{node.name}.<locals>."
            for field in _BODIES:
                below = getattr(node, field, None)
                if isinstance(below, list):
                    ahead += [(child, before) for child in below]

    def at(self, number: int) -> Statement | None:
        """The statement that a line belongs to, counted from 1; None where there is none."""
        place = bisect_right(self._starts, number) - 1 if self._spans else -1
        if place < 0 or not self._spans[place][0] <= number <= self._spans[place][1]:
            return None
        if place not in self._known:
            first, last, nodes = self._spans[place]
            text = "; ".join(map(_text_of, nodes)) or " ".join(self.raw(first, last))
            names = frozenset().union(*map(_names_of, nodes))
            self._known[place] = Statement(first, last, text, names)
        return self._known[place]

    def raw(self, first: int, last: int) -> tuple[str, ...]:
        """The lines as they are, without what is around them."""
        return tuple(line.strip() for line in self.lines[first - 1 : last])

    def body(self, name: str, line: int) -> tuple[str, ...]:
        """The statements of a function by its qualified name and where it begins, without its head, if it is there."""
        return tuple(statement.text for statement in self.within(name, line))

    def of_module(self) -> Iterator[Statement]:
        """The statements that are in no function and in no class."""
        yield from (statement for first in sorted(self._outermost) if (statement := self.at(first)) is not None)

    def within(self, name: str, line: int) -> Iterator[Statement]:
        """The statements of :meth:`body`, with where they are."""
        place = self._definitions.get((name, line))
        if place is None:
            return
        head = self.at(line)
        number = (head.last if head is not None else line) + 1
        while number <= place[1]:
            statement = self.at(number)
            if statement is not None:
                yield statement
                number = statement.last
            number += 1


def _lines_of(node: ast.stmt | ast.ExceptHandler) -> tuple[int, int]:
    """The first and the last line of a statement, of one with others below it those of its head."""
    first = min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", ()))])
    starts = [
        each.pattern.lineno if isinstance(each, ast.match_case) else each.lineno
        for field in _BODIES
        for each in _below(node, field)
    ]
    decorated = [line for each in _below(node, "body") for line in _decorators(each)]
    last = node.end_lineno or node.lineno
    return first, max(node.lineno, min([last, *(line - 1 for line in (*starts, *decorated))]))


def _below(node: ast.AST, field: str) -> list[ast.stmt | ast.ExceptHandler | ast.match_case]:
    found = getattr(node, field, None)
    return found if isinstance(found, list) else []


def _decorators(node: ast.AST) -> list[int]:
    return [each.lineno for each in getattr(node, "decorator_list", ())]


def _head(node: ast.AST) -> ast.AST:
    """The node without what is below it."""
    if not any(_below(node, field) for field in _BODIES):
        return node
    fields = {field: [] if field in _BODIES and _below(node, field) else value for field, value in ast.iter_fields(node)}
    return type(node)(**fields)


def _text_of(node: ast.AST) -> str:
    try:
        return ast.unparse(ast.fix_missing_locations(_head(node))).strip()
    except (RecursionError, ValueError, AttributeError, TypeError):
        return ""


def _names_of(node: ast.AST) -> frozenset[str]:
    found = set()
    ahead: list[ast.AST] = [_head(node)]
    while ahead:
        each = ahead.pop()
        if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Load):
            found.add(each.id)
        elif isinstance(each, ast.Attribute):
            found.add(each.attr)
        ahead += ast.iter_child_nodes(each)
    return frozenset(found)
