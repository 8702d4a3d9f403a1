"""The balance: what every byte of the resident memory of a process is, and what a person can do about it."""

from __future__ import annotations

import os
import re
import sys
import textwrap
from typing import NamedTuple

from memkit.base.errors import MeterError, UsageError
from memkit.base.units import show_bytes
from memkit.system import engine, owners, processes
from memkit.system.balance_texts import NAMES, advice_for

TYPE_CHECKING = False
if TYPE_CHECKING:
    from memkit.system.owners import Piece

LARGE = 0.05
"""From this share of the whole on a row has advice."""
_MOST_ROWS = 10
_MOST_PARTS = 3
_WIDTH = 110
# What glibc may keep for each thread in its tcache: of each size from 24 to 1032 bytes, in steps of 16, so many chunks, and
# 7 before glibc 2.42. What a program sets for it (glibc.malloc.tcache_count) is not asked.
_TCACHE = 16 * sum(range(24, 1033, 16))
_NO_MORE = "what pyarrow, jemalloc and tcmalloc tell of themselves can be asked inside only: call memkit.balance() there"


class BalancePart(NamedTuple):
    """A part of a row: a library, a file or a mapping."""

    name: str
    bytes: int


class BalanceRow(NamedTuple):
    """One kind of resident memory."""

    key: str
    """``python``, ``python-free``, ``c``, ``c-free``, ``c-heap``, ``own``, ``stacks``, ``code``, ``files``, ``shared``,
    ``memkit`` or ``unexplained``. They stay the same, as names may not."""
    name: str
    bytes: int
    error: int | None
    """By how many bytes it can be too much or too little; None where that is not known, since whose memory it is follows
    from addresses that were found in it."""
    parts: tuple[BalancePart, ...]
    """The largest first. Together they are the row, or there are none."""
    advice: str | None
    """What can be done about it, in a sentence; None for a row of less than 5 %."""


class Balance(NamedTuple):
    """What the resident memory of a process is made of. ``str`` of it is a table of at most ten rows."""

    pid: int
    rss: int
    """Resident memory in bytes, of each mapping at the moment when it was read."""
    rows: tuple[BalanceRow, ...]
    """The largest first, ``unexplained`` last. Their bytes add up to ``rss``."""
    notes: tuple[str, ...]
    """What could not be told, and why."""

    @property
    def unexplained(self) -> int:
        """Bytes of which neither a name nor a mark tells what they are."""
        return self.of("unexplained")

    @property
    def explained(self) -> float:
        """The share of ``rss`` that is not unexplained, from 0 to 1."""
        return 1 - self.unexplained / self.rss if self.rss else 1.0

    def of(self, key: str) -> int:
        """The bytes of a row by its key; 0 if there is no such row."""
        return sum(row.bytes for row in self.rows if row.key == key)

    def __str__(self) -> str:
        return "\n".join(_table(self))


def balance(pid: int | None = None) -> Balance:
    """What the resident memory of this process is, or of another one: of another less is told, and ``notes`` say what.

    Sizes are bytes; the rows add up to resident memory. It takes some 50 ms, and up to 0.5 s more for each GiB. What other
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
    found = owners.find("self" if own else processes.here().memory_tid(number))
    sums = _Sums()
    for piece in found.pieces:
        sums.book(piece)
    notes = [found.reason]
    if not own:
        notes.append(_NO_MORE)
    elif found.reason is None:
        notes.append(sums.ask())
    return Balance(number, found.rss, sums.rows(found.rss, found.threads), tuple(filter(None, notes)))


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
            self._add("memkit", "code" if kind == "library" else "memory of its own", size)
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


_HEAP, _ARENAS = "heap", "arenas of threads"
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


# -- as text -----------------------------------------------------------------------------------------------------------


def _table(balance: Balance) -> list[str]:
    lines = [f"process {balance.pid}: {show_bytes(balance.rss)} resident, {_percent(balance.explained)} of it explained"]
    rows, folded = balance.rows, balance.rows[:0]
    if len(rows) > _MOST_ROWS:
        rows, folded = (*rows[: _MOST_ROWS - 2], rows[-1]), rows[_MOST_ROWS - 2 : -1]
    for row in rows[:-1]:
        lines += _lines_of(balance, row.name, row.bytes, row.parts, row.advice)
    if folded:
        parts = tuple(BalancePart(row.name, row.bytes) for row in folded)
        lines += _lines_of(balance, "the rest", sum(row.bytes for row in folded), parts, None)
    lines += _lines_of(balance, rows[-1].name, rows[-1].bytes, (), rows[-1].advice)
    for note in balance.notes:
        lines += _wrapped(note, "note: ", "      ")
    return lines


def _lines_of(balance: Balance, name: str, size: int, parts: tuple[BalancePart, ...], advice: str | None) -> list[str]:
    share = "" if not balance.rss else "<1 %" if 0 < 200 * size < balance.rss else f"{round(100 * size / balance.rss)} %"
    shown = ", ".join(f"{part.name} {show_bytes(part.bytes)}" for part in parts[:_MOST_PARTS])
    more = f", {len(parts) - _MOST_PARTS} more" if len(parts) > _MOST_PARTS else ""
    head = f"{show_bytes(size):>12} {share:>5}  "
    indent = " " * len(head)
    lines = _wrapped(f"{name}: {shown}{more}" if shown else name, head, f"{indent}  ")
    return lines + (_wrapped(advice, f"{indent}- ", f"{indent}  ") if advice else [])


def _wrapped(text: str, first: str, others: str) -> list[str]:
    """Text in lines, in which no size is parted from its unit."""
    text = re.sub(r"(\d) ([KMGT]?i?B)\b", "\\1\xa0\\2", text)
    width = textwrap.TextWrapper(_WIDTH, first, others, break_long_words=False, break_on_hyphens=False)
    return [line.replace("\xa0", " ") for line in width.wrap(text)]


def _percent(share: float) -> str:
    return f"{int(share * 1000) / 10:.1f} %"  # never rounded up to all of it
