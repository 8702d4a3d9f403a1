"""Programs of many calls, from functions that do nothing else to functions that take a millisecond.

Each takes what ``prepared`` makes of a size, which is not measured.
"""

import json

from traced import record_of


def fib(number):
    """Calls that do nothing but call."""
    return number if number < 2 else fib(number - 1) + fib(number - 2)


def records(texts):
    """Records of JSON that are parsed, grouped and written."""
    groups = {}
    for text in texts:
        group(groups, parse(text))
    return sum(len(write(city, sales)) for city, sales in groups.items())


def parse(text):
    """A record without what nobody asked for."""
    record = json.loads(text)
    return record["city"], record["amount"], [item["price"] for item in record["items"]]


def group(groups, record):
    """Put a record where it belongs."""
    city, amount, prices = record
    groups.setdefault(city, []).append({"amount": amount, "total": total(prices)})


def total(prices):
    """What all of it costs."""
    return sum(prices)


def write(city, sales):
    """A group as text."""
    return "".join(json.dumps({"city": city, **sale}) for sale in sales)


def trees(depth):
    """Binary trees, built and counted: few large ones and many small ones."""
    found = count(build(depth))
    for level in range(4, depth + 1, 4):
        for _ in range(1 << (depth - level + 4)):
            found += count(build(level))
    return found


def build(depth):
    """A tree of pairs."""
    return (build(depth - 1), build(depth - 1)) if depth else (None, None)


def count(tree):
    """The number of its nodes."""
    left, right = tree
    return 1 if left is None else 1 + count(left) + count(right)


def pipeline(chunks):
    """Numbers in large arrays, chunk by chunk."""
    return sum(last_of(roots_of(shifted(chunk))) for chunk in chunks)


def shifted(chunk):
    """A chunk with its own mirror image on top of it."""
    return chunk * 0.5 + chunk[::-1]


def roots_of(chunk):
    """The roots of what is large, in order."""
    import numpy

    roots = numpy.sqrt(chunk[chunk > 0.7])
    roots.sort()
    return roots


def last_of(chunk):
    """The sum of all."""
    return float(chunk.cumsum()[-1])


def pages(count):
    """Fresh memory from the kernel each time, every page of it written to: nothing but faults."""
    return sum(len(filled(40 << 20)) for _ in range(count))


def filled(size):
    """A block that is so large that malloc gives it back at once."""
    return b"x" * size


def paths(depth):
    """Ten functions that each call all ten, down to a depth: ten times as many paths for each level."""
    CALLERS[0](depth)


def caller(_):
    """One of them, with code of its own."""
    space = {}
    exec("def call(depth):\n    if depth:\n        for each in CALLERS: each(depth - 1)", globals(), space)
    return space["call"]


CALLERS = [caller(number) for number in range(10)]


def prepared(name, size):
    """What a function is given for a size."""
    if name == "records":
        return [json.dumps(record_of(number, 8)) for number in range(size)]
    if name == "pipeline":
        import numpy

        # Once malloc has given back a larger block, it keeps those of the pipeline. Otherwise chance decides whether it has
        # the kernel take them and give them anew for each chunk, which takes as long as all the rest.
        numpy.ones(2_000_000)
        return [numpy.linspace(0, 1, 200_000) for _ in range(size)]
    return size
