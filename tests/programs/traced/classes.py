"""Class bodies, functions in functions, and functions on one line."""
# fmt: off
# ruff: noqa

from oracle import drop, keep

block = keep(1)


class Plain:
    number = 1
    other = [
        number,
        2,
    ]
    for place in range(2):
        number += place
    taken = keep(1)
    drop(taken)

    class Inner:
        drop(keep(2))

        def method(self): return 1

    def method(self, default=Inner): return default().method()


class Meta(type):
    def __new__(meta, name, bases, space):
        drop(keep(1))
        return super().__new__(meta, name, bases, space)

    def __call__(cls, *args):
        return super().__call__(*args)


class Made(metaclass=Meta):
    def __init__(self):
        self.block = keep(1)

    def __getattr__(self, name):
        return keep(1) if name == "fresh" else None

    def __len__(self): return 3

    def __iter__(self):
        yield from range(3)

    def __del__(self):
        drop(self.block)


def outer(size):
    seen = []

    def middle():
        nonlocal size

        def inner():
            seen.append(keep(size))

        inner()
        size += 1
        return inner

    middle()()
    while seen:
        drop(seen.pop())


def on_the_line_of_def(size): held = keep(size); drop(held); return size


def with_default(size=drop(keep(1))): return size


def empty(): ...


def documented():
    """Nothing but this."""


def annotated(size: int = 1) -> "int":
    total: int = size
    nothing: str
    return total


def loop_on_def_line(count): return [keep(1) for _ in range(count)]


def on_def_line_and_after(size): return (
    keep(
        size
    )
)


Plain().method()
made = Made()
drop(made.fresh)
len(made), list(made)
del made
outer(1)
on_the_line_of_def(2)
with_default()
empty()
documented()
annotated()
for each in loop_on_def_line(2):
    drop(each)
drop(on_def_line_and_after(1))
drop(block)
