"""Measures what watching adds to a cell, beside ipython_memwatcher and ipython_memory_usage where they are installed.

Target: under 1 ms a cell, in a terminal and in a kernel of Jupyter.

Each shell is a process of its own. The cells do nothing, so that their time is that of the shell, or sleep, so that in the
kernel they are shown with a curve. A round is so many cells with nobody watching, as many with the watcher, and as many
without it again. In the kernel a cell takes, by its own clock, from when its request is read until its answer is sent.

``python bench_cells.py quick`` leaves the peers out.
"""

import json
import os
import subprocess
import sys
import time
from importlib.util import find_spec
from statistics import median

import paired

CELLS, PEERS_CELLS, ROUNDS, TARGET = 50, 5, 5, 1.0
WATCHERS = {  # how each is switched on and off again
    "memkit": ("%load_ext memkit.ipython\n%memwatch on", "%memwatch off"),
    "memkit.compat": (
        "from memkit.compat.ipython_memwatcher import MemWatcher\nmw = MemWatcher()\nmw.start_watching_memory()",
        "mw.stop_watching_memory()",
    ),
    "ipython_memwatcher": (
        # It takes no arguments from IPython, which has given one since 8.17; so that it can be measured at all:
        "from ipython_memwatcher import MemWatcher\n"
        "class Watcher(MemWatcher):\n"
        "    def pre_run_cell(self, *_): super().pre_run_cell()\n"
        "    def watch_memory(self, *_): super().watch_memory()\n"
        "mw = Watcher()\nmw.start_watching_memory()",
        "mw.stop_watching_memory()",
    ),
    "ipython_memory_usage": ("%load_ext ipython_memory_usage\n%imu_start", "%imu_stop"),
}
SHORT, LONG = "x = 1", "__import__('time').sleep(0.03)"
PLACES = (("in_terminal", SHORT), ("in_kernel", SHORT), ("in_kernel", LONG))


def measure(run, name, cell):
    """Milliseconds that a watcher adds to a cell: the median over the rounds of what the median cell takes more."""
    on, off = WATCHERS[name]
    cells = CELLS if name.startswith("memkit") else PEERS_CELLS
    found = []
    for _ in range(ROUNDS):
        before = median(run(cell) for _ in range(cells))
        run(on)
        run(cell)
        watched = median(run(cell) for _ in range(cells))
        run(off)
        after = median(run(cell) for _ in range(cells))  # a history that grows makes cells slower
        found.append((watched - (before + after) / 2) * 1e3)
    return median(found)


def in_terminal(name, cell):
    """In a shell of this process, whose output goes nowhere."""
    from IPython.terminal.interactiveshell import TerminalInteractiveShell

    shell = TerminalInteractiveShell.instance(simple_prompt=True)
    shown, sys.stdout = sys.stdout, open(os.devnull, "w")  # noqa: SIM115 (until the process ends)

    def run(cell):
        began = time.perf_counter()
        shell.run_cell(cell, store_history=True)
        return time.perf_counter() - began

    added = measure(run, name, cell)
    print(json.dumps(added), file=shown)


def in_kernel(name, cell):
    """In a kernel of Jupyter."""
    from jupyter_client.jsonutil import parse_date
    from jupyter_client.manager import start_new_kernel

    manager, client = start_new_kernel(kernel_name="python3", stderr=subprocess.DEVNULL)

    def run(cell):
        reply = client.execute_interactive(cell, timeout=60, output_hook=lambda _: None)
        return (reply["header"]["date"] - parse_date(reply["metadata"]["started"])).total_seconds()

    added = measure(run, name, cell)
    client.stop_channels()
    manager.shutdown_kernel(now=True)
    print(json.dumps(added))


def told(where, name, cell):
    """What a process of its own found."""
    done = subprocess.run([sys.executable, __file__, where, name, cell], capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else None


def main():
    paired.header("what watching adds to a cell")
    quick = "quick" in sys.argv
    names = [name for name in WATCHERS if name.startswith("memkit") or (not quick and find_spec(name))]
    rows, worst = [], 0
    for name in names:
        found = [told(*where, name, cell) for *where, cell in PLACES]
        rows.append((name, *("failed" if each is None else f"{each:.2f} ms" for each in found)))
        if name.startswith("memkit"):
            worst = max(worst, *(each if each is not None else float("inf") for each in found))
    paired.table(("added to a cell by", "terminal", "kernel", "kernel, 30 ms"), rows)
    print("\nmemkit:", paired.verdict(worst, TARGET, " ms"))


if __name__ == "__main__":
    if sys.argv[1:2] in (["in_terminal"], ["in_kernel"]):
        {"in_terminal": in_terminal, "in_kernel": in_kernel}[sys.argv[1]](*sys.argv[2:])
    else:
        main()
