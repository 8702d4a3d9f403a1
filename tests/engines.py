"""The engines of tracing, the programs that they are tested on, and how a test runs one in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from memkit.system import engine

MIB = 1 << 20
HERE = Path(__file__).parent
TRACED = HERE / "programs" / "traced"
PROGRAMS = sorted(file.stem for file in TRACED.glob("*.py"))
GATES = ("perf", "rusage", "always")
TRACERS = ("settrace", "monitoring") if hasattr(sys, "monitoring") else ("settrace",)
ENGINES = [(tracer, gate) for tracer in TRACERS for gate in GATES]
NOISE = 64 * 1024
"""What Python's own allocator does to a line here and there, when it has run all of it before."""
CLOSE = 0.3 * MIB
"""The same for a line that runs for the first time."""
PEAK_CLOSE = max(CLOSE, engine.peaks_error() or 0)
"""The same for a rise: the kernel adds pages to the high-water mark in batches; a recording says how low that makes it."""
_ENDING = 0x4  # PF_EXITING of the kernel's include/linux/sched.h
forks = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
"""Of a test that forks, in a process that may have threads of libraries: Python 3.15 warns of these. That memkit has none
then is tested in a process of its own."""


def threads_at_work():
    """The threads of this process but for those that are ending: the system lists these for a moment after a join still."""
    found = set()
    for thread in os.listdir("/proc/self/task"):
        try:
            state = Path(f"/proc/self/task/{thread}/stat").read_text()
        except OSError:
            continue
        if not int(state.rpartition(")")[2].split()[6]) & _ENDING:
            found.add(thread)
    return found


def environment(tracer="", gate="", **more):
    path = os.pathsep.join([str(HERE), *os.environ.get("PYTHONPATH", "").split(os.pathsep)])
    return {**os.environ, "PYTHONPATH": path.rstrip(os.pathsep), "MEMKIT_TRACER": tracer, "MEMKIT_GATE": gate, **more}


def allowed(gate):
    """Skips where this machine refuses a gate."""
    if gate == "perf":
        from memkit.native.tracing import gate as gates

        gates.probe()
        if gates.chosen()[0] != "perf":
            pytest.skip(f"needs the gate perf: {gates.chosen()[1]}")


_found = {}


def found(oracle, way, tracer="", gate=""):
    """What an oracle finds out about all the traced programs, run once. ``way`` is one of those that it names."""
    key = oracle, way, tracer, gate
    if key not in _found:
        words = [sys.executable, str(HERE / f"{oracle}.py"), way, str(TRACED)]
        done = subprocess.run(words, capture_output=True, text=True, env=environment(tracer, gate), timeout=120)
        assert (done.returncode, done.stderr) == (0, "")
        _found[key] = json.loads(done.stdout)
    return _found[key]


def exactly(found, expected):
    """Whether labels have what is expected; asyncio may have made a block of its own in one, as tracemalloc says, too."""
    over = {label: size - expected[label] for label, size in found.items() if size != expected[label]}
    return found.keys() == expected.keys() and (not over or (len(over) == 1 and 0 < sum(over.values()) <= 160))
