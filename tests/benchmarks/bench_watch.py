"""What ``memkit.watch`` costs a service that runs on and on: CPU time, memory, and the size of its folder.

    python tests/benchmarks/bench_watch.py [seconds a run] [requests a second] [keep]

A process serves so many requests a second, each in a span, with and without a watch, in pairs. CPU time is that of the whole
process, so that what spans cost is in it, and the share is of one core. Memory is the peak of resident memory at the end;
both have imported memkit. The folder is looked at ten times a second. Nothing else should run meanwhile.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time

SERVICE = """
import os, resource, sys, time
folder, seconds, rate, keep, heap = sys.argv[1], *map(float, sys.argv[2:4]), sys.argv[4], sys.argv[5]
import memkit
memkit.rss()
def memory():
    return memkit.peak_rss()
before = memory()
if folder:
    memkit.watch(folder, keep=keep, heap=heap or False)
span = memkit.span
with span("first"):
    time.sleep(1.5)                 # what it loads at its beginning a service of weeks pays once
began, spent, done = time.monotonic(), time.process_time(), 0
while (now := time.monotonic()) - began < seconds:
    due = int((now - began) * rate)
    while done < due:
        with span("request"):
            bytearray(10_000)
        done += 1
    time.sleep(0.01)
print(time.process_time() - spent, memory() - before, done)
"""


def run(folder, seconds, rate, keep, heap=""):
    """CPU seconds, bytes of memory beyond what was there before, and requests of one process."""
    words = [sys.executable, "-c", SERVICE, folder, str(seconds), str(rate), keep, heap]
    cpu, memory, done = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()
    return float(cpu), int(memory), int(done)


def size_of(folder):
    """The bytes of all files in a folder."""
    total = 0
    for name in os.listdir(folder):
        try:
            total += os.path.getsize(os.path.join(folder, name))
        except OSError:  # it was just removed
            continue
    return total


def largest(folder, over):
    """The highest that the folder was until something is over."""
    most = 0
    while not over.wait(0.1):
        most = max(most, size_of(folder))
    return most


def watched(seconds, rate, keep, heap=""):
    """What a watched process took, and how large its folder was at most."""
    with tempfile.TemporaryDirectory() as folder:
        over, most = threading.Event(), []
        looking = threading.Thread(target=lambda: most.append(largest(folder, over)))
        looking.start()
        taken = run(folder, seconds, rate, keep, heap)
        over.set()
        looking.join()
        return (*taken, most[0])


def main():
    seconds, rate = float(sys.argv[1]) if sys.argv[1:] else 10, float(sys.argv[2]) if sys.argv[2:] else 100
    keep = sys.argv[3] if sys.argv[3:] else "1d,1MB"
    print(f"{seconds:g} s a run, {rate:g} requests a second, keep {keep}, Python {sys.version.split()[0]}")
    for heap in ("", "sampled"):
        cpu, memory, folder = [], [], 0
        for _ in range(3):
            without, before, _ = run("", seconds, rate, keep)
            with_it, after, _, most = watched(seconds, rate, keep, heap)
            cpu.append((with_it - without) / seconds)
            memory.append(after - before)
            folder = max(folder, most)
            time.sleep(0.1)
        print(
            f"{heap or 'plain':8} {statistics.median(cpu):+.2%} of a core ({min(cpu):+.2%} to {max(cpu):+.2%}), "
            f"{statistics.median(memory) / 2**20:+.1f} MiB, the folder at most {folder / 1e6:.2f} MB"
        )


if __name__ == "__main__":
    main()
