# A place in front of whatever profiles or traces a thread, which goes on as if nobody had come.

from cpython.object cimport PyObject

from memkit.native.cpython cimport Py_tracefunc, PyFrameObject, PyThreadState

cdef enum:
    PROFILE = 0                 # sys.setprofile's place
    TRACE = 1                   # sys.settrace's

cdef struct link_t:             # what held the place in a thread before
    PyThreadState *state
    Py_tracefunc function
    PyObject *target
    link_t *next


cdef class Seat:
    cdef int kind
    cdef bint stopped           # every thread gives its place back when it next comes by
    cdef link_t *links

    # For those who are called: 0, or -1 with an exception that is the program's.
    cdef int handle(self, PyFrameObject *frame, int what, PyObject *argument) noexcept
    cdef int pass_on(self, PyFrameObject *frame, int what, PyObject *argument) noexcept
    cdef void seize(self) noexcept
    cdef void give_back(self) noexcept
    cdef int link(self, PyThreadState *state) except -1
    cdef void unlink(self, PyThreadState *state) noexcept
    cdef link_t *link_of(self, PyThreadState *state) noexcept
