"""What the interpreter tells of the lines that run, and what is made of it.

Two engines: callbacks for ``sys.monitoring``, which ``memkit.tracing.tracers`` registers, and a trace function.
"""

from cpython.exc cimport PyErr_Occurred
from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint64_t

from memkit.base.errors import MeterError
from memkit.native.tracing.code_table cimport NOT_WANTED, UNKNOWN, code_t, forget_unwanted, index_of, note, row_of, want
from memkit.native.cpython cimport (
    METH_FASTCALL, Py_DECREF, Py_INCREF, Py_None, PyCFunction, PyCFunction_New, PyCodeObject, PyFrame_GetCode,
    PyFrame_GetLineNumber, PyFrameObject, PyLong_AsLong, PyMethodDef, PyTrace_CALL, PyTrace_LINE, PyTrace_RETURN,
)
from memkit.native.tracing.gate cimport ticks
from memkit.native.tracing.gate import NAMES
from memkit.native.journal cimport Journal, journal_t
from memkit.native.tracing.lines cimport (
    activation_t, begin_line, end_line, enter, leave, leave_all, leave_down_to, line_t, lines_close, lines_flush,
    lines_open, lines_t, table_t, this_thread, thread_t,
)
from memkit.native.meter cimport Meter, meter_close, meter_open, meter_read
from memkit.native.tracing.hook_chain cimport TRACE
from memkit.native.tracing.tracer cimport Tracer, raise_what_is_set, set_again
from memkit.native.tracing.thread_state cimport SLOTS, look_cost, watch_t, watches, worst_gate

cdef enum:
    MOST_UNWANTED = 100000      # code objects that are kept alive so as to be known again


# -- sys.monitoring ----------------------------------------------------------------------------------------------------

cdef inline PyObject *done() noexcept:
    Py_INCREF(Py_None)
    return Py_None


cdef inline PyObject *never_again(Lines me) noexcept:
    """What is returned once code has turned out to be none that is wanted, or has an exception set that is the program's."""
    if PyErr_Occurred() != NULL:
        return NULL
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
    cdef thread_t *t
    cdef int index
    if not me.on:
        return done()
    index = index_of(&lines.codes, args[0])
    if index == UNKNOWN:
        index = me.discover(<object>args[0])
        if index == UNKNOWN:
            return NULL
    if not me.on:
        return done()
    if index < 0:
        return never_again(me)
    t = this_thread(lines)
    if t != NULL:
        enter(lines, t, index, -1, time)
    return done()


cdef bint goes_on(Lines me, PyObject **args) noexcept:
    """A generator or coroutine goes on in the line where it was suspended; False: see ``never_again``."""
    cdef lines_t *lines = &me.lines
    cdef uint64_t time = ticks()
    cdef code_t *about
    cdef thread_t *t
    cdef int index, unit
    if not me.on:
        return True
    index = index_of(&lines.codes, args[0])
    if index == UNKNOWN:
        index = me.discover(<object>args[0])
        if index == UNKNOWN:
            return False
    if not me.on or index < 0:
        return not me.on
    t = this_thread(lines)
    if t != NULL:
        about = lines.codes.wanted[index]
        unit = PyLong_AsLong(args[1]) // 2
        enter(lines, t, index, about.row_at[unit] if unit < about.units else 0, time)
    return True


cdef PyObject *on_resume(PyObject *self, PyObject **args, Py_ssize_t count) noexcept:
    cdef Lines me = <Lines>self
    return done() if goes_on(me, args) else never_again(me)


cdef PyObject *on_throw(PyObject *self, PyObject **args, Py_ssize_t count) noexcept:
    cdef Lines me = <Lines>self
    return done() if goes_on(me, args) or PyErr_Occurred() == NULL else NULL


cdef PyObject *on_line(PyObject *self, PyObject **args, Py_ssize_t count) noexcept:
    cdef Lines me = <Lines>self
    cdef lines_t *lines = &me.lines
    cdef uint64_t time = ticks()
    cdef thread_t *t
    cdef activation_t *a
    cdef int index
    if not me.on:
        return done()
    t = this_thread(lines)
    if t == NULL:
        return done()
    if not (t.depth and t.stack[t.depth - 1].table.about.code == args[0]) and not on_top(lines, t, args[0], time):
        # It was running when tracing began.
        index = index_of(&lines.codes, args[0])
        if index < 0 or enter(lines, t, index, -2, time) == NULL:
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
    cdef Lines me = <Lines>self
    cdef lines_t *lines = &me.lines
    cdef uint64_t time = ticks()
    cdef thread_t *t
    if me.on:
        t = this_thread(lines)
        if t != NULL and t.depth and on_top(lines, t, args[0], time):
            time = end_line(lines, t, time)
            leave(t, time)
    return done()


