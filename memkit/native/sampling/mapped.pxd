# How much of resident memory are pages of files: rows of it, as memory is sampled.

from libc.stdint cimport int64_t

from memkit.native.descriptors cimport ours_t
from memkit.native.journal cimport journal_t
from memkit.native.meter cimport meter_t

cdef struct mapped_t:
    int64_t shared              # pages of files and of shared memory, when a row was written last

# Write a row if that may have changed by 1/64 of memory. `status` is the process's file of that name, `row` time and memory.
cdef void mapped_write(mapped_t *last, journal_t *journal, meter_t *meter, ours_t *status, int64_t *row) noexcept nogil
