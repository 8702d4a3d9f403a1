# Tells tracers when a thread switches from one greenlet to another.

from memkit.native.tracing.greenlets cimport switch_t
from memkit.native.tracing.tracer cimport Tracer


cdef class StackTracer(Tracer):
    cdef bint told                              # of switches
    cdef void switched(self, switch_t *switch) noexcept             # what subclasses do at one, in the thread that switches
    # Has this thread tell of switches, if it can run greenlets by now. Python may run, and raise. `code` has just begun.
    cdef int notice(self, object code) except -1
    cdef int leave_thread(self) except -1
    cdef void notice_quietly(self) noexcept     # the same, where no code has begun
