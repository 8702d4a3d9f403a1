# Reading memory, and crediting its change to the threads that caused it.

from libc.stdint cimport int64_t

from memkit.native.tracing.thread_state cimport thread_state_t, tracer_t

cdef enum:                      # what a thread is for the memory that threads without Python touch, see tracer_t.role
    WORKS = 0                   # it may be in a C call that waits for them
    WAITS = 1                   # it waits for other threads of Python
    ABSENT = 2                  # nothing is recorded of it, and what it does is its own
    HELPS = 3                   # nothing is recorded of it, and it may be working for others: it counts as one of them

# -- under the GIL: reads memory, credits what it changed by to all threads, and returns the peak since the last reading
cdef int64_t read_memory(tracer_t *tracer, thread_state_t *state) noexcept nogil
cdef double least_read_cost(tracer_t *tracer, thread_state_t *state) noexcept    # nanoseconds a reading

# -- in any thread: sets `pending` of each thread, what a reading would credit to it now; see `pending_of`
cdef void estimate(tracer_t *tracer, int64_t memory) noexcept nogil
