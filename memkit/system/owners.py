"""Whose each stretch of a process's resident memory is, as far as its mappings and what lies in them tell."""

from __future__ import annotations

import os
from typing import NamedTuple

from memkit.base.errors import MeterError
from memkit.system import engine, mapped_files, smaps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from memkit.system.smaps import Mapping

    Span = tuple[int, int]
    Choice = Callable[[dict[str, int]], str | None]
    """Of an owner, by how many addresses each has."""

ARENA = 1 << 26
"""What the heaps of glibc's arenas lie at multiples of: HEAP_MAX_SIZE of malloc/arena.c, on 64 bits."""
_SCANNED = ("[anon: glibc:", "[anon:cpython:")  # what allocators call mappings in which their marks are
_FOLLOWED = 1 << 26  # bytes of a piece in which addresses of others are looked for

_SINCE = 1 << 20
_LARGEST = 1 << 38  # what is reserved beyond that is no allocator's with a mark that we know, and takes long to read

ALLOCATORS = ("jemalloc", "mimalloc", "tcmalloc")
"""Libraries that may take the place of the C library's allocator, by a part of their names."""
OBJECTS = "held by Python objects, as mmap.mmap"
"""The owner of what no library's variables lead to, but small Python objects do."""
PRIVATE = frozenset(("duckdb", "polars", "pyarrow"))
"""Libraries with an allocator to themselves."""


class Piece(NamedTuple):
    """A part of the resident memory of a process. Sizes are bytes."""

    kind: str
    """``pools`` of Python's allocator; ``blocks`` and ``heap`` of the C library, ``opaque`` if a heap could not be read;
    ``stack``, ``library``, ``file``, ``shared``, ``named``, ``code`` that was made at run time, ``kernel``, memory that a
    library has mapped of its ``own``, or ``unknown``."""
    owner: str
    """A library, a file or a name; empty where the kind says all."""
    resident: int
    alive: int
    """What of pools, blocks and heaps is in use."""
    room: int
    """What of a heap ``malloc_trim`` would give back."""
    span: Span


class Found(NamedTuple):
    """The resident memory of a process in pieces."""

    rss: int
    pieces: list[Piece]
    threads: int
    reason: str | None
    """Why its memory could not be looked into, or None."""


def find(pid: int | str = "self", root: str = "/") -> Found:
    """The pieces of a process, and the resident memory that they are of. Raises ``MeterError`` where it cannot be read."""
    with _Process(pid, root) as process:
        return process.found()


