# Where each Python thread is, read from any thread without the GIL.

from libc.stdint cimport int64_t

from memkit.native.descriptors cimport ours_t
from memkit.native.journal cimport journal_t

cdef enum:
    MOST_FRAMES = 64            # of a thread, the innermost
    MOST_THREADS = 100
    ROOM = 30000                # bytes of a row

cdef struct place_t:            # a function that runs
    const char *frame
    const char *code
    const char *at              # its instruction

cdef struct look_t:             # the places of a thread, the innermost first
    place_t places[MOST_FRAMES]
    int count

cdef struct stacks_t:
    ours_t memory               # /proc/self/mem; -1: stacks cannot be read here
    look_t looks[2]
    size_t used
    char row[ROOM]

cdef void stacks_open(stacks_t *stacks) noexcept nogil
# Adds a `stack` row for each thread; how many there were.
cdef int stacks_write(stacks_t *stacks, journal_t *journal, int64_t time) noexcept nogil
cdef void stacks_close(stacks_t *stacks) noexcept nogil
