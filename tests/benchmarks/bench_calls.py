"""Measures what tracing calls costs a program: its time under memkit, each tracer, and under the peers, to its own.

Targets, with the gate ``perf`` and the default tracer: ``fib(30)``, whose calls do nothing, takes at most 4.5 times as long
on Python 3.12 and later, 5.5 times on 3.11, and less than under cProfile on each; records of JSON parsed, grouped and
written 1.5 times, binary trees twice as long, a pipeline of numpy 1.05 times. Fresh pages, each of which is a fault that the
gate is told of, have no target. A program of a million paths takes at most 150 MiB more. The journal of 10^8 calls on 10^4
paths takes at most 5 MiB.

Each pair is one process's: the function as it is, then the same function traced, in CPU time of the process, the thread of
the sampler included, and in time on the clock, for which other programs matter more. Watchers take turns. Those that are
slow are given less to do, on both sides of a pair. What a call costs is the difference over the number of calls of Python
functions. Samples are taken once a second: their cost is the matter of ``bench_sampler.py``, and that of starting up the
matter of ``bench_startup.py``.

``python bench_calls.py quick`` leaves the peers, memory and the journal out, ``default`` all but memkit and cProfile, as the
documentation's table by versions of Python has it; ``python bench_calls.py fib 5`` does one program, in five rounds;
``memory`` and ``journal`` do only these.
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

PROGRAMS_FOLDER = Path(__file__).with_name("programs")
PAIRS = 5
ROUNDS = 5
MIB = 1 << 20
MEMORY_TARGET = 150.0
JOURNAL_CALLS, JOURNAL_TARGET = 10**8, 5.0
MEMKIT = {  # watcher: its environment, whether functions in C are calls as well
    "memkit": ({}, False),
    "memkit, c_calls": ({}, True),
    "memkit, gate rusage": ({"MEMKIT_GATE": "rusage"}, False),
}
if sys.version_info >= (3, 12):
    MEMKIT["memkit, setprofile"] = ({"MEMKIT_TRACER": "settrace"}, False)
PEERS = {"cProfile": "cProfile", "pymemtrace": "pymemtrace", "memray": "memray"}
PROGRAMS = {  # name: what it is, its size, that of a run that only warms up, target, what must be installed
    "fib": ("fib(30), calls that do nothing", 30, 12, 4.5 if sys.version_info >= (3, 12) else 5.5, None),
    "records": ("JSON parsed, grouped, written", 10_000, 100, 1.5, None),
    "trees": ("binary trees", 12, 5, 2.0, None),
    "pipeline": ("a pipeline of numpy", 60, 2, 1.05, "numpy"),
    "pages": ("fresh pages, what the gate costs", 5, 1, None, None),
}
SMALLER = {  # the sizes for slow watchers
    "memkit, gate rusage": {"fib": 27},
    "cProfile": {"fib": 28},
    "memray": {"fib": 26, "trees": 9, "records": 2_000},
    "pymemtrace": {"fib": 22, "trees": 7, "records": 1_000},
}


def main() -> None:
    """Print a table for each program, and what the memory of the tree and the journal take."""
    words = sys.argv[1:]
    chosen = [word for word in words if word in PROGRAMS or word in ("memory", "journal")] or [
        *PROGRAMS,
        "memory",
        "journal",
    ]
    rounds = next((int(word) for word in words if word.isdigit()), ROUNDS)
    paired.header("tracing calls")
    if engine.NAME != "native":
        sys.exit(f"calls can be traced with the native engine only: {engine.REASON}")
    from memkit.tracing import choice

    gate, reason = choice.gate_in_use()
    print(f"gate in use: {gate}{f' ({reason})' if reason else ''}; tracer in use: {choice.engine()}")
    watchers = ["memkit", "cProfile"] if "default" in words else [*MEMKIT, *([] if "quick" in words else PEERS)]
    for name in chosen:
        if name not in PROGRAMS:
            continue
        needs = PROGRAMS[name][4]
        if needs and not has(needs):
            print(f"\n{PROGRAMS[name][0]}: {needs} is not installed")
        else:
            compare(name, rounds, watchers)
    if "memory" in chosen and not {"quick", "default"} & {*words}:
        weigh_paths()
    if "journal" in chosen and not {"quick", "default"} & {*words}:
        weigh_journal()


def has(module: str) -> bool:
    """Whether a module is installed."""
    return importlib.util.find_spec(module) is not None


# -- time ----------------------------------------------------------------------------------------------------------------


def compare(name: str, rounds: int, wanted: list[str]) -> None:
    """Run one program under every watcher by turns."""
    title, _, _, target, _ = PROGRAMS[name]
    watchers = [watcher for watcher in wanted if watcher in MEMKIT or has(PEERS[watcher])]
    missing = [(peer, "not installed", *[""] * 5) for peer in wanted if peer not in watchers]
    runs = {watcher: lambda watcher=watcher: pairs_under(watcher, name) for watcher in watchers}
    turns = paired.by_turns(rounds, **runs)
    found = {watcher: [pair for turn in turns for pair in turn[watcher]["pairs"]] for watcher in watchers}
    rows = [row_of(watcher, found[watcher], turns[0][watcher]["calls"]) for watcher in watchers]
    paired.table((title, "plain", "watched", "median", "best pair", "on the clock", "a call"), rows + missing)
    if target:
        print("memkit:", paired.verdict(ratio_of(found["memkit"]), target))
    if name == "fib" and "cProfile" in found:
        to_peer = ratio_of(found["memkit"]) / ratio_of(found["cProfile"])
        print("memkit to cProfile:", paired.verdict(to_peer, 1.0))


def ratio_of(pairs: list, clock: int = 0) -> float:
    """The median of the ratios of pairs."""
    return median(watched[clock] / plain[clock] for plain, watched in pairs)


def row_of(watcher: str, pairs: list, calls: int) -> tuple:
    """One row of a table, of pairs that each made so many calls, if that is known."""
    plain, watched = ([times[0] for times in side] for side in zip(*pairs))
    each = median(after - before for before, after in zip(plain, watched)) / max(calls, 1)
    times = (f"{median(side) / 1e6:.1f} ms" for side in (plain, watched))
    best = min(after / before for before, after in zip(plain, watched))
    ratios = f"x{ratio_of(pairs):.2f}", f"x{best:.2f}", f"x{ratio_of(pairs, 1):.2f}"
    return watcher, *times, *ratios, f"{each:.0f} ns" if calls > 1000 else ""


def pairs_under(watcher: str, name: str) -> dict:
    """What a fresh process finds."""
    settings = dict(os.environ)
    settings.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", PYTHONHASHSEED="0")
    settings.update(MEMKIT.get(watcher, ({}, False))[0])
    words = [sys.executable, __file__, "--measure", watcher, name]
    with tempfile.TemporaryDirectory() as folder:  # a peer writes its log where it is
        done = subprocess.run(words, cwd=folder, env=settings, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


# -- the process that is measured ------------------------------------------------------------------------------------------


def measure(watcher: str, name: str) -> dict:
    """Run pairs: the function as it is, and the same while it is watched."""
    program = loaded()
    function = getattr(program, name)
    _, size, small, _, _ = PROGRAMS[name]
    what = program.prepared(name, SMALLER.get(watcher, {}).get(name, size))
    warm = program.prepared(name, small)
    around = memkit_around(MEMKIT[watcher][1]) if watcher in MEMKIT else globals()[f"{watcher}_around"]
    pairs = []
    function(what)
    for _ in range(PAIRS):
        alone = timed(function, what, warm)
        with around():
            watched = timed(function, what, warm)
        pairs.append((alone, watched))
    return {"pairs": pairs, "calls": calls_of(function, what)}


def loaded():
    """The programs."""
    sys.path.insert(0, str(PROGRAMS_FOLDER))
    import called

    return called


def timed(function, what, warm) -> tuple[int, int]:
    """Nanoseconds of CPU that a call takes, and of the clock. The code is warm: watchers have the interpreter change it."""
    function(warm)
    gc.collect()
    began, on_the_clock = time.process_time_ns(), time.perf_counter_ns()
    function(what)
    return time.process_time_ns() - began, time.perf_counter_ns() - on_the_clock


def calls_of(function, what) -> int:
    """The number of calls of Python functions that a call makes."""
    with memkit.record(calls=True, interval=1) as run:
        function(what)
    return sum(call.calls for call in run.recording.calls)


# Each gives a context manager, inside which everything is watched.


def memkit_around(c_calls: bool):
    """memkit: all calls of the program."""
    return lambda: memkit.record(calls=True, c_calls=c_calls, interval=1)


def cProfile_around():
    """cProfile, which measures time only, and functions in C as well."""
    from cProfile import Profile

    return Profile()


@contextlib.contextmanager
def pymemtrace_around():
    """pymemtrace's profile function, with a row of its log for each change of a page or more."""
    from pymemtrace import cPyMemTrace

    with contextlib.redirect_stdout(io.StringIO()), cPyMemTrace.Profile(-1):
        yield


