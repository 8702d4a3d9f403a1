"""Grows at a steady rate until it has reached a limit, and says when that was on the monotonic clock.

Arguments: MiB a second, the limit in bytes, and ``python`` or ``c``: 1 MiB at a time, or all in one call that holds the GIL.
"""

import ctypes
import json
import mmap
import os
import sys
import time

MIB = 1 << 20
rate, limit, way = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
statm = os.open("/proc/self/statm", os.O_RDONLY)


def resident():
    return int(os.pread(statm, 99, 0).split()[1]) * mmap.PAGESIZE


def by_python():
    kept, began = [], time.monotonic()
    while resident() < limit:
        while time.monotonic() < began + len(kept) / rate:
            pass
        kept.append(mmap.mmap(-1, MIB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
        kept[-1][:: mmap.PAGESIZE] = b"x" * (MIB // mmap.PAGESIZE)
    crossed = time.monotonic_ns()
    time.sleep(0.3)
    return crossed


def by_c():
    """As fast as the kernel gives pages; that they come at a steady rate is assumed."""
    size = 2 * limit
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    place = ctypes.c_void_p(ctypes.addressof(ctypes.c_char.from_buffer(memory)))
    before, began = resident(), time.monotonic_ns()
    ctypes.PyDLL(None).memset(place, 1, size)
    return began + (time.monotonic_ns() - began) * (limit - before) // size


print(json.dumps({"crossed": by_python() if way == "python" else by_c()}))
