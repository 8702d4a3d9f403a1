"""Conditions, match, with and what an expression over several lines does."""
# fmt: off
# ruff: noqa

from contextlib import contextmanager, suppress

from oracle import drop, keep


def choose(value):
    match value:
        case 0:
            return "zero"
        case int() | float() if value < 0:
            return "negative"
        case {"key": inner}:
            return choose(inner)
        case [first, *rest]:
            return choose(first), len(rest)
        case str():
            pass
        case _:
            return "other"
    return "text"


def decide(first, second):
    if first and not second:
        return 1
    elif second or (
        first
        and second
    ):
        return 2
    return 3 if first else 4


class Room:
    def __init__(self, size):
        self.size = size

    def __enter__(self):
        self.block = keep(self.size)
        return self

    def __exit__(self, kind, error, trace):
        drop(self.block)
        return kind is KeyError


@contextmanager
def room(size):
    block = keep(size)
    try:
        yield block
    finally:
        drop(block)


def inside():
    with Room(1):
        pass
    with Room(2) as first, room(1):
        first.size = 0
    with (
        Room(1),
        Room(2),
    ):
        block = keep(1)
    with Room(1):
        raise KeyError("swallowed")
    with suppress(ValueError), room(3):
        raise ValueError
    drop(block)


def early():
    with room(1):
        for _ in range(3):
            with Room(1):
                return "out"


def spread(
    a=1,
    b=2,
):
    return (
        a
        + b
        + len(
            [
                a,
                b,
            ]
        )
    )


def walrus(items):
    while (item := items.pop()) and item > 1:
        pass
    assert item < 5, "large"
    del items
    return item


for each in (0, -1, {"key": [1, 2]}, "text", None, 1.5):
    choose(each)
for pair in ((0, 0), (0, 1), (1, 0), (1, 1)):
    decide(*pair)
inside()
early()
spread()
walrus([1, 2, 3])
