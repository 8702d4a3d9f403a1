# The base of the tracers of lines and of calls: start, stop and close, at any time and from any thread.

from cpython.object cimport PyObject

from memkit.native.journal cimport writer_t
from memkit.native.meter cimport Meter
from memkit.native.tracing.thread_state cimport tracer_t
from memkit.native.tracing.hook_chain cimport HookChain

# Of an exception that was raised while Python ran for a tracer, or None: sets it again if the program raised it, and returns
# whether it did.
cdef bint set_if_programs(object error) noexcept
cdef bint unpacked(object found, int *number, int *thread, size_t *whose, int *kind) noexcept
cdef int raise_pending() except -1              # raises the exception that is set, if one is

cdef enum:
    MOST_WATCHED = 8


cdef class Tracer(HookChain):
    cdef bint on                    # whether events are counted
    cdef int running_python         # threads that run Python for the tracer, or otherwise may lose the GIL in it
    cdef bint closing
    cdef writer_t sums_writer       # set by the subclass
    cdef tracer_t *threads          # of the subclass
    cdef void reads(self, tracer_t *threads, Meter meter)       # what its threads read; to be called once, and first
    cdef int opened(self, Meter meter, int refused, str what) except -1     # raises if it cannot be opened
    cdef PyObject *watched[MOST_WATCHED]        # C functions, by their definitions, before which `before` is called
    cdef object before
    cdef object of_threads          # called where a thread starts another, and where one begins
    cdef PyObject *told_thread(self) noexcept   # call it, and return a new reference to None; NULL: the program raised
    cdef int run_before(self) noexcept          # 0, or -1 with an exception that the program raised
    # What a function of Python returns; None: it failed, perhaps with an exception that the program raised, and that is set.
    cdef object ask(self, function, tuple arguments)
    cdef void python_runs(self) noexcept
    cdef void python_returned(self) noexcept
    cdef void free_all(self) noexcept           # may be called more than once


cdef inline bint is_watched(Tracer me, PyObject *definition) noexcept:
    cdef int i
    for i in range(MOST_WATCHED):
        if me.watched[i] == definition:
            return True
    return False
