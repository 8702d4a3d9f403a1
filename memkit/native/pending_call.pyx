"""Calling a function as soon as the main thread runs Python again."""

from cpython.exc cimport PyErr_WriteUnraisable
from cpython.ref cimport Py_DECREF, Py_INCREF

cdef extern from "Python.h":
    int Py_AddPendingCall(int (*)(void *) noexcept with gil, void *)


cdef int call(void *soon) noexcept with gil:
    cdef Soon wanted = <Soon>soon
    Py_DECREF(wanted)
    try:
        wanted.function()
    except Exception:
        PyErr_WriteUnraisable(wanted.function)
    return 0


cdef class Soon:
    """A function that will be called when the main thread runs Python again: when what it calls now has returned.

    Calling it runs no bytecode, since that would be Python running again.
    """

    cdef object function

    def __cinit__(self, function):
        self.function = function

    def __call__(self):
        Py_INCREF(self)
        if Py_AddPendingCall(call, <void *>self):
            call(<void *>self)
