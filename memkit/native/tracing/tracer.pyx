"""What the tracers of lines and of calls have in common: a beginning, an end, and Python that they run in between.

They are told of events by callbacks of ``sys.monitoring``, or hold the place of a trace or profile function.
"""

from cpython.exc cimport PyErr_Occurred

from memkit.native.tracing.hook_chain cimport Seat

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


cdef int raise_what_is_set() except -1:
    return -1 if PyErr_Occurred() != NULL else 0


cdef class Tracer(Seat):
    """Something that sums up what it is told of, from ``start`` to ``stop``; then ``close`` gives all back."""

    def start(self):
        """Count from now on, until ``stop``."""
        self.on = True

    def stop(self):
        """Count no more, and give back the places in the threads."""
        self.on = False
        Seat.stop(self)

    def close(self):
        """Give everything back. Nothing may flush any more, and whatever calls back finds us off."""
        self.on = False
        self.closing = True
        if not self.inside:
            self.release()

    cdef bint come_out(self, object error) noexcept:
        """Running Python for us is over; whether we go on. Whoever is the last makes up for a close meanwhile.

        ``error`` is what came up in it, or None: the program's is set again for the program, ours is never its trouble.
        """
        cdef bint theirs = error is not None and is_the_programs(error)
        self.inside -= 1
        if self.closing and not self.inside:
            self.release()
        if theirs:
            PyErr_SetObject(type(error), error)
            return False
        return self.on

    cdef void release(self) noexcept:
        """Give back memory and descriptors; more than once does no harm."""
