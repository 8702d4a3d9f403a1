"""Measures what counting allocations costs: loops of little but allocation, with ``heap`` over the same without, and peers.

Targets: with ``heap`` a loop takes at most 1.3 times as long as under the same calls or lines without it; where it is
sampled, at most 1.05 times as long as the plain loop. tracemalloc, memray, fil and scalene are compared with the plain loop.

Each time is that of a fresh process, the median of several runs, in CPU time of the process, the thread of the sampler
included. All take turns, and ratios are medians of those within a round. ``python bench_heap.py integers 9`` does one loop,
in nine rounds; ``quick`` leaves the peers out, ``sampled`` all but what is sampled, ``peers`` all but the peers. Of whole
programs, which ``programs`` runs instead, ``heap_programs.py`` tells.
"""

import contextlib
import importlib.util
import json
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from functools import partial
from pathlib import Path
from statistics import median

import heap_programs
import paired

import memkit
from memkit.system import preload

ROUNDS, RUNS = 5, 5
TARGET, SAMPLED_TARGET = 1.3, 1.05
TEXT = json.dumps([{"number": number, "pair": [number, str(number)]} for number in range(2000)])


class Slotted:
    """An object without a dictionary."""

    __slots__ = ("number",)

    def __init__(self, number):
        self.number = number


def strings():
    """A list of strings."""
    for _ in range(20):
        [str(number) for number in range(10_000)]


def objects():
    """Slotted objects."""
    for _ in range(8):
        [Slotted(number) for number in range(10_000)]


def documents():
    """json.loads."""
    for _ in range(20):
        json.loads(TEXT)


def tuples():
    """Tuples that come and go."""
    for number in range(300_000):
        made = (number, number, number)
    return made


def integers():
    """An integer loop that allocates nothing but ints."""
    total = 0
    for number in range(600_000):
        total += number


def trees():
    """Binary trees."""
    for _ in range(4):
        tree(14)


def tree(depth):
    """Pairs of pairs."""
    return None if depth == 0 else (tree(depth - 1), tree(depth - 1))


def arrays():
    """A pipeline of numpy."""
    import numpy

    for _ in range(30):
        (numpy.ones(100_000) * 2).cumsum().sum()


def threads():
    """32 threads that allocate at once."""
    workers = [threading.Thread(target=some_strings) for _ in range(32)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def some_strings():
    """A list of strings, several times."""
    for _ in range(10):
        [str(number) for number in range(1000)]


def compressed():
    """Compression, which allocates in C."""
    for _ in range(300):
        zlib.compress(b"a text of some bytes " * 20)


LOOPS = {each.__name__: each for each in (strings, objects, documents, tuples, integers, trees, arrays, threads, compressed)}
MEMKIT = {"calls": False, "calls, heap": True, "calls, heap with C": True, "lines": False, "lines, heap": True}
SAMPLED = ("sampled", "sampled with C")
PEERS = {
    "tracemalloc": "tracemalloc",
    "memray": "memray",
    "memray, Python's": "memray",
    "fil": "filprofiler",
    "scalene": "scalene",
}
COMMANDS = {"fil": ("filprofiler", "--no-browser", "run"), "scalene": ("scalene", "run", "-o", "scalene.json")}
"""Of peers that run a program themselves: what follows ``python -m``."""


def main() -> None:
    """Print a table for each loop."""
    words = sys.argv[1:]
    if words[:1] == ["programs"]:
        heap_programs.main(words[1:])
        return
    rounds = next((int(word) for word in words if word.isdigit()), ROUNDS)
    wanted = [*MEMKIT, *SAMPLED, *([] if "quick" in words else [peer for peer, needs in PEERS.items() if has(needs)])]
    wanted = list(SAMPLED) if "sampled" in words else wanted
    wanted = [each for each in wanted if each in PEERS] if "peers" in words else wanted
    paired.header("counting allocations")
    for name in [word for word in words if word in LOOPS] or LOOPS:
        if name == "arrays" and not has("numpy"):
            print("\nnumpy is not installed")
            continue
        turns = {each: partial(time_of, each, name) for each in ("plain", *wanted)}
        found = paired.by_turns(rounds, **turns)
        rows = []
        for each in wanted:
            reference = each.partition(",")[0] if MEMKIT.get(each) else "plain"
            ratio = f"x{paired.ratio(found, each, reference):.2f} of {reference}"
            rows.append((each, f"{paired.median(found, each) / 1e6:.1f} ms", ratio))
        plain = f"{paired.median(found, 'plain') / 1e6:.1f} ms"
        paired.table((LOOPS[name].__doc__, f"plain {plain}", "ratio"), rows)
        for each in [each for each in wanted if MEMKIT.get(each)]:
            reference = each.partition(",")[0]
            print(f"{each}, over {reference}:", paired.verdict(paired.ratio(found, each, reference), TARGET))
        for each in [each for each in wanted if each in SAMPLED]:
            print(f"{each}, over plain:", paired.verdict(paired.ratio(found, each, "plain"), SAMPLED_TARGET))


def has(module: str) -> bool:
    """Whether a module is installed."""
    return importlib.util.find_spec(module) is not None


def time_of(watcher: str, name: str) -> float:
    """Nanoseconds that a fresh process finds."""
    with tempfile.TemporaryDirectory() as folder:  # memray writes where it is
        by = ["-m", *COMMANDS[watcher]] if watcher in COMMANDS else []
        words = [sys.executable, *by, Path(__file__).resolve(), "--measure", watcher, name]
        environment = preload.environment() if watcher.endswith("with C") else None
        done = subprocess.run(words, cwd=folder, stdout=subprocess.PIPE, text=True, check=True, env=environment)
        return next(float(line) for line in done.stdout.splitlines() if line.replace(".", "").isdigit())


# -- the process that is measured ------------------------------------------------------------------------------------------


def measure(watcher: str, name: str) -> float:
    """The median of several runs, after one that only warms up."""
    loop, times = LOOPS[name], []
    with around(watcher, loop):
        loop()
        for _ in range(RUNS):
            began = time.process_time_ns()
            loop()
            times.append(time.process_time_ns() - began)
    return median(times)


def around(watcher: str, loop):
    """A context manager, inside which the loop is watched."""
    if watcher in SAMPLED:
        return memkit.record(heap="sampled", interval=1)
    if watcher in MEMKIT:
        traced = {"calls": True} if watcher.startswith("calls") else {"lines": [loop, tree, Slotted, some_strings]}
        return memkit.record(**traced, heap=MEMKIT[watcher], interval=1)
    if watcher == "tracemalloc":
        return by_tracemalloc()
    if watcher.startswith("memray"):
        import memray

        return memray.Tracker("run.bin", trace_python_allocators=watcher != "memray")
    return contextlib.nullcontext()


@contextlib.contextmanager
def by_tracemalloc():
    """tracemalloc, with one frame of each stack."""
    import tracemalloc

    tracemalloc.start()
    yield
    tracemalloc.stop()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        print(measure(sys.argv[2], sys.argv[3]))
    elif sys.argv[1:2] == ["--program"]:
        watcher, name, folder = sys.argv[2:]
        print(heap_programs.run(around(watcher, heap_programs.run), name, folder))
    else:
        main()
