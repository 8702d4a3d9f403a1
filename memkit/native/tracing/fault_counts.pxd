# Counts of page faults of each thread but the reader, since they were counted last: set in their shares.

from libc.stdint cimport int64_t

from memkit.native.tracing.thread_state cimport thread_state_t, tracer_t

cdef int threads(tracer_t *tracer) noexcept nogil               # how many there are beside the reader
cdef int64_t count_by_rings(tracer_t *tracer, thread_state_t *reader, int pass_) noexcept nogil    # their sum
cdef int64_t count_exactly(tracer_t *tracer, thread_state_t *reader, int pass_) noexcept nogil     # some µs for each
cdef int64_t count_untraced(tracer_t *tracer) noexcept nogil    # the sum, for untraced threads that do not help


cdef inline bint is_attached(tracer_t *tracer, thread_state_t *state) noexcept nogil:
    return state.generation == tracer.generation
