# When the sums of tracers are written, and how many rows of them.

from libc.stdint cimport int64_t

from memkit.native.journal cimport journal_t, writer_t

cdef struct sums_t:
    writer_t *writers           # NULL: none
    int64_t due                 # when they are written next
    int64_t whole_due           # the same, however little they have changed
    int64_t age_due             # when it is written next that they have not changed

# Writes all sums, or those that have changed most; `memory` is what it is now.
cdef void sums_write(
    sums_t *sums, journal_t *journal, int64_t began, int64_t time, int64_t memory, bint whole
) noexcept nogil