def memray_around():
    """memray, which measures allocations; a file for each time."""
    import memray

    return memray.Tracker(f"{time.monotonic_ns()}.bin")


# -- memory ----------------------------------------------------------------------------------------------------------------


def weigh_paths() -> None:
    """What the tree of a million paths takes in the process that is measured."""
    rows, peaks = [], {}
    for title, options in {"plain": [], "memkit": ["--calls"], "memkit, c_calls": ["--calls", "--c-calls"]}.items():
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "run.memkit"
            text = f"import sys; sys.path.insert(0, {str(PROGRAMS_FOLDER)!r}); import called; called.paths(6)"
            command = "import sys; from memkit.cli.main import run; sys.exit(run())"
            subprocess.run([sys.executable, "-c", command, "-q", "-o", path, *options, "-c", text], check=True)
            recording, size = memkit.read(path), path.stat().st_size
        peaks[title] = recording.peak
        more = f"{(recording.peak - peaks['plain']) / MIB:+.1f} MiB"
        paths = f"{len(recording.calls):,}" if recording.calls else ""
        rows.append((title, f"{recording.peak / MIB:.1f} MiB", more, paths, f"{size / MIB:.1f} MiB"))
    paired.table(("a million paths", "peak", "more", "rows of the tree", "journal"), rows)
    print("memory,", paired.verdict((peaks["memkit"] - peaks["plain"]) / MIB, MEMORY_TARGET, " MiB"))