# -- sys.settrace ------------------------------------------------------------------------------------------------------

cdef bint bring_up(lines_t *lines, thread_t *t, int index, PyFrameObject *frame, uint64_t time) noexcept:
    """Whether the activation on top is that of a frame of some code, once those are gone that vanished without an event."""
    cdef int place = t.tables[index].top if index < t.known and t.tables[index] != NULL else -1
    while place >= 0 and t.stack[place].frame != <void *>frame:
        place = t.stack[place].outer
    if place < 0:
        return False
    leave_down_to(lines, t, place, time)
    return True


cdef activation_t *enter_frame(lines_t *lines, thread_t *t, int index, PyFrameObject *frame, uint64_t time) noexcept:
    cdef code_t *about = lines.codes.wanted[index]
    cdef int line = PyFrame_GetLineNumber(frame)
    # At a resumption the frame stands where it was suspended, at a start on the line of the def.
    cdef int row = -1 if line == (<PyCodeObject *>about.code).co_firstlineno else row_of(about, line)
    cdef activation_t *a = enter(lines, t, index, row, time)
    if a != NULL:
        a.frame = frame
    return a


cdef void on_wanted(lines_t *lines, thread_t *t, int index, PyFrameObject *frame, int what, uint64_t time) noexcept:
    """An event of code whose lines are wanted."""
    cdef activation_t *a
    cdef bint known
    if what == PyTrace_CALL:
        enter_frame(lines, t, index, frame, time)
        return
    known = t.depth and (t.stack[t.depth - 1].frame == <void *>frame or bring_up(lines, t, index, frame, time))
    if what == PyTrace_RETURN:
        if known:
            time = end_line(lines, t, time)
            leave(t, time)
        return
    if not known:
        if enter_frame(lines, t, index, frame, time) == NULL:
            return
        a = &t.stack[t.depth - 1]
    else:
        a = &t.stack[t.depth - 1]
        if a.row >= 0:
            time = end_line(lines, t, time)
            begin_line(t, a, row_of(a.table.about, PyFrame_GetLineNumber(frame)), time)
    if a.row < 0:
        a.row = row_of(a.table.about, PyFrame_GetLineNumber(frame))
    a.table.lines[a.row].hits += 1


cdef PyMethodDef definitions[5]
definitions[0] = PyMethodDef(b"on_start", <PyCFunction>on_start, METH_FASTCALL, NULL)
definitions[1] = PyMethodDef(b"on_resume", <PyCFunction>on_resume, METH_FASTCALL, NULL)
definitions[2] = PyMethodDef(b"on_line", <PyCFunction>on_line, METH_FASTCALL, NULL)
definitions[3] = PyMethodDef(b"on_leave", <PyCFunction>on_leave, METH_FASTCALL, NULL)
definitions[4] = PyMethodDef(b"on_throw", <PyCFunction>on_throw, METH_FASTCALL, NULL)

# -- the thin class ----------------------------------------------------------------------------------------------------

cdef void write_lines(void *lines, journal_t *journal, int64_t memory, bint whole) noexcept nogil:
    lines_flush(<lines_t *>lines, journal, memory)


