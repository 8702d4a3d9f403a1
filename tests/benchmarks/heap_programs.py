"""Whole programs for ``bench_heap.py``: those of pyperformance, installed for it, as they are.

``python bench_heap.py programs`` installs pyperformance, what its programs need and memray into a folder of its own, and
runs each program in a fresh process: plain, with calls traced, with the heap counted by them, sampled, and under memray
with Python's allocators. The C library's allocators are counted in each, as under ``memkit-run``. Times are CPU time of the
whole program, its imports included, and of the start and the end of what watches it. ``programs mdp 3`` does one, in three
rounds; ``programs in FOLDER`` keeps what was installed there.
"""

import json
import os
import runpy
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import paired

from memkit.system import preload

NEEDS = ("pyperformance", "sqlglot", "memray")
PROGRAMS = {
    "json_loads": ("json_loads", 1600),
    "deltablue": ("deltablue", 200),
    "mdp": ("mdp", 1),
    "sqlglot_parse": ("sqlglot_v2", 400, "parse"),
    "sqlglot_optimize": ("sqlglot_v2", 40, "optimize"),
    "richards": ("richards", 20),
    "go": ("go", 8),
    "pyflate": ("pyflate", 2),
}
"""Folder, how often its loop runs, and further arguments."""
WATCHERS = ("plain", "calls", "calls, heap with C", "sampled with C", "memray, Python's")
TARGET, SAMPLED_TARGET = 1.7, 1.05


def main(words: list[str]) -> None:
    """Print a table of ratios to the plain program, and their geometric means."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(words[words.index("in") + 1] if "in" in words else temporary).resolve()
        install(folder)
        rounds = next((int(word) for word in words if word.isdigit()), 1)
        ratios: dict[str, dict[str, float]] = {}
        paired.header("whole programs")
        for name in [word for word in words if word in PROGRAMS] or PROGRAMS:
            turns = {watcher: partial(time_of, folder, watcher, name) for watcher in WATCHERS}
            found = paired.by_turns(rounds, **turns)
            ratios[name] = {watcher: paired.ratio(found, watcher, "plain") for watcher in WATCHERS[1:]}
            print(
                f"{name}: plain {paired.median(found, 'plain'):.2f} s",
                *(f"{of} x{by:.2f}" for of, by in ratios[name].items()),
            )
        rows = [(name, *(f"x{by:.2f}" for by in each.values())) for name, each in ratios.items()]
        means = {watcher: statistics.geometric_mean(each[watcher] for each in ratios.values()) for watcher in WATCHERS[1:]}
        paired.table(("program", *means), [*rows, ("geometric mean", *(f"x{mean:.2f}" for mean in means.values()))])
        tell(ratios, means)


def tell(ratios: dict[str, dict[str, float]], means: dict[str, float]) -> None:
    """Print whether the targets are reached."""
    heap, sampled, memray = WATCHERS[2:]
    print(f"{heap}, geometric mean:", paired.verdict(means[heap], TARGET))
    print(f"{sampled}, geometric mean:", paired.verdict(means[sampled], SAMPLED_TARGET))
    slower = [name for name, each in ratios.items() if each[heap] > each[memray]]
    print(f"slower than {memray}:", ", ".join(slower) or "none")


def install(folder: Path) -> None:
    """Put what the programs need into a folder, unless it is there."""
    if not (folder / "pyperformance").exists():
        subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--target", folder, *NEEDS], check=True)


def time_of(folder: Path, watcher: str, name: str) -> float:
    """Seconds of CPU time that the whole program takes in a fresh process."""
    environment = {**os.environ, **(preload.environment() if watcher.endswith("with C") else {}), "PYTHONPATH": str(folder)}
    with tempfile.TemporaryDirectory() as work:  # memray writes where it is
        words = [sys.executable, Path(__file__).with_name("bench_heap.py").resolve(), "--program", watcher, name, folder]
        done = subprocess.run(words, cwd=work, env=environment, stdout=subprocess.PIPE, text=True, check=True)
        return json.loads(done.stdout.splitlines()[-1])


def run(around, name: str, folder: str) -> float:
    """Run a program here, inside a context manager; CPU time in seconds."""
    bench, times, *more = PROGRAMS[name]
    script = Path(folder, "pyperformance", "data-files", "benchmarks", f"bm_{bench}", "run_benchmark.py")
    sys.argv = [str(script), "--worker", "-l", str(times), "-n", "1", "-w", "0", *more]
    sys.path.insert(0, str(script.parent))
    began = time.process_time()
    with around:
        runpy.run_path(str(script), run_name="__main__")
    return time.process_time() - began
