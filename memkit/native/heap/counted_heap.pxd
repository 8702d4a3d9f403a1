# The base of what counts the heap: by tracers, by spans or by samples.

from libc.stdint cimport int64_t, uint32_t

from memkit.native.journal cimport journal_t, writer_t

cdef struct written_t:          # bytes of a site, as in the journal or now
    int64_t allocated
    int64_t freed
    int64_t at_peak

cdef struct counting_t:         # the first field of what a subclass keeps for its rows
    int64_t generation          # of the heap that it has opened
    int64_t total               # alive, as in the journal
    int64_t peak
    written_t *written          # by site; where sites are written
    # Writes the sums that have changed, as a `writer_t` does.
    int64_t (*write)(counting_t *counting, journal_t *journal, int64_t most) noexcept nogil

ctypedef void (*read_site_t)(uint32_t site, written_t *now) noexcept nogil
ctypedef void (*write_site_t)(counting_t *counting, journal_t *journal, uint32_t site) noexcept nogil

# Writes those of the first sites, and of those from the second on, that have changed most, and returns how many have.
cdef int64_t write_sites(
    counting_t *counting, journal_t *journal, uint32_t count, uint32_t second, uint32_t end, int64_t most, read_site_t read,
    write_site_t write
) noexcept nogil
# Writes a row of the totals, what is alive and the peak first, if these or any sums have changed.
cdef void write_total(counting_t *counting, journal_t *journal, int64_t changed, int64_t *row, int size) noexcept nogil


cdef class CountedHeap:
    cdef writer_t rows_writer
    cdef counting_t *counting
    cdef void *room
    cdef size_t room_size
    cdef str no_memory
    # What the rows are written from, and room of so many bytes for what they say. To be called once, and first.
    cdef void *prepare(self, counting_t *counting, size_t size, str no_memory) except NULL
    cdef int open(self) noexcept                # 0; -1: no memory
