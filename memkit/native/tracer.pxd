# What the tracers of lines and of calls have in common: a beginning, an end, and Python that they run in between.

from memkit.native.seat cimport Seat


cdef class Tracer(Seat):
    cdef bint on                    # whether what it is told of is to be counted
    cdef int inside                 # threads that run Python for us, and may have lost the GIL there
    cdef bint closing
    cdef bint come_out(self) noexcept
    cdef void release(self) noexcept
