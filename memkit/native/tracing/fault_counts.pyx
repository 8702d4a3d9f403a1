"""Counts of page faults of each thread since they were counted last: from the rings, or from the kernel's own count."""

from libc.stdint cimport int64_t

from memkit.native.perf_event cimport FAULT_BYTES
from memkit.native.tracing.gate cimport PERF, faults_of_thread
from memkit.native.tracing.thread_state cimport forget_thread, share_t, thread_state_t, thread_states, tracer_t


cdef int threads(tracer_t *tracer) noexcept nogil:
    """How many there are beside the reader."""
    cdef thread_state_t *state = thread_states(tracer)
    cdef int count = -1
    while state != NULL:
        count += is_attached(tracer, state) and not (state.untraced and state.helps)
        state = state.next
    return count


cdef int64_t count_by_rings(tracer_t *tracer, thread_state_t *reader, int pass_) noexcept nogil:
    """Sets the faults of each thread but the reader since they were counted last, as far as rings tell; their sum."""
    cdef thread_state_t *state = thread_states(tracer)
    cdef share_t *share
    cdef int64_t sum = 0
    while state != NULL:
        share = &state.shares[pass_]
        share.faults = 0
        if state != reader and is_attached(tracer, state):
            share.head = state.gate.head[0] if state.gate.engine == PERF else 0
            if state.gate.engine == PERF:
                share.faults = max(<int64_t>(share.head - state.counted_head), <int64_t>0) // FAULT_BYTES
            share.counted = state.counted + share.faults
            sum += share.faults
        state = state.next
    return sum


cdef int64_t count_exactly(tracer_t *tracer, thread_state_t *reader, int pass_) noexcept nogil:
    """The same by the kernel's count of each thread, which takes some microseconds for each."""
    cdef thread_state_t *state = thread_states(tracer)
    cdef share_t *share
    cdef int64_t faults, sum = 0
    while state != NULL:
        if state != reader and is_attached(tracer, state) and not (state.untraced and state.helps):
            share = &state.shares[pass_]
            faults = faults_of_thread(state.tid) if state.tid else state.left
            if pass_ == 0 and state.untraced and (faults < 0 or (state.tid == 0 and faults == state.counted)):
                forget_thread(tracer, state)
            share.counted = faults if faults >= 0 else state.counted
            share.faults = max(share.counted - state.counted, <int64_t>0)
            sum += share.faults
        state = state.next
    return sum


cdef int64_t count_untraced(tracer_t *tracer) noexcept nogil:
    """What the threads outside of traced code that do not help have had since they were counted last."""
    cdef thread_state_t *state = thread_states(tracer)
    cdef int64_t sum = 0
    while state != NULL:
        if is_attached(tracer, state) and state.untraced and not state.helps:
            sum += max((faults_of_thread(state.tid) if state.tid else state.left) - state.counted, <int64_t>0)
        state = state.next
    return sum
