"""The base of the tracers of lines and of calls: start, stop and close, at any time and from any thread.

Events come from callbacks of ``sys.monitoring``, or from a trace or profile hook.
"""

from cpython.exc cimport PyErr_Occurred
from cpython.object cimport PyObject
from cpython.pycapsule cimport PyCapsule_GetContext, PyCapsule_New, PyCapsule_SetContext

from memkit.native.cpython cimport Py_DECREF, Py_INCREF
from memkit.native.tracing.hook_chain cimport HookChain

cdef extern from "Python.h":
    void PyErr_SetObject(object, object) noexcept


cdef bint is_programs(object error) noexcept:
    """Whether a signal handler of the program raised an exception, as at Ctrl-C; otherwise it is memkit's own.

    In the traceback, a handler in Python is a call that has the frame which it interrupted as an argument.
    """
    if not isinstance(error, Exception):
        return True
    try:
        place = error.__traceback__
        while place is not None and place.tb_next is not None:
            for value in place.tb_next.tb_frame.f_locals.values():
                for one in value if type(value) is tuple else (value,):
                    if one is place.tb_frame:
                        return True
            place = place.tb_next
    except Exception:               # there may be no memory left for this
        pass
    return False


cdef bint set_if_programs(object error) noexcept:
    if error is None or not is_programs(error):
        return False                # the program must not see an error of memkit's
    PyErr_SetObject(type(error), error)
    return True


cdef int raise_pending() except -1:
    return -1 if PyErr_Occurred() != NULL else 0


cdef void drop_tracer(object capsule) noexcept:
    Py_DECREF(<PyObject *>PyCapsule_GetContext(capsule))


cdef class Tracer(HookChain):
    """Sums up events from ``start`` to ``stop``; ``close`` frees its memory.

    It may be stopped and closed whenever Python runs, and the interpreter holds no reference to the callback that it calls.
    So a callback holds a reference to the tracer while it runs. Python runs for it only between ``running_python += 1`` and
    ``python_returned``; after that, the tracer's memory may be used only if it is still on.
    """

    def start(self):
        """Count from now on, until ``stop``."""
        self.on = not self.closing

    def stop(self):
        """Count no further event, and put the hooks back that were there before."""
        self.on = False
        HookChain.stop(self)

    def writer(self):
        """A capsule for ``Sampler.flush_also``, with a reference to this tracer. Take it back before ``close``."""
        capsule = PyCapsule_New(&self.sums_writer, b"memkit.writer", drop_tracer)
        PyCapsule_SetContext(capsule, <void *>self)
        Py_INCREF(<PyObject *>self)
        return capsule

    def close(self):
        """Free all memory and descriptors. No flush may follow; callbacks that still come do nothing."""
        self.on = False
        self.closing = True
        if not self.running_python:
            self.free_all()

    cdef void python_returned(self) noexcept:
        """Python has run for the tracer. The last thread that returns does a ``close`` that came meanwhile."""
        self.running_python -= 1
        if self.closing and not self.running_python:
            self.free_all()

    cdef void free_all(self) noexcept:
        """Free memory and descriptors."""
