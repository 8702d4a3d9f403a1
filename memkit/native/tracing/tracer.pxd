# The base of the tracers of lines and of calls: start, stop and close, at any time and from any thread.

from memkit.native.journal cimport writer_t
from memkit.native.tracing.hook_chain cimport HookChain

# Of an exception that was raised while Python ran for a tracer, or None: sets it again if the program raised it, and returns
# whether it did.
cdef bint set_if_programs(object error) noexcept
cdef int raise_pending() except -1              # raises the exception that is set, if one is


cdef class Tracer(HookChain):
    cdef bint on                    # whether events are counted
    cdef int running_python         # threads that run Python for the tracer, where they may lose the GIL
    cdef bint closing
    cdef writer_t sums_writer       # set by the subclass
    cdef void python_returned(self) noexcept
    cdef void free_all(self) noexcept           # may be called more than once
