# What the tracers of lines and of calls have in common: a beginning, an end, and Python that they run in between.

from memkit.native.journal cimport writer_t
from memkit.native.tracing.hook_chain cimport HookChain

# Of what came up while Python ran for a tracer: whether an exception, or None, is the program's, which is then set again.
cdef bint set_again(object error) noexcept
cdef int raise_what_is_set() except -1      # that exception


cdef class Tracer(HookChain):
    cdef bint on                    # whether what it is told of is to be counted
    cdef int inside                 # threads that run Python for us, and may have lost the GIL there
    cdef bint closing
    cdef writer_t sums_writer       # set by the subclass
    cdef void come_out(self) noexcept
    cdef void release(self) noexcept