class _Process:
    """The files of a process in ``/proc``, open while its memory is told apart."""

    def __init__(self, pid: int | str, root: str):
        self._folder = os.path.join(root, "proc", str(pid))
        self._memory = self._pages = -1
        self.reason: str | None = None

    def __enter__(self) -> _Process:
        try:
            with engine.compiled("telling objects, blocks and free room apart"):
                from memkit.native.heap import walk
            self._walk = walk
            self._memory = os.open(f"{self._folder}/mem", os.O_RDONLY | os.O_CLOEXEC)
            self._pages = os.open(f"{self._folder}/pagemap", os.O_RDONLY | os.O_CLOEXEC)
            os.pread(self._pages, 8, 0)
        except MeterError as error:
            self.reason = str(error)
        except OSError as error:
            self.reason = f"objects, blocks and free room are not told apart: its memory may not be read ({error.strerror})"
        return self

    def __exit__(self, *_: object) -> None:
        for descriptor in (self._memory, self._pages):
            if descriptor >= 0:
                os.close(descriptor)

    def found(self) -> Found:
        mappings = self._prepared()
        if not mappings:
            raise MeterError("nothing of its memory is told: it has ended, or is of the kernel")
        self._data: list[tuple[str, Span]] = []  # of libraries: whose, and where
        pieces = [piece for region in _regions(mappings) for piece in self._of_region(region)]
        if self._text("statm").startswith(b"0 "):
            raise MeterError("nothing of its memory is told: it has just ended")
        rss = sum(piece.resident for piece in pieces)
        return Found(rss, self._claimed(pieces), len(self._threads()), self.reason)

    def _prepared(self) -> list[Mapping]:
        """The mappings, and what must be known to tell what each is."""
        mappings = list(smaps.parse(self._text("smaps")))
        permissions: dict[str, list[str]] = {}
        for mapping in mappings:
            permissions.setdefault(mapping.path, []).append(mapping.permissions)
        self._code = {path for path, found in permissions.items() if mapped_files.is_code(path, found)}
        files = f"{self._folder}/root" if self._folder != "/proc/self" else ""
        self._ends = mapped_files.ends((mapping for mapping in mappings if mapping.path in self._code), files)
        self._stacks = self._stack_pointers()
        return mappings

    def _text(self, name: str) -> bytes:
        try:
            with open(f"{self._folder}/{name}", "rb") as file:
                return file.read()
        except OSError as error:
            why = f"{self._folder}/{name} cannot be read: {error.strerror}"
            asked = "; only its user may, and root" if isinstance(error, PermissionError) else ""
            raise MeterError(why + asked) from None

    # -- threads -------------------------------------------------------------------------------------------------------

    def _threads(self) -> list[str]:
        try:
            return os.listdir(f"{self._folder}/task")
        except OSError:
            return []

    def _stack_pointers(self) -> list[int]:
        """Where the stacks of threads are that wait in the kernel: those that run tell nothing."""
        found = []
        for thread in self._threads():
            try:
                found.append(int(self._text(f"task/{thread}/syscall").split()[-2], 16))
            except (MeterError, ValueError, IndexError):
                continue
        return found

    def _is_stack(self, mapping: Mapping, below: Mapping | None) -> bool:
        """Whether a mapping is the stack of a thread: it has a guard, and is in use as one, or was mapped as one.

        The guard is a mapping below it, or from glibc 2.42 on a part of it (``gu``). Linux keeps huge pages out of what was
        mapped as a stack (``MAP_STACK``, since 6.7).
        """
        guarded = "gu" in mapping.flags or (below is not None and below.is_guard and below.end == mapping.start)
        in_use = any(mapping.start <= pointer < mapping.end for pointer in self._stacks)
        return guarded and ("nh" in mapping.flags or in_use)

    # -- mappings ------------------------------------------------------------------------------------------------------

    def _of_region(self, region: _Region) -> Iterator[Piece]:
        first, below = region.mappings[0], region.below
        whole = first.start, region.mappings[-1].end
        if not region.rss:
            return
        if not first.is_anonymous:
            yield self._of_named(first, whole, region.rss)
            return
        if "x" in first.permissions:
            yield _piece("code", whole, region.rss)
        elif _is_named_stack(first) or self._is_stack(first, below):
            yield from self._scanned(whole, region.rss, "stack")
        elif first.path and not first.path.startswith(_SCANNED):
            yield _piece("named", whole, region.rss, owner=_name_of(first))
        elif first.path:
            pieces = self._scanned(whole, region.rss, "named")
            yield from (piece._replace(owner=_name_of(first)) if piece.kind == "named" else piece for piece in pieces)
        else:
            yield from self._of_anonymous(region, whole)

    def _of_named(self, mapping: Mapping, whole: Span, rss: int) -> Piece:
        """A mapping of a file, or one that the kernel names."""
        path = mapping.path
        if path == "[heap]":
            return self._of_heap(whole, rss)
        if path.startswith("[stack"):
            return _piece("stack", whole, rss)
        if mapping.is_shared_memory or not path:
            return _piece("shared", whole, rss, owner=path.removesuffix(" (deleted)"))
        if path.startswith("["):
            return _piece("kernel", whole, rss, owner=path.strip("[]"))
        if path not in self._code:
            return _piece("file", whole, rss, owner=path)
        name = mapped_files.name_of(path)
        if mapping.permissions.startswith("rw"):
            self._data.append((name, whole))
        return _piece("library", whole, rss, owner=name)

    def _of_heap(self, whole: Span, rss: int) -> Piece:
        """What grows by ``brk``: that of the C library, unless another allocator has taken its place."""
        if self.reason is not None:
            return _piece("opaque", whole, rss)
        piece = _piece_of(self._walk.heap(self._memory, self._pages, *whole, self._folder == "/proc/self"))
        return _scaled([piece], rss)[0]

    def _of_anonymous(self, region: _Region, whole: Span) -> Iterator[Piece]:
        """Anonymous memory without a name: it may begin with variables of the library that is mapped right before it."""
        start, end = whole
        library = region.after if region.after in self._code else ""
        cut = min(end, self._ends.get(library, start))
        if cut > start:
            self._data.append((mapped_files.name_of(library), (start, cut)))
            most = region.rss if cut == end else self._resident(start, cut)
            resident = min(region.rss, most)
            yield _piece("library", (start, cut), resident, owner=mapped_files.name_of(library))
            if cut < end:
                yield from self._scanned((cut, end), region.rss - resident, "unknown")
        elif self.reason and _looks_like_arena(region):
            yield _piece("opaque", whole, region.rss)
        else:
            yield from self._scanned(whole, region.rss, "unknown")

    def _resident(self, start: int, end: int) -> int:
        """How much of a part of a mapping is in memory, or at most, if that may not be read."""
        if self.reason is not None:
            return end - start
        return sum(piece[3] for piece in self._walk.scan(self._memory, self._pages, start, end))

    def _scanned(self, span: Span, rss: int, otherwise: str) -> Iterator[Piece]:
        """The pieces of anonymous memory; what shows no mark is of the kind ``otherwise``."""
        if self.reason is not None or span[1] - span[0] > _LARGEST:
            yield _piece(otherwise, span, rss)
            return
        pieces = [_piece_of(piece, otherwise) for piece in self._walk.scan(self._memory, self._pages, *span)]
        ends = (span[0], *(piece.span[1] for piece in pieces))
        yield from _scaled([_from_its_beginning(piece, end) for piece, end in zip(pieces, ends)], rss)

    # -- libraries that map memory themselves --------------------------------------------------------------------------

    def _claimed(self, pieces: list[Piece]) -> list[Piece]:
        """Pieces again: unknown ones belong to the library whose variables have most addresses in them.

        An allocator's variables lead to its own records, and these to the rest of its memory: so what has been claimed
        claims for its owner. Where an allocator takes the place of the C library's, variables of all libraries lead to what
        it gave them: so it comes first.
        """
        owners: dict[Span, str] = {}
        if self.reason is None:
            unknown = {piece.span for piece in pieces if piece.kind == "unknown"}
            heaps = {piece.span for piece in pieces if piece.kind == "opaque"}
            if any(is_allocator(owner) for owner, _ in self._data):
                owners |= self._claims(unknown | heaps, _allocator_of, self._data, records=True)
            owners |= self._claims(unknown - owners.keys(), _most_of, self._data)
            objects = [(OBJECTS, piece.span) for piece in pieces if piece.kind == "pools"]
            owners |= self._claims(unknown - owners.keys(), _most_of, objects)
        return [
            piece._replace(kind="own", owner=owners[piece.span])
            if piece.kind in ("unknown", "opaque") and piece.span in owners
            else piece
            for piece in pieces
        ]

    def _claims(
        self, unknown: set[Span], first: Choice, sources: list[tuple[str, Span]], *, records: bool = False
    ) -> dict[Span, str]:
        """Whose the unknown pieces are that some sources lead to; ``first`` chooses one by how many addresses each has.

        ``records``: from there on only addresses of pages count, as an allocator keeps them of its memory. What it gave to
        others leads to memory of theirs, too, which need not be its own.
        """
        owners: dict[Span, str] = {}
        choose, aligned = first, False
        while unknown and sources:
            targets = sorted(unknown)
            counts: dict[Span, dict[str, int]] = {span: {} for span in targets}
            for owner, (start, end) in sources:
                searched = start, min(end, start + _FOLLOWED)
                found = self._walk.pointers(self._memory, self._pages, *searched, targets, aligned)
                for span, count in zip(targets, found):
                    if count:
                        counts[span][owner] = counts[span].get(owner, 0) + count
            fresh = {span: chosen for span, each in counts.items() if each and (chosen := choose(each))}
            owners |= fresh
            unknown = unknown - fresh.keys()
            sources = [(owner, span) for span, owner in fresh.items()]
            choose, aligned = _most_of, records
        return owners


