# What the tracers of lines and of calls have in common: a beginning, an end, and Python that they run in between.

from memkit.native.seat cimport Seat

# -- an exception that came up while Python ran for a tracer

cdef bint is_the_programs(object error) noexcept
cdef void set_again(object error) noexcept                          # for the program
cdef int raise_what_is_set() except -1


cdef class Tracer(Seat):
    cdef bint on                    # whether what it is told of is to be counted
    cdef int inside                 # threads that run Python for us, and may have lost the GIL there
    cdef bint closing
    cdef bint come_out(self) noexcept
    cdef void release(self) noexcept
