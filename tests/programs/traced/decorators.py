"""Decorators of every kind."""
# fmt: off
# ruff: noqa

import functools

from oracle import drop, keep


def plain(function):
    def wrapped(*args):
        return function(*args)

    return wrapped


def wrapping(function):
    @functools.wraps(function)
    def wrapped(*args):
        block = keep(1)
        try:
            return function(*args)
        finally:
            drop(block)

    return wrapped


def with_arguments(size):
    def decorate(function):
        @functools.wraps(function)
        def wrapped(*args):
            drop(keep(size))
            return function(*args)

        return wrapped

    return decorate


class Counting:
    def __init__(self, function):
        self.function, self.count = function, 0
        functools.update_wrapper(self, function)

    def __call__(self, *args):
        self.count += 1
        return self.function(*args)


@plain
def one(size):
    return keep(size)


@wrapping
@with_arguments(
    2
)
def several(size):
    block = keep(size)
    return block


@Counting
def counted(size):
    return keep(size)


@functools.cache
def cached(number):
    drop(keep(1))
    return number if number < 2 else cached(number - 1) + cached(number - 2)


@functools.lru_cache(maxsize=2)
def few(number):
    return number


@functools.singledispatch
def kind(value):
    return "any"


@kind.register
def _(value: int):
    return "int"


class Thing:
    held = []

    @classmethod
    def make(cls, size):
        cls.held.append(keep(size))
        return cls()

    @staticmethod
    def give():
        drop(Thing.held.pop())

    @property
    def size(self):
        return len(self.held)

    @size.setter
    def size(self, value):
        while len(self.held) > value:
            self.give()

    @size.deleter
    def size(self):
        self.held.clear()

    @functools.cached_property
    def slow(self):
        drop(keep(2))
        return 1

    @wrapping
    def method(self, size):
        return keep(size)

    def bound(self, size, extra=0):
        return keep(size + extra)

    half = functools.partialmethod(bound, 1)

    @classmethod
    @functools.wraps(plain)
    def both(cls): return cls


for each in (one, several, counted):
    drop(each(1))
cached(6)
for number in (1, 2, 1, 3, 1):
    few(number)
kind(1), kind("")
thing = Thing.make(1)
Thing.make(2)
thing.size = 1
thing.size += 1
Thing.give()
del thing.size
thing.slow, thing.slow
drop(thing.method(1))
drop(thing.half())
drop(functools.partial(thing.bound, extra=1)(1))
Thing.both()
