"""The tracer of calls: it takes the events of the interpreter, and keeps the tree of call paths.

There are two engines: callbacks for ``sys.monitoring``, which ``memkit.tracing.tracers`` registers, and a profile hook.
"""

from cpython.exc cimport PyErr_Occurred
from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint64_t

from memkit.base.errors import MeterError
from memkit.native.tracing.calls cimport (
    calls_close, calls_flush, calls_open, calls_t, charge, child_of, join_thread, known_thread, node_t, pop, push,
    thread_t, unwind_to,
)
from memkit.native.tracing.code_table cimport NOT_WANTED, UNKNOWN, add_code, code_info_t, index_of, set_index
from memkit.native.cpython cimport (
    METH_FASTCALL, Py_DECREF, Py_INCREF, Py_None, Py_TYPE, PyCFunction, PyCFunction_Check, PyCFunction_New,
    PyCFunctionObject, PyCodeObject, PyFrame_GetCode, PyFrame_GetLasti, PyFrameObject, PyMethodDef,
    PyMethodDescr_Type, PyMethodDescrObject, PyTrace_C_CALL, PyTrace_CALL, PyTrace_RETURN,
)
from memkit.native.tracing.gate cimport ticks
from memkit.native.tracing.gate import NAMES
from memkit.native.journal cimport Journal, journal_t
from memkit.native.meter cimport Meter, meter_close, meter_open, meter_read
from memkit.native.tracing.hook_chain cimport PROFILE
from memkit.native.tracing.tracer cimport Tracer, raise_pending, set_if_programs
from memkit.native.tracing.thread_state cimport SLOTS, least_read_cost, worst_gate


# -- both engines ------------------------------------------------------------------------------------------------------

cdef inline thread_t *this_thread(Calls me) noexcept:
    cdef thread_t *t = known_thread(&me.calls)
    return t if t != NULL else me.join()


cdef inline node_t *callee(Calls me, thread_t *t, PyObject *code, PyObject *builtin) noexcept:
    """The node of what is called now; NULL: it is not in the tree. ``builtin`` is NULL for Python code."""
    cdef node_t *node = t.top.recent
    return node if node != NULL and node.code == <void *>code else me.find(t, code, builtin)


cdef inline void begin_call(Calls me, thread_t *t, node_t *node, PyObject *code, bint begins, uint64_t time) noexcept:
    charge(&me.calls, t, max(time, t.since))        # later than `time` if Python ran meanwhile, see Calls.find
    if push(&me.calls, t, node, code):
        node.calls += begins


cdef inline void untraced_event(Calls me, thread_t *t, uint64_t time) noexcept:
    """A call begins or ends that is not in the tree: by now, the last call that returned has freed its locals."""
    if t.returned != NULL:
        charge(&me.calls, t, max(time, t.since))


cdef inline void end_call(Calls me, thread_t *t, PyObject *code, uint64_t time) noexcept:
    if t.depth > 1 and t.stack[t.depth - 1].code == <void *>code:
        charge(&me.calls, t, time)
        pop(&me.calls, t)
    elif not (t.depth > 1 and index_of(&me.calls.codes, code) >= 0 and unwind_to(&me.calls, t, code, time)):
        untraced_event(me, t, time)


cdef inline PyObject *method_definition(PyObject *callable) noexcept:
    """The method definition of a C function, the same however it is bound; NULL for anything else."""
    if PyCFunction_Check(callable):
        return <PyObject *>(<PyCFunctionObject *>callable).m_ml
    if Py_TYPE(callable) == &PyMethodDescr_Type:
        return <PyObject *>(<PyMethodDescrObject *>callable).d_method
    return NULL


# -- sys.monitoring ----------------------------------------------------------------------------------------------------

cdef inline PyObject *return_none() noexcept:
    Py_INCREF(Py_None)
    return Py_None


cdef inline PyObject *return_none_unless_raised() noexcept:
    """The result of a callback that did nothing: NULL if an exception of the program is set."""
    return return_none() if PyErr_Occurred() == NULL else NULL


