"""Where in a program an event happened: code, line, and the names of these."""

from cpython.exc cimport PyErr_Clear
from cpython.object cimport PyObject
from libc.stdio cimport snprintf

from memkit.native.cpython cimport (
    PyFrame_GetCode, PyFrame_GetLineNumber, PyFrameObject, PyTrace_C_CALL, PyTrace_C_EXCEPTION, PyTrace_C_RETURN,
)
from memkit.native.tracing.event_rows cimport text_t

cdef extern from "Python.h":
    ctypedef struct PyTypeObject:
        const char *tp_name
    ctypedef struct ml_t "PyMethodDef":
        const char *ml_name
    ctypedef struct c_function_t "PyCFunctionObject":
        ml_t *m_ml
        PyObject *m_self
        PyObject *m_module
    bint PyCFunction_Check(PyObject *)
    bint PyType_Check(PyObject *)
    bint PyUnicode_Check(PyObject *)
    PyTypeObject *Py_TYPE(PyObject *)
    const char *PyUnicode_AsUTF8AndSize(PyObject *, Py_ssize_t *)
    PyObject *PyUnicode_AsEncodedString(PyObject *, const char *, const char *)
    const char *PyBytes_AS_STRING(PyObject *)
    Py_ssize_t PyBytes_GET_SIZE(PyObject *)

cdef const char *NAMES[8]
NAMES[:] = [b"CALL", b"EXCEPT", b"LINE", b"RETURN", b"C_CALL", b"C_EXCEPT", b"C_RETURN", b"OPCODE"]


cdef text_t text_of(PyObject *string, PyObject **kept) noexcept:
    """A string as UTF-8. Bytes of a file name that could not be decoded become those bytes again."""
    cdef text_t text
    cdef Py_ssize_t length = 0
    text.text, text.length = b"?", 1
    if not PyUnicode_Check(string):
        return text
    cdef const char *found = PyUnicode_AsUTF8AndSize(string, &length)
    if found == NULL:
        PyErr_Clear()
        kept[0] = PyUnicode_AsEncodedString(string, b"utf-8", b"surrogateescape")
        if kept[0] == NULL:
            PyErr_Clear()
            kept[0] = PyUnicode_AsEncodedString(string, b"utf-8", b"backslashreplace")
        if kept[0] == NULL:
            PyErr_Clear()
            return text
        found, length = PyBytes_AS_STRING(kept[0]), PyBytes_GET_SIZE(kept[0])
    text.text, text.length = found, length
    return text


cdef const char *type_name(PyObject *self) noexcept:
    if PyType_Check(self):
        return (<PyTypeObject *>self).tp_name
    return Py_TYPE(self).tp_name


cdef void name_c_function(char *name, PyObject *function, bint qualified) noexcept:
    cdef c_function_t *found = <c_function_t *>function
    cdef const char *owner = NULL
    if function == NULL or not PyCFunction_Check(function):
        snprintf(name, LONGEST_NAME, b"?")
        return
    if qualified and found.m_module != NULL and PyUnicode_Check(found.m_module):
        owner = PyUnicode_AsUTF8AndSize(found.m_module, NULL)
        if owner == NULL:
            PyErr_Clear()
    elif qualified and found.m_self != NULL:
        owner = type_name(found.m_self)
    if owner != NULL:
        snprintf(name, LONGEST_NAME, b"%s.%s", owner, found.m_ml.ml_name)
    else:
        snprintf(name, LONGEST_NAME, b"%s", found.m_ml.ml_name)


cdef void locate(place_t *place, PyFrameObject *frame, int what, PyObject *argument, bint qualified) noexcept:
    place.code = <PyObject *>PyFrame_GetCode(frame)
    place.line = PyFrame_GetLineNumber(frame)
    place.what = NAMES[what]
    place.function[0] = 0
    if what == PyTrace_C_CALL or what == PyTrace_C_EXCEPTION or what == PyTrace_C_RETURN:
        name_c_function(place.function, argument, qualified)
