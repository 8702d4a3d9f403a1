# A limit of memory that is polled, and what is done when memory reaches it.

from libc.stdint cimport int64_t
from posix.types cimport pid_t

from memkit.native.journal cimport Journal, journal_t
from memkit.native.meter cimport meter_t
from memkit.native.sampling.limit_counters cimport counters_t
from memkit.native.sampling.stacks cimport stacks_t

cdef enum:                      # actions
    REPORT = 0
    RAISE = 1
    STOP = 2

cdef struct guard_t:
    meter_t *meter              # what is measured, where there are no counters
    counters_t used
    int64_t threshold
    int64_t again               # memory has to fall below this before the next crossing counts
    bint crossed
    int64_t memory              # at the last poll
    int64_t reached             # at the last crossing
    int64_t pause               # the shortest time until the next poll
    int64_t due                 # when that is
    int action
    int crossings
    int64_t id                  # by which Python finds the guard
    bint call_wanted            # Python is to be called as soon as it runs
    const char *limit_fields    # of the row of a crossing, from the limit on
    const char *end_fields      # of the row of an end, from its kind on
    int exit_code
    stacks_t stacks

cdef bint guard_poll(guard_t *guard, int64_t time) noexcept nogil       # whether memory has just reached the limit
# The crossing with the stacks of all threads, in the file on return; `time` counts from the recording's begin.
cdef void guard_write(guard_t *guard, journal_t *journal, int64_t time) noexcept nogil
cdef void guard_call_python(guard_t *guard) noexcept nogil              # if that is wanted
cdef void guard_stop(guard_t *guard, journal_t *journal, int64_t time) noexcept nogil      # the program: does not return


cdef class Guard:
    cdef guard_t guard
    cdef Journal journal
    cdef object bound
    cdef list held              # what the guard has pointers into
    cdef int64_t began
    cdef pid_t owner
    cdef int run_pending(self) except -2
    cdef bint must_wait(self) except -1
    cdef void name_threads(self) except *
