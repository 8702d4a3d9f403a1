"""The tracer of lines: it takes the events of the interpreter, and keeps their sums.

There are two engines: callbacks for ``sys.monitoring``, which ``memkit.tracing.tracers`` registers, and a trace hook.
"""

from cpython.exc cimport PyErr_Occurred
from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint64_t

from memkit.base.errors import MeterError
from memkit.native.tracing.code_table cimport (
    NOT_WANTED, UNKNOWN, add_code, code_info_t, forget_not_wanted, index_of, row_of, set_index,
)
from memkit.native.cpython cimport (
    METH_FASTCALL, Py_DECREF, Py_INCREF, Py_None, PyCFunction, PyCFunction_New, PyCodeObject, PyFrame_GetCode,
    PyFrame_GetLineNumber, PyFrameObject, PyLong_AsLong, PyMethodDef, PyTrace_CALL, PyTrace_LINE, PyTrace_RETURN,
)
from memkit.native.tracing.gate cimport ticks
from memkit.native.tracing.gate import NAMES
from memkit.native.journal cimport Journal, journal_t
from memkit.native.tracing.lines cimport (
    activation_t, begin_line, end_line, enter, forget_activations, leave, line_t, lines_close, lines_flush, lines_open,
    lines_t, table_t, this_thread, thread_t, unwind_to,
)
from memkit.native.meter cimport Meter, meter_close, meter_open, meter_read
from memkit.native.tracing.hook_chain cimport TRACE
from memkit.native.tracing.tracer cimport Tracer, raise_pending, set_if_programs
from memkit.native.tracing.thread_state cimport SLOTS, least_read_cost, thread_state_t, thread_states, worst_gate

cdef enum:
    MOST_UNWANTED = 100000      # code objects that are kept alive, so that their addresses stay theirs


# -- sys.monitoring ----------------------------------------------------------------------------------------------------

cdef inline PyObject *return_none() noexcept:
    Py_INCREF(Py_None)
    return Py_None


cdef inline PyObject *return_disable(Lines me) noexcept:
    """Disable the event for this code object; NULL where an exception of the program is set."""
    if PyErr_Occurred() != NULL:
        return NULL
    Py_INCREF(<PyObject *>me.disable)
    return <PyObject *>me.disable


cdef bint unwind_to_code(lines_t *lines, thread_t *t, void *code, uint64_t time) noexcept:
    """Take off what ended without an event, down to an activation of a code object; False: it has none."""
    cdef int index
    if t.depth and t.stack[t.depth - 1].table.info.code == code:
        return True
    index = index_of(&lines.codes, code)
    if index < 0 or index >= t.known or t.tables[index] == NULL or t.tables[index].top < 0:
        return False
    unwind_to(lines, t, t.tables[index].top, time)
    return True


cdef PyObject *on_start(PyObject *self, PyObject **args, Py_ssize_t count) noexcept:
    """PY_START. At a code object that is not wanted, the event comes once."""
    cdef Lines me = <Lines>self
    cdef lines_t *lines = &me.lines
    cdef uint64_t time = ticks()
    cdef thread_t *t
    cdef int index
    if not me.on:
        return return_none()
    index = index_of(&lines.codes, args[0])
    if index == UNKNOWN:
        index = me.classify(<object>args[0])
        if index == UNKNOWN:
            return NULL
    if not me.on:
        return return_none()
    if index < 0:
        return return_disable(me)
    t = this_thread(lines)
    if t != NULL:
        enter(lines, t, index, -1, time)
    return return_none()


cdef bint resume_code(Lines me, PyObject **args) noexcept:
    """A generator or coroutine is resumed in the line where it was suspended; False: see ``return_disable``."""
    cdef lines_t *lines = &me.lines
    cdef uint64_t time = ticks()
    cdef code_info_t *info
    cdef thread_t *t
    cdef int index, unit
    if not me.on:
        return True
    index = index_of(&lines.codes, args[0])
    if index == UNKNOWN:
        index = me.classify(<object>args[0])
        if index == UNKNOWN:
            return False
    if not me.on or index < 0:
        return not me.on
    t = this_thread(lines)
    if t != NULL:
        info = lines.codes.infos[index]
        unit = PyLong_AsLong(args[1]) // 2
        enter(lines, t, index, info.row_at[unit] if unit < info.units else 0, time)
    return True


cdef PyObject *on_resume(PyObject *self, PyObject **args, Py_ssize_t count) noexcept:
    cdef Lines me = <Lines>self
    return return_none() if resume_code(me, args) else return_disable(me)


cdef PyObject *on_throw(PyObject *self, PyObject **args, Py_ssize_t count) noexcept:
    cdef Lines me = <Lines>self
    return return_none() if resume_code(me, args) or PyErr_Occurred() == NULL else NULL


