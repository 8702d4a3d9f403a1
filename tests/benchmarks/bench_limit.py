"""Measures ``--limit``: how late a crossing is recorded, and what watching costs.

Target: a program that grows by 1 GB a second is recorded within 20 ms of the crossing. Late is the time from the moment at
which the program itself finds that it has reached the limit to the look that noticed; ``in the file`` is the time until
another process, which looks every half millisecond, finds the row there. Beyond is how far memory had gone by then. Within
a C call the moment of the crossing is reckoned from its length, which other load on the machine spoils: look at the memory.

What it costs is the CPU time of the sampler's thread beside a program that spins: without a limit, with one that is far, and
with one that is 4 MiB away, where memory is looked at as often as it ever is.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import paired
import watchers

import memkit
from memkit.record.settings import RunSettings
from memkit.run.launch import Program, command

LIMIT = 400 << 20
TARGET = 20
MIB = 1 << 20


def main() -> None:
    """Print the two tables."""
    paired.header("a limit")
    rows = [late("Python, 1 GB/s", 954, "python"), late("one C call with the GIL", 0, "c")]
    paired.table(("20 runs each", "late, median", "worst", "in the file, worst", "beyond, worst"), [row[:5] for row in rows])
    print("1 GB/s, worst:", paired.verdict(rows[0][5], TARGET, " ms"))
    cost()


def late(name: str, rate: int, way: str, runs: int = 20) -> tuple:
    """How late crossings were recorded."""
    found = [one_crossing(rate, way) for _ in range(runs)]
    looks, files, beyond = zip(*found)
    return (
        name,
        f"{median(looks):.1f} ms",
        f"{max(looks):.1f} ms",
        f"{max(files):.1f} ms",
        f"{max(beyond):.0f} MiB",
        max(looks),
    )


def one_crossing(rate: int, way: str) -> tuple[float, float, float]:
    """Milliseconds until it was noticed, and until it was in the file, and MiB beyond the limit."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "run.memkit")
        words = ["1" if not rate else str(rate), str(LIMIT), way]
        settings = RunSettings(path=str(path), limit=str(LIMIT))
        program = Program("script", str(watchers.PROGRAMS / "grow.py"), words)
        process = subprocess.Popen(command(program, settings), stdout=subprocess.PIPE, text=True)
        written = when_written(path, process)
        told = json.loads(process.communicate()[0])
        recording = memkit.read(path)
    (crossing,) = recording.crossings
    noticed = recording.about.clock + crossing.time
    return (noticed - told["crossed"]) / 1e6, (written - told["crossed"]) / 1e6, (crossing.memory - LIMIT) / MIB


def when_written(path: Path, process: subprocess.Popen) -> int:
    """When the row of a crossing is first found in a file, on the monotonic clock."""
    seen = 0
    while process.poll() is None:
        if path.exists():
            with open(path, "rb") as file:
                file.seek(max(0, seen - 20))
                text = file.read()
            if b'["crossing"' in text:
                break
            seen = max(0, seen - 20) + len(text)
        time.sleep(0.0005)
    return time.monotonic_ns()


def cost(rounds: int = 7, seconds: float = 2.0) -> None:
    """The CPU time of the sampler with a limit and without."""
    base = spin(seconds, None)[1]
    runs = {
        "no limit": lambda: spin(seconds, None)[0],
        "a limit that is far": lambda: spin(seconds, 64 << 30)[0],
        "a limit 4 MiB away": lambda: spin(seconds, base + 4 * MIB)[0],
    }
    turns = paired.by_turns(rounds, **runs)
    rows = [
        (name, f"{paired.median(turns, name):.2%}", f"{paired.difference(turns, name, 'no limit'):+.2%}") for name in runs
    ]
    paired.table((f"{rounds} x {seconds} s", "of a core", "more"), rows)


def spin(seconds: float, limit: int | None) -> tuple[float, int]:
    """The share of a core that the sampler took, and the highest memory."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "run.memkit")
        settings = RunSettings(path=str(path), limit=None if limit is None else str(limit))
        program = Program("script", str(watchers.PROGRAMS / "spin.py"), [str(seconds)])
        subprocess.run(command(program, settings), stdout=subprocess.DEVNULL, check=True)
        recording = memkit.read(path)
    if recording.cost.cpu is None:
        sys.exit("only the native engine knows the CPU of its thread: see memkit info")
    return recording.cost.cpu / recording.duration, recording.peak


if __name__ == "__main__":
    main()
