# The rows of lines, as a flush writes them.

from libc.stdint cimport int64_t

from memkit.native.journal cimport journal_t
from memkit.native.tracing.lines cimport lines_t

# Writes totals that have changed since the last flush, with running lines up to now: see `writer_t`.
cdef int64_t lines_flush(lines_t *lines, journal_t *journal, int64_t memory, int64_t most) noexcept nogil
