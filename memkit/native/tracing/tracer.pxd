# What the tracers of lines and of calls have in common: a beginning, an end, and Python that they run in between.

from memkit.native.tracing.hook_chain cimport Seat

cdef int raise_what_is_set() except -1      # an exception of the program's that came up while Python ran for a tracer


cdef class Tracer(Seat):
    cdef bint on                    # whether what it is told of is to be counted
    cdef int inside                 # threads that run Python for us, and may have lost the GIL there
    cdef bint closing
    cdef bint come_out(self, object error) noexcept
    cdef void release(self) noexcept
