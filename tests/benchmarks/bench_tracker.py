"""Measures what a tracked block costs: its time, how soon its first row is in the file, and what a day leaves behind.

Targets: an empty block costs less than 10 ms in all, from the beginning of ``with`` to the line after it; its first row is
in the file within 5 ms; a day, on a clock that is set, leaves fewer than 20,000 rows and misses no peak. The first block of
a process, which imports what it needs, stands beside the others; an editable installation finds its modules more slowly.

memory_time_tracker, where it is installed, is there for orientation: what its defaults add to a block of a second. A block
that is shorter than its two processes take to notice may keep it waiting for ever.
"""

import os
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from statistics import median, quantiles

import paired

import memkit
from memkit.system import portable

BLOCKS = 101
BLOCK_TARGET, ROW_TARGET, ROWS_TARGET = 10.0, 5.0, 20_000
SECOND, MIB = 1_000_000_000, 1 << 20
DAY = 86_400 * SECOND
FRESH = 15
PROGRAM = """
import sys, time, memkit
began = time.perf_counter()
with memkit.Tracker(sys.argv[1], scope=sys.argv[2]):
    pass
print((time.perf_counter() - began) * 1000)
"""
SCOPES = ("process", "system", "tree")


def main() -> None:
    """Print the two tables."""
    paired.header("tracking a block")
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "t.csv")
        compare_blocks(path)
        pass_a_day(path)


# -- empty blocks --------------------------------------------------------------------------------------------------------


def compare_blocks(path: str) -> None:
    """An empty block in each scope, many times."""
    runs = {f"memkit, {scope}": lambda scope=scope: block(path, scope) for scope in SCOPES}
    first = paired.by_turns(FRESH, **{name: lambda name=name: told(path, name.split()[-1]) for name in runs})
    rounds = paired.by_turns(BLOCKS, **runs)
    rows = []
    for name in runs:
        whole = [round[name][0] for round in rounds]
        row = [round[name][1] for round in rounds]
        rows.append((name, *map(shown, (paired.median(first, name), median(whole), most(whole), median(row), most(row)))))
    rows += [(name, shown(took), "", "", "", "") for name, took in peers(path)]
    paired.table(
        (f"empty block, {BLOCKS} times", "first of a process", "block", "95 in 100", "first row", "95 in 100"), rows
    )
    for scope in SCOPES:
        name = f"memkit, {scope}"
        print(f"{scope}: block,", paired.verdict(median(round[name][0] for round in rounds), BLOCK_TARGET, " ms"))
        print(f"{scope}: first row,", paired.verdict(median(round[name][1] for round in rounds), ROW_TARGET, " ms"))


def told(path: str, scope: str) -> float:
    """Milliseconds of the first block of a process."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, path, scope], check=True, stdout=subprocess.PIPE, text=True)
    return float(done.stdout)


def block(path: str, scope: str) -> tuple[float, float]:
    """Milliseconds of a block, and until its first row is in the file: that is read from there."""
    began = time.perf_counter()
    with memkit.Tracker(path, scope=scope):
        entered = time.perf_counter()
        with open(path) as file:
            rows = file.read().count("\n") - 1
        read = time.perf_counter()
    took = time.perf_counter() - began - (read - entered)
    assert rows >= 1
    return took * 1000, (entered - began) * 1000


def peers(path: str):
    """What memory_time_tracker adds to a block of a second, once."""
    if find_spec("memory_time_tracker") is None:
        yield "memory_time_tracker is not installed", None
        return
    from memory_time_tracker import Tracker

    began = time.perf_counter()
    with Tracker(path):
        time.sleep(1)
    yield "memory_time_tracker", (time.perf_counter() - began - 1) * 1000


def most(values: list[float]) -> float:
    """What 95 in 100 do not exceed."""
    return quantiles(values, n=20)[-1]


def shown(value: float | None) -> str:
    return "" if value is None else f"{value:.2f} ms" if value < 1000 else f"{value / 1000:.1f} s"


# -- a day ---------------------------------------------------------------------------------------------------------------


class Day:
    """A clock that is set, and memory with a short spike every quarter of an hour, as the high-water mark has it."""

    def __init__(self):
        self.now = self.taken = 0
        self.spikes = {when: (4096 + number) * MIB for number, when in enumerate(range(SECOND, DAY, 900 * SECOND))}

    def monotonic_ns(self) -> int:
        return self.now

    def thread_time_ns(self) -> int:
        return 0

    def memory(self) -> int:
        return 512 * MIB + self.now // (60 * SECOND) * MIB

    def take(self) -> int:
        taken, self.taken = self.taken, self.now
        return max([high for when, high in self.spikes.items() if taken < when <= self.now], default=self.memory())


def pass_a_day(path: str) -> None:
    """The sampler in Python, on that clock."""
    day = Day()
    portable.time, portable.Scope = day, lambda: day
    os.unlink(path)
    journal = portable.Journal(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), path, 0)
    sampler = portable.Sampler(journal, portable.CalledMeter(day.memory, "day"), 0, 0, True)
    sampler.resume = lambda: None
    sampler.start()
    while day.now < DAY:
        day.now = min(sampler._poll_due, DAY)
        sampler._keep(*sampler._read(), must=day.now == DAY)
    journal.close()
    with open(path) as file:
        sizes = [round(float(line.split(",")[1]) * (1 << 30)) for line in file]
    missed = set(day.spikes.values()) - set(sizes)
    size = os.path.getsize(path) / MIB
    paired.table(
        ("a day", "rows", "size", "spikes", "missed"),
        [("auto", len(sizes), f"{size:.2f} MiB", len(day.spikes), len(missed))],
    )
    print("rows,", paired.verdict(len(sizes), ROWS_TARGET))
    print("missed,", paired.verdict(len(missed), 0))


if __name__ == "__main__":
    main()
