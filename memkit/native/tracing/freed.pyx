"""Who freed memory. The kernel does not tell: it is judged by what each thread can have done.

To free takes time of the processor, and a thread that only slept since its last reading had none. Of those that ran, one
that has as much as was freed is likelier than one that has less: what a thread holds is mostly freed by the same thread,
above all when the call has just returned which took it.
The reader is believed to have done it unless another is far likelier. A thread whose first call has ended has freed all that
it had before another can see that: up to Python 3.12, ``join`` does not wait until the system has ended it.
"""

from libc.stdint cimport int64_t

from memkit.native.tracing.fault_counts cimport is_attached
from memkit.native.tracing.gate cimport time_of_thread
from memkit.native.tracing.thread_state cimport thread_state_t, thread_states, tracer_t

cdef enum:
    FAR = 8                     # times likelier: another than the reader is taken
    CLOSE = 4                   # within so many times as likely, two are not told apart

cdef double RETURNING = 16      # times likelier: a thread that has just returned from a call which had grown by as much
cdef double OF_ANOTHER = 0.25   # how likely a thread frees what it has not taken


cdef void settle_cpu(thread_state_t *state) noexcept nogil:
    state.cpu = time_of_thread(state.tid)


cdef double likelihood(thread_state_t *state, thread_state_t *reader, int pass_, int64_t freed, int64_t most) noexcept nogil:
    cdef int64_t held = max(state.credited + state.shares[pass_].bytes, <int64_t>0)
    cdef double found = (OF_ANOTHER + min(held, freed) / <double>freed) * (state.shares[pass_].cpu / <double>most)
    found *= 1 + RETURNING * (min(state.returning, freed) / <double>freed)
    return FAR * found if state == reader else found


cdef thread_state_t *freer(tracer_t *tracer, thread_state_t *reader, int pass_, int64_t freed) noexcept nogil:
    cdef thread_state_t *state = thread_states(tracer)
    cdef thread_state_t *found = NULL
    cdef int64_t now, most = 1
    cdef double likely, best = -1, second = 0
    while state != NULL:
        if is_attached(tracer, state):
            now = time_of_thread(state.tid)
            state.shares[pass_].cpu = max(now - state.cpu, <int64_t>1) if state.cpu else 1
            most = max(most, state.shares[pass_].cpu)
            if reader != NULL:          # what follows is judged by what follows
                state.cpu = now
        state = state.next
    state = thread_states(tracer)
    while state != NULL:
        if is_attached(tracer, state) and (not state.ending or state == reader):
            likely = likelihood(state, reader, pass_, freed, most)
            if likely > best:
                found, best, second = state, likely, max(best, <double>0)
            else:
                second = max(second, likely)
        state = state.next
    if found != NULL and second * CLOSE > best:
        found.shares[pass_].uncertain += freed
    return found
