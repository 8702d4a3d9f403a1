# Every event that the interpreter reports, and the memory at it.

from cpython.object cimport PyObject
from libc.stdint cimport int64_t

from memkit.native.cpython cimport PyFrameObject
from memkit.native.journal cimport Journal
from memkit.native.meter cimport meter_t
from memkit.native.tracing.event_places cimport place_t
from memkit.native.tracing.event_rows cimport row_t
from memkit.native.tracing.gate cimport gate_t
from memkit.native.tracing.hook_chain cimport HookChain

cdef enum:
    MOST_OWN = 8


cdef class EventLog:
    cdef Journal journal
    cdef meter_t meter
    cdef int64_t trigger
    cdef bint padded
    cdef bint active
    cdef gate_t gate            # of the thread that started it; in others memory is read at every event
    cdef unsigned long long gated
    cdef int forks              # how many there had been when it was made
    cdef bint begun             # the first row is written
    cdef int64_t started
    cdef int64_t count          # of all events
    cdef int64_t written        # the number of the one that was written last
    cdef int64_t memory         # at that one
    cdef int64_t found          # memory when it was last read
    cdef place_t before         # the event just before, where a row for it may be wanted
    cdef row_t row
    cdef tuple own              # names of files that are not the program's
    cdef PyObject *own_files[MOST_OWN]
    cdef readonly HookChain calls
    cdef readonly HookChain lines

    cdef void leave_gate(self) noexcept
    cdef bint poll(self) noexcept                   # whether memory was read, since it can have changed
    cdef void event(self, PyFrameObject *frame, int what, PyObject *argument) noexcept
    cdef void write(self, const char *tag, const place_t *place) noexcept
