"""Measures what tracing lines costs a program: its time under memkit, each gate and tracer, and under the peers, to its own.

Targets, with the gate ``perf`` and the default tracer: an integer loop of six lines takes at most 3 times as long on Python
3.12 and 3.13, 4.2 times on 3.14 and later, 5 times on 3.11; with the gate ``rusage`` 16 times; a neighbour that is not
traced 1.02 times on 3.12 and later; building a million small objects twice as long, records of JSON parsed and grouped 1.5
times, a pipeline of numpy 1.05 times. The journal of 10^8 lines takes a few KiB.

Each pair is one process's: the function as it is, then the same function traced, in CPU time of the process, the thread of
the sampler included. Watchers take turns. Those that are slow are given fewer turns of the loop, on both sides of a pair.
What a line costs is the difference over the number of lines. Samples are taken once a second: their cost is the matter of
``bench_sampler.py``.

``python bench_lines.py quick`` leaves the peers and the journal out, ``default`` the other gates and tracers too, as the
documentation's table by versions of Python has it; ``python bench_lines.py integers 5`` does one program, in five rounds.
"""

import contextlib
import gc
import importlib.util
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import paired

import memkit
from memkit.system import engine

PROGRAM = Path(__file__).with_name("programs") / "traced.py"
PAIRS = 3
ROUNDS = 5
KIB = 1 << 10
JOURNAL_LINES, JOURNAL_TARGET = 10**8, 16.0
LOOP = 3.0 if sys.version_info >= (3, 12) else 5.0
if sys.version_info >= (3, 14):
    LOOP = 4.2
TRACERS = ("monitoring", "settrace") if sys.version_info >= (3, 12) else ("settrace",)
GATES = ("perf", "rusage", "always")
MEMKIT = [f"memkit {gate}, {tracer}" for tracer in TRACERS for gate in GATES]
PEERS = {"line_profiler": "line_profiler", "pymemtrace": "pymemtrace", "memory_profiler": "memory_profiler"}
PROGRAMS = {  # name: what it is, its size, target with perf, what must be installed
    "integers": ("integer loop of six lines", 300_000, LOOP, None),
    "neighbour": ("a neighbour, not traced", 1_000_000, 1.02 if sys.version_info >= (3, 12) else None, None),
    "objects": ("a million small objects", 1_000_000, 2.0, None),
    "records": ("JSON records of 460 bytes, grouped", 15_000, 1.5, None),
    "small_records": ("JSON records of 130 bytes, grouped", 40_000, 1.5, None),
    "pipeline": ("a pipeline of numpy", 60, 1.05, "numpy"),
}
SLOWER = {  # how many times fewer turns a slow watcher is given
    "memory_profiler": {
        "integers": 300,
        "neighbour": 100,
        "objects": 500,
        "records": 50,
        "small_records": 50,
        "pipeline": 4,
    },
    "pymemtrace": {"integers": 30, "neighbour": 100, "objects": 100, "records": 10, "small_records": 10},
    "line_profiler": {"integers": 3, "neighbour": 10, "objects": 10, "records": 2, "small_records": 3},
    "memkit rusage": {"integers": 3, "objects": 4, "small_records": 2},
    "memkit always": {"integers": 10, "objects": 10, "small_records": 2},
}


def main() -> None:
    """Print a table for each program, and what the journal takes."""
    words = sys.argv[1:]
    chosen = [word for word in words if word in PROGRAMS] or list(PROGRAMS)
    rounds = next((int(word) for word in words if word.isdigit()), ROUNDS)
    paired.header("tracing lines")
    if engine.NAME != "native":
        sys.exit(f"lines can be traced with the native engine only: {engine.REASON}")
    from memkit.tracing import choice

    gate, reason = choice.gate_in_use()
    print(f"gate in use: {gate}{f' ({reason})' if reason else ''}; tracer in use: {choice.engine()}")
    for name in chosen:
        needs = PROGRAMS[name][3]
        if needs and not has(needs):
            print(f"\n{PROGRAMS[name][0]}: {needs} is not installed")
        else:
            compare(name, rounds, MEMKIT[:1] if "default" in words else MEMKIT, peers=not {"quick", "default"} & {*words})
    if chosen == list(PROGRAMS) and not {"quick", "default"} & {*words}:
        weigh_journal()


def has(module: str) -> bool:
    """Whether a module is installed."""
    return importlib.util.find_spec(module) is not None


# -- time ----------------------------------------------------------------------------------------------------------------


def compare(name: str, rounds: int, ways: list[str], peers: bool) -> None:
    """Run one program under every watcher by turns."""
    title, size, target, _ = PROGRAMS[name]
    watchers = [*ways, *([peer for peer, module in PEERS.items() if has(module)] if peers else [])]
    missing = [(peer, "not installed", *[""] * 4) for peer, module in PEERS.items() if peers and not has(module)]
    runs = {watcher: lambda watcher=watcher: pairs_under(watcher, name, size) for watcher in watchers}
    turns = paired.by_turns(rounds, **runs)
    found = {watcher: [tuple(pair) for turn in turns for pair in turn[watcher]["pairs"]] for watcher in watchers}
    each = turns[0][MEMKIT[0]]["lines"] / turns[0][MEMKIT[0]]["size"]
    rows = [row_of(watcher, found[watcher], each * turns[0][watcher]["size"]) for watcher in watchers]
    paired.table((title, "plain", "watched", "median", "best pair", "a line"), rows + missing)
    if target:
        print(f"{MEMKIT[0]}:", paired.verdict(ratio_of(found[MEMKIT[0]]), target))
    if name == "integers" and MEMKIT[1] in found:
        print(f"{MEMKIT[1]}:", paired.verdict(ratio_of(found[MEMKIT[1]]), 16.0))