cdef class Lines(Tracer):
    """The sums of all traced lines.

    ``wanted`` is called once with each code object that is met, and returns None, or what its rows are to be: the number of
    the function, the first line, how many lines, the row of each code unit, and the code object in whose book it is entered,
    which was met before, or None. ``disable`` is ``sys.monitoring.DISABLE``.
    """

    cdef lines_t lines
    cdef object wanted, disable
    cdef readonly list kept         # code objects that are traced
    cdef list unwanted

    def __cinit__(self, Meter meter, wanted, disable=None):
        self.kind = TRACE
        self.sums_writer.write, self.sums_writer.whose = write_lines, &self.lines
        self.wanted, self.disable, self.kept, self.unwanted = wanted, disable, [], []
        self.lines.tracer.scoped = meter.name == "rss"
        self.lines.tracer.meter = meter.meter
        self.lines.tracer.meter.file.fd = -1
        cdef int refused = lines_open(&self.lines)
        if refused == -1:
            raise MeterError(f"lines are being traced {SLOTS} times over already: stop one of the recordings")
        if refused:
            raise MemoryError
        if meter_open(&self.lines.tracer.meter):
            raise MeterError(f"meter {meter.name!r} cannot be read")

    cdef int handle(self, PyFrameObject *frame, int what, PyObject *argument) noexcept:
        """What the trace function is told of."""
        cdef uint64_t time = ticks()
        cdef PyCodeObject *code
        cdef thread_t *t
        cdef int index
        if not self.on or not (what == PyTrace_CALL or what == PyTrace_LINE or what == PyTrace_RETURN):
            return 0
        code = PyFrame_GetCode(frame)
        index = index_of(&self.lines.codes, code)
        if index == UNKNOWN:
            index = self.discover(<object><PyObject *>code)
        Py_DECREF(<PyObject *>code)
        if index >= 0 and self.on:
            t = this_thread(&self.lines)
            if t != NULL:
                on_wanted(&self.lines, t, index, frame, what, time)
        return -1 if index == UNKNOWN else 0

    cdef int discover(self, object code) noexcept:
        """Ask whether a code object is wanted, and remember the answer; UNKNOWN with an exception that is the program's."""
        cdef int index = UNKNOWN
        raised = answer = None
        self.inside += 1
        try:
            answer = self.wanted(code)
        except BaseException as error:
            raised = error
        if not set_again(raised):
            index = NOT_WANTED if answer is None else self.learn(code, answer)
            if answer is None and self.disable is None:     # sys.settrace would ask again at each call
                self.remember_unwanted(code)
        self.come_out()
        return index

    cdef int learn(self, object code, object answer) noexcept:
        """Note what is to be known of a code object that is wanted; its index, or NOT_WANTED where that fails."""
        cdef code_t *about
        cdef int i, number, first, count
        try:
            number, first, count, rows, lead = answer
            self.kept.append(code)          # so that no other code object takes its address
            about = want(&self.lines.codes, <void *>code, count, len(rows))
            if about == NULL:
                return NOT_WANTED
            about.number, about.first = number, first
            about.lead = -1 if lead is None else index_of(&self.lines.codes, <void *>lead)
            for i in range(about.units):
                about.row_at[i] = rows[i]
            return self.lines.codes.count - 1
        except Exception:                   # there may be no memory left for this
            if index_of(&self.lines.codes, <void *>code) >= 0:
                note(&self.lines.codes, <void *>code, NOT_WANTED)
            return NOT_WANTED

    cdef void remember_unwanted(self, object code) noexcept:
        if len(self.unwanted) >= MOST_UNWANTED:
            forget_unwanted(&self.lines.codes)
            self.unwanted = []
        self.unwanted.append(code)
        note(&self.lines.codes, <void *>code, NOT_WANTED)

    def trace(self, code):
        """Trace a code object whatever was said of it before."""
        if self.on and index_of(&self.lines.codes, <void *>code) < 0:
            self.discover(code)
            raise_what_is_set()

    def pause(self):
        """Count nothing for the moment; what runs now will have begun when it is next met."""
        self.on = False
        leave_all(&self.lines)

    def resume(self):
        Tracer.start(self)

    def sums(self):
        """What the lines came to that have ended: for each thread and code object; see ``memkit.tracing.tracers``."""
        cdef watch_t *watch = watches(&self.lines.tracer)
        cdef table_t *table
        cdef line_t *line
        cdef int i
        found = []
        while watch != NULL:
            table = (<thread_t *>watch).first
            while table != NULL:
                rows = []
                for i in range(table.about.count):
                    line = &table.lines[i]
                    if line.ended:
                        rows.append((table.about.first + i, line.hits, line.growth, line.memory, line.first, line.ended))
                entries = table.first_entered, table.first_entry, table.last_entered, table.last_entry
                found.append((<object><PyObject *>table.about.code, table.calls, entries, rows))
                table = table.next
            watch = watch.next
        return found

    def callbacks(self):
        """What to register with ``sys.monitoring``: start, resume, line, leave, throw."""
        return tuple([PyCFunction_New(&definitions[i], self) for i in range(5)])

    def read_cost(self):
        """Nanoseconds that one reading takes: the least of some."""
        cdef thread_t *t = this_thread(&self.lines)
        return 0.0 if t == NULL else look_cost(&self.lines.tracer, &t.watch)

    def flush(self, Journal journal):
        """Write the totals that have changed, lines that run now among them."""
        with nogil:
            lines_flush(&self.lines, &journal.journal, meter_read(&self.lines.tracer.meter))

    @property
    def gate(self):
        """The gate of the threads that are traced, if they all could have it."""
        return NAMES[worst_gate(&self.lines.tracer)]

    cdef void release(self) noexcept:
        lines_close(&self.lines)
        meter_close(&self.lines.tracer.meter)

    def __dealloc__(self):
        lines_close(&self.lines)
        meter_close(&self.lines.tracer.meter)
