# What the interpreter tells of the lines that run.

from cpython.object cimport PyObject

from memkit.native.cpython cimport PyFrameObject, PyThreadState
from memkit.native.journal cimport writer_t
from memkit.native.lines cimport lines_t


cdef class Lines:
    cdef lines_t lines
    cdef object wanted          # asked once about each code object
    cdef readonly list kept            # the code objects that are traced
    cdef list unwanted          # those known not to be
    cdef object disable
    cdef dict chained           # what traced a thread before, by the address of its state
    cdef writer_t rows

    cdef int link(self, PyThreadState *state) except -1
    cdef int discover(self, object code) noexcept
    cdef void remember_unwanted(self, object code) noexcept
    cdef int pass_on(self, PyFrameObject *frame, int what, PyObject *arg) noexcept
