"""Functions that call themselves, and each other."""
# fmt: off
# ruff: noqa

from oracle import drop, keep


def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)


def deep(n, held):
    held.append(keep(1))
    if n:
        deep(n - 1, held)
    held.append(keep(2))


def down_and_up(n):
    block = keep(1)
    if n:
        down_and_up(n - 1)
        down_and_up(n - 2 if n > 1 else 0)
    drop(block)


def even(n, held):
    if n == 0:
        return True
    held.append(keep(1))
    return odd(n - 1, held)


def odd(n, held):
    if n == 0:
        return False
    answer = even(n - 1, held)
    held.append(keep(2))
    return answer


def through_c(n, held):
    held.append(keep(1))
    return list(map(lambda rest: through_c(rest, held), [n - 1] if n else []))


class Tree:
    def __init__(self, depth):
        self.block = keep(1)
        self.branches = [Tree(depth - 1) for _ in range(2)] if depth else []

    def fell(self):
        for branch in self.branches:
            branch.fell()
        drop(self.block)


def walk(tree):
    yield tree
    for branch in tree.branches:
        yield from walk(branch)


fib(8)
for function, turns in ((deep, 4), (even, 5), (through_c, 3)):
    kept = []
    function(turns, kept)
    while kept:
        drop(kept.pop())
down_and_up(3)
tree = Tree(2)
for each in walk(tree):
    each.block[0] = 1
tree.fell()
