"""Measures what one call of a decorated function costs, of which each has a recording and a table of its own.

Target: 0.2 ms, which is what memory_profiler takes. Tables go nowhere. The least time is what the work itself takes; the
median has in it what else the machine does.
"""

import importlib
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time

import paired

CALLS, ROUNDS, TARGET = 100, 5, 0.2
MODULES = {"memkit": "memkit", "memory_profiler": "memory_profiler"}


def main() -> None:
    """Print a table, and whether the target was reached."""
    paired.header("calls of a decorated function outside a recording")
    names = [name for name in MODULES if importlib.util.find_spec(name)]
    rounds = paired.by_turns(ROUNDS, **{name: lambda name=name: fresh(name) for name in names})
    rows = [
        (name, *(f"{statistics.median(turn[name][kind] for turn in rounds):.2f} ms" for kind in ("least", "median")))
        for name in names
    ]
    paired.table(("", "least", "median"), rows)
    print(paired.verdict(statistics.median(turn["memkit"]["median"] for turn in rounds), TARGET, " ms"))


def fresh(name: str) -> dict:
    """What a process of its own finds."""
    words = [sys.executable, __file__, "--measure", name]
    return json.loads(subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True).stdout)


def measure(name: str) -> dict:
    """Milliseconds of a call: the least and the median."""
    shown, sys.stdout, sys.stderr = sys.stdout, *(open(os.devnull, "w") for _ in range(2))  # noqa: SIM115
    step = importlib.import_module(name).profile(lambda number: number + 1)
    step(0)
    times = []
    for number in range(CALLS):
        began = time.perf_counter()
        step(number)
        times.append((time.perf_counter() - began) * 1e3)
    sys.stdout = shown
    return {"least": min(times), "median": statistics.median(times)}


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        print(json.dumps(measure(sys.argv[2])))
    else:
        main()