cdef PyObject *on_line(PyObject *self, PyObject **args, Py_ssize_t count) noexcept:
    cdef Lines me = <Lines>self
    cdef lines_t *lines = &me.lines
    cdef uint64_t time = ticks()
    cdef thread_t *t
    cdef activation_t *a
    cdef int index
    if not me.on:
        return return_none()
    t = this_thread(lines)
    if t == NULL:
        return return_none()
    if not (t.depth and t.stack[t.depth - 1].table.info.code == args[0]) and not unwind_to_code(lines, t, args[0], time):
        # It was running already when tracing began.
        index = index_of(&lines.codes, args[0])
        if index < 0 or enter(lines, t, index, -2, time) == NULL:
            return return_none()
    a = &t.stack[t.depth - 1]
    if a.row >= 0:
        time = end_line(lines, t, time)
        begin_line(t, a, row_of(a.table.info, PyLong_AsLong(args[1])), time)
    else:       # what happened before the first line is charged to it
        a.row = row_of(a.table.info, PyLong_AsLong(args[1]))
    a.table.lines[a.row].hits += 1
    return return_none()


cdef PyObject *on_leave(PyObject *self, PyObject **args, Py_ssize_t count) noexcept:
    """PY_RETURN, PY_YIELD and PY_UNWIND, which comes from all code."""
    cdef Lines me = <Lines>self
    cdef lines_t *lines = &me.lines
    cdef uint64_t time = ticks()
    cdef thread_t *t
    if me.on:
        t = this_thread(lines)
        if t != NULL and t.depth and unwind_to_code(lines, t, args[0], time):
            time = end_line(lines, t, time)
            leave(t, time)
    return return_none()


# -- sys.settrace ------------------------------------------------------------------------------------------------------

cdef bint unwind_to_frame(lines_t *lines, thread_t *t, int index, PyFrameObject *frame, uint64_t time) noexcept:
    """Take off what ended without an event, down to the activation of a frame; False: it has none."""
    cdef int place = t.tables[index].top if index < t.known and t.tables[index] != NULL else -1
    while place >= 0 and t.stack[place].frame != <void *>frame:
        place = t.stack[place].outer
    if place < 0:
        return False
    unwind_to(lines, t, place, time)
    return True


cdef activation_t *enter_frame(lines_t *lines, thread_t *t, int index, PyFrameObject *frame, uint64_t time) noexcept:
    cdef code_info_t *info = lines.codes.infos[index]
    cdef int line = PyFrame_GetLineNumber(frame)
    # A resumed frame is at the line where it was suspended, one that begins at the line of the def.
    cdef int row = -1 if line == (<PyCodeObject *>info.code).co_firstlineno else row_of(info, line)
    cdef activation_t *a = enter(lines, t, index, row, time)
    if a != NULL:
        a.frame = frame
    return a


cdef void on_traced_code(lines_t *lines, thread_t *t, int index, PyFrameObject *frame, int what, uint64_t time) noexcept:
    """An event of traced code."""
    cdef activation_t *a
    cdef bint known
    if what == PyTrace_CALL:
        enter_frame(lines, t, index, frame, time)
        return
    known = t.depth and (t.stack[t.depth - 1].frame == <void *>frame or unwind_to_frame(lines, t, index, frame, time))
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
            begin_line(t, a, row_of(a.table.info, PyFrame_GetLineNumber(frame)), time)
    if a.row < 0:
        a.row = row_of(a.table.info, PyFrame_GetLineNumber(frame))
    a.table.lines[a.row].hits += 1


cdef PyMethodDef definitions[5]
definitions[0] = PyMethodDef(b"on_start", <PyCFunction>on_start, METH_FASTCALL, NULL)
definitions[1] = PyMethodDef(b"on_resume", <PyCFunction>on_resume, METH_FASTCALL, NULL)
definitions[2] = PyMethodDef(b"on_line", <PyCFunction>on_line, METH_FASTCALL, NULL)
definitions[3] = PyMethodDef(b"on_leave", <PyCFunction>on_leave, METH_FASTCALL, NULL)
definitions[4] = PyMethodDef(b"on_throw", <PyCFunction>on_throw, METH_FASTCALL, NULL)

# -- the class ---------------------------------------------------------------------------------------------------------

cdef void write_lines(void *lines, journal_t *journal, int64_t memory, bint whole) noexcept nogil:
    lines_flush(<lines_t *>lines, journal, memory)


