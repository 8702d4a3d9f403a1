"""The balance: what every byte of the resident memory of a process is, and what a person can do about it."""

from __future__ import annotations

import os
import sys

from memkit.base.errors import MeterError, UsageError
from memkit.base.units import show_bytes
from memkit.system import engine, owners
from memkit.system.balance_rows import Balance, BalancePart, BalanceRow
from memkit.system.balance_texts import BOOKS, FRAMES, NAMES, advice_for

TYPE_CHECKING = False
if TYPE_CHECKING:
    from memkit.system.owners import Piece

LARGE = 0.05
"""From this share of the whole on a row has advice."""
# What glibc may keep for each thread in its tcache: of each size from 24 to 1032 bytes, in steps of 16, so many chunks, and
# 7 before glibc 2.42. What a program sets for it (glibc.malloc.tcache_count) is not asked.
_TCACHE = 16 * sum(range(24, 1033, 16))
_NO_MORE = "what pyarrow, jemalloc and tcmalloc tell of themselves can be asked inside only: call memkit.balance() there"


def balance(pid: int | None = None) -> Balance:
    """What the resident memory of this process is, or of another one: of another less is told, and ``notes`` say what.

    Sizes are bytes; the rows add up to resident memory. It takes some 20 ms, and up to 0.5 s more for each GiB. What other
    threads allocate and free meanwhile can be in a wrong row. Raises ``UsageError`` for a process that there is not, and
    ``MeterError`` where its mappings may not be read.

    Sources: ``man 5 proc`` (``smaps``, ``pagemap``, ``mem``), CPython's ``Objects/obmalloc.c``, glibc's ``malloc/malloc.c``.
    """
    if pid is not None and (not isinstance(pid, int) or isinstance(pid, bool) or pid <= 0):
        raise UsageError(f"{pid!r} is no process: give its number, or nothing for this one")
    own = pid is None or pid == os.getpid()
    number = os.getpid() if pid is None else pid
    if not os.path.exists("/proc/self/smaps"):
        return _of_nothing(number, own)
    if not os.path.isdir(f"/proc/{number}"):
        raise UsageError(f"there is no process {number}: it has ended, or never was")
    found = owners.find("self" if own else _memory_of(number))
    sums = _Sums()
    for piece in found.pieces:
        sums.book(piece)
    notes = [found.reason]
    if not own:
        notes.append(_NO_MORE)
    elif found.reason is None:
        notes.append(sums.ask())
    return Balance(number, found.rss, sums.rows(found.rss, found.threads), tuple(filter(None, notes)))


def _memory_of(pid: int) -> int:
    from memkit.system import processes

    return processes.here().memory_tid(pid)


def _of_nothing(pid: int, own: bool) -> Balance:
    """Where the system does not list what is resident of each mapping."""
    try:
        rss = engine.rss() if own else engine.Meter("rss", pid).read()
    except MeterError as error:
        raise UsageError(str(error)) from None
    sums = _Sums()
    return Balance(pid, rss or 0, sums.rows(rss or 0, 1), (f"{sys.platform} does not tell what resident memory is made of",))


