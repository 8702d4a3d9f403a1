"""The tracer of lines: it takes the events of the interpreter, and keeps their sums.

There are two engines: callbacks for ``sys.monitoring``, which ``memkit.tracing.tracers`` registers, and a trace hook.
"""

from cpython.exc cimport PyErr_Occurred
from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint64_t

from memkit.native.tracing.callbacks cimport callback, owner_of, return_disable, return_none, small_int
from memkit.native.tracing.line_rows cimport lines_flush
from memkit.native.tracing.line_threads cimport known_thread, set_known_thread
from memkit.native.tracing.code_table cimport (
    NOT_WANTED, OF_THREADS, STATEMENT_AT, UNKNOWN, add_info, code_info_t, code_table_t, index_of, row_of, set_index,
    set_index_of_code,
)
from memkit.native.cpython cimport (
    Py_DECREF, Py_INCREF, Py_None, PyCode_Addr2Line, PyCodeObject, PyFrame_GetCode, PyFrame_GetLineNumber, PyFrameObject,
    PyTrace_CALL, PyTrace_LINE, PyTrace_RETURN,
)
from memkit.native.tracing.credit cimport least_read_cost
from memkit.native.tracing.gate cimport ticks
from memkit.native.heap.own cimport disown_events, disown_frame_if, disown_if, heap
from memkit.native.journal cimport journal_t
from memkit.native.tracing.lines cimport (
    activation_t, count_hit, end_line, enter, forget_activations, join_thread, leave, line_t, lines_close,
    lines_open, lines_t, next_line, row_in, table_t, thread_t, unwind_to,
)
from memkit.native.meter cimport Meter, meter_close
from memkit.native.tracing.hook_chain cimport TRACE
from memkit.native.tracing.greenlet_stacks cimport switch_lines
from memkit.native.tracing.greenlet_switches cimport StackTracer
from memkit.native.tracing.greenlets cimport switch_t
from memkit.native.tracing.tracer cimport Tracer, raise_pending, set_if_programs
from memkit.native.tracing.thread_state cimport thread_state_t, thread_states


# -- sys.monitoring ----------------------------------------------------------------------------------------------------

cdef inline thread_t *this_thread(Lines me) noexcept:
    cdef thread_t *t = known_thread(&me.lines)
    return t if t != NULL else me.join()


cdef bint unwind_to_code(lines_t *lines, thread_t *t, void *code, uint64_t time) noexcept:
    """Take off what ended without an event, down to an activation of a code object; False: it has none."""
    cdef int index, place = -1
    if t.depth and t.stack[t.depth - 1].code == code:
        return True
    index = index_of(&lines.codes, code)
    if 0 <= index < t.known and t.tables[index] != NULL:
        place = t.tables[index].top
    while place >= 0 and t.stack[place].code != code:
        place = t.stack[place].outer
    if place < 0:
        return False
    unwind_to(lines, t, place, time)
    return True


cdef PyObject *on_start(PyObject *self, PyObject **args, size_t count, PyObject *names) noexcept:
    """PY_START. At a code object that is not wanted, the event comes once."""
    cdef Lines me = <Lines>owner_of(self)
    cdef lines_t *lines = &me.lines
    cdef uint64_t time = ticks()
    cdef thread_t *t
    cdef int index
    if not me.on:
        return return_none()
    disown_if(lines.serials, args[1])
    index = index_of(&lines.codes, args[0])
    if index == UNKNOWN:
        index = me.classify(<object>args[0])
        if index == UNKNOWN:
            return NULL
    if not me.on:
        return return_none()
    if index < 0:
        return me.told_thread() if index == OF_THREADS else return_disable(me.disable)
    t = this_thread(me)
    if t != NULL:
        enter(lines, t, index, args[0], -1, time)
    return return_none()


