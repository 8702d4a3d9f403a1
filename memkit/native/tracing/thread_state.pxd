# What a tracer keeps of each thread: its gate, its scope, and memory as it was last read.

from libc.stdint cimport int64_t

from memkit.native.tracing.gate cimport gate_t
from memkit.native.meter cimport meter_t
from memkit.native.peak cimport scope_t

cdef enum:
    OF_LINES = 0                # kinds of tracers
    OF_CALLS = 1
    KINDS = 2
    SLOTS = 8                   # tracers of a kind at a time

cdef struct watch_t:            # the head of a tracer's own struct for a thread
    gate_t gate
    scope_t scope
    int64_t memory              # when it was last read
    long faults
    long news                   # page faults of the thread between the last two readings
    int64_t reads
    bint busy                   # belongs to a thread that lives
    int64_t generation          # of the tracer that it was last made ready for
    watch_t *next

cdef struct tracer_t:
    int kind
    int slot
    bint scoped                 # the meter is one that the kernel keeps a peak of
    int64_t generation          # 0 before it is open, and below once it is closed: no watch is of it
    int64_t written_reads
    meter_t meter

# -- all but what is nogil under the GIL

cdef bint tracer_open(tracer_t *tracer, int kind) noexcept      # False: too many of them
cdef void tracer_close(tracer_t *tracer) noexcept               # nothing may read any more; the watches stay
cdef watch_t *watches(tracer_t *tracer) noexcept nogil          # of all threads that there were, linked; closed: NULL
# The calling thread's, made ready; NULL: no memory, or the tracer is closed.
cdef watch_t *watch_join(tracer_t *tracer, size_t size) noexcept
cdef void watch_part(watch_t *watch) noexcept                   # it is not ready after all, and will join anew
cdef int64_t watch_look(tracer_t *tracer, watch_t *watch) noexcept nogil    # read memory: the peak since the last time
cdef int64_t new_reads(tracer_t *tracer) noexcept nogil         # readings since this was last asked
cdef int worst_gate(tracer_t *tracer) noexcept nogil
cdef double look_cost(tracer_t *tracer, watch_t *watch) noexcept    # nanoseconds, the least of some


cdef inline bint is_open(tracer_t *tracer) noexcept nogil:
    return tracer.generation > 0
