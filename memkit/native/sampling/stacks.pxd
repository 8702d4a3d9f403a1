# Where each Python thread is, read from any thread without the GIL.

from libc.stdint cimport int64_t

from memkit.native.journal cimport journal_t
from memkit.native.sampling.own_memory cimport memory_t
from memkit.native.sampling.stack_rows cimport stack_row_t, stack_t

cdef enum:
    MOST_THREADS = 100

cdef struct stacks_t:
    memory_t memory             # whose file is -1 where stacks cannot be read
    stack_t readings[2]
    stack_row_t row

cdef void stacks_open(stacks_t *stacks) noexcept nogil
# Adds a `stack` row for each thread; how many there were.
cdef int stacks_write(stacks_t *stacks, journal_t *journal, int64_t time) noexcept nogil
cdef void stacks_close(stacks_t *stacks) noexcept nogil
