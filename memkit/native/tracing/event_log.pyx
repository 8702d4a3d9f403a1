"""Every event that the interpreter reports, and a row for those at which memory had changed.

Calls, returns and C functions are reported to a profile function, lines and exceptions to a trace function. At each event
memory is read, unless the gate knows that it cannot have changed. Where it differs by the trigger from what it was at the
last row, a row goes into the journal's buffer. The buffer goes to the file when it is full, after a quarter of a second, and
at once where memory changed by so much that the process may not live to see another event.

The program notices nothing: an exception that is set is put aside while a row is written, and a row that cannot be written
is counted.
"""

from cpython.exc cimport PyErr_Fetch, PyErr_Restore
from cpython.object cimport PyObject
from libc.stdint cimport int64_t
from libc.string cimport memset, strlen
from posix.unistd cimport getpid

from memkit.base.errors import MeterError
from memkit.native.clock cimport MILLISECOND, now, process_cpu
from memkit.native.cpython cimport (
    PyCodeObject, PyFrameObject, PyThreadState_Get, PyTrace_CALL, PyTrace_EXCEPTION, PyTrace_LINE, PyTrace_RETURN,
)
from memkit.native.journal cimport Journal, journal_flush, journal_text
from memkit.native.meter cimport Meter, meter_close, meter_open, meter_read
from memkit.native.threads cimport pthread_atfork
from memkit.native.tracing.event_places cimport is_from, locate, place_t, text_of
from memkit.native.tracing.event_rows cimport event_t, format_csv, format_padded, row_close
from memkit.native.tracing.gate cimport gate_close, gate_open, must_read, ticks
from memkit.native.tracing.hook_chain cimport PROFILE, TRACE, HookChain

cdef extern from "Python.h":
    void Py_XDECREF(PyObject *)

cdef int forks = 0              # between this process and the one that loaded this module


cdef void in_forked_child() noexcept nogil:
    global forks
    forks += 1


pthread_atfork(NULL, NULL, in_forked_child)

cdef enum:
    FLUSH_EVERY = 250 * MILLISECOND
    MUCH = 1 << 20              # bytes: a page fault for each page has cost more than a write does


# -- what the interpreter calls ----------------------------------------------------------------------------------------

cdef class Calls(HookChain):
    """Calls and returns, of Python and of C."""

    cdef EventLog log

    cdef int handle(self, PyFrameObject *frame, int what, PyObject *argument) noexcept:
        self.log.event(frame, what, argument)
        return 0


cdef class TracedLines(HookChain):
    """Lines and exceptions; calls and returns too, unless a profile function gets them."""

    cdef EventLog log
    cdef bint alone

    cdef int handle(self, PyFrameObject *frame, int what, PyObject *argument) noexcept:
        cdef bint call = what == PyTrace_CALL or what == PyTrace_RETURN
        if what == PyTrace_LINE or what == PyTrace_EXCEPTION or call and self.alone:
            self.log.event(frame, what, argument)
        return 0


# -- the log -----------------------------------------------------------------------------------------------------------