cdef inline PyObject *return_disable(Calls me) noexcept:
    """Disable the event for this code object; NULL if an exception of the program is set."""
    if PyErr_Occurred() != NULL:
        return NULL
    Py_INCREF(<PyObject *>me.disable)
    return <PyObject *>me.disable


cdef bint on_begin(Calls me, PyObject *code, bint begins) noexcept:
    """A call begins or is resumed; False: see ``return_disable``."""
    cdef uint64_t time = ticks()
    cdef thread_t *t
    cdef node_t *node
    if not me.on:
        return True
    t = this_thread(me)
    if t == NULL:
        return PyErr_Occurred() == NULL
    node = callee(me, t, code, NULL)
    if node == NULL:
        return PyErr_Occurred() == NULL and (not me.on or index_of(&me.calls.codes, code) != NOT_WANTED)
    begin_call(me, t, node, code, begins, time)
    return True


cdef PyObject *on_start(PyObject *self, PyObject **args, Py_ssize_t count) noexcept:
    cdef Calls me = <Calls>self
    return return_none() if on_begin(me, args[0], True) else return_disable(me)


cdef PyObject *on_resume(PyObject *self, PyObject **args, Py_ssize_t count) noexcept:
    cdef Calls me = <Calls>self
    return return_none() if on_begin(me, args[0], False) else return_disable(me)


cdef PyObject *on_throw(PyObject *self, PyObject **args, Py_ssize_t count) noexcept:
    cdef Calls me = <Calls>self
    return return_none() if on_begin(me, args[0], False) else return_none_unless_raised()


cdef PyObject *on_leave(PyObject *self, PyObject **args, Py_ssize_t count) noexcept:
    """PY_RETURN, PY_YIELD and PY_UNWIND."""
    cdef Calls me = <Calls>self
    cdef uint64_t time = ticks()
    cdef thread_t *t
    if me.on:
        t = known_thread(&me.calls)
        if t != NULL:
            end_call(me, t, args[0], time)
    return return_none()


cdef PyObject *on_c_call(PyObject *self, PyObject **args, Py_ssize_t count) noexcept:
    """CALL, of any callable."""
    cdef Calls me = <Calls>self
    cdef uint64_t time = ticks()
    cdef PyObject *function = method_definition(args[2])
    cdef thread_t *t
    cdef node_t *node
    if function == NULL or not me.on or index_of(&me.calls.codes, args[0]) == NOT_WANTED:
        return return_none()
    t = this_thread(me)
    node = callee(me, t, function, args[2]) if t != NULL else NULL
    if node == NULL:
        return return_none_unless_raised()
    begin_call(me, t, node, function, True, time)
    return return_none()


cdef PyObject *on_c_leave(PyObject *self, PyObject **args, Py_ssize_t count) noexcept:
    """C_RETURN and C_RAISE."""
    cdef Calls me = <Calls>self
    cdef uint64_t time = ticks()
    cdef PyObject *function = method_definition(args[2])
    cdef thread_t *t
    if function != NULL and me.on:
        t = known_thread(&me.calls)
        if t != NULL:
            end_call(me, t, function, time)
    return return_none()


# -- sys.setprofile ----------------------------------------------------------------------------------------------------

cdef int on_frame(Calls me, thread_t *t, PyFrameObject *frame, int what, uint64_t time) noexcept:
    """0, or -1 with an exception that the program raised."""
    cdef PyCodeObject *code = PyFrame_GetCode(frame)
    cdef node_t *node
    cdef int index, raised = 0
    if what == PyTrace_CALL:
        node = callee(me, t, <PyObject *>code, NULL)
        if node == NULL:
            raised = -(PyErr_Occurred() != NULL)
        else:
            index = index_of(&me.calls.codes, code)
            begin_call(me, t, node, <PyObject *>code, PyFrame_GetLasti(frame) == me.calls.codes.infos[index].begins, time)
    else:
        end_call(me, t, <PyObject *>code, time)
    Py_DECREF(<PyObject *>code)
    return raised