class _Sums:
    """The bytes of each row, and of each of its parts."""

    def __init__(self) -> None:
        self._rows: dict[str, dict[str, int]] = {}
        self._room = self._of_arenas = self._arenas = self._mapped = 0
        self._replaced: dict[str, int] = {}  # by an allocator in the place of the C library's

    def _add(self, key: str, part: str, size: int) -> None:
        parts = self._rows.setdefault(key, {})
        parts[part] = parts.get(part, 0) + size

    def book(self, piece: Piece) -> None:
        """Add a piece to the rows that it belongs to."""
        kind, owner, size = piece.kind, piece.owner, piece.resident
        if kind == "pools":
            self._add("python", "", piece.alive)
            self._add("python-free", "", size - piece.alive)
        elif kind == "heap":
            self._book_heap(piece)
        elif kind == "blocks":
            self._mapped += piece.span[1] - piece.span[0]
            self._add("c", "mapped one by one", size)
        elif kind == "own" and owners.is_allocator(owner):
            self._replaced[owner] = self._replaced.get(owner, 0) + size
            self._add("c-heap", owner, size)
        elif owner == "memkit" and kind in ("own", "library"):
            self._add("memkit", "code" if kind == "library" else _OWN, size)
        else:
            key = _ROW_OF[kind]
            self._add(key, owner or _PART_OF.get(kind, ""), size)

    def _book_heap(self, piece: Piece) -> None:
        in_arena = piece.span[0] % owners.ARENA == 0
        where = _ARENAS if in_arena else _HEAP
        free = piece.resident - piece.alive
        self._add("c", where, piece.alive)
        self._add("c-free", where, free)
        self._room += piece.room
        self._arenas += in_arena
        self._of_arenas += free if in_arena else 0

    def ask(self) -> str | None:
        """Put in what allocators of this process tell of themselves; returns what does not fit, or None."""
        try:
            with engine.compiled("asking allocators for their statistics"):
                from memkit.native.heap import statistics
        except MeterError as error:
            return str(error)
        self._part("memkit", _OWN, BOOKS, statistics.books())
        self._part_frames(statistics.frames())
        other = statistics.other_allocator()
        for owner, size in self._replaced.items():
            if other and other[0] in owner:
                alive = min(other[1], size)
                del self._rows["c-heap"][owner]
                self._add("c", owner, alive)
                self._add("c-free", owner, size - alive)
        self._ask_pyarrow()
        told = statistics.c_library()
        if told is None or self._replaced:
            return None
        fast, mapped = told
        fast = min(fast, self._rows.get("c", {}).get(_HEAP, 0))
        self._add("c", _HEAP, -fast)
        self._add("c-free", _HEAP, fast)
        if abs(self._mapped - mapped) > max(1 << 20, mapped // 100):
            return (
                f"glibc tells of {show_bytes(mapped)} in blocks that it mapped one by one, and {show_bytes(self._mapped)} "
                "were found by their marks: C blocks can be off by the difference"
            )
        return None

    def _part(self, key: str, whole: str, part: str, size: int) -> int:
        """Tell so much of a part of a row as a part of its own; how much there was of it."""
        size = min(size, self._rows.get(key, {}).get(whole, 0))
        if size:
            self._add(key, part, size)
            self._add(key, whole, -size)
        return size

    def _part_frames(self, size: int) -> None:
        """Frames hold addresses of all kinds: whose they seem to be, or whether anybody's, depends on what they run."""
        for whole in ("Python", owners.OBJECTS):
            size -= self._part("own", whole, FRAMES, size)
        self._add("own", FRAMES, min(size, sum(self._rows.get("unexplained", {}).values())))

    def _ask_pyarrow(self) -> None:
        size = self._rows.get("own", {}).get("pyarrow")
        module = sys.modules.get("pyarrow")
        if not size or module is None:
            return
        try:
            pool = module.default_memory_pool()
            alive = min(size, int(pool.bytes_allocated())) if pool.backend_name != "system" else None
        except Exception:  # another pyarrow than those that we know
            return
        if alive is not None:
            del self._rows["own"]["pyarrow"]
            self._add("own", "pyarrow, alive", alive)
            self._add("own", "pyarrow, kept free", size - alive)

    def rows(self, rss: int, threads: int) -> tuple[BalanceRow, ...]:
        """The rows of so much resident memory, with what is left as the last one."""
        explained = sum(sum(parts.values()) for key, parts in self._rows.items() if key != "unexplained")
        self._rows["unexplained"] = {"": rss - explained}
        found = []
        for key, parts in self._rows.items():
            size = sum(parts.values())
            if size or key == "unexplained":
                named = [BalancePart(name, part) for name, part in parts.items() if name and part]
                named.sort(key=lambda part: -part.bytes)
                advice = self._advice(key, size, rss, named)
                found.append(BalanceRow(key, NAMES[key], size, self._error(key, size, threads), tuple(named), advice))
        return tuple(sorted(found, key=lambda row: (row.key == "unexplained", -row.bytes)))

    def _error(self, key: str, size: int, threads: int) -> int | None:
        if key == "own" or (self._replaced and key in ("c", "c-free", "c-heap")):
            return None
        heaps = self._rows.get("c", {}).keys() & {_HEAP, _ARENAS}
        return min(size, _TCACHE * threads) if heaps and key in ("c", "c-free") else 0

    def _advice(self, key: str, size: int, rss: int, parts: list[BalancePart]) -> str | None:
        if size < LARGE * rss:
            return None
        largest = parts[0].name if parts else ""
        return advice_for(key, largest, self._room, self._arenas if self._of_arenas * 2 > size else 0)


_HEAP, _ARENAS, _OWN = "heap", "arenas of threads", "memory of its own"
_ROW_OF = {
    "opaque": "c-heap",
    "own": "own",
    "named": "own",
    "code": "own",
    "stack": "stacks",
    "library": "code",
    "kernel": "code",
    "file": "files",
    "shared": "shared",
    "unknown": "unexplained",
}
_PART_OF = {"opaque": "C library", "code": "machine code made at run time", "shared": "without a name"}