def is_allocator(owner: str) -> bool:
    """Whether a library may take the place of the C library's allocator."""
    return any(name in owner for name in ALLOCATORS)


def _most_of(counts: dict[str, int]) -> str:
    return max(counts, key=lambda owner: counts[owner])


def _allocator_of(counts: dict[str, int]) -> str | None:
    """An allocator, or the one library that has an allocator to itself: what several lead to, they were given."""
    found = {owner: count for owner, count in counts.items() if is_allocator(owner)}
    if not found and len(counts) == 1 and PRIVATE.issuperset(counts):
        found = counts
    return _most_of(found) if found else None


class _Region(NamedTuple):
    """Mappings that follow each other and are anonymous memory alike, or one mapping of any other kind."""

    mappings: list[Mapping]
    below: Mapping | None
    """The mapping right before it."""
    after: str
    """The file that is mapped right before it, with nothing but its own variables between them."""
    above: Mapping | None = None

    @property
    def rss(self) -> int:
        return sum(mapping.rss for mapping in self.mappings)


def _regions(mappings: Iterable[Mapping]) -> Iterator[_Region]:
    """Mappings together where the kernel has parted one for its own reasons, such as huge pages for a part of it."""
    below: Mapping | None = None
    region: _Region | None = None
    after = ""
    for mapping in mappings:
        touches = below is not None and below.end == mapping.start
        if region and below and touches and _alike(below, mapping):
            region.mappings.append(mapping)
        else:
            if region:
                yield region._replace(above=mapping if touches else None)
            region = _Region([mapping], below, after if touches else "")
        if mapping.path or not touches:
            after = mapping.path
        below = mapping
    if region:
        yield region


