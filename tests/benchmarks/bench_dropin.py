"""Measures what memory_profiler's names cost on memkit and on memory_profiler itself: a traced line, memory_usage, a sample.

Target, with the gate ``perf``: tracing a line costs at least 300 times less than under memory_profiler 0.61.0, in the same
run. One sample is to cost microseconds, ``memory_usage(f)`` less than under memory_profiler.

Each figure is one of a fresh process, and the two take turns. The decorated program is a loop of six lines on integers: as
it is, and decorated with ``LineProfiler()``, in CPU time of the process; memory_profiler gets fewer turns of the loop.
Where memory_profiler is not installed, memkit is measured alone.
"""

import importlib.util
import json
import statistics
import subprocess
import sys
import time
import types

import paired

ROUNDS, PAIRS = 5, 3
TURNS = {"memkit": 100_000, "memory_profiler": 300}
TARGET = 300
MODULES = {"memkit": "memkit.compat.memory_profiler", "memory_profiler": "memory_profiler"}


def integers(count):
    """The program."""
    total = 0
    for number in range(count):
        double = number * 2
        square = double * number
        rest = square % 7
        total = total + rest
        total = total - double
    return total


def main() -> None:
    """Print a table, and whether the targets were reached."""
    paired.header("memory_profiler's names")
    from memkit.system import engine

    if engine.NAME == "native":
        from memkit.native.tracing import gate

        name, reason = gate.chosen()
        print(f"gate in use: {name}{f' ({reason})' if reason else ''}")
    names = [name for name in MODULES if name == "memkit" or is_the_original()]
    turns = paired.by_turns(ROUNDS, **{name: lambda name=name: fresh(name) for name in names})
    kinds = {
        "line": ("a traced line", 1e3, "ns"),
        "call": ("memory_usage(f)", 1e-3, "ms"),
        "sample": ("one sample", 1, "us"),
    }
    found = {name: {kind: statistics.median(turn[name][kind] for turn in turns) for kind in kinds} for name in names}
    rows = [
        (title, *(f"{found[name][kind] * scale:,.1f} {unit}" for name in names))
        for kind, (title, scale, unit) in kinds.items()
    ]
    paired.table(("", *names), rows)
    calls = ", ".join(f"{name} {turns[0][name]['calls']}" for name in names)
    print(f"calls of f in one memory_usage(f): {calls}")
    if "memory_profiler" not in names:
        print("memory_profiler is not installed: nothing to compare with")
        return
    ratio = statistics.median(turn["memory_profiler"]["line"] / turn["memkit"]["line"] for turn in turns)
    print(f"a line costs {ratio:,.0f} times less, target >= {TARGET}: {'reached' if ratio >= TARGET else 'MISSED'}")


def is_the_original() -> bool:
    """Whether memory_profiler is installed, and not memkit under its name."""
    spec = importlib.util.find_spec("memory_profiler")
    if spec is None or not spec.origin:
        return False
    with open(spec.origin, encoding="utf-8") as source:
        return "memkit" not in source.read()


def fresh(name: str) -> dict:
    """What a process of its own finds."""
    words = [sys.executable, "-W", "ignore", __file__, "--measure", name]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def measure(name: str) -> dict:
    """Microseconds of a traced line, of memory_usage of a function that does nothing, and of a sample."""
    module = importlib.import_module(MODULES[name])
    return {"line": line(module, TURNS[name]), **usage(module)}


def line(module, turns: int) -> float:
    """The difference that a line makes, in CPU time."""
    plain = types.FunctionType(integers.__code__.replace(co_filename="plain"), {})  # whose lines nobody has asked for
    profiler = module.LineProfiler()
    decorated = profiler(integers)
    decorated(10)
    costs = []
    for _ in range(PAIRS):
        alone = timed(plain, TURNS["memkit"]) / TURNS["memkit"]
        watched = timed(decorated, turns) / turns
        costs.append((watched - alone) / 6)
    return statistics.median(costs) / 1e3


def timed(function, count: int) -> int:
    """Nanoseconds of CPU that a call takes."""
    began = time.process_time_ns()
    function(count)
    return time.process_time_ns() - began


def usage(module) -> dict:
    """Wall time of one sample, and of a function that does nothing, called once."""
    calls = []
    module.memory_usage((calls.append, (1,)))
    found = {"calls": len(calls)}
    for kind, words, more, count in (
        ("sample", (), {}, 5),
        ("call", ((int, ()),), {"max_iterations": 1}, 20),
    ):
        times = []
        for _ in range(count):
            began = time.perf_counter_ns()
            module.memory_usage(*words, **more)
            times.append(time.perf_counter_ns() - began)
        found[kind] = statistics.median(times) / 1e3
    return found


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        print(json.dumps(measure(sys.argv[2])))
    else:
        main()