def ratio_of(pairs: list[tuple]) -> float:
    """The median of the ratios of pairs."""
    return median(watched / plain for plain, watched in pairs)


def row_of(watcher: str, pairs: list[tuple], lines: float) -> tuple:
    """One row of a table, of pairs that each ran so many traced lines."""
    plain, watched = (median(times) for times in zip(*pairs))
    each = median(after - before for before, after in pairs) / lines
    times = (f"{value / 1e6:.1f} ms" for value in (plain, watched))
    best = min(watched / plain for plain, watched in pairs)
    return watcher, *times, f"x{ratio_of(pairs):.2f}", f"x{best:.2f}", f"{each:.0f} ns" if lines > 100 else ""


def pairs_under(watcher: str, name: str, size: int) -> dict:
    """What a fresh process finds."""
    settings = dict(os.environ)
    settings.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", PYTHONHASHSEED="0")
    if watcher in MEMKIT:
        gate, tracer = watcher.removeprefix("memkit ").split(", ")
        settings.update(MEMKIT_GATE=gate, MEMKIT_TRACER=tracer)
    size = max(1, size // SLOWER.get(watcher.partition(",")[0], {}).get(name, 1))
    words = [sys.executable, __file__, "--measure", watcher, name, str(size)]
    with tempfile.TemporaryDirectory() as folder:  # a peer writes its log where it is
        done = subprocess.run(words, cwd=folder, env=settings, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


# -- the process that is measured ------------------------------------------------------------------------------------------


def measure(watcher: str, name: str, size: int) -> dict:
    """Run pairs: the function as it is, and one of the same text that is watched."""
    plain, watched = loaded("plain"), loaded("watched")
    what = plain.prepared(name, size)
    bare, target = (getattr(module, name.removeprefix("small_")) for module in (plain, watched))
    around = (memkit_around if watcher in MEMKIT else globals()[f"{watcher}_around"])(target)
    pairs, lines = [], 0
    bare(what)
    with around() as (function, _):
        function(what)
    for _ in range(PAIRS):
        alone = timed(bare, what)
        with around() as (function, run):
            pairs.append((alone, timed(function, what)))
        if run is not None:
            lines = sum(line.hits for line in run.recording.lines)
    return {"pairs": pairs, "lines": lines, "size": size}


def loaded(name: str):
    """The program as a module of its own, whose code objects are its own too."""
    spec = importlib.util.spec_from_file_location(name, PROGRAM)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def timed(function, what) -> int:
    """Nanoseconds of CPU that a call takes."""
    gc.collect()
    began = time.process_time_ns()
    function(what)
    return time.process_time_ns() - began


# Each takes a function and gives a context manager, inside which the function that it gives is watched.


def memkit_around(function):
    """memkit: everything on."""

    @contextlib.contextmanager
    def around():
        with memkit.record(lines=function, interval=1) as run:
            yield function, run

    return around


def line_profiler_around(function):
    """line_profiler, which measures time only."""
    from line_profiler import LineProfiler

    wrapped = LineProfiler()(function)

    @contextlib.contextmanager
    def around():
        yield wrapped, None

    return around


def memory_profiler_around(function):
    """memory_profiler, as ``@profile`` has it."""
    from memory_profiler import LineProfiler

    wrapped = LineProfiler(backend="psutil")(function)

    @contextlib.contextmanager
    def around():
        yield wrapped, None

    return around


def pymemtrace_around(function):
    """pymemtrace's trace function, with a row of its log for each change of a page or more."""
    from pymemtrace import cPyMemTrace

    @contextlib.contextmanager
    def around():
        with contextlib.redirect_stdout(io.StringIO()), cPyMemTrace.Trace(-1):
            yield function, None

    return around


# -- the journal -----------------------------------------------------------------------------------------------------------


def weigh_journal() -> None:
    """What the rows about lines take in the file, for a small and a large number of lines."""
    rows = []
    for lines in (JOURNAL_LINES // 100, JOURNAL_LINES // 10, JOURNAL_LINES):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "run.memkit"
            program = loaded("program")
            with memkit.record(path, lines=program.integers, interval=1) as run:
                program.integers(lines // 6)
            texts = path.read_bytes().splitlines(keepends=True)
            recording = run.recording
        about_lines = [text for text in texts if text.startswith((b'["line"', b'["function"', b'["reads"', b'["tracing"'))]
        size = sum(map(len, about_lines))
        hits = sum(line.hits for line in recording.lines)
        took = f"{recording.duration / 1e9:.1f} s"
        rows.append(
            (f"{hits:,} lines", took, len(about_lines), f"{size / KIB:.1f} KiB", f"{sum(map(len, texts)) / KIB:.1f} KiB")
        )
    paired.table(("the journal", "took", "rows about lines", "their size", "whole file"), rows)
    print("rows about lines,", paired.verdict(size / KIB, JOURNAL_TARGET, " KiB"))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        print(json.dumps(measure(sys.argv[2], sys.argv[3], int(sys.argv[4]))))
    else:
        main()
