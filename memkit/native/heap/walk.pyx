"""Whose a process's anonymous memory is, by the marks that allocators leave in it: read from its files in ``/proc``.

Nothing is read where it lies: another thread may unmap it at any time. ``memory`` is a descriptor of ``/proc/PID/mem`` and
``pages`` one of ``/proc/PID/pagemap``, so that this works for any process which may be read. Known are

* the pools of Python's allocator, 16 KiB each: ``Objects/obmalloc.c``, the same from Python 3.10 on;
* blocks that glibc has mapped one by one, the heaps of its arenas, which lie at multiples of 64 MiB, and the chunks in these
  and in the heap of ``brk``: ``malloc/malloc.c`` and ``malloc/arena.c``, glibc 2.26 to 2.43.

A chunk that glibc keeps for a thread (tcache) or in a fastbin looks alive.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from posix.unistd cimport _SC_PAGESIZE, pread, sysconf

cdef extern from "<unistd.h>" nogil:
    void *sbrk(long)

cdef enum:
    POOL = 1 << 14
    POOL_HEADER = 48
    POOL_CLASSES = 32
    POOL_GRAIN = 16
    MAPPED = 2                  # flag of a chunk: mapped by itself
    IN_USE = 1                  # flag of a chunk: the one before it is alive
    FLAGS = 7
    CHUNK_GRAIN = 16
    CHUNK_HEAD = 48             # of a free chunk: malloc_trim keeps so much
    FIRST_CHUNK = 4096          # of a heap begins before
    STEPS = 64                  # no accident leads that far
    TRIES = 3                   # of a walk through a heap that changes meanwhile
    WINDOW = 1 << 16
    ENTRIES = 1 << 13           # of the page map, read at a time

cdef enum:
    UNKNOWN, POOLS, BLOCKS, HEAP, OPAQUE

KINDS = ("unknown", "pools", "blocks", "heap", "opaque")

cdef uint64_t ARENA = 1 << 26   # the largest heap of an arena, and what its address is a multiple of
cdef uint64_t PRESENT = <uint64_t>1 << 63

ctypedef struct region_t:       # of memory, and which of its pages are there
    int memory
    uint64_t start, end, page
    uint8_t *there
    char *window                # what was read last
    uint64_t at, held, reach    # where it begins, its bytes, and how many are read at a time

ctypedef struct sums_t:         # of a piece, in bytes; `room`: what malloc_trim would give back
    uint64_t resident, alive, room

ctypedef struct targets_t:      # pairs of addresses in ascending order, and how many words lie in each
    uint64_t *bounds
    uint64_t *counts
    Py_ssize_t many

ctypedef struct piece_t:
    int kind
    uint64_t start, end
    sums_t sums


# -- reading -----------------------------------------------------------------------------------------------------------


cdef int open_region(region_t *region, int memory, int pages, uint64_t start, uint64_t end, uint64_t reach) except -1:
    cdef uint64_t entries[ENTRIES]
    cdef uint64_t count, done = 0
    cdef uint64_t wanted
    cdef ssize_t got, i
    region.memory, region.start, region.end, region.page = memory, start, end, sysconf(_SC_PAGESIZE)
    region.at, region.held, region.reach = 0, 0, max(reach, region.page)
    count = (end - start) // region.page
    region.there = <uint8_t *>calloc(count + 1, 1)
    region.window = <char *>malloc(WINDOW + region.page)
    if region.there == NULL or region.window == NULL:
        close_region(region)
        raise MemoryError
    while done < count:
        wanted = min(count - done, <uint64_t>ENTRIES)
        got = pread(pages, entries, wanted * sizeof(uint64_t), (start // region.page + done) * sizeof(uint64_t))
        if got <= 0:
            break               # the process has ended
        for i in range(got // <ssize_t>sizeof(uint64_t)):
            if entries[i] & PRESENT:            # the rest of the table is not written to: much may be reserved
                region.there[done + i] = 1
        done += got // sizeof(uint64_t)
    return 0


cdef void close_region(region_t *region) noexcept:
    free(region.there)
    free(region.window)


cdef uint64_t resident_in(region_t *region, uint64_t start, uint64_t end) noexcept nogil:
    """Of a stretch, how many bytes are in memory."""
    cdef uint64_t at = start, following, found = 0
    while at < end:
        following = min(end, at - at % region.page + region.page)
        if region.there[(at - region.start) // region.page]:
            found += following - at
        at = following
    return found


cdef const char *bytes_at(region_t *region, uint64_t at, uint64_t size) noexcept nogil:
    """Some bytes of the region; NULL where they are not in memory: reading them would put a page there."""
    cdef uint64_t end = at - at % region.page
    cdef ssize_t got
    if at < region.start or at + size > region.end:
        return NULL
    if at < region.at or at + size > region.at + region.held:
        while end < at + region.reach and end < region.end and region.there[(end - region.start) // region.page]:
            end += region.page
        region.at, region.held = at, 0
        if at + size > end:
            return NULL
        got = pread(region.memory, region.window, min(region.reach, end - at), at)
        region.held = max(<ssize_t>0, got)
        if region.held < size:
            return NULL
    return region.window + (at - region.at)


cdef uint64_t word(region_t *region, uint64_t at) noexcept nogil:
    """The word at an address; 0 where it cannot be read, which is no mark."""
    cdef const char *found = bytes_at(region, at, sizeof(uint64_t))
    return (<const uint64_t *>found)[0] if found != NULL else 0


# -- the marks ---------------------------------------------------------------------------------------------------------


cdef bint is_pool(region_t *region, uint64_t at, uint64_t *alive) noexcept nogil:
    """Whether a pool of Python's allocator is there, and the bytes of the blocks in it that are alive."""
    cdef const uint32_t *head
    cdef uint64_t size, first
    if at % POOL or at + POOL > region.end:
        return False
    head = <const uint32_t *>bytes_at(region, at, POOL_HEADER)
    if head == NULL or head[9] >= POOL_CLASSES:
        return False
    size = (head[9] + 1) * POOL_GRAIN
    first = (<const uint64_t *>head)[1]         # of the free blocks
    if head[11] != POOL - size or head[10] > POOL or head[0] > (POOL - POOL_HEADER) // size:
        return False
    if first != 0 and first - at >= POOL:
        return False
    alive[0] = head[0] * size
    return True


