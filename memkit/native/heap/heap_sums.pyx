# distutils: include_dirs = memkit/native/heap
"""The sums of a heap recording, as rows: what each call path and each line has allocated and freed so far."""

from libc.stdint cimport int64_t, uint32_t

from memkit.native.clock cimport now
from memkit.native.heap.counted_heap cimport counting_t, write_sites, write_total, written_t
from memkit.native.heap.counted_heap import NO_MEMORY
from memkit.native.heap.own cimport LABELLED, SITES, alive, heap, heap_sums_t, open_heap, parts_of, sums_of
from memkit.native.heap.span_heap cimport HeapOfSpans
from memkit.native.journal cimport NOTHING, journal_row, journal_t

cdef extern from "pythread.h" nogil:
    ctypedef void *PyThread_type_lock
    PyThread_type_lock PyThread_allocate_lock()
    int PyThread_acquire_lock(PyThread_type_lock lock, int wait)
    int PyThread_acquire_lock_timed(PyThread_type_lock lock, long long microseconds, int interruptible)
    void PyThread_release_lock(PyThread_type_lock lock)
    void PyThread_free_lock(PyThread_type_lock lock)

cdef enum:
    SLICE = 10000000            # nanoseconds between two readings of what is alive: a sum of five numbers


cdef void read_site(uint32_t site, written_t *now) noexcept nogil:
    cdef heap_sums_t sums
    sums_of(site, &sums)
    now.allocated, now.freed, now.at_peak = sums.allocated, sums.freed, heap.at_peak[site]


cdef void write_site(counting_t *counting, journal_t *journal, uint32_t site) noexcept nogil:
    cdef written_t *written = &counting.written[site]
    cdef heap_sums_t sums
    cdef int64_t whole[10]
    cdef int64_t *row = whole + 1
    cdef uint32_t label, path, line
    sums_of(site, &sums)
    parts_of(site, &label, &path, &line)
    whole[0] = label
    row[0], row[1] = <int64_t>path - 1 if path else NOTHING, line if line else NOTHING
    row[2], row[3], row[4], row[5] = sums.allocated, sums.freed, sums.blocks, sums.blocks_freed
    row[6], row[7], row[8] = heap.at_peak[site], sums.temporary, sums.temporary_line
    written.allocated, written.freed, written.at_peak = row[2], row[3], row[6]      # they may change meanwhile
    if label:
        journal_row(journal, b"heap_in_span", whole, 10)
    else:
        journal_row(journal, b"heap", row, 9)


cdef int64_t write_sums(counting_t *counting, journal_t *journal, int64_t most) noexcept nogil:
    cdef int64_t changed = write_sites(
        counting, journal, heap.most + 1, LABELLED, heap.most_labelled + 1, most, read_site, write_site
    )
    cdef int64_t row[5]
    row[0], row[1], row[2], row[3], row[4] = alive(), heap.peak, heap.copies, heap.unbooked, heap.mapped
    write_total(counting, journal, changed, row, 5)
    return changed


cdef class Watch:
    """Waits for what is alive to be more than so much, or to be ended, without the GIL."""

    cdef PyThread_type_lock over

    def __cinit__(self):
        self.over = PyThread_allocate_lock()
        if self.over == NULL or PyThread_acquire_lock(self.over, 0) == 0:
            raise MemoryError

    def wait(self, int64_t most, int64_t above):
        """Wait for so many nanoseconds at most, or until more bytes are alive; whether it has been ended."""
        cdef int64_t until = now() + most, left = most
        cdef int ended = 0
        with nogil:
            while left > 0 and not ended and alive() <= above:
                ended = PyThread_acquire_lock_timed(self.over, min(left, <int64_t>SLICE) // 1000 + 1, 0)
                left = until - now()
        return ended != 0

    @property
    def alive(self):
        """Bytes that are alive now."""
        return alive()

    def end(self):
        """End it, once."""
        PyThread_release_lock(self.over)

    def __dealloc__(self):
        if self.over != NULL:
            PyThread_free_lock(self.over)


cdef class HeapSums(HeapOfSpans):
    """Counts by call paths and lines, and by these in spans.

    ``paths`` and ``lines`` are whether the tracers of calls and of lines say where each thread is.
    """

    cdef counting_t state
    cdef bint paths, lines

    def __cinit__(self, bint paths, bint lines, named):
        self.paths, self.lines, self.named = paths, lines, named
        self.state.written = <written_t *>self.prepare(&self.state, SITES * sizeof(written_t), NO_MEMORY)
        self.state.write = write_sums

    cdef int open_mode(self) noexcept:
        return open_heap(self.paths, self.lines)
