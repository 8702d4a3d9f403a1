# Being ended by a signal that nobody handles: what was recorded is written first.

from libc.stdint cimport int64_t
from posix.types cimport pid_t

from memkit.native.journal cimport journal_t
from memkit.native.threads cimport pthread_cond_t

cdef struct termination_t:
    int number              # of the signal that has come; 0: none has
    bint paused             # the sampler has no thread that could write: it is told of the signal when it goes on or ends
    bint wanted             # Python has not been asked yet to set the handler again after one of the program's
    pid_t owner
    pthread_cond_t *wake    # the sampler's

# Handles SIGTERM unless the program does: its handler, if it sets one, takes the place of this one.
cdef void termination_watch(termination_t *termination) noexcept nogil
# The function that Python is asked with.
cdef void termination_call(function) except *
# Asks Python, if the program handles the signal by now.
cdef void termination_look(termination_t *termination) noexcept nogil
# Writes that the signal ends the process, and lets it.
cdef void termination_write(termination_t *termination, journal_t *journal, int64_t began) noexcept nogil
# Sets the default again; ends the process if the signal has come meanwhile.
cdef void termination_forget(termination_t *termination) noexcept nogil