cdef class Lines(Tracer):
    """The sums of all traced lines.

    ``wanted`` is called once with each code object, and returns None if it is not to be traced; otherwise the number of the
    function, the first line, the count of lines, the row of each code unit, and the code object whose account it shares, for
    which ``wanted`` was called before, or None. ``disable`` is ``sys.monitoring.DISABLE``.
    """

    cdef lines_t lines
    cdef object wanted, disable
    cdef readonly list kept         # traced code objects
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
        """An event of the trace hook."""
        cdef uint64_t time = ticks()
        cdef PyCodeObject *code
        cdef thread_t *t
        cdef int index
        if not self.on or not (what == PyTrace_CALL or what == PyTrace_LINE or what == PyTrace_RETURN):
            return 0
        code = PyFrame_GetCode(frame)
        index = index_of(&self.lines.codes, code)
        if index == UNKNOWN:
            index = self.classify(<object><PyObject *>code)
        Py_DECREF(<PyObject *>code)
        if index >= 0 and self.on:
            t = this_thread(&self.lines)
            if t != NULL:
                on_traced_code(&self.lines, t, index, frame, what, time)
        return -1 if index == UNKNOWN else 0

    cdef int classify(self, object code) noexcept:
        """Call ``wanted``, and remember its answer; UNKNOWN with an exception that the program raised."""
        cdef int index = UNKNOWN
        raised = answer = None
        self.running_python += 1
        try:
            answer = self.wanted(code)
        except BaseException as error:
            raised = error
        if not set_if_programs(raised):
            index = NOT_WANTED if answer is None else self.describe_lines(code, answer)
            if answer is None and self.disable is None:     # sys.settrace has an event at each call
                self.remember_not_wanted(code)
        self.python_returned()
        return index

    cdef int describe_lines(self, object code, object answer) noexcept:
        """Enter a code object with what ``wanted`` returned; its index, or NOT_WANTED if that fails."""
        cdef code_info_t *info
        cdef int i, number, first, count
        try:
            number, first, count, rows, lead = answer
            self.kept.append(code)          # so that no other code object takes its address
            info = add_code(&self.lines.codes, <void *>code, count, len(rows))
            if info == NULL:
                return NOT_WANTED
            info.number, info.first = number, first
            info.lead = -1 if lead is None else index_of(&self.lines.codes, <void *>lead)
            for i in range(info.units):
                info.row_at[i] = rows[i]
            return self.lines.codes.count - 1
        except Exception:                   # there may be no memory left for this
            if index_of(&self.lines.codes, <void *>code) >= 0:
                set_index(&self.lines.codes, <void *>code, NOT_WANTED)
            return NOT_WANTED

    cdef void remember_not_wanted(self, object code) noexcept:
        if len(self.unwanted) >= MOST_UNWANTED:
            forget_not_wanted(&self.lines.codes)
            self.unwanted = []
        self.unwanted.append(code)
        set_index(&self.lines.codes, <void *>code, NOT_WANTED)

    def trace(self, code):
        """Trace a code object; ``wanted`` is called again if it was not wanted before."""
        if self.on and index_of(&self.lines.codes, <void *>code) < 0:
            self.classify(code)
            raise_pending()

    def pause(self):
        """Count nothing until ``resume``. What runs now counts from its next event after that."""
        self.on = False
        forget_activations(&self.lines)

    def resume(self):
        Tracer.start(self)

    def sums(self):
        """The sums of the lines that have ended, for each thread and code object; see ``memkit.tracing.tracers``."""
        cdef thread_state_t *state = thread_states(&self.lines.tracer)
        cdef table_t *table
        cdef line_t *line
        cdef int i
        found = []
        while state != NULL:
            table = (<thread_t *>state).first
            while table != NULL:
                rows = []
                for i in range(table.info.count):
                    line = &table.lines[i]
                    if line.ended:
                        rows.append((table.info.first + i, line.hits, line.growth, line.memory, line.first, line.ended))
                entries = table.first_entered, table.first_entry, table.last_entered, table.last_entry
                found.append((<object><PyObject *>table.info.code, table.calls, entries, rows))
                table = table.next
            state = state.next
        return found

    def callbacks(self):
        """The callbacks for ``sys.monitoring``: start, resume, line, leave, throw."""
        return tuple([PyCFunction_New(&definitions[i], self) for i in range(5)])

    def read_cost(self):
        """Nanoseconds that a reading takes, the least of twenty."""
        cdef thread_t *t = this_thread(&self.lines)
        return 0.0 if t == NULL else least_read_cost(&self.lines.tracer, &t.state)

    def flush(self, Journal journal):
        """Write the totals that have changed, with running lines."""
        with nogil:
            lines_flush(&self.lines, &journal.journal, meter_read(&self.lines.tracer.meter))

    @property
    def gate(self):
        """The slowest gate engine of the traced threads."""
        return NAMES[worst_gate(&self.lines.tracer)]

    cdef void free_all(self) noexcept:
        lines_close(&self.lines)
        meter_close(&self.lines.tracer.meter)

    def __dealloc__(self):
        lines_close(&self.lines)
        meter_close(&self.lines.tracer.meter)
