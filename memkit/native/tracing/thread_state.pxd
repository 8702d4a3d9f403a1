# What a tracer keeps for each thread: its gate, its peak scope, and memory at the last reading.

from libc.stdint cimport int64_t

from memkit.native.tracing.gate cimport gate_t
from memkit.native.meter cimport meter_t
from memkit.native.peak cimport scope_t

cdef enum:
    OF_LINES = 0                # kinds of tracers
    OF_CALLS = 1
    KINDS = 2
    SLOTS = 8                   # tracers of a kind at the same time

cdef struct thread_state_t:     # the first field of the struct that a tracer has for a thread
    gate_t gate
    scope_t scope
    int64_t memory              # at the last reading
    long faults
    long new_faults             # page faults of the thread between the last two readings
    int64_t reads
    bint owned                  # by a thread that has not ended
    int64_t generation          # of the tracer that it is attached to
    thread_state_t *next

cdef struct tracer_t:
    int kind
    int slot
    bint scoped                 # the kernel keeps a high-water mark of what the meter reads
    int64_t generation          # 0: not open yet, -1: closed; no thread state has either
    int64_t written_reads
    meter_t meter

# -- under the GIL, but for what is nogil

cdef bint tracer_open(tracer_t *tracer, int kind) noexcept      # False: SLOTS are open
cdef void tracer_close(tracer_t *tracer) noexcept               # no reading may follow; the thread states stay
cdef thread_state_t *thread_states(tracer_t *tracer) noexcept nogil          # of all threads, linked; NULL: none, or closed
# The state of the calling thread, ready for use; NULL: no memory, or the tracer is closed.
cdef thread_state_t *attach_thread(tracer_t *tracer, size_t size) noexcept
cdef void detach_thread(thread_state_t *state) noexcept                   # it is not ready, and will be attached again
cdef int64_t read_memory(tracer_t *tracer, thread_state_t *state) noexcept nogil    # the peak since the last reading
cdef int64_t new_reads(tracer_t *tracer) noexcept nogil         # since the last call
cdef int worst_gate(tracer_t *tracer) noexcept nogil
cdef double least_read_cost(tracer_t *tracer, thread_state_t *state) noexcept    # nanoseconds a reading


cdef inline bint is_open(tracer_t *tracer) noexcept nogil:
    return tracer.generation > 0
