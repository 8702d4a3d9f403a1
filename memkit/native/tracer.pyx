"""What the tracers of lines and of calls have in common: a beginning, an end, and Python that they run in between.

They are told of events by callbacks of ``sys.monitoring``, or hold the place of a trace or profile function.
"""

from memkit.native.seat cimport Seat


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

    cdef bint come_out(self) noexcept:
        """Running Python for us is over; whether we are on still. Whoever is the last makes up for a close meanwhile."""
        self.inside -= 1
        if self.closing and not self.inside:
            self.release()
        return self.on

    cdef void release(self) noexcept:
        """Give back memory and descriptors; more than once does no harm."""
