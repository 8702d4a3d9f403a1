# Where in a program an event happened: code, line, and the names of these.

from cpython.object cimport PyObject
from libc.stdint cimport int64_t

from memkit.native.cpython cimport Py_DECREF, PyCodeObject, PyFrame_GetCode, PyFrameObject
from memkit.native.tracing.event_rows cimport text_t

cdef enum:
    LONGEST_NAME = 512          # of a C function

cdef struct place_t:            # where an event happened
    PyObject *code              # a reference that the place owns, or NULL
    int line
    const char *what            # such as CALL
    char function[LONGEST_NAME] # of C; empty: the code's own name
    # what was read there
    int64_t number
    int64_t time
    int64_t memory

# Fills in the place of an event; `argument` is what the interpreter passes with it. The name of a C function is qualified
# with its module or the type whose method it is, if that is wanted.
cdef void locate(place_t *place, PyFrameObject *frame, int what, PyObject *argument, bint qualified) noexcept
# A string as UTF-8; an object that is put into `kept` is to be released once the text has been used.
cdef text_t text_of(PyObject *string, PyObject **kept) noexcept


# Whether the code of a frame comes from one of these files: the very objects that name them, up to a NULL.
cdef inline bint is_from(PyFrameObject *frame, PyObject **files, int most) noexcept:
    cdef PyCodeObject *code = PyFrame_GetCode(frame)
    cdef bint found = False
    cdef int i = 0
    while i < most and files[i] != NULL and not found:
        found = files[i] == code.co_filename        # all code of a module names its file by one object
        i += 1
    Py_DECREF(<PyObject *>code)
    return found
