"""Measures what being measured costs a program before its first line: time and resident memory over a bare interpreter.

Targets: an empty script takes at most 25 ms and 3 MiB more in memkit's measured process than in ``python empty.py``;
``import memkit`` takes less than 5 ms and 1 MiB. The whole ``memkit-run`` command, which also imports its plugins and
reports, is there for orientation. Memory is what the script itself reads at its end, not what ``wait4`` says: that is never
less than the parent was.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import paired

from memkit.record.settings import RunSettings
from memkit.run.launch import Program, command

PAIRS = 31
MIB = 1 << 20
TIME_TARGET, MEMORY_TARGET = 25.0, 3.0
IMPORT_TIME_TARGET, IMPORT_MEMORY_TARGET = 5.0, 1.0

RESIDENT = """\
import os
with open("/proc/self/statm", "rb") as file:
    resident = int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")
"""
IMPORT = f"""\
import time
{RESIDENT}
before, began = resident, time.perf_counter()
import memkit
took = time.perf_counter() - began
{RESIDENT}
print(took * 1000, resident - before)
"""
COMMAND = "import sys; from memkit.cli.main import run; sys.exit(run())"


def main() -> None:
    """Print the two tables."""
    paired.header("starting up")
    with tempfile.TemporaryDirectory() as folder:
        compare_processes(folder)
    compare_imports()


def compare_processes(folder: str) -> None:
    """An empty script in three ways: time, and another three that say how large they are."""
    empty, says = os.path.join(folder, "empty.py"), os.path.join(folder, "says.py")
    Path(empty).write_text("")
    Path(says).write_text(f"{RESIDENT}\nprint(resident)\n")
    took = paired.by_turns(PAIRS, **{name: timed(words) for name, words in ways(empty, folder).items()})
    memory = paired.by_turns(PAIRS, **{name: sized(words) for name, words in ways(says, folder).items()})
    rows = [
        (
            name,
            f"{paired.median(took, name):.1f} ms",
            f"+{paired.difference(took, name, 'python'):.1f} ms",
            f"x{paired.ratio(took, name, 'python'):.2f}",
            f"{paired.median(memory, name) / MIB:.2f} MiB",
            f"{paired.difference(memory, name, 'python') / MIB:+.2f} MiB",
        )
        for name in took[0]
    ]
    paired.table((f"empty script, {PAIRS} pairs", "time", "more", "ratio", "memory of program", "more"), rows)
    print("time,", paired.verdict(paired.difference(took, "measured process", "python"), TIME_TARGET, " ms"))
    more = paired.difference(memory, "measured process", "python") / MIB
    print("memory,", paired.verdict(more, MEMORY_TARGET, " MiB"))


def ways(script: str, folder: str) -> dict[str, list[str]]:
    """The commands that run a script."""
    recording = os.path.join(folder, "run.memkit")
    return {
        "python": [sys.executable, script],
        "measured process": command(Program("script", script, []), RunSettings(path=recording)),
        "memkit-run --quiet": [sys.executable, "-c", COMMAND, "--quiet", "-o", recording, script],
        "memkit-run": [sys.executable, "-c", COMMAND, "-o", recording, script],
    }


def compare_imports() -> None:
    """What a program pays for ``import memkit``, from within a fresh interpreter each time."""
    words = [sys.executable, "-c", IMPORT]
    found = [dict(zip(("time", "memory"), said(words))) for _ in range(PAIRS)]
    took, memory = paired.median(found, "time"), paired.median(found, "memory") / MIB
    paired.table((f"import memkit, {PAIRS} times", "time", "memory"), [("memkit", f"{took:.2f} ms", f"{memory:.2f} MiB")])
    print("time,", paired.verdict(took, IMPORT_TIME_TARGET, " ms"))
    print("memory,", paired.verdict(memory, IMPORT_MEMORY_TARGET, " MiB"))


def timed(words: list[str]):
    """A callable that runs a command and returns milliseconds."""

    def run() -> float:
        began = time.perf_counter()
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return (time.perf_counter() - began) * 1000

    return run


def sized(words: list[str]):
    """A callable that runs a command and returns the number that it prints first."""
    return lambda: said(words)[0]


def said(words: list[str]) -> list[float]:
    """The numbers in the first line that a command prints."""
    done = subprocess.run(words, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return [float(word) for word in done.stdout.splitlines()[0].split()]


if __name__ == "__main__":
    main()