cdef uint64_t page_up(region_t *region, uint64_t at) noexcept nogil:
    return at + (region.page - at % region.page) % region.page


cdef uint64_t block_at(region_t *region, uint64_t at, bint anywhere) noexcept nogil:
    """The end of a block that glibc has mapped by itself, if one begins at a page; else 0.

    A block that was to be aligned has its head further on, ``anywhere`` in the page, and in it how far. Its size goes to the
    end of a page, from glibc 2.43 on without the head.
    """
    cdef uint64_t before = word(region, at), size = word(region, at + 8), offset = 0, end
    while offset < region.page and at % region.page == 0:
        if offset:
            before, size = word(region, at + offset), word(region, at + offset + 8)
        size -= MAPPED
        if before == offset and size & FLAGS == 0 and region.page - CHUNK_GRAIN <= size + offset <= region.end - at:
            end = page_up(region, at + offset + size)
            if end - (at + offset + size) in (0, CHUNK_GRAIN):
                return end
        if not anywhere:
            break
        offset += CHUNK_GRAIN
    return 0


cdef int walk(region_t *region, uint64_t first, uint64_t end, bint brk, uint64_t *unused, uint64_t *room) noexcept nogil:
    """Go from chunk to chunk of a heap: 0 if that leads to its end.

    1: there is no chunk at the beginning; -1: one has changed meanwhile.
    """
    cdef uint64_t at = first, size, following, whole
    cdef int steps = 0
    unused[0] = room[0] = 0
    while at < end:
        size = word(region, at + 8)
        if size == IN_USE and at + CHUNK_GRAIN == end:
            return 0            # what ends a heap that is not the last one of its arena
        size &= ~<uint64_t>FLAGS
        if size < CHUNK_GRAIN or size % CHUNK_GRAIN or size > end - at:
            return 1 if steps < STEPS else -1
        following = at + size
        steps += 1
        # The last chunk is the top of the heap, which is free: malloc_trim gives back that of `brk` only.
        if following == end or not word(region, following + 8) & IN_USE:
            unused[0] += resident_in(region, at + CHUNK_GRAIN, following)
            whole = page_up(region, at + CHUNK_HEAD)
            if whole < following and (brk or following < end):
                room[0] += resident_in(region, whole, following - following % region.page)
        at = following
    return 0


cdef uint64_t arena_at(region_t *region, uint64_t at) noexcept nogil:
    """The end of a heap of an arena of glibc, if one begins there; else 0. It begins with whose it is, and its size."""
    cdef uint64_t arena, size
    if at % ARENA:
        return 0
    arena, size = word(region, at), word(region, at + 16)
    if arena == 0 or size == 0 or size % region.page or size > ARENA or size > region.end - at:
        return 0
    return at + size if word(region, at + 24) >= size and word(region, at + 24) <= ARENA else 0


cdef void weigh_heap(region_t *region, uint64_t start, uint64_t end, bint brk, piece_t *piece) noexcept nogil:
    """Find a heap's first chunk, which is where a walk leads to its end: what lies before it differs from glibc to glibc."""
    cdef uint64_t unused = 0, first
    cdef int tries, failed = -1
    piece.kind, piece.start, piece.end = OPAQUE, start, end
    piece.sums.resident, piece.sums.alive = resident_in(region, start, end), 0
    for tries in range(TRIES):
        first = start if brk else start + 2 * CHUNK_GRAIN
        failed = 1
        region.held = 0
        while failed > 0 and first < min(end, start + FIRST_CHUNK):
            if word(region, first + 8) & IN_USE:
                failed = walk(region, first, end, brk, &unused, &piece.sums.room)
            first += CHUNK_GRAIN
        if failed >= 0:
            break
    if failed:
        piece.sums.room = 0
    else:
        piece.kind, piece.sums.alive = HEAP, piece.sums.resident - min(piece.sums.resident, unused)


