"""Loops of every kind, left in every way."""
# fmt: off
# ruff: noqa

from oracle import drop, keep


def counted():
    total = 0
    for number in range(10):
        if number == 7:
            continue
        total += number
    else:
        total += 100
    return total


def left_early(items):
    for item in items:
        if item == 3:
            break
    else:
        return None
    return item


def until_done(turns):
    blocks = []
    while turns:
        turns -= 1
        blocks.append(keep(1))
        if turns % 2:
            drop(blocks.pop())
    else:
        blocks.append(keep(2))
    while blocks:
        drop(blocks.pop())
    return blocks


def nested():
    count = 0
    for row in range(4):
        for column in range(row):
            while count % 3:
                count += 1
            count += column
    return count


def on_one_line():
    count = 0
    for number in range(5): count += number
    while count > 3: count -= 2
    return count


def over_pairs():
    for first, (second, *rest) in [(1, (2, 3)), (4, (5, 6, 7))]:
        first += sum(
            rest,
            second,
        )


counted()
left_early([1, 2, 3, 4])
left_early([])
until_done(5)
nested()
on_one_line()
over_pairs()
