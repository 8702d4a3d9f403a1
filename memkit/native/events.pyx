"""What the interpreter tells of the lines that run, and what is made of it.

Two engines: callbacks for ``sys.monitoring``, which ``memkit.tracing`` registers, and a trace function for ``PyEval_SetTrace``,
which passes everything on to the one that it found in its place.
"""

from cpython.object cimport PyObject
from cpython.pycapsule cimport PyCapsule_New
from libc.stdint cimport uint64_t

from memkit.errors import MeterError
from memkit.native.codes cimport NOT_WANTED, UNKNOWN, code_t, forget_unwanted, index_of, note, row_of, want
from memkit.native.cpython cimport (
    METH_FASTCALL, Py_DECREF, Py_INCREF, Py_None, Py_tracefunc, PyCFunction, PyCFunction_New, PyCodeObject,
    PyEval_SetTrace, PyFrame_GetCode, PyFrame_GetLineNumber, PyFrameObject, PyInterpreterState_Get,
    PyInterpreterState_ThreadHead, PyLong_AsLong, PyMethodDef, PyThreadState, PyThreadState_Get, PyThreadState_Next,
    PyThreadState_Swap, PyTrace_CALL, PyTrace_LINE, PyTrace_RETURN,
)
from memkit.native.gate cimport nanoseconds_per_tick, ticks
from memkit.native.gate import NAMES
from memkit.native.journal cimport Journal, journal_t
from memkit.native.lines cimport (
    SLOTS, activation_t, begin_line, end_line, enter, gate_of, leave, leave_down_to, lines_close, lines_flush,
    lines_open, lines_t, look, this_thread, thread_t,
)
from memkit.native.meter cimport Meter, meter_close, meter_open

cdef extern from *:
    """
    #if PY_VERSION_HEX >= 0x030C0000
      #define memkit_can_trace_all() 1
      #define memkit_trace_all(function, object) PyEval_SetTraceAllThreads(function, object)
    #else
      #define memkit_can_trace_all() 0
      #define memkit_trace_all(function, object) PyEval_SetTrace(function, object)
    #endif
    """
    bint can_trace_all "memkit_can_trace_all"()
    void trace_all "memkit_trace_all"(Py_tracefunc, PyObject *)

cdef enum:
    MOST_UNWANTED = 100000      # code objects that are kept alive so as to be known again


# -- sys.monitoring ----------------------------------------------------------------------------------------------------

cdef inline PyObject *done() noexcept:
    Py_INCREF(Py_None)
    return Py_None


cdef inline PyObject *never_again(Lines me) noexcept:
    Py_INCREF(<PyObject *>me.disable)
    return <PyObject *>me.disable


cdef bint on_top(lines_t *lines, thread_t *t, void *code, uint64_t time) noexcept:
    """Whether the activation on top is one of a code object, once those are gone that vanished without an event."""
    cdef int index
    if t.depth and t.stack[t.depth - 1].table.about.code == code:
        return True
    index = index_of(&lines.codes, code)
    if index < 0 or index >= t.known or t.tables[index] == NULL or t.tables[index].top < 0:
        return False
    leave_down_to(lines, t, t.tables[index].top, time)
    return True


cdef PyObject *on_start(PyObject *self, PyObject **args, Py_ssize_t count) noexcept:
    """PY_START: every code object is met here once, and those that are not wanted never again."""
    cdef Lines me = <Lines>self
    cdef lines_t *lines = &me.lines
    cdef uint64_t time = ticks()
    cdef int index = index_of(&lines.codes, args[0])
    cdef thread_t *t
    if index == UNKNOWN:
        index = me.discover(<object>args[0])
    if index < 0:
        return never_again(me)
    t = this_thread(lines)
    if t != NULL and lines.active:
        enter(lines, t, index, -1, time)
    return done()


