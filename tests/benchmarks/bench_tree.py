"""What recording a process tree costs, and how right its totals are.

Forks of a large parent beside the kernel's own sum of PSS, a pool at a fixed tick, and many short children with and without
memkit. Run: python tests/benchmarks/bench_tree.py
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import memkit

MIB = 1 << 20
RUN = [sys.executable, "-m", "memkit", "run", "-q"]

FORKS = """
import json, mmap, os, re, sys, time
memory = mmap.mmap(-1, 500 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
memory[::4096] = b"x" * (len(memory) // 4096)
children = []
for _ in range(3):
    pid = os.fork()
    if pid == 0:
        time.sleep(60)
    children.append(pid)
time.sleep(3)
def told(name, pid):
    return int(re.search(rf"^{name}: +(\\d+)", open(f"/proc/{pid}/smaps_rollup").read(), re.M)[1]) * 1024
tree = [os.getpid(), *children]
print(json.dumps([sum(told("Pss", pid) for pid in tree), sum(told("Rss", pid) for pid in tree), time.monotonic_ns()]))
for pid in children:
    os.kill(pid, 9)
    os.waitpid(pid, 0)
"""
POOL = """
import time
from multiprocessing import Pool
if __name__ == "__main__":
    with Pool(8) as pool:
        pool.map(time.sleep, [0.5] * 8 * 10, 1)
"""
SHORT = """
import subprocess, time
began = time.perf_counter()
for _ in range(1000):
    subprocess.run(["/bin/true"])
print(time.perf_counter() - began)
"""


def main() -> None:
    os.chdir(tempfile.mkdtemp())
    forks()
    pool()
    short()


def forks() -> None:
    pss, rss, when = json.loads(ran(FORKS, "--children"))
    recording = memkit.read("run.memkit")
    total = [total for total in recording.totals if total.time + recording.about.clock <= when][-1]
    print(f"three idle forks of a 500 MB parent: sum of PSS {pss / MIB:.1f} MiB, sum of RSS {rss / MIB:.1f} MiB")
    wrong = total.memory / pss - 1
    print(f"  memkit: {total.memory / MIB:.1f} MiB ({wrong:+.2%}), of which {total.estimated / MIB:.2f} MiB estimated")


def pool() -> None:
    watcher, took = cpu_of_the_parent(POOL, "--children", "--interval", "50ms")
    alone, _ = cpu_of_the_parent(POOL, "--interval", "50ms")
    recording = memkit.read("run.memkit")
    print(f"a pool of 8 workers at a tick of 50 ms, {took:.1f} s: {(watcher - alone) / took:.2%} of one core", end=" ")
    print(f"({watcher:.3f} s of CPU in memkit's process, {alone:.3f} s without --children)")
    del recording


def short() -> None:
    with_tree = [float(ran(SHORT, "--children")) for _ in range(3)]
    recording = memkit.read("run.memkit")
    without = [float(ran(SHORT)) for _ in range(3)]
    read = sum(bool(recording.lane(process)) for process in recording.processes[1:])
    print(
        f"1000 children of a millisecond: {statistics.median(with_tree):.2f} s, {statistics.median(without):.2f} s", end=" "
    )
    print(f"without --children; {len(recording.processes) - 1} seen by {recording.seen}, memory of {read}")


def ran(program: str, *options: str) -> str:
    Path("program.py").write_text(program)
    return subprocess.run([*RUN, *options, "-o", "run.memkit", "program.py"], stdout=subprocess.PIPE, check=True).stdout


def cpu_of_the_parent(program: str, *options: str) -> tuple[float, float]:
    """Seconds of CPU of memkit's own process, without the program, and how long all took."""
    Path("program.py").write_text(program)
    words = [*RUN, *options, "-o", "run.memkit", "program.py"]
    code = (
        "import json, resource, runpy, sys, time; began = time.monotonic()\n"
        "try: runpy.run_module('memkit', run_name='__main__')\n"
        "except SystemExit: pass\n"
        "used = resource.getrusage(resource.RUSAGE_SELF)\n"
        "print(json.dumps([used.ru_utime + used.ru_stime, time.monotonic() - began]))"
    )
    done = subprocess.run([sys.executable, "-c", code, *words[3:]], stdout=subprocess.PIPE, check=True)
    return tuple(json.loads(done.stdout))


if __name__ == "__main__":
    main()
