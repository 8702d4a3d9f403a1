# The rows of the tree of calls, as a flush writes them.

from libc.stdint cimport int64_t

from memkit.native.journal cimport journal_t
from memkit.native.tracing.calls cimport calls_t

# Writes totals that have changed since the last flush, see `writer_t`; those of running calls are not counted.
cdef int64_t calls_flush(calls_t *calls, journal_t *journal, int64_t memory, int64_t most) noexcept nogil