cdef class EventLog:
    """Rows for the events at which memory had changed by ``trigger`` bytes since the last row.

    ``calls`` and ``lines`` say which events there are to be. ``padded`` rows are those of pymemtrace, with CPU time, bare
    names and a row for the event just before; the others are CSV, with monotonic time and qualified names. ``own`` are file
    names, the very objects that code objects have: what happens in that code is not the program's.
    """

    def __cinit__(self, Journal journal, Meter meter, *, int64_t trigger, bint calls, bint lines, bint padded, tuple own):
        cdef Calls first
        cdef TracedLines second
        cdef int i
        self.journal, self.trigger, self.padded, self.own = journal, trigger, padded, own[:MOST_OWN]
        for i in range(len(self.own)):
            self.own_files[i] = <PyObject *>self.own[i]
        self.forks = forks
        self.meter = meter.meter
        self.meter.file.fd = -1
        if meter_open(&self.meter):
            raise MeterError(f"meter {meter.name!r} cannot be read")
        if calls:
            first = Calls()
            first.kind, first.log = PROFILE, self
            self.calls = first
        if lines:
            second = TracedLines()
            second.kind, second.log, second.alone = TRACE, self, not calls
            self.lines = second

    # -- on and off ------------------------------------------------------------------------------------------------

    def start(self, bint all_threads):
        """Log from now on: this thread, or all that there are."""
        self.leave_gate()
        gate_open(&self.gate)
        self.gated = PyThreadState_Get().id
        self.started = now()
        self.active = True
        for chain in (self.calls, self.lines):
            if chain is not None:
                chain.take_all() if all_threads else chain.take()

    def pause(self):
        self.active = False

    def resume(self):
        self.active = True

    def stop(self):
        """Log nothing more, and take the functions out of the interpreter again."""
        self.active = False
        for chain in (self.lines, self.calls):
            if chain is not None:
                chain.stop()
        cdef PyObject *code = self.before.code
        self.before.code = NULL
        Py_XDECREF(code)            # which may run Python

    def close(self):
        """Close the descriptors, after ``stop``."""
        self.leave_gate()
        meter_close(&self.meter)
        self.calls = self.lines = None

    def mark(self, bytes tag, frame, bint counted=False):
        """Write a row for where a frame stands, whatever has happened to memory. It may count as an event."""
        cdef place_t place
        memset(&place, 0, sizeof(place))
        self.count += counted
        locate(&place, <PyFrameObject *><PyObject *>frame, PyTrace_LINE, NULL, False)
        place.number = self.count
        place.time = process_cpu() if self.padded else now() - self.started
        place.memory = self.found = max(meter_read(&self.meter), 0)
        self.write(tag, &place)
        Py_XDECREF(place.code)

    @property
    def events(self):
        """How many there were."""
        return self.count

    @property
    def last(self):
        """The number of the last that was written."""
        return self.written

    # -- an event --------------------------------------------------------------------------------------------------

    cdef void leave_gate(self) noexcept:
        if self.forks != forks:
            self.gate.ring = NULL               # it was not mapped here, and something else may be
        gate_close(&self.gate)
        self.gated = 0

    cdef bint poll(self) noexcept:
        """Read memory, if it can have changed."""
        cdef int64_t memory
        if PyThreadState_Get().id == self.gated and not must_read(&self.gate, ticks()):
            return False
        memory = meter_read(&self.meter)
        if memory >= 0:                         # otherwise it cannot be read at the moment
            self.found = memory
        return True

    cdef void event(self, PyFrameObject *frame, int what, PyObject *argument) noexcept:
        cdef place_t place
        cdef int64_t time, change
        cdef bint wanted
        if not self.active or is_from(frame, self.own_files, MOST_OWN):
            return
        if self.forks != forks:
            self.active = False
            return
        self.count += 1
        if not self.poll() and self.begun and self.trigger > 0 and not self.padded:
            return                              # memory is what it was when this was last decided
        time = now()
        place.code = NULL
        place.memory = self.found
        change = place.memory - self.memory
        wanted = not self.begun or change >= self.trigger or -change >= self.trigger
        if wanted or self.padded:
            place.number = self.count
            place.time = process_cpu() if self.padded else time - self.started
            locate(&place, frame, what, argument, not self.padded)
        if wanted:
            if self.padded and self.count - self.written > 1 and self.before.number == self.count - 1:
                self.write(b"PREV: ", &self.before)
            self.write(b"NEXT: ", &place)
            if change >= MUCH or -change >= MUCH:
                journal_flush(&self.journal.journal, time)
        if self.journal.journal.used and time - self.journal.journal.flushed >= FLUSH_EVERY:
            journal_flush(&self.journal.journal, time)
        if self.padded:
            place.code, self.before = self.before.code, place
        Py_XDECREF(place.code)

    cdef void write(self, const char *tag, const place_t *place) noexcept:
        """Write a row. One for the event just before another does not count as the last that was written."""
        cdef PyCodeObject *code = <PyCodeObject *>place.code
        cdef PyObject *kept[2]
        cdef PyObject *error[3]
        cdef event_t row
        cdef bint formatted
        if self.journal.journal.owner != getpid():      # forked by C code, which does not call Python's hooks
            self.active = False
            return
        PyErr_Fetch(&error[0], &error[1], &error[2])
        kept[0] = kept[1] = NULL
        row.number, row.since, row.time, row.line = place.number, place.number - self.written, place.time, place.line
        row.thread, row.what = PyThreadState_Get().native_thread_id, place.what
        row.memory, row.change = place.memory, place.memory - self.memory if self.begun else 0
        row.file = text_of(code.co_filename, &kept[0])
        if place.function[0]:
            row.function.text, row.function.length = place.function, strlen(place.function)
        else:
            row.function = text_of(code.co_name if self.padded else code.co_qualname, &kept[1])
        formatted = format_padded(&self.row, tag, &row) if self.padded else format_csv(&self.row, &row)
        if formatted:
            journal_text(&self.journal.journal, self.row.text, self.row.used)
        else:
            self.journal.journal.lost += 1
        Py_XDECREF(kept[0])
        Py_XDECREF(kept[1])
        PyErr_Restore(error[0], error[1], error[2])
        if tag[0] != c'P':
            self.written, self.memory, self.begun = place.number, place.memory, True

    def __dealloc__(self):
        Py_XDECREF(self.before.code)
        row_close(&self.row)
        self.leave_gate()
        meter_close(&self.meter)