# -- the journal -----------------------------------------------------------------------------------------------------------


def weigh_journal() -> None:
    """What the rows about calls take in the file, for a small and a large number of calls on as many paths."""
    program, rows = loaded(), []
    each = sum(10**depth for depth in range(5))
    for calls in (JOURNAL_CALLS // 100, JOURNAL_CALLS // 10, JOURNAL_CALLS):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "run.memkit"
            with memkit.record(path, calls=True) as run:
                for _ in range(calls // each + 1):
                    program.CALLERS[0](4)
            texts = path.read_bytes().splitlines(keepends=True)
            recording = run.recording
        about_calls = [text for text in texts if text.startswith((b'["call', b'["function"', b'["tracing"'))]
        size, whole = sum(map(len, about_calls)), sum(map(len, texts))
        made, took = sum(call.calls for call in recording.calls), f"{recording.duration / 1e9:.1f} s"
        sizes = f"{size / MIB:.2f} MiB", f"{whole / MIB:.2f} MiB"
        rows.append((f"{made:,} calls", took, f"{len(recording.calls):,}", f"{len(about_calls):,}", *sizes))
    paired.table(("the journal", "took", "paths", "rows about calls", "their size", "whole file"), rows)
    print("rows about calls,", paired.verdict(size / MIB, JOURNAL_TARGET, " MiB"))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        print(json.dumps(measure(sys.argv[2], sys.argv[3])))
    else:
        main()