cdef int on_builtin(Calls me, thread_t *t, PyFrameObject *frame, int what, PyObject *callable, uint64_t time) noexcept:
    """0, or -1 with an exception that the program raised."""
    cdef PyObject *function = method_definition(callable)
    cdef PyCodeObject *code
    cdef node_t *node
    cdef int raised = 0
    if function == NULL:
        return 0
    if what != PyTrace_C_CALL:
        end_call(me, t, function, time)
        return 0
    code = PyFrame_GetCode(frame)
    if index_of(&me.calls.codes, code) != NOT_WANTED:
        node = callee(me, t, function, callable)
        if node == NULL:
            raised = -(PyErr_Occurred() != NULL)
        else:
            begin_call(me, t, node, function, True, time)
    Py_DECREF(<PyObject *>code)
    return raised


cdef PyMethodDef definitions[6]
definitions[0] = PyMethodDef(b"on_start", <PyCFunction>on_start, METH_FASTCALL, NULL)
definitions[1] = PyMethodDef(b"on_resume", <PyCFunction>on_resume, METH_FASTCALL, NULL)
definitions[2] = PyMethodDef(b"on_throw", <PyCFunction>on_throw, METH_FASTCALL, NULL)
definitions[3] = PyMethodDef(b"on_leave", <PyCFunction>on_leave, METH_FASTCALL, NULL)
definitions[4] = PyMethodDef(b"on_c_call", <PyCFunction>on_c_call, METH_FASTCALL, NULL)
definitions[5] = PyMethodDef(b"on_c_leave", <PyCFunction>on_c_leave, METH_FASTCALL, NULL)

# -- the class ---------------------------------------------------------------------------------------------------------

cdef void write_calls(void *calls, journal_t *journal, int64_t memory, bint whole) noexcept nogil:
    calls_flush(<calls_t *>calls, journal, memory, whole)


