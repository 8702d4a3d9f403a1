# What a tracer keeps for each thread: its gate, its peak scope, and memory at the last reading.

from libc.stdint cimport int64_t, uint64_t

from memkit.native.tracing.gate cimport gate_t
from memkit.native.meter cimport meter_t
from memkit.native.peak cimport scope_t
from memkit.native.tracing.noted cimport notes_t

cdef enum:
    OF_LINES = 0                # kinds of tracers
    OF_CALLS = 1
    KINDS = 2
    SLOTS = 8                   # tracers of a kind at the same time

cdef struct share_t:            # of a change of memory, while it is shared out
    int64_t faults              # page faults since those that were counted before
    int64_t counted             # with these
    uint64_t head               # of the ring
    double weight
    int64_t cpu                 # nanoseconds of the processor since those that were considered
    int64_t bytes
    int64_t uncertain

cdef struct thread_state_t:     # the first field of the struct that a tracer has for a thread
    gate_t gate
    scope_t scope
    int tid
    int64_t memory              # at the last reading
    int64_t credited            # what the thread has changed memory by since it was attached
    int64_t uncertain           # the part of it that is an estimate
    int64_t above               # how far memory was above what it is, by this thread, between the last two readings
    int64_t counted             # page faults that have been considered
    uint64_t counted_head       # of the ring, at these
    int64_t returning           # what the call had grown by that has just returned: its locals are being freed
    int64_t cpu                 # of the thread, in nanoseconds, that has been considered, where there are several threads
    share_t shares[2]           # for a reading, and for an estimate, which may go on at the same time
    int64_t pending             # by the last estimate: what a reading would credit
    int64_t pending_above       # and how far memory was above that
    int64_t estimated           # what it was credited with before that estimate
    int64_t reads
    bint owned                  # by a thread that has not ended
    bint untraced               # it has had no event: only its TID and its page faults are known, and no gate is open
    int64_t left                # page faults of untraced threads that have ended, where `tid` is 0: for all of these
    bint helps                  # outside of traced code it may be working for it, as a thread of a pool does
    bint ending                 # its last call of Python has ended: it frees nothing more that was the program's
    int64_t generation          # of the tracer that it is attached to
    thread_state_t *next

cdef struct tracer_t:
    int kind
    int slot
    bint scoped                 # the kernel keeps a high-water mark of what the meter reads
    bint several                # threads were attached at the same time
    int untraced                # attached threads that are, and do not help
    size_t size                 # bytes of a thread's struct
    bint by_faults              # what the meter reads rises by page faults only
    bint is_brief               # where one follows the other, threads keep their gates, since it takes long to open one
    int (*role)(thread_state_t *) noexcept nogil        # see memkit.native.tracing.credit; NULL: all threads work
    int64_t generation          # 0: not open yet, -1: closed; no thread state has either
    int64_t written_reads
    int64_t memory              # what has been credited to threads
    int64_t faults              # page faults of the process that have been considered; -1: nothing has yet
    int64_t unexplained[2]      # as shares: what threads touched that run no Python
    uint64_t exact_due          # ticks, when the kernel may be asked for the faults of all threads again
    int untold                  # why greenlets were not told apart, see greenlets.pxd
    int written_untold
    notes_t notes
    meter_t meter

# -- under the GIL, but for what is nogil

cdef bint tracer_open(tracer_t *tracer, int kind, size_t size) noexcept     # False: SLOTS are open
cdef void tracer_close(tracer_t *tracer) noexcept               # no reading may follow; the thread states stay
cdef thread_state_t *thread_states(tracer_t *tracer) noexcept nogil          # of all threads, linked; NULL: none, or closed
# The state of the calling thread, ready for use; NULL: no memory, or the tracer is closed.
cdef thread_state_t *attach_thread(tracer_t *tracer) noexcept
# Attach a thread that need not have an event, or say of one that is attached whether it helps.
cdef void know_thread(tracer_t *tracer, int tid, bint helps) noexcept
cdef void forget_thread(tracer_t *tracer, thread_state_t *state) noexcept nogil     # an untraced one, of which all is known
cdef thread_state_t *state_of_thread(tracer_t *tracer, int tid) noexcept nogil      # NULL: it is not attached
cdef void detach_thread(thread_state_t *state) noexcept                   # it is not ready, and will be attached again
cdef void lock_states() noexcept nogil          # no ring is unmapped until unlock_states
cdef void unlock_states() noexcept nogil
cdef int64_t new_reads(tracer_t *tracer) noexcept nogil         # since the last call
cdef int worst_gate(tracer_t *tracer) noexcept nogil


cdef inline int64_t pending_of(thread_state_t *state) noexcept nogil:
    """What was found pending, unless the thread was credited with it meanwhile."""
    return state.pending if state.credited == state.estimated else 0


cdef inline bint is_open(tracer_t *tracer) noexcept nogil:
    return tracer.generation > 0
