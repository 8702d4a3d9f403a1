# A place in the threads' trace or profile functions, shared with whatever was there before.

from cpython.object cimport PyObject

from memkit.native.cpython cimport PyFrameObject, PyThreadState, Py_tracefunc


cdef class Hook:
    cdef Py_tracefunc function
    cdef bint profiles              # the profile function; otherwise the trace function
    cdef bint on                    # whether it is to be called
    cdef dict chained
    cdef int inside                 # threads that run Python for us, and may have lost the GIL there
    cdef bint closing
    cdef bint come_out(self) noexcept
    cdef int give_back(self) except -1
    cdef int pass_on(self, PyFrameObject *frame, int what, PyObject *arg) noexcept
    cdef int link(self, PyThreadState *state) except -1
    cdef bint is_in(self, PyThreadState *state) noexcept
    cdef int put(self, Py_tracefunc function, PyObject *target) except -1
