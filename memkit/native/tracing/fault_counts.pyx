"""Counts of page faults of each thread since they were counted last: from the rings, or from the kernel's own count."""

from libc.stdint cimport int64_t
from libc.stdio cimport snprintf
from libc.string cimport strrchr
from posix.fcntl cimport O_CLOEXEC, O_RDONLY, open
from posix.unistd cimport close, read

from memkit.native.decimal cimport number_at
from memkit.native.perf_event cimport FAULT_BYTES
from memkit.native.tracing.gate cimport PERF
from memkit.native.tracing.thread_state cimport share_t, thread_state_t, thread_states, tracer_t

cdef enum:
    STAT = 512                  # bytes of it that are read


cdef int64_t faults_of(thread_state_t *state) noexcept nogil:
    """Of another thread, as ``man 5 proc`` has them in the 10th and 12th field of stat; what is known where it has ended."""
    cdef char text[STAT]
    cdef const char *place
    cdef int64_t minor, length
    cdef int fd, field
    snprintf(text, STAT, b"/proc/self/task/%d/stat", state.tid)
    fd = open(text, O_RDONLY | O_CLOEXEC)
    if fd < 0:
        return state.counted
    length = read(fd, text, STAT - 1)
    close(fd)
    text[max(length, 0)] = 0
    place = strrchr(text, c")")             # a name may have spaces and brackets
    if place == NULL:
        return state.counted
    place += 4                              # the state is one letter
    for field in range(4, 10):
        number_at(&place)
    minor = number_at(&place)
    number_at(&place)
    return minor + number_at(&place)


cdef int threads(tracer_t *tracer) noexcept nogil:
    """How many there are beside the reader."""
    cdef thread_state_t *state = thread_states(tracer)
    cdef int count = -1
    while state != NULL:
        count += is_attached(tracer, state)
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
    cdef int64_t sum = 0
    while state != NULL:
        if state != reader and is_attached(tracer, state):
            share = &state.shares[pass_]
            share.counted = faults_of(state)
            share.faults = max(share.counted - state.counted, <int64_t>0)
            sum += share.faults
        state = state.next
    return sum