# -- what is asked -----------------------------------------------------------------------------------------------------


cdef void identify(region_t *region, uint64_t at, bint alone, piece_t *piece) noexcept nogil:
    """What begins at a page that is in memory, and where it ends; ``alone``: nothing unknown is before it."""
    cdef uint64_t end = arena_at(region, at), reach = region.reach, alive = 0
    piece.start, piece.sums.room = at, 0
    if end:
        region.reach = WINDOW
        weigh_heap(region, at, end, False, piece)
        region.reach = reach
        return
    if is_pool(region, at, &alive):
        piece.kind, piece.end = POOLS, at + POOL
        piece.sums.resident = resident_in(region, at, piece.end)
        piece.sums.alive = min(alive, piece.sums.resident)
        return
    end = block_at(region, at, alone)
    if end:
        piece.kind, piece.end = BLOCKS, end
        piece.sums.resident = piece.sums.alive = resident_in(region, at, end)
    else:
        piece.kind, piece.end = UNKNOWN, at + region.page - at % region.page
        piece.sums.resident, piece.sums.alive = piece.end - at, 0


def scan(int memory, int pages, uint64_t start, uint64_t end):
    """The pieces of a stretch of anonymous memory: kind, start, end, and resident, alive and returnable bytes of each."""
    cdef region_t region
    cdef piece_t piece, last
    cdef uint64_t at = start
    cdef int after = -1
    found = []
    last.kind = -1
    open_region(&region, memory, pages, start, end, 0)
    try:
        while at < end:
            if not region.there[(at - start) // region.page]:
                at += region.page
                after = -1
                continue
            identify(&region, at, after != UNKNOWN, &piece)
            after = piece.kind
            if piece.kind == last.kind and (piece.kind == UNKNOWN or (piece.kind != HEAP and at == last.end)):
                last.end = piece.end
                last.sums.resident += piece.sums.resident
                last.sums.alive += piece.sums.alive
            else:
                if last.kind >= 0:
                    found.append(as_tuple(&last))
                last = piece
            at = piece.end
        if last.kind >= 0:
            found.append(as_tuple(&last))
    finally:
        close_region(&region)
    return found


def heap(int memory, int pages, uint64_t start, uint64_t end, bint own):
    """The same of the heap of ``brk``, one piece. ``own``: it is that of this process, which may grow while it is read."""
    cdef region_t region
    cdef piece_t piece
    cdef uint64_t page = sysconf(_SC_PAGESIZE)
    cdef int tries
    for tries in range(TRIES):
        if own:
            end = max(start, <uint64_t>sbrk(0) + page - 1)
            end -= end % page
        open_region(&region, memory, pages, start, end, WINDOW)
        weigh_heap(&region, start, end, True, &piece)
        close_region(&region)
        if piece.kind == HEAP or not own:
            break
    return as_tuple(&piece)


cdef object as_tuple(piece_t *piece):      # except: NULL
    sums = piece.sums
    return KINDS[piece.kind], piece.start, piece.end, sums.resident, sums.alive, sums.room


cdef void count_addresses(const uint64_t *words, uint64_t count, targets_t *targets, uint64_t mask) noexcept nogil:
    """Add to the count of each target how many of some words lie in it; those that have a bit of the mask do not."""
    cdef uint64_t lowest = targets.bounds[0], length = targets.bounds[2 * targets.many - 1] - lowest
    cdef uint64_t i
    cdef Py_ssize_t low, high, middle
    for i in range(count):
        if words[i] - lowest >= length or words[i] & mask:
            continue
        low, high = 0, targets.many
        while high - low > 1:
            middle = (low + high) >> 1
            if words[i] < targets.bounds[2 * middle]:
                high = middle
            else:
                low = middle
        if words[i] < targets.bounds[2 * low + 1]:
            targets.counts[low] += 1


def pointers(int memory, int pages, uint64_t start, uint64_t end, list targets, bint of_pages):
    """How many words of a stretch are addresses in each of some others, which are pairs in ascending order.

    ``of_pages``: only addresses at which a page begins count.
    """
    cdef region_t region
    cdef targets_t searched
    cdef uint64_t at = start, first, last
    cdef const char *found
    cdef Py_ssize_t i
    searched.many = len(targets)
    if not targets:
        return []
    searched.bounds = <uint64_t *>calloc(3 * searched.many, sizeof(uint64_t))
    if searched.bounds == NULL:
        raise MemoryError
    searched.counts = searched.bounds + 2 * searched.many
    try:
        for i, (first, last) in enumerate(targets):
            searched.bounds[2 * i], searched.bounds[2 * i + 1] = first, last
        open_region(&region, memory, pages, start, end, WINDOW)
        while at < end:
            found = bytes_at(&region, at, sizeof(uint64_t)) if region.there[(at - start) // region.page] else NULL
            if found == NULL:
                at += region.page
                continue
            count_addresses(<const uint64_t *>found, region.held // sizeof(uint64_t), &searched,
                            region.page - 1 if of_pages else 0)
            at += region.held
        close_region(&region)
        return [searched.counts[i] for i in range(searched.many)]
    finally:
        free(searched.bounds)
