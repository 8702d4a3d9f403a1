"""Calling a function as soon as the main thread runs Python again, through ``Py_AddPendingCall``."""

from cpython.exc cimport PyErr_WriteUnraisable
from cpython.ref cimport Py_DECREF, Py_INCREF

cdef extern from "Python.h":
    int Py_AddPendingCall(int (*)(void *) noexcept with gil, void *)


cdef int run(void *argument) noexcept with gil:
    cdef PendingCall pending = <PendingCall>argument
    Py_DECREF(pending)
    try:
        pending.function()
    except Exception:
        PyErr_WriteUnraisable(pending.function)
    return 0


cdef class PendingCall:
    """A callable that has a function called when the main thread next runs Python: when the C call it is in has returned.

    Calling it runs no bytecode, since that would already be Python running again.
    """

    cdef object function

    def __cinit__(self, function):
        self.function = function

    def __call__(self):
        Py_INCREF(self)
        if Py_AddPendingCall(run, <void *>self):        # too many are pending
            run(<void *>self)