cdef bint goes_on(PyObject *self, PyObject **args) noexcept:
    """A generator or coroutine goes on in the line where it was suspended; whether its code is wanted."""
    cdef lines_t *lines = &(<Lines>self).lines
    cdef uint64_t time = ticks()
    cdef int index = index_of(&lines.codes, args[0])
    cdef thread_t *t
    cdef int unit
    if index == UNKNOWN:
        index = (<Lines>self).discover(<object>args[0])
    if index >= 0 and lines.active:
        t = this_thread(lines)
        unit = PyLong_AsLong(args[1]) // 2
        if t != NULL:
            enter(lines, t, index, lines.codes.wanted[index].row_at[unit] if unit < lines.codes.wanted[index].units else 0, time)
    return index >= 0


cdef PyObject *on_resume(PyObject *self, PyObject **args, Py_ssize_t count) noexcept:
    return done() if goes_on(self, args) else never_again(<Lines>self)


cdef PyObject *on_throw(PyObject *self, PyObject **args, Py_ssize_t count) noexcept:
    goes_on(self, args)
    return done()


cdef PyObject *on_line(PyObject *self, PyObject **args, Py_ssize_t count) noexcept:
    cdef lines_t *lines = &(<Lines>self).lines
    cdef uint64_t time = ticks()
    cdef thread_t *t
    cdef activation_t *a
    cdef int index
    if not lines.active:
        return done()
    t = this_thread(lines)
    if t == NULL:
        return done()
    if not (t.depth and t.stack[t.depth - 1].table.about.code == args[0]) and not on_top(lines, t, args[0], time):
        # It was running when tracing began.
        index = index_of(&lines.codes, args[0])
        if index < 0 or enter(lines, t, index, -1, time) == NULL:
            return done()
    a = &t.stack[t.depth - 1]
    if a.row >= 0:
        time = end_line(lines, t, time)
        begin_line(t, a, row_of(a.table.about, PyLong_AsLong(args[1])), time)
    else:       # what came before the first line is the first line's
        a.row = row_of(a.table.about, PyLong_AsLong(args[1]))
    a.table.lines[a.row].hits += 1
    return done()


cdef PyObject *on_leave(PyObject *self, PyObject **args, Py_ssize_t count) noexcept:
    """PY_RETURN, PY_YIELD and PY_UNWIND; the last one comes from all code there is."""
    cdef lines_t *lines = &(<Lines>self).lines
    cdef uint64_t time = ticks()
    cdef thread_t *t
    if lines.active:
        t = this_thread(lines)
        if t != NULL and t.depth and on_top(lines, t, args[0], time):
            time = end_line(lines, t, time)
            leave(t, time)
    return done()


# -- sys.settrace ------------------------------------------------------------------------------------------------------

cdef bint bring_up(lines_t *lines, thread_t *t, PyFrameObject *frame, uint64_t time) noexcept:
    """Whether the activation on top is that of a frame, once those are gone that vanished without an event."""
    cdef int place = t.depth - 1
    while place >= 0 and t.stack[place].frame != <void *>frame:
        place -= 1
    if place < 0:
        return False
    leave_down_to(lines, t, place, time)
    return True


cdef activation_t *enter_frame(Lines me, PyFrameObject *frame, uint64_t time) noexcept:
    """An activation for a frame, if its code is wanted."""
    cdef PyCodeObject *code = PyFrame_GetCode(frame)
    cdef int index = index_of(&me.lines.codes, code)
    cdef int line, row
    cdef thread_t *t
    cdef activation_t *a = NULL
    if index == UNKNOWN:
        index = me.discover(<object><PyObject *>code)
    if index >= 0:
        t = this_thread(&me.lines)
        line = PyFrame_GetLineNumber(frame)
        # At a resumption the frame stands where it was suspended, at a start on the line of the def.
        row = -1 if line == code.co_firstlineno else row_of(me.lines.codes.wanted[index], line)
        if t != NULL:
            a = enter(&me.lines, t, index, row, time)
            if a != NULL:
                a.frame = frame
    Py_DECREF(<PyObject *>code)
    return a


