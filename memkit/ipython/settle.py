"""Preparing this process for a measurement: free memory goes back to the system, and page counters are flushed."""

from __future__ import annotations

import gc
import mmap
import os
import sys
import threading

_PAGE = mmap.PAGESIZE


def release_free_memory() -> None:
    """Collect garbage, and have the C library return free memory to the system where it can."""
    gc.collect()
    if sys.platform == "linux":
        import ctypes

        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)


def flush_page_counters() -> None:
    """Have Linux add its per-CPU page counters to the total, so that the high-water mark starts without an error.

    Each CPU keeps a batch of up to 31 pages of each kind, or twice the number of CPUs if that is more, to itself, and the
    high-water mark leaves these out. Unmapping more pages than a batch flushes the counter of the CPU on which it happens,
    so a short thread does that on each CPU that this process may run on. It takes about 0.5 ms per CPU.
    """
    if sys.platform != "linux":
        return
    pages = 4 * max(32, 2 * (os.cpu_count() or 1))
    file = _largest_mapped_file()
    for cpu in os.sched_getaffinity(0):
        thread = threading.Thread(target=_flush_on, args=(cpu, pages, file), name="memkit", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no more threads: the error stays within the bound that is reported
            return
        thread.join()


def _flush_on(cpu: int, pages: int, file: bytes) -> None:
    try:
        os.sched_setaffinity(0, {cpu})  # of this thread alone
        with mmap.mmap(-1, pages * _PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as anonymous:
            for offset in range(0, len(anonymous), _PAGE):
                anonymous[offset] = 1
        with open(file, "rb") as opened, mmap.mmap(opened.fileno(), 0, mmap.MAP_PRIVATE, mmap.PROT_READ) as mapped:
            for offset in range(0, min(len(mapped), pages * _PAGE), _PAGE):
                mapped[offset]
    except (OSError, ValueError):
        pass


def _largest_mapped_file() -> bytes:
    """The largest file of code that this process has mapped.

    Most of it is in memory already. A file of code is not truncated while it is in use, as a file of data may be: reading a
    page beyond the new end would kill this process with SIGBUS.
    """
    sizes = {b"": 0}
    with open("/proc/self/maps", "rb") as maps:
        for line in maps:
            _, slash, path = line.rstrip(b"\n").partition(b" /")
            path = b"/" + path
            if slash and b" r-xp " in line and path not in sizes:
                try:
                    sizes[path] = os.stat(path).st_size
                except OSError:
                    continue
    return max(sizes, key=lambda path: sizes[path])
