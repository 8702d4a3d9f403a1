"""What the rows of a balance are called, and what can be done about each."""

from __future__ import annotations

from memkit.base.units import show_bytes

NAMES = {
    "python": "Python objects of up to 512 bytes",
    "python-free": "free room in Python's arenas",
    "c": "C blocks alive, Python's larger ones among them",
    "c-free": "free chunks that the C library keeps",
    "c-heap": "C heap, alive and free not told apart",
    "own": "memory that libraries mapped themselves",
    "stacks": "stacks of threads",
    "code": "code and variables of libraries",
    "files": "mapped files",
    "shared": "shared memory",
    "memkit": "memkit itself",
    "unexplained": "unexplained",
}
BOOKS = "to tell blocks of the heap apart"
"""The part of memkit's own memory that no other number of a recording has in it."""
_ADVICE = {
    "python": "the program holds them: memkit-run --heap says which calls made those that are alive",
    "python-free": "an arena goes back to the system when nothing in it is alive: copy what is kept once the rest is "
    "dropped, with pickle.loads(pickle.dumps(kept)), since copy.deepcopy copies no text; a child process gives back all",
    "c": "arrays, tables, large lists and dicts: memkit-run --heap names the calls that hold them, --lines the lines that "
    "grew",
    "c-heap": "what of it is alive only the process itself can tell, or its allocator's statistics",
    "stacks": "fewer threads, or less deep recursion: a stack keeps the depth that it once had",
    "code": "imported libraries: the code is shared with other processes and dropped when memory is short, their variables "
    "are not; import less, or later",
    "files": "the kernel drops these pages when memory is short: they are no reason for an out-of-memory kill",
    "shared": "it counts in each process that has touched it, and exists once: --meter pss shares it out; it stays until it "
    "is unlinked, and the last one has closed it",
    "memkit": "it goes with memkit",
    "unexplained": "mapped by the program or a library without a mark or a name: compare memkit.balance() before and after "
    "the line that grew",
}
FRAMES = "frames of Python calls that run"
_OF_OWNERS = {
    FRAMES: "less deep recursion: Python keeps a frame of each call until it has ended",
    "held by Python objects": "it goes with the objects that hold it: mmap.mmap has a method close",
    "pyarrow": "what pyarrow keeps free, pyarrow.default_memory_pool().release_unused() gives back",
    "polars": "polars gives back what it has freed after a while: with _RJEM_MALLOC_CONF=dirty_decay_ms:0,muzzy_decay_ms:0 "
    "in the environment at once",
}
_OF_ALLOCATORS = {
    "jemalloc": "MALLOC_CONF=dirty_decay_ms:0,muzzy_decay_ms:0 in the environment gives freed memory back at once",
    "mimalloc": "ctypes.CDLL(None).mi_collect(1) gives freed memory back",
    "tcmalloc": "ctypes.CDLL(None).MallocExtension_ReleaseFreeMemory() gives freed memory back",
}


def advice_for(key: str, largest: str, room: int, arenas: int) -> str | None:
    """What can be done about a row. ``largest`` is its largest part, ``room`` what ``malloc_trim`` would give back, and
    ``arenas`` how many heaps of arenas of threads there are, if most of what is free is in them.
    """
    for name, advice in _OF_ALLOCATORS.items():
        if name in largest and key in ("c-free", "c-heap"):
            return advice
    if key == "c-free":
        trim = f"ctypes.CDLL(None).malloc_trim(0) would give back {show_bytes(room)}"
        if arenas < 2:
            return trim
        return f"{trim}; most is in {arenas} heaps of threads: MALLOC_ARENA_MAX=2 in the environment allows 2 in all"
    if key == "own":
        for name, advice in _OF_OWNERS.items():
            if largest.startswith(name):
                return advice
        return f"{largest} maps and keeps it by itself: only what it offers can make it less"
    return _ADVICE[key]
