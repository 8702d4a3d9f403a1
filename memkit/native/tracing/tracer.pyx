"""What the tracers of lines and of calls have in common: a beginning, an end, and Python that they run in between.

They are told of events by callbacks of ``sys.monitoring``, or hold the place of a trace or profile function.
"""

from cpython.exc cimport PyErr_Occurred
from cpython.object cimport PyObject
from cpython.pycapsule cimport PyCapsule_GetContext, PyCapsule_New, PyCapsule_SetContext

from memkit.native.cpython cimport Py_DECREF, Py_INCREF
from memkit.native.tracing.hook_chain cimport HookChain

cdef extern from "Python.h":
    void PyErr_SetObject(object, object) noexcept


cdef bint is_the_programs(object error) noexcept:
    """Whether it was the program's handler of a signal that raised, as Ctrl-C has it do; else the error is ours.

    A handler in Python shows in the traceback as a call that was given the very frame which it interrupted.
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


cdef bint set_again(object error) noexcept:
    if error is None or not is_the_programs(error):
        return False                # ours is never the program's trouble
    PyErr_SetObject(type(error), error)
    return True


cdef int raise_what_is_set() except -1:
    return -1 if PyErr_Occurred() != NULL else 0


cdef void drop_tracer(object capsule) noexcept:
    Py_DECREF(<PyObject *>PyCapsule_GetContext(capsule))


cdef class Tracer(HookChain):
    """Something that sums up what it is told of, from ``start`` to ``stop``; then ``close`` gives all back.

    It may be stopped and closed whenever Python runs, and the interpreter keeps no reference to the callback that it calls.
    So a callback holds one to the tracer for as long as it runs; Python runs for it only between ``inside += 1`` and
    ``come_out``, and after that nothing of the tracer's memory is there unless it is still on.
    """

    def start(self):
        """Count from now on, until ``stop``."""
        self.on = not self.closing

    def stop(self):
        """Count no more, and give back the places in the threads."""
        self.on = False
        HookChain.stop(self)

    def writer(self):
        """A capsule for ``Sampler.flush_also``, with a reference to this tracer. Take it back before ``close``."""
        capsule = PyCapsule_New(&self.sums_writer, b"memkit.writer", drop_tracer)
        PyCapsule_SetContext(capsule, <void *>self)
        Py_INCREF(<PyObject *>self)
        return capsule

    def close(self):
        """Give everything back. Nothing may flush any more, and whatever calls back finds us off."""
        self.on = False
        self.closing = True
        if not self.inside:
            self.release()

    cdef void come_out(self) noexcept:
        """Running Python for us is over. Whoever is the last makes up for a close meanwhile."""
        self.inside -= 1
        if self.closing and not self.inside:
            self.release()

    cdef void release(self) noexcept:
        """Give back memory and descriptors; more than once does no harm."""