cdef int on_trace(PyObject *self, PyFrameObject *frame, int what, PyObject *arg) noexcept:
    """What ``PyEval_SetTrace`` calls; it passes everything on to the tracer that it found in its place."""
    cdef Lines me = <Lines>self
    cdef lines_t *lines = &me.lines
    cdef uint64_t time = ticks()
    cdef thread_t *t
    cdef activation_t *a
    if lines.active:
        t = this_thread(lines)
        if t == NULL:
            pass
        elif what == PyTrace_CALL:
            enter_frame(me, frame, time)
        elif what == PyTrace_LINE:
            if t.depth and (t.stack[t.depth - 1].frame == <void *>frame or bring_up(lines, t, frame, time)):
                a = &t.stack[t.depth - 1]
                if a.row >= 0:
                    time = end_line(lines, t, time)
                    begin_line(t, a, row_of(a.table.about, PyFrame_GetLineNumber(frame)), time)
            else:
                a = enter_frame(me, frame, time)
            if a != NULL:
                if a.row < 0:
                    a.row = row_of(a.table.about, PyFrame_GetLineNumber(frame))
                a.table.lines[a.row].hits += 1
        elif what == PyTrace_RETURN:
            if t.depth and (t.stack[t.depth - 1].frame == <void *>frame or bring_up(lines, t, frame, time)):
                time = end_line(lines, t, time)
                leave(t, time)
    return me.pass_on(frame, what, arg)


cdef PyMethodDef definitions[5]
definitions[0] = PyMethodDef(b"on_start", <PyCFunction>on_start, METH_FASTCALL, NULL)
definitions[1] = PyMethodDef(b"on_resume", <PyCFunction>on_resume, METH_FASTCALL, NULL)
definitions[2] = PyMethodDef(b"on_line", <PyCFunction>on_line, METH_FASTCALL, NULL)
definitions[3] = PyMethodDef(b"on_leave", <PyCFunction>on_leave, METH_FASTCALL, NULL)
definitions[4] = PyMethodDef(b"on_throw", <PyCFunction>on_throw, METH_FASTCALL, NULL)

# -- the thin class ----------------------------------------------------------------------------------------------------

cdef class Chain:
    """What traced a thread before us."""

    cdef Py_tracefunc function
    cdef PyObject *target
    cdef object kept


cdef void write_lines(void *lines, journal_t *journal) noexcept nogil:
    lines_flush(<lines_t *>lines, journal)


