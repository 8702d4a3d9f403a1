# Who freed memory, as far as it can be known.

from libc.stdint cimport int64_t

from memkit.native.tracing.thread_state cimport thread_state_t, tracer_t

cdef enum:
    MUCH = 64 * 1024            # bytes; of less it is not asked who freed them

# The thread that most likely freed some bytes; NULL: there is none. Its share is marked uncertain if another may have.
cdef thread_state_t *freer(tracer_t *tracer, thread_state_t *reader, int pass_, int64_t freed) noexcept nogil
cdef void settle_cpu(thread_state_t *state) noexcept nogil      # what the thread has done until now can have freed no more
