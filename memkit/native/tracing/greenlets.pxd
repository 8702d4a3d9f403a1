# The stacks that a tracer keeps for the greenlets of one thread which do not run.

from libc.stdint cimport int64_t

from memkit.native.journal cimport journal_t
from memkit.native.tracing.thread_state cimport tracer_t

cdef enum:
    MOST_GREENLETS = 16384      # of a thread, suspended at the same time with something on their stacks

cdef enum:                      # why greenlets were not told apart, as in the journal
    TOLD_APART = 0
    NO_SETTRACE = 1             # greenlet has no settrace: it is too old
    TAKEN_OVER = 2              # switches were missed: something else set a trace function and did not pass them on
    TOO_MANY = 3

cdef struct aside_t:            # a stack that is put aside; what the pointers point to is the tracer's business
    void *greenlet
    void *stack
    int depth
    int64_t level               # of the thread when it was put aside
    aside_t *next

cdef struct greenlets_t:        # of a thread
    void *current               # the greenlet that runs; NULL: it has not switched yet
    aside_t **places            # hashed by greenlet
    int size                    # a power of two, or 0
    int count
    aside_t *unused
    aside_t *left               # that of the main greenlet, if only the child has run since that it switched to; or NULL
    int64_t highest             # of calls: the highest level that a stack reached

cdef struct switch_t:           # from one greenlet to another
    void *origin
    void *target
    bint ended                  # the origin will not run again
    bint main                   # the target is the thread's main greenlet
    bint child                  # the target's parent is the origin, the thread's main greenlet

# -- under the GIL, which a switch has

# What was put aside for a greenlet; else one that is unused, of depth 0, or new, all zero. NULL: no memory, or too many.
cdef aside_t *take_aside(greenlets_t *greenlets, void *greenlet) noexcept
cdef void put_aside(greenlets_t *greenlets, aside_t *aside, void *greenlet) noexcept    # NULL: nobody's, to be used again
# Frees all that is kept, with the stacks.
cdef void free_asides(greenlets_t *greenlets) noexcept
cdef void forget_asides(greenlets_t *greenlets) noexcept        # of all greenlets; their stacks are used again

# The row that says why greenlets were not told apart, once for each reason.
cdef void write_untold(tracer_t *tracer, journal_t *journal) noexcept nogil
