"""Functions whose lines are traced, from the cheapest line there is to lines that take a millisecond.

Each takes what ``prepared`` makes of a size, which is not measured.
"""

import json


def integers(count):
    """A loop of six lines that only adds up."""
    total = 0
    for number in range(count):
        square = number * number
        rest = square % 97
        total += rest
        total ^= number
        total &= 0xFFFFF
    return total


def neighbour(count):
    """The same loop; what is traced is the function that calls it."""
    return integers(count)


class Point:
    """A small object."""

    __slots__ = ("across", "down")


def objects(count):
    """Builds small objects line by line."""
    found = []
    for number in range(count):
        point = Point()
        point.across = number
        point.down = -number
        found.append(point)
    return len(found)


def records(texts):
    """Parses records of JSON and groups them."""
    groups = {}
    for text in texts:
        record = json.loads(text)
        if record["kind"] == "total":
            continue
        groups.setdefault(record["city"], []).append(record["amount"])
    return {city: sum(amounts) for city, amounts in groups.items()}


def pipeline(chunks):
    """Numbers in large arrays, chunk by chunk."""
    import numpy

    total = 0.0
    for chunk in chunks:
        scaled = chunk * 0.5
        shifted = scaled + chunk[::-1]
        kept = shifted[shifted > 0.7]
        roots = numpy.sqrt(kept)
        roots.sort()
        total += float(roots.cumsum()[-1])
    return total


def record_of(number, items):
    """A sale of so many items."""
    found = {"id": number, "kind": "sale", "city": f"city {number * 7919 % 50}", "amount": number + 0.5, "tags": ["a", "b"]}
    found["items"] = [{"name": f"item {each}", "count": each, "price": each * 1.25} for each in range(items)]
    return found


def prepared(name, size):
    """What a function is given for a size. Small records are parsed in little more than the two
    microseconds for which the gate believes that nothing has happened, and so are the dearest."""
    if name.endswith("records"):
        return [json.dumps(record_of(number, 1 if name == "small_records" else 8)) for number in range(size)]
    if name == "pipeline":
        import numpy

        return [numpy.linspace(0, 1, 200_000) for _ in range(size)]
    return size
