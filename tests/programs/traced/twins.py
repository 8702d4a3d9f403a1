"""Functions with the same code: equal, and yet not the same."""
# fmt: off
# ruff: noqa

from oracle import drop, keep


def make(text):
    space = {"keep": keep, "drop": drop}
    exec(compile(text, __file__, "exec"), space)
    return space["twin"]


__file__ = make.__code__.co_filename
SOURCE = """
def twin(turns):
    for _ in range(turns):
        drop(keep(1))
    return turns
"""
one, other = make(SOURCE), make(SOURCE)
assert one.__code__ == other.__code__
assert one.__code__ is not other.__code__
one(1), other(2), one(3)


def closure(size):
    def inner(turns):
        block = keep(size)
        drop(block)
        return turns

    return inner


closure(1)(1), closure(2)(2)
