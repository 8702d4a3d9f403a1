"""The trees of calls of two sides, laid over each other by functions that are matched."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from memkit.report.comparing.sides import Key, Node, Side


class Joint(NamedTuple):
    """A path of calls on both sides, or on one; the other is None."""

    id: int
    parent: int | None
    before: Node | None
    after: Node | None


def joined(one: Side, other: Side, pairs: dict[Key, Key]) -> Iterator[Joint]:
    """The paths of two sides, callers before what they call. ``pairs`` are the functions that are matched."""
    ahead: list[tuple[int | None, Node | None, Node | None]] = []
    ahead += [(None, mine, its) for mine, its in _children(one.tree, other.tree, pairs)][::-1]
    count = 0
    while ahead:
        parent, before, after = ahead.pop()
        yield Joint(count, parent, before, after)
        ahead += [(count, mine, its) for mine, its in _children(before, after, pairs)][::-1]
        count += 1


def _children(before: Node | None, after: Node | None, pairs: dict[Key, Key]) -> Iterator[tuple[Node | None, Node | None]]:
    theirs = dict(after.below) if after is not None else {}
    for key, node in before.below.items() if before is not None else ():
        its = pairs.get(key)
        yield node, theirs.pop(its, None) if its is not None else None
    for node in theirs.values():
        yield None, node
