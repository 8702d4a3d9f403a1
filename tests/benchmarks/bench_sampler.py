"""Measures the sampler at a tick of 1 ms: how many ticks it keeps, and what a tick costs in CPU, the journal included.

Target: a tick takes at most 1.25 times the CPU of a C thread that waits in the same way (``pthread_cond_timedwait`` on the
monotonic clock) and does nothing else. That thread is the reference; another in ``clock_nanosleep``, which could not be told
to stop at once, stands beside it, and so does memkit recording a process for the second time in its life.

Beats should be kept as well as the reference keeps them, while Python spins and also while one C call holds the GIL for two
seconds and allocates; the peers go through the same. CPU of a tick is that of the sampling thread alone, of a peer that is
a process of its own that process's. ``work done`` is how far the program came, next to one that nobody watched.
"""

import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

import paired
import watchers

from memkit import Cost
from memkit.system import engine

TICK = 0.001
SPIN = 3.0
HOLD, HELD_MIB = 2.0, 512
TARGET = 1.25
REFERENCE = "C, cond_timedwait"


def main() -> None:
    """Print the three tables."""
    paired.header("the sampler at 1 ms")
    if engine.NAME != "native":
        sys.exit(f"only the native engine knows the CPU of its thread: {engine.REASON}")
    with tempfile.TemporaryDirectory() as folder:
        library = compiled(Path(__file__).with_name("tick.c"), folder)
        compare_cpu(library)
        compare("while Python spins", rounds=3, script="spin.py", words=[str(SPIN)])
        compare("in a C call that holds the GIL", rounds=3, script="hold.py", words=[library, str(HOLD), str(HELD_MIB)])


def compiled(source: Path, folder: str) -> str:
    """A shared library made of one C file."""
    library = f"{folder}/{source.stem}.so"
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-pthread", "-o", library, str(source)], check=True)
    return library


# -- against a thread that only wakes ----------------------------------------------------------------------------------


def compare_cpu(library: str, rounds: int = 30, seconds: float = 0.5) -> None:
    """CPU of a tick beside a program that spins, each time in a fresh process."""
    runs = {
        "memkit-run": lambda: watchers.cost_under_memkit("spin.py", str(seconds), interval=str(TICK)),
        "memkit.record, again": lambda: told_cost("record.py", seconds),
        REFERENCE: lambda: told_cost("tick.py", library, 1, seconds),
        "C, clock_nanosleep": lambda: told_cost("tick.py", library, 0, seconds),
    }
    turns = paired.by_turns(rounds, **runs)
    if any(cost.cpu is None for turn in turns for cost in turn.values()):
        sys.exit("a process fell back to the portable engine, whose CPU cannot be told: see memkit info, and start again")
    cpu = [{name: cost.cpu / cost.beats / 1000 for name, cost in turn.items()} for turn in turns]
    rows = [
        (
            name,
            f"{median(turn[name].kept for turn in turns):.1%}",
            f"{paired.median(cpu, name):.1f} us",
            f"x{paired.ratio(cpu, name, REFERENCE):.2f}",
            f"x{paired.ratio(cpu, name, 'C, clock_nanosleep'):.2f}",
        )
        for name in runs
    ]
    paired.table((f"{rounds} x {seconds} s", "kept", "CPU/tick", "to cond_timedwait", "to nanosleep"), rows)
    for name in list(runs)[:2]:
        print(f"{name}: CPU of a tick to {REFERENCE},", paired.verdict(paired.ratio(cpu, name, REFERENCE), TARGET))


def told_cost(script: str, *words) -> Cost:
    """What a program says that ticking took."""
    told = watchers.answer([sys.executable, watchers.PROGRAMS / script, *words])
    return Cost(told["beats"], told["late"], told["cpu"])


# -- beside the peers --------------------------------------------------------------------------------------------------


def compare(title: str, rounds: int, script: str, words: list[str]) -> None:
    """Run one program under every watcher by turns."""
    runs = {"memkit": lambda: watchers.under_memkit(script, *words, interval=str(TICK))}
    missing = []
    for name, (module, under) in watchers.PEERS.items():
        if watchers.has(module):
            runs[name] = lambda under=under: under(script, *words, interval=str(TICK))
        else:
            missing.append((name, "not installed", *[""] * 5))
    turns = paired.by_turns(rounds, nobody=lambda: watchers.bare(script, *words), **runs)
    rows = [row_of(name, turns) for name in runs] + missing
    paired.table((title, "ticks", "kept", "CPU/tick", "CPU/time", "MiB seen", "work done"), rows)


def row_of(name: str, turns: list[dict]) -> tuple:
    """Medians over the rounds."""
    watches = [turn[name] for turn in turns]
    ticks = median(len(watch.meanwhile) for watch in watches)
    cpu = median(watch.cpu for watch in watches) / 1000
    seconds = median(watch.seconds for watch in watches)
    seen = median(max(watch.meanwhile, default=0) - min(watch.meanwhile, default=0) for watch in watches) / watchers.MIB
    work = ""
    if "work" in watches[0].said:
        work = f"{median(turn[name].said['work'] / turn['nobody'].said['work'] for turn in turns):.1%}"
    each = f"{cpu / ticks:.0f} us" if ticks else ""
    return name, f"{ticks:.0f}", f"{ticks * TICK / seconds:.1%}", each, f"{cpu / 1e6 / seconds:.1%}", f"{seen:.0f}", work


if __name__ == "__main__":
    main()
