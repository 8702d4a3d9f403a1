# Which rows have changed most: those are written first, by two passes and without a list of them.

from libc.stdint cimport int64_t, uint64_t

cdef extern from *:
    int leading_zeros "__builtin_clzll"(unsigned long long) noexcept nogil

cdef enum:
    SIZES = 65
    LITTLE = 64 * 1024          # bytes that growth and peak may change by, and 1/256 of times and counts: see `is_little`
    LITTLE_SHARE = 256

cdef struct changes_t:
    int64_t counts[SIZES]       # of changed rows, by the size of the change: the next power of two
    int least                   # larger changes are all written
    int64_t left                # how many of this size are written, too


cdef inline bint is_little(int64_t growth, int64_t peak) noexcept nogil:
    """Whether a change of memory can wait until all changes are written, so that a day of the same is a short file."""
    return -LITTLE < growth < LITTLE and peak < LITTLE


cdef inline bint is_little_share(int64_t now, int64_t written) noexcept nogil:
    """The same of a time or a count."""
    return 0 <= now - written <= written // LITTLE_SHARE


cdef inline int size_of_change(int64_t growth, int64_t peak, int64_t ticks) noexcept nogil:
    """1 to 64, by growth above all: a second of time weighs about as much as 10 MB of it, and a peak the 16th part."""
    cdef uint64_t size = 1
    size += <uint64_t>(growth if growth >= 0 else -growth)
    size += <uint64_t>(peak if peak >= 0 else -peak) >> 4
    size += <uint64_t>(ticks if ticks >= 0 else -ticks) >> 8
    return 64 - leading_zeros(size)


cdef inline void choose(changes_t *changes, int64_t most) noexcept nogil:
    """Choose the ``most`` rows that have changed most, of those that were counted."""
    cdef int size = SIZES - 1
    while size > 0 and changes.counts[size] <= most:
        most -= changes.counts[size]
        size -= 1
    changes.least, changes.left = size, most


cdef inline bint is_chosen(changes_t *changes, int size) noexcept nogil:
    """Whether a change of a size is written; to be asked once for each."""
    if size == changes.least:
        changes.left -= 1
        return changes.left >= 0
    return size > changes.least
