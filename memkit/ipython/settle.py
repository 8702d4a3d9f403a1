"""Making memory ready to be measured from: what is free is given back, and what the kernel has not added up is added up."""

from __future__ import annotations

import gc
import mmap
import os
import sys
import threading

_PAGE = mmap.PAGESIZE


def give_back() -> None:
    """Collect garbage, and have the C library give free memory back to the system, where it can."""
    gc.collect()
    if sys.platform == "linux":
        import ctypes

        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)


def fold_counts() -> None:
    """Have Linux add up what it has counted of this process's memory, so that its mark begins with no error.

    Each CPU keeps up to 31 pages of each kind, or twice as many as there are CPUs, to itself until it has more; the mark
    of the highest memory is taken without them. To unmap more than that at once adds them up, on each CPU where this
    process may run; threads that end with this do it. It takes some 0.5 ms a CPU.
    """
    if sys.platform != "linux":
        return
    pages = 4 * max(32, 2 * (os.cpu_count() or 1))
    file = _largest_file()
    for cpu in os.sched_getaffinity(0):
        thread = threading.Thread(target=_fold_on, args=(cpu, pages, file), name="memkit", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no more threads: the error stays within the bound that is told
            return
        thread.join()


def _fold_on(cpu, pages, file):
    try:
        os.sched_setaffinity(0, {cpu})  # of this thread alone
        with mmap.mmap(-1, pages * _PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as own:
            for place in range(0, len(own), _PAGE):
                own[place] = 1
        with open(file, "rb") as opened, mmap.mmap(opened.fileno(), 0, mmap.MAP_PRIVATE, mmap.PROT_READ) as mapped:
            for place in range(0, min(len(mapped), pages * _PAGE), _PAGE):
                mapped[place]
    except (OSError, ValueError):
        pass


def _largest_file() -> bytes:
    """The largest file of code that this process has mapped. Most of it is in memory already, and nobody cuts it short,
    as may happen to a file of data: reading a page that is gone would kill this process.
    """
    found = {b"": 0}
    with open("/proc/self/maps", "rb") as maps:
        for line in maps:
            _, slash, path = line.rstrip(b"\n").partition(b" /")
            path = b"/" + path
            if slash and b" r-xp " in line and path not in found:
                try:
                    found[path] = os.stat(path).st_size
                except OSError:
                    continue
    return max(found, key=found.get)
