"""Generators: exhausted, closed, thrown into, left alone, one in the other."""
# fmt: off
# ruff: noqa

from oracle import drop, keep


def counting(blocks):
    block = keep(1)
    for number in range(3):
        sent = yield number
        if sent:
            blocks.append(keep(sent))
    drop(block)
    return "done"


def outside(blocks):
    source = counting(blocks)
    next(source)
    while_suspended = keep(4)
    source.send(1)
    drop(while_suspended)
    source.send(2)
    try:
        next(source)
    except StopIteration as end:
        return end.value


def delegating(blocks):
    answer = yield from counting(blocks)
    blocks.append(keep(1))
    yield answer


def closed_early():
    block = keep(2)
    try:
        yield 1
        yield 2
    finally:
        drop(block)


def thrown_into():
    while True:
        try:
            yield
        except ValueError:
            block = keep(1)
            drop(block)
        except KeyError:
            return


def left_suspended():
    yield keep(1)
    yield None


def ping(n):
    for _ in range(n):
        yield keep(1)


def pong(n):
    for block in ping(n):
        drop(block)
        yield 1


def interleaved():
    one, other = pong(2), pong(3)
    while next(one, None):
        next(other)
    return sum(other)


def resumed_elsewhere(source):
    return next(source)


def one_line(n): yield from range(n)


taken = []
outside(taken)
list(delegating(taken))
while taken:
    drop(taken.pop())
source = closed_early()
next(source)
source.close()
source = closed_early()
for _ in source:
    break
del source
source = thrown_into()
next(source)
source.throw(ValueError)
source.throw(ValueError())
try:
    source.throw(KeyError)
except StopIteration:
    pass
never = thrown_into()
try:
    never.throw(OSError)
except OSError:
    pass
source = left_suspended()
kept = next(source)
drop(kept)
interleaved()
source = left_suspended()
drop(resumed_elsewhere(source))
list(one_line(3))
del source