cdef class Calls(Tracer):
    """The tree of all call paths.

    ``describe`` is called once with each code object, and returns None if it is not to be in the tree; otherwise the number
    of the function, whether the tree may begin there, and the last instruction of a frame that begins. ``describe_builtin``
    is called once with each C function, and returns its number, ``describe_thread`` in each thread, and returns the function
    of its root and its TID. ``more`` is the function of the paths beyond the limit, ``fault_bytes`` how many bytes one page
    fault can bring at most. ``disable`` is ``sys.monitoring.DISABLE``.
    """

    cdef calls_t calls
    cdef object describe, describe_builtin, describe_thread, disable
    cdef bint builtins, everywhere
    cdef list kept                  # code objects whose addresses are in the table

    def __cinit__(
        self, Meter meter, describe, describe_builtin, describe_thread, int more, bint everywhere, int64_t fault_bytes,
        disable=None,
    ):
        self.kind = PROFILE
        self.sums_writer.write, self.sums_writer.whose = write_calls, &self.calls
        self.describe, self.describe_builtin, self.describe_thread = describe, describe_builtin, describe_thread
        self.builtins, self.everywhere, self.disable, self.kept = describe_builtin is not None, everywhere, disable, []
        self.calls.tracer.scoped = meter.name == "rss"
        self.calls.tracer.meter = meter.meter
        self.calls.tracer.meter.file.fd = -1
        cdef int refused = calls_open(&self.calls)
        if refused == -1:
            raise MeterError(f"calls are being traced {SLOTS} times over already: stop one of the recordings")
        if refused:
            raise MemoryError
        self.calls.more, self.calls.fault_bytes = more, fault_bytes
        if meter_open(&self.calls.tracer.meter):
            raise MeterError(f"meter {meter.name!r} cannot be read")

    cdef int handle(self, PyFrameObject *frame, int what, PyObject *argument) noexcept:
        """An event of the profile hook."""
        cdef uint64_t time = ticks()
        cdef thread_t *t = this_thread(self) if self.on else NULL
        if t == NULL:
            return -(PyErr_Occurred() != NULL)
        if what == PyTrace_CALL or what == PyTrace_RETURN:
            return on_frame(self, t, frame, what, time)
        if self.builtins and argument != NULL:
            return on_builtin(self, t, frame, what, argument, time)
        return 0

    cdef thread_t *join(self) noexcept:
        """Attach the calling thread with a root; NULL: not attached, perhaps with an exception that the program raised."""
        cdef int number = -1, thread = 0
        raised = None
        self.running_python += 1
        try:
            number, thread = self.describe_thread()
        except BaseException as error:
            number, raised = -1, error
        set_if_programs(raised)
        self.python_returned()
        return join_thread(&self.calls, number, thread) if self.on and number >= 0 else NULL

    cdef node_t *find(self, thread_t *t, PyObject *code, PyObject *builtin) noexcept:
        cdef int index = index_of(&self.calls.codes, code)
        if index == UNKNOWN:
            charge(&self.calls, t, ticks())     # Python may give the GIL to a thread that reads memory
            index = self.classify(code, builtin)
            if not self.on:
                return NULL                     # the thread's state may be another tracer's by now
            t.since = ticks()
        if index < 0:
            return NULL
        if not self.everywhere and t.depth == 1 and not self.calls.codes.infos[index].target:
            untraced_event(self, t, ticks())
            return NULL
        return child_of(&self.calls, t.top, code, self.calls.codes.infos[index].number)

    cdef int classify(self, PyObject *code, PyObject *builtin) noexcept:
        """Ask about a code object or C function, and remember the answer; UNKNOWN with an exception of the program."""
        cdef code_info_t *info = NULL
        cdef int index = NOT_WANTED, number = -1, begins = 0
        cdef bint target = False
        raised = None
        self.running_python += 1
        try:
            if builtin != NULL:
                number = self.describe_builtin(<object>builtin)
            else:
                self.kept.append(<object>code)      # so that no other code object takes its address
                answer = self.describe(<object>code)
                if answer is not None:
                    number, target, begins = answer
        except BaseException as error:
            number, raised = -1, error
        if set_if_programs(raised):
            index = UNKNOWN
        elif number < 0:
            set_index(&self.calls.codes, code, NOT_WANTED)
        else:
            info = add_code(&self.calls.codes, code, 0, 0)
        if info != NULL:
            info.number, info.target, info.begins = number, target, begins
            index = self.calls.codes.count - 1
        self.python_returned()
        return index

    def callbacks(self):
        """The callbacks for ``sys.monitoring``: start, resume, throw, leave, call and end of C functions."""
        return tuple([PyCFunction_New(&definitions[i], self) for i in range(6)])

    def start(self):
        """Count from now on, until ``stop``. This thread is attached at once."""
        Tracer.start(self)
        this_thread(self)
        raise_pending()

    def enter(self, code):
        """Count a call that has just begun in this thread, whose event came before it was traced."""
        cdef thread_t *t = this_thread(self) if self.on else NULL
        cdef node_t *node = callee(self, t, <PyObject *>code, NULL) if t != NULL else NULL
        if node != NULL:
            begin_call(self, t, node, <PyObject *>code, True, ticks())
        raise_pending()

    def settle(self):
        """Charge the running call of this thread up to now."""
        cdef thread_t *t = known_thread(&self.calls)
        if t != NULL:
            charge(&self.calls, t, ticks())

    def read_cost(self):
        """Nanoseconds that a reading takes, the least of twenty."""
        cdef thread_t *t = this_thread(self)
        raise_pending()
        return 0.0 if t == NULL else least_read_cost(&self.calls.tracer, &t.state)

    def flush(self, Journal journal):
        """Write all totals that have changed, with running calls."""
        with nogil:
            calls_flush(&self.calls, &journal.journal, meter_read(&self.calls.tracer.meter), True)

    @property
    def gate(self):
        """The slowest gate engine of the traced threads."""
        return NAMES[worst_gate(&self.calls.tracer)]

    cdef void free_all(self) noexcept:
        calls_close(&self.calls)
        meter_close(&self.calls.tracer.meter)

    def __dealloc__(self):
        calls_close(&self.calls)
        meter_close(&self.calls.tracer.meter)
