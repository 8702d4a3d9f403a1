"""When the sums of tracers are written, and how many rows of them: so that a kill loses little, and the file stays small.

All sums are written ever more rarely, so that their rows grow as slowly as samples do. In between, at every flush, those are
written that have changed most.
"""

from libc.stdint cimport int64_t

from memkit.native.clock cimport MILLISECOND, SECOND, now
from memkit.native.journal cimport journal_row, journal_t, writer_t

cdef enum:
    FLUSH = 250 * MILLISECOND   # the sampler's
    GROWTH = 64                 # all sums are written when the time elapsed has grown by 1/64
    RATE = 100 * 1000           # bytes a second that this may add to the file
    ROW = 60                    # bytes of a row, roughly
    NEWS = 4 * 1024 * 1024      # bytes of rows in between, while the time elapsed grows e-fold
    LEAST_ROWS = 4              # in between, in a flush, be it ever so late
    AGE_GROWTH = 434            # of the time elapsed, until sums that have not changed are said to be what they are


cdef int64_t most_rows(int64_t elapsed) noexcept nogil:
    return max(<int64_t>LEAST_ROWS, <int64_t>NEWS // ROW * FLUSH // max(<int64_t>MILLISECOND, elapsed))


cdef void sums_write(
    sums_t *sums, journal_t *journal, int64_t began, int64_t time, int64_t memory, bint whole
) noexcept nogil:
    cdef int64_t most = -1 if whole or time >= sums.whole_due else most_rows(time - began)
    cdef int64_t rows = 0
    cdef int64_t row[2]
    cdef writer_t *writer = sums.writers
    if writer == NULL:
        return
    row[0], row[1] = now() - began, most >= 0       # little changes are left for later, even where few rows changed
    while writer != NULL:
        rows += writer.write(writer.whose, journal, memory, most)
        writer = writer.next
    if rows or time >= sums.age_due:
        journal_row(journal, b"sums", row, 2 if row[1] else 1)
        sums.age_due = time + (time - began) // AGE_GROWTH
    if most < 0:
        sums.whole_due = time + max((time - began) // GROWTH, rows * ROW * SECOND // RATE)
