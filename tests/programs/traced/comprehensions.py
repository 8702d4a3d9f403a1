"""Comprehensions of every kind, and functions without a name."""
# fmt: off
# ruff: noqa

from oracle import drop, keep


def of_every_kind(count):
    numbers = [number * 2 for number in range(count)]
    squares = {number: number**2 for number in numbers if number % 3}
    rests = {number % 4 for number in squares}
    return sum(number for number in rests)


def over_lines(count):
    return [
        (
            row,
            column,
        )
        for row in range(count)
        if row
        for column in range(row)
    ]


def inside_each_other(count):
    return [[column + row for column in range(row)] for row in range(count)]


def that_keep(count):
    blocks = [keep(1) for _ in range(count)]
    named = {place: block for place, block in enumerate(blocks)}
    [
        drop(block)
        for block in named.values()
    ]


def that_fail():
    try:
        return [1 // number for number in (2, 1, 0)]
    except ZeroDivisionError:
        return [
            None
            for _ in range(2)
        ]


def nameless(blocks):
    take = lambda size: blocks.append(keep(size))
    take(1)
    list(map(lambda size: take(size), [1, 2]))
    give = lambda: (
        drop(
            blocks.pop()
        )
    )
    while blocks:
        give()
    return sorted([3, 1, 2], key=lambda number: -number)


def lazily():
    blocks = (keep(size) for size in (1, 2))
    first = next(blocks)
    second = next(blocks)
    for block in (first, second):
        drop(block)
    return list(blocks)


of_every_kind(9)
over_lines(4)
inside_each_other(3)
that_keep(3)
that_fail()
nameless([])
lazily()
MODULE_LEVEL = [number for number in range(3)]
