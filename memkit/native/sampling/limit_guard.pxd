# A limit of memory that is watched, and what is done when memory reaches it.

from libc.stdint cimport int64_t
from posix.types cimport pid_t

from memkit.native.descriptors cimport ours_t
from memkit.native.journal cimport Journal, journal_t
from memkit.native.meter cimport meter_t
from memkit.native.sampling.stacks cimport stacks_t

cdef enum:
    REPORT = 0
    RAISE = 1
    STOP = 2
    MOST_COUNTERS = 3
    MOST_CROSSINGS = 100        # that are written

cdef struct counter_t:          # a file that says how much is used
    const char *path
    const char *key             # of the line that counts; empty: the file begins with the number
    int64_t unit                # bytes, below 0 where they are to be taken off
    bint late                   # read only where the others come to the limit, for it costs more
    ours_t file

cdef struct guard_t:
    meter_t *meter              # what is measured, where there are no counters
    counter_t counters[MOST_COUNTERS]
    int count
    int64_t total               # what the counters are added to
    int64_t threshold
    int64_t again               # memory has to fall below this before the next crossing counts
    bint crossed
    int64_t memory              # when it was last looked at
    int64_t reached             # at the last crossing
    int64_t pause               # the shortest time until the next look
    int64_t due
    int action
    int crossings
    int64_t number              # by which Python finds the guard
    bint asked                  # Python is to be told as soon as it runs
    const char *words           # of a crossing's row, from the limit on
    const char *ending          # of the row of an end, from its kind on
    int code                    # to exit with
    stacks_t stacks

cdef bint guard_look(guard_t *guard, int64_t time) noexcept nogil       # whether memory has just reached the limit
# The crossing with the stacks of all threads, in the file on return; `time` counts from the recording's begin.
cdef void guard_write(guard_t *guard, journal_t *journal, int64_t time) noexcept nogil
cdef void guard_tell(guard_t *guard) noexcept nogil                     # Python, if it is to be told
cdef void guard_stop(guard_t *guard, journal_t *journal, int64_t time) noexcept nogil      # the program: does not return


cdef class Guard:
    cdef guard_t guard
    cdef Journal journal
    cdef object bound
    cdef list held
    cdef int64_t began
    cdef pid_t owner
    cdef int come(self) except -2
    cdef bint busy(self) except -1
    cdef void name_threads(self) except *
