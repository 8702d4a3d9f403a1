"""Running a script under memkit and under its peers, each of which is asked for what it saw.

The script prints one JSON object last; ``began`` and ``ended`` in it are ``time.time()`` around what counts, ``cpu`` is
the CPU time in nanoseconds that its parent process took meanwhile. Run as a script, this file is the peer that is a thread
with psutil.
"""

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import NamedTuple

import memkit
from memkit.record.settings import RunSettings
from memkit.run.launch import Program, command

PROGRAMS = Path(__file__).with_name("programs")
MIB = 1 << 20


class Watch(NamedTuple):
    """What one watcher saw of one run, from the moment when it began to count."""

    rows: list[tuple[float, int]]
    """When, on the clock of ``time.time()``, and how many bytes."""
    cpu: int
    """Nanoseconds of CPU that watching took while it counted."""
    said: dict
    """What the script said."""

    @property
    def meanwhile(self) -> list[int]:
        """The bytes in the rows of the time that counted."""
        return [peak for time, peak in self.rows if time <= self.said["ended"]]

    @property
    def peaks(self) -> list[int]:
        """The bytes in all the rows, those after it too: the last may tell of the time before."""
        return [peak for _, peak in self.rows]

    @property
    def seconds(self) -> float:
        """How long it counted."""
        return self.said["ended"] - self.said["began"]


def has(module: str) -> bool:
    """Whether a peer is installed."""
    return importlib.util.find_spec(module) is not None


def bare(script: str, *words: str) -> Watch:
    """Nobody watches."""
    return Watch([], 0, answer([sys.executable, PROGRAMS / script, *words]))


def under_memkit(script: str, *words: str, interval: str) -> Watch:
    """The process that ``memkit-run`` starts."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "run.memkit")
        program = Program("script", str(PROGRAMS / script), list(words))
        told = answer(command(program, RunSettings(path=path, interval=interval)))
        recording = memkit.read(path)
    began = recording.about.began
    rows = _since(told, [(began + sample.time / 1e9, sample.peak) for sample in recording.samples])
    share = (told["ended"] - told["began"]) * 1e9 / recording.duration
    return Watch(rows, round(recording.cost.cpu * share) if recording.cost.cpu else 0, told)


def cost_under_memkit(script: str, *words: str, interval: str) -> memkit.Cost:
    """What recording took in the process that ``memkit-run`` starts."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "run.memkit")
        program = Program("script", str(PROGRAMS / script), list(words))
        answer(command(program, RunSettings(path=path, interval=interval)))
        return memkit.read(path).cost


def under_mprof(script: str, *words: str, interval: str) -> Watch:
    """``mprof run`` of memory_profiler."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "mprofile.dat")
        watcher = [sys.executable, "-m", "mprof", "run", "--interval", interval, "-o", path]
        told = answer([*watcher, sys.executable, PROGRAMS / script, *words])
        rows = [line.split() for line in Path(path).read_text().splitlines() if line.startswith("MEM")]
    rows = _since(told, [(float(time), round(float(memory) * MIB)) for _, memory, time in rows])
    return Watch(rows, told["cpu"], told)


def under_psrecord(script: str, *words: str, interval: str) -> Watch:
    """``psrecord`` of a command: with exec, or it would measure the shell."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "log")
        program = " ".join(["exec", sys.executable, str(PROGRAMS / script), *words])
        watcher = [sys.executable, "-m", "psrecord", program, "--log", path]
        told = answer(watcher if interval == "0" else [*watcher, "--interval", interval])
        rows = [line.split() for line in Path(path).read_text().splitlines()[1:]]
    # Its times count from a moment that it keeps to itself; its last row is of about the end.
    offset = told["ended"] - float(rows[-1][0])
    rows = _since(told, [(offset + float(row[0]), round(float(row[2]) * MIB)) for row in rows])
    return Watch(rows, told["cpu"], told)


def under_thread(script: str, *words: str, interval: str) -> Watch:
    """A thread of the script's own process that asks psutil."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "rows.json")
        told = answer([sys.executable, __file__, path, interval, PROGRAMS / script, *words])
        rows, cpu = json.loads(Path(path).read_text())
    return Watch(_since(told, rows), cpu, told)


PEERS = {  # name: what must be installed, how it is run
    "mprof": ("memory_profiler", under_mprof),
    "psrecord": ("psrecord", under_psrecord),
    "psutil thread": ("psutil", under_thread),
}


def answer(words: list) -> dict:
    """The last JSON object that a command prints."""
    done = subprocess.run([str(word) for word in words], stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(next(line for line in reversed(done.stdout.splitlines()) if line.startswith("{")))


def _since(told: dict, rows: list) -> list[tuple[float, int]]:
    return [(time, memory) for time, memory in rows if time >= told["began"]]


def _be_the_thread(path: str, interval: str, script: str) -> None:
    import runpy

    import psutil

    process, rows, stopping, cpu = psutil.Process(), [], threading.Event(), 0

    def watch():
        nonlocal cpu
        due = time.monotonic()
        while not stopping.is_set():
            rows.append((time.time(), process.memory_info().rss))
            due = max(due + float(interval), time.monotonic())
            time.sleep(max(0, due - time.monotonic()))
        cpu = time.thread_time_ns()

    thread = threading.Thread(target=watch)
    thread.start()
    sys.argv = sys.argv[3:]
    sys.path[0] = os.path.dirname(script)
    try:
        runpy.run_path(script, run_name="__main__")
    finally:
        stopping.set()
        thread.join()
    Path(path).write_text(json.dumps((rows, cpu)))


if __name__ == "__main__":
    _be_the_thread(*sys.argv[1:4])