cdef inline int row_at(code_info_t *info, PyObject *code, int offset) noexcept:
    """The row of an instruction."""
    if info.code != <void *>code:           # another with the same function: it may have other instructions
        return row_of(info, PyCode_Addr2Line(<PyCodeObject *>code, offset))
    return info.row_at[offset // 2] if offset // 2 < info.units else 0


cdef bint resume_code(Lines me, PyObject **args) noexcept:
    """A generator or coroutine is resumed in the line where it was suspended; False: see ``return_disable``."""
    cdef lines_t *lines = &me.lines
    cdef uint64_t time = ticks()
    cdef thread_t *t
    cdef int index
    if not me.on:
        return True
    disown_if(lines.serials, args[1])
    index = index_of(&lines.codes, args[0])
    if index == UNKNOWN:
        index = me.classify(<object>args[0])
        if index == UNKNOWN:
            return False
    if not me.on or index < 0:
        return not me.on
    t = this_thread(me)
    if t != NULL:
        enter(lines, t, index, args[0], row_at(lines.codes.infos[index], args[0], small_int(args[1])), time)
    return True


cdef PyObject *on_resume(PyObject *self, PyObject **args, size_t count, PyObject *names) noexcept:
    cdef Lines me = <Lines>owner_of(self)
    return return_none() if resume_code(me, args) else return_disable(me.disable)


cdef PyObject *on_throw(PyObject *self, PyObject **args, size_t count, PyObject *names) noexcept:
    cdef Lines me = <Lines>owner_of(self)
    return return_none() if resume_code(me, args) or PyErr_Occurred() == NULL else NULL


cdef PyObject *on_line(PyObject *self, PyObject **args, size_t count, PyObject *names) noexcept:
    cdef Lines me = <Lines>owner_of(self)
    cdef lines_t *lines = &me.lines
    cdef uint64_t time = ticks()
    cdef thread_t *t
    cdef activation_t *a
    cdef int index
    if not me.on:
        return return_none()
    disown_if(lines.serials, args[1])
    t = this_thread(me)
    if t == NULL:
        return return_none()
    if not (t.depth and t.stack[t.depth - 1].code == args[0]) and not unwind_to_code(lines, t, args[0], time):
        # It was running already when tracing began.
        index = index_of(&lines.codes, args[0])
        if index < 0 or enter(lines, t, index, args[0], -2, time) == NULL:
            return return_none()
    a = &t.stack[t.depth - 1]
    next_line(lines, t, a, row_in(a, small_int(args[1])), time)
    return return_none()


cdef PyObject *on_leave(PyObject *self, PyObject **args, size_t count, PyObject *names) noexcept:
    """PY_RETURN, PY_YIELD and PY_UNWIND, which comes from all code."""
    cdef Lines me = <Lines>owner_of(self)
    cdef lines_t *lines = &me.lines
    cdef uint64_t time = ticks()
    cdef thread_t *t
    if me.on:
        disown_if(lines.serials, args[1])
        t = this_thread(me)
        if t != NULL and t.depth and unwind_to_code(lines, t, args[0], time):
            time = end_line(lines, t, &t.stack[t.depth - 1], time)
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
    cdef int row = -1 if line == info.line else row_of(info, line)
    cdef activation_t *a = enter(lines, t, index, NULL, row, time)
    if a != NULL:
        a.frame = frame
    return a


cdef void on_traced_code(lines_t *lines, thread_t *t, int index, PyFrameObject *frame, int what, uint64_t time) noexcept:
    """An event of traced code."""
    cdef activation_t *a
    cdef bint known
    if what == PyTrace_CALL:
        disown_frame_if(lines.serials, frame)
        enter_frame(lines, t, index, frame, time)
        return
    known = t.depth and (t.stack[t.depth - 1].frame == <void *>frame or unwind_to_frame(lines, t, index, frame, time))
    if what == PyTrace_RETURN:
        if known:
            time = end_line(lines, t, &t.stack[t.depth - 1], time)
            leave(t, time)
        return
    if not known and enter_frame(lines, t, index, frame, time) == NULL:
        return
    a = &t.stack[t.depth - 1]
    if known or a.row < 0:
        next_line(lines, t, a, row_in(a, PyFrame_GetLineNumber(frame)), time)
    else:
        count_hit(a)


# -- the class ---------------------------------------------------------------------------------------------------------

cdef int64_t write_lines(void *lines, journal_t *journal, int64_t memory, int64_t most) noexcept nogil:
    return lines_flush(<lines_t *>lines, journal, memory, most)


cdef inline void *key_of(int number) noexcept:
    return <void *>((<uint64_t>number + 1) << 4)


cdef class Lines(StackTracer):
    """The sums of all traced lines.

    ``wanted`` is called once with each code object, and returns None if it is not to be traced; otherwise the number of the
    function, the first line, the count of lines, the row of each code unit with the number of its statement, and the code
    object whose account it shares, for which ``wanted`` was called before, or None. Code objects of the same number have the
    same lines, and the same sums. Where it returns an empty tuple, ``of_threads`` is called at each call of the code.
    ``disable`` is ``sys.monitoring.DISABLE``. With ``keep`` one code object of each function is kept alive, for ``sums``;
    ``with_heap`` is whether a heap recording runs, which is to know the lines. If it ``is_brief``, threads keep their gates,
    and of code that stands in a file only that is wanted which ``trace`` is called with, and that of threads.
    """

    cdef lines_t lines
    cdef object wanted, disable
    cdef list kept                  # a code object of each function, or None

    def __cinit__(self, Meter meter, wanted, disable=None, keep=False, bint with_heap=0, of_threads=None, is_brief=False):
        self.kind = TRACE
        self.sums_writer.write, self.sums_writer.whose = write_lines, &self.lines
        self.wanted, self.disable, self.of_threads, self.kept = wanted, disable, of_threads, [] if keep else None
        self.reads(&self.lines.tracer, meter)
        self.lines.tracer.is_brief = is_brief
        self.opened(meter, lines_open(&self.lines), "lines")
        self.lines.serials = heap.line_serials if with_heap else NULL

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
            t = this_thread(self)
            if t != NULL:
                on_traced_code(&self.lines, t, index, frame, what, time)
        elif index == OF_THREADS and what == PyTrace_CALL:
            return -(self.told_thread() == NULL)      # None is never freed
        return -1 if index == UNKNOWN else 0

    cdef int classify(self, object code, bint named=False) noexcept:
        """Call ``wanted``, and remember its answer; UNKNOWN with an error of the program. ``named``: by ``trace``."""
        cdef int index = UNKNOWN
        raised = answer = None
        self.python_runs()
        try:
            self.notice(code)
            if named or not self.lines.tracer.is_brief or code.co_filename.endswith((">", "threading.py")):
                answer = self.wanted(code)
        except BaseException as error:
            raised = error
        if not set_if_programs(raised):
            index = NOT_WANTED if answer is None else self.describe_lines(code, answer)
            if answer is None and self.disable is None:     # sys.settrace has an event at each call
                set_index_of_code(&self.lines.codes, <PyObject *>code, NOT_WANTED)
        disown_events(<PyObject *>code)
        self.python_returned()
        return index

    cdef int describe_lines(self, object code, object answer) noexcept:
        """Enter a code object with what ``wanted`` returned; the index of its function, or NOT_WANTED if that fails."""
        cdef int index
        try:
            number, first, count, rows, lead = answer or (OF_THREADS, 0, 0, (), None)
            index = index_of(&self.lines.numbers, key_of(number)) if number >= 0 else number
            if index == UNKNOWN:
                index = self.add_function(code, number, first, count, rows, lead)
        except Exception:                   # there may be no memory left for this
            index = NOT_WANTED
        return index if set_index_of_code(&self.lines.codes, <PyObject *>code, index) else NOT_WANTED

    cdef thread_t *join(self) noexcept:
        """Attach the calling thread; NULL: not attached."""
        self.python_runs()
        self.notice_quietly()
        self.python_returned()
        set_known_thread(&self.lines, join_thread(&self.lines) if self.on else NULL)
        return known_thread(&self.lines)

    cdef void switched(self, switch_t *switch) noexcept:
        cdef thread_t *t = known_thread(&self.lines) if self.on else NULL
        if t != NULL:
            switch_lines(&self.lines, t, switch)

    cdef int add_function(self, code, number, first, count, rows, lead) except -3:
        cdef int i, index, units = len(rows)        # which may run Python
        cdef code_info_t *info = add_info(&self.lines.codes, count, units)
        if info == NULL:
            return NOT_WANTED
        index = self.lines.codes.count - 1
        info.code, info.number, info.first, info.line = <void *>code, number, first, code.co_firstlineno
        info.lead = -1 if lead is None else index_of(&self.lines.codes, <void *>lead)
        for i in range(info.units):
            info.row_at[i] = rows[i] & (1 << STATEMENT_AT) - 1
            if info.row_at[i] < info.count:
                info.totals[info.row_at[i]].statement = rows[i] >> STATEMENT_AT
        set_index(&self.lines.numbers, key_of(number), index)
        if self.kept is not None:
            self.kept.append(code)
        return index

    def trace(self, code):
        """Trace a code object; ``wanted`` is called again if it was not wanted before."""
        if self.on and index_of(&self.lines.codes, <void *>code) < 0:
            self.classify(code, named=True)
            raise_pending()

    def pause(self):
        """Count nothing until ``resume``. What runs now counts from its next event after that."""
        self.on = False
        forget_activations(&self.lines)

    def resume(self):
        Tracer.start(self)

    def sums(self):
        """The sums of the lines that have ended, for each thread and function; see ``memkit.tracing.tracers``."""
        found = []
        self.python_runs()            # Python 3.11 may collect garbage
        try:
            self.add_sums(found)
        finally:
            self.python_returned()
        return found

    cdef int add_sums(self, list found) except -1:
        cdef thread_state_t *state = thread_states(&self.lines.tracer)
        cdef table_t *table
        cdef line_t *line
        cdef int i
        while state != NULL:
            table = (<thread_t *>state).first
            while table != NULL:
                rows = []
                for i in range(table.info.count):
                    line = &table.lines[i]
                    if line.ended:
                        rows.append((table.info.first + i, line.hits, line.growth, line.memory, line.first, line.ended))
                entries = table.first_entered, table.first_entry, table.last_entered, table.last_entry
                if table.info.code != NULL:
                    found.append((<object><PyObject *>table.info.code, table.calls, entries, rows))
                table = table.next
            state = state.next
        return 0

    def codes(self):
        """The traced code objects that are alive."""
        cdef code_table_t *codes = &self.lines.codes
        cdef int place
        found = []
        self.python_runs()            # Python 3.11 may collect garbage
        try:
            for place in range(codes.size):
                if codes.keys[place] != NULL and codes.values[place] >= 0:
                    found.append(<object><PyObject *>codes.keys[place])
        finally:
            self.python_returned()
        return found

    def callbacks(self):
        """The callbacks for ``sys.monitoring``: start, resume, throw, leave, line."""
        each = callback(self, on_start), callback(self, on_resume), callback(self, on_throw), callback(self, on_leave)
        return *each, callback(self, on_line)

    def read_cost(self):
        """Nanoseconds that a reading takes, the least of twenty."""
        cdef thread_t *t = this_thread(self)
        return 0.0 if t == NULL else least_read_cost(&self.lines.tracer, &t.state)

    cdef void free_all(self) noexcept:
        lines_close(&self.lines)
        meter_close(&self.lines.tracer.meter)

    def __dealloc__(self):
        self.free_all()
