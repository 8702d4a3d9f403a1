# How much is used of a limit: the sum of a few numbers in files of the kernel.

from libc.stdint cimport int64_t

from memkit.native.descriptors cimport ours_t

cdef enum:
    MOST_COUNTERS = 3

cdef struct counter_t:          # a file with a number that counts
    const char *path
    const char *key             # of the line that counts; empty: the file begins with the number
    int64_t unit                # bytes, below 0 where they are to be taken off
    bint costly                 # read only where the others come to the limit
    ours_t file

cdef struct counters_t:
    counter_t counters[MOST_COUNTERS]
    int count
    int64_t base                # bytes that the counters are added to

# Bytes, or -1 where a file cannot be read; what is costly to read is read where the rest comes to the threshold.
cdef int64_t counters_read(counters_t *counters, int64_t threshold) noexcept nogil
cdef void counters_close(counters_t *counters) noexcept nogil