def _alike(one: Mapping, other: Mapping) -> bool:
    return (
        (one.is_anonymous or one.path == "[heap]")
        and one.path == other.path
        and one.permissions == other.permissions == "rw-p"
        and ("nh" in one.flags) == ("nh" in other.flags)
    )


def _name_of(mapping: Mapping) -> str:
    """The name that a program gave to a mapping of its own."""
    return mapping.path.removeprefix("[anon:").removesuffix("]").strip()


def _is_named_stack(mapping: Mapping) -> bool:
    return mapping.path.startswith("[anon: glibc:") and "stack" in mapping.path


def _looks_like_arena(region: _Region) -> bool:
    """Whether it may be a heap of an arena of glibc, by its place and what lies above it: room to 64 MiB."""
    start, end = region.mappings[0].start, region.mappings[-1].end
    above = region.above
    return (
        start % ARENA == 0 and above is not None and above.permissions == "---p" and above.end - start == ARENA > end - start
    )


def _piece(kind: str, span: Span, rss: int, owner: str = "") -> Piece:
    return Piece(kind, owner, rss, rss, 0, span)


def _piece_of(found: tuple[str, int, int, int, int, int], otherwise: str = "unknown") -> Piece:
    kind, start, end, resident, alive, room = found
    return Piece(otherwise if kind == "unknown" else kind, "", resident, alive, room, (start, end))


def _from_its_beginning(piece: Piece, before: int) -> Piece:
    """A piece without a mark from where it was mapped, and not from its first page that is in memory.

    That is what an address leads to that is kept of it. ``before`` is where the piece before it ends.
    """
    start, end = piece.span
    return piece if piece.kind != "unknown" else piece._replace(span=(max(before, start - _FOLLOWED // 2), end))


def _scaled(pieces: list[Piece], rss: int) -> list[Piece]:
    """Pieces that together have no more than the kernel counted: a page that was only read is there, and not resident.

    What was given back since then is not there any more, and a little more is what has been written to since. Both stay so:
    each stretch is told as it was when it was read.
    """
    found = sum(piece.resident for piece in pieces)
    if found <= rss + _SINCE:
        return pieces
    fields = ("resident", "alive", "room")
    pieces = [piece._replace(**{name: getattr(piece, name) * rss // found for name in fields}) for piece in pieces]
    lost = rss - sum(piece.resident for piece in pieces)  # by rounding
    return [pieces[0]._replace(resident=pieces[0].resident + lost), *pieces[1:]]