cdef class Lines:
    """The sums of all traced lines.

    ``wanted`` is called once with each code object that is met, and returns None, or what its rows are to be: the number of
    the function, the first line, how many lines, and the row of each code unit. ``disable`` is ``sys.monitoring.DISABLE``.
    """

    def __cinit__(self, Meter meter, wanted, disable=None):
        self.wanted, self.disable, self.kept, self.unwanted, self.chained = wanted, disable, [], [], {}
        self.lines.scoped = meter.name == "rss"
        self.lines.meter = meter.meter
        self.lines.meter.file.fd = -1
        cdef int refused = lines_open(&self.lines)
        if refused == -1:
            raise MeterError(f"lines are being traced {SLOTS} times over already: stop one of the recordings")
        if refused:
            raise MemoryError
        if meter_open(&self.lines.meter):
            raise MeterError(f"meter {meter.name!r} cannot be read")

    cdef int discover(self, object code) noexcept:
        """Ask whether a code object is wanted, and remember the answer."""
        cdef code_t *about
        cdef int i
        try:
            answer = self.wanted(code)
        except BaseException:       # never the program's trouble
            answer = None
        if answer is None:
            if self.disable is None:        # sys.settrace would ask again at each call
                self.remember_unwanted(code)
            return NOT_WANTED
        number, first, count, rows = answer
        about = want(&self.lines.codes, <void *>code, count, len(rows))
        if about == NULL:
            return NOT_WANTED
        self.kept.append(code)              # so that no other code object takes its address
        about.number, about.first = number, first
        for i in range(about.units):
            about.row_at[i] = rows[i]
        return self.lines.codes.count - 1

    cdef void remember_unwanted(self, object code) noexcept:
        if len(self.unwanted) >= MOST_UNWANTED:
            forget_unwanted(&self.lines.codes)
            self.unwanted = []
        self.unwanted.append(code)
        note(&self.lines.codes, <void *>code, NOT_WANTED)

    def trace(self, code):
        """Trace a code object whatever was said of it before."""
        if index_of(&self.lines.codes, <void *>code) < 0:
            self.discover(code)

    def callbacks(self):
        """What to register with ``sys.monitoring``: start, resume, line, leave, throw."""
        return tuple([PyCFunction_New(&definitions[i], self) for i in range(5)])

    def start(self):
        """Give every line its share from now on, until ``stop``."""
        self.lines.active = True

    def stop(self):
        self.lines.active = False

    def read_cost(self):
        """Nanoseconds that one reading takes: the least of some."""
        cdef uint64_t before
        cdef double best = 1e9
        cdef thread_t *t = this_thread(&self.lines)
        if t == NULL:
            return 0.0
        for _ in range(20):
            before = ticks()
            look(&self.lines, t)
            best = min(best, (ticks() - before) * nanoseconds_per_tick())
        return best

    def trace_all_threads(self):
        """The same for every thread that Python knows."""
        cdef PyThreadState *mine = PyThreadState_Get()
        cdef PyThreadState *state = PyInterpreterState_ThreadHead(PyInterpreterState_Get())
        self.trace_this_thread()
        if can_trace_all():
            while state != NULL:
                if state != mine:
                    self.link(state)
                state = PyThreadState_Next(state)
            trace_all(on_trace, <PyObject *>self)
            return
        while state != NULL:
            if state != mine:
                # Python 3.11 has no call for it: be that thread for a moment, which the GIL keeps from running.
                PyThreadState_Swap(state)
                self.trace_this_thread()
                PyThreadState_Swap(mine)
            state = PyThreadState_Next(state)

    def trace_this_thread(self):
        """Have ``PyEval_SetTrace`` call us in this thread, and whatever traced it before through us."""
        cdef PyThreadState *state = PyThreadState_Get()
        if state.c_tracefunc == on_trace and state.c_traceobj == <PyObject *>self:
            return
        self.link(state)
        PyEval_SetTrace(on_trace, <PyObject *>self)

    cdef int link(self, PyThreadState *state) except -1:
        """Remember what traces a thread, if anything does."""
        cdef Chain before
        if state.c_tracefunc == NULL:
            self.chained.pop(<size_t>state, None)       # of a thread that had the same address
            return 0
        before = Chain()
        before.function, before.target = state.c_tracefunc, state.c_traceobj
        if before.target != NULL:
            before.kept = <object>before.target
        self.chained[<size_t>state] = before
        return 0

    def untrace_this_thread(self):
        """Put back what traced this thread before, unless something else has taken our place."""
        cdef PyThreadState *state = PyThreadState_Get()
        cdef Chain before
        if state.c_tracefunc != on_trace or state.c_traceobj != <PyObject *>self:
            return
        before = self.chained.get(<size_t>state)
        while before is not None and before.function == on_trace and not (<Lines>before.target).lines.active:
            before = (<Lines>before.target).chained.get(<size_t>state)      # that one has ended meanwhile
        if before is None:
            PyEval_SetTrace(NULL, NULL)
        else:
            PyEval_SetTrace(before.function, before.target)

    cdef int pass_on(self, PyFrameObject *frame, int what, PyObject *arg) noexcept:
        cdef Chain before
        if not self.chained:
            return 0
        before = self.chained.get(<size_t>PyThreadState_Get())
        return 0 if before is None else before.function(before.target, frame, what, arg)

    def writer(self):
        """A capsule for ``Sampler.flush_also``, good as long as this object lives."""
        self.rows.write, self.rows.whose = write_lines, &self.lines
        return PyCapsule_New(&self.rows, b"memkit.writer", NULL)

    def flush(self, Journal journal):
        """Write what has come since the last flush."""
        with nogil:
            lines_flush(&self.lines, &journal.journal)

    @property
    def gate(self):
        """The gate of the threads that are traced, if they all could have it."""
        return NAMES[gate_of(&self.lines)]

    def close(self):
        """Give everything back. Nothing may flush or call back any more."""
        lines_close(&self.lines)
        meter_close(&self.lines.meter)

    def __dealloc__(self):
        self.close()
