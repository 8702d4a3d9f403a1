"""Rises for 5 ms, again and again, each time by another known number of MiB, and says what it was before.

Arguments: the lowest spike in MiB, how many there are, each one MiB higher than another, and the seconds between two.
"""

import mmap
import os
import statistics
import sys
import time

from reply import Reply

lowest, count, pause = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
LENGTH = 0.005
TOUCHED = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE}


def resident() -> int:
    """Resident memory now, in bytes."""
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def spike(height: int) -> float:
    """Hold so many MiB for 5 ms; how long it really took."""
    began = time.perf_counter()
    memory = mmap.mmap(-1, height << 20, **TOUCHED)
    time.sleep(max(0, LENGTH - (time.perf_counter() - began)))
    memory.close()
    return time.perf_counter() - began


spike(1)
with Reply() as notes:
    lengths = []
    time.sleep(pause)
    notes["baseline"] = resident()
    for number in range(count):
        lengths.append(spike(lowest + number * 7 % count))  # 7: neither rising nor falling
        time.sleep(pause)
    notes["length"] = statistics.median(lengths)
