"""Exceptions at every point, and through several frames."""
# fmt: off
# ruff: noqa

from oracle import TheEnd, drop, keep


def fails(deep, block=None):
    if deep:
        inner = keep(1)
        try:
            fails(deep - 1)
        finally:
            drop(inner)
    raise ValueError(deep)


def keeps_and_fails(held):
    held.append(keep(2))
    held.append(keep(1)); raise KeyError("on the same line")


def every_clause(what):
    held = []
    try:
        if what == "in try":
            held.append(keep(1))
            raise ValueError
        elif what == "unknown":
            raise OSError
        elif what == "deep":
            fails(3)
    except ValueError as error:
        held.append(keep(2))
        del error
        if what == "deep":
            return drop(held.pop())
    except (TypeError, KeyError):
        held.append("never")
    else:
        held.append(keep(3))
    finally:
        while held:
            drop(held.pop())
    return what


def in_handler():
    try:
        try:
            1 / 0
        except ZeroDivisionError:
            keep_twice()
    except RuntimeError as error:
        return type(error.__context__)


def keep_twice():
    block = keep(2)
    drop(block)
    raise RuntimeError from None


def in_finally():
    for number in range(3):
        try:
            if number == 0:
                continue
            if number == 1:
                raise LookupError
            break
        except LookupError:
            pass
        finally:
            drop(keep(1))


def from_c():
    def key(item):
        block = keep(1)
        try:
            return 1 // item
        finally:
            drop(block)

    try:
        sorted([3, 2, 1, 0], key=key)
    except ZeroDivisionError:
        return list(map(key, [1, 2]))


def groups():
    try:
        raise ExceptionGroup("several", [ValueError(1), TypeError(2)])
    except* ValueError:
        block = keep(1)
    except* TypeError:
        drop(block)


def through(deep, held):
    if not deep:
        keeps_and_fails(held)
    try:
        through(deep - 1, held)
    except KeyError:
        if deep < 3:
            raise


def end():
    block = keep(1)
    drop(block)
    raise TheEnd


for each in ("in try", "unknown", "deep", "nothing"):
    try:
        every_clause(each)
    except OSError:
        pass
in_handler()
in_finally()
from_c()
groups()
kept = []
try:
    keeps_and_fails(kept)
except KeyError:
    pass
through(4, kept)
for each in kept:
    drop(each)
end()
