"""Reads many records and keeps a few. What is kept lies spread over all the memory that was needed."""


def read(count):
    return [f"record {number}, with a text that is never the same" for number in range(count)]


def keep(records):
    return records[::200]


few = keep(read(1_000_000))
print(f"{len(few):,} records")
