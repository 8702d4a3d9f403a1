"""What the interpreter tells of calls, and what is made of it.

Two engines: callbacks for ``sys.monitoring``, which ``memkit.tracing.tracers`` registers, and a profile function.
"""

from cpython.exc cimport PyErr_Occurred
from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint64_t

from memkit.base.errors import MeterError
from memkit.native.tracing.calls cimport (
    calls_close, calls_flush, calls_open, calls_t, child_of, join_thread, leave_to, node_t, own_thread, pop, push,
    settle, thread_t,
)
from memkit.native.tracing.code_table cimport NOT_WANTED, UNKNOWN, code_t, index_of, note, want
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
from memkit.native.tracing.tracer cimport Tracer, raise_what_is_set, set_again
from memkit.native.tracing.thread_state cimport SLOTS, look_cost, worst_gate


# -- what both engines do ----------------------------------------------------------------------------------------------

cdef inline thread_t *this_thread(Calls me) noexcept:
    cdef thread_t *t = own_thread(&me.calls)
    return t if t != NULL else me.join()


cdef inline node_t *callee(Calls me, thread_t *t, PyObject *code, PyObject *builtin) noexcept:
    """The node of what is called now, or NULL: it is not to be in the tree. ``builtin`` is NULL for Python code."""
    cdef node_t *node = t.top.recent
    return node if node != NULL and node.code == <void *>code else me.find(t, code, builtin)


cdef inline void go_in(Calls me, thread_t *t, node_t *node, PyObject *code, bint begins, uint64_t time) noexcept:
    settle(&me.calls, t, max(time, t.since))        # which may have begun anew meanwhile, see Calls.find
    if push(&me.calls, t, node, code):
        node.calls += begins


cdef inline void outside(Calls me, thread_t *t, uint64_t time) noexcept:
    """Something begins or ends that is not in the tree; what returned before has had the time to free its locals."""
    if t.left != NULL:
        settle(&me.calls, t, max(time, t.since))


cdef inline void go_out(Calls me, thread_t *t, PyObject *code, uint64_t time) noexcept:
    if t.depth > 1 and t.stack[t.depth - 1].code == <void *>code:
        settle(&me.calls, t, time)
        pop(&me.calls, t)
    elif not (t.depth > 1 and index_of(&me.calls.codes, code) >= 0 and leave_to(&me.calls, t, code, time)):
        outside(me, t, time)


cdef inline PyObject *definition(PyObject *callable) noexcept:
    """What stays the same of a C function, however it is bound; NULL for anything else."""
    if PyCFunction_Check(callable):
        return <PyObject *>(<PyCFunctionObject *>callable).m_ml
    if Py_TYPE(callable) == &PyMethodDescr_Type:
        return <PyObject *>(<PyMethodDescrObject *>callable).d_method
    return NULL


# -- sys.monitoring ----------------------------------------------------------------------------------------------------

cdef inline PyObject *done() noexcept:
    Py_INCREF(Py_None)
    return Py_None


cdef inline PyObject *unless_raised() noexcept:
    """What is returned where nothing was done: an exception that is set is the program's."""
    return done() if PyErr_Occurred() == NULL else NULL


cdef inline PyObject *never_again(Calls me) noexcept:
    """The same where code has turned out to be none that is wanted."""
    if PyErr_Occurred() != NULL:
        return NULL
    Py_INCREF(<PyObject *>me.disable)
    return <PyObject *>me.disable


cdef bint goes_in(Calls me, PyObject *code, bint begins) noexcept:
    """Code begins or goes on; False: see ``never_again``."""
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
    go_in(me, t, node, code, begins, time)
    return True


cdef PyObject *on_start(PyObject *self, PyObject **args, Py_ssize_t count) noexcept:
    cdef Calls me = <Calls>self
    return done() if goes_in(me, args[0], True) else never_again(me)


cdef PyObject *on_resume(PyObject *self, PyObject **args, Py_ssize_t count) noexcept:
    cdef Calls me = <Calls>self
    return done() if goes_in(me, args[0], False) else never_again(me)


cdef PyObject *on_throw(PyObject *self, PyObject **args, Py_ssize_t count) noexcept:
    cdef Calls me = <Calls>self
    return done() if goes_in(me, args[0], False) else unless_raised()


cdef PyObject *on_leave(PyObject *self, PyObject **args, Py_ssize_t count) noexcept:
    """PY_RETURN, PY_YIELD and PY_UNWIND."""
    cdef Calls me = <Calls>self
    cdef uint64_t time = ticks()
    cdef thread_t *t
    if me.on:
        t = own_thread(&me.calls)
        if t != NULL:
            go_out(me, t, args[0], time)
    return done()


cdef PyObject *on_c_call(PyObject *self, PyObject **args, Py_ssize_t count) noexcept:
    """CALL, of anything that can be called."""
    cdef Calls me = <Calls>self
    cdef uint64_t time = ticks()
    cdef PyObject *function = definition(args[2])
    cdef thread_t *t
    cdef node_t *node
    if function == NULL or not me.on or index_of(&me.calls.codes, args[0]) == NOT_WANTED:
        return done()
    t = this_thread(me)
    node = callee(me, t, function, args[2]) if t != NULL else NULL
    if node == NULL:
        return unless_raised()
    go_in(me, t, node, function, True, time)
    return done()


cdef PyObject *on_c_leave(PyObject *self, PyObject **args, Py_ssize_t count) noexcept:
    """C_RETURN and C_RAISE."""
    cdef Calls me = <Calls>self
    cdef uint64_t time = ticks()
    cdef PyObject *function = definition(args[2])
    cdef thread_t *t
    if function != NULL and me.on:
        t = own_thread(&me.calls)
        if t != NULL:
            go_out(me, t, function, time)
    return done()


# -- sys.setprofile ----------------------------------------------------------------------------------------------------

cdef int on_frame(Calls me, thread_t *t, PyFrameObject *frame, int what, uint64_t time) noexcept:
    """0, or -1 with an exception that is the program's."""
    cdef PyCodeObject *code = PyFrame_GetCode(frame)
    cdef node_t *node
    cdef int index, raised = 0
    if what == PyTrace_CALL:
        node = callee(me, t, <PyObject *>code, NULL)
        if node == NULL:
            raised = -(PyErr_Occurred() != NULL)
        else:
            index = index_of(&me.calls.codes, code)
            go_in(me, t, node, <PyObject *>code, PyFrame_GetLasti(frame) == me.calls.codes.wanted[index].begins, time)
    else:
        go_out(me, t, <PyObject *>code, time)
    Py_DECREF(<PyObject *>code)
    return raised


cdef int on_builtin(Calls me, thread_t *t, PyFrameObject *frame, int what, PyObject *callable, uint64_t time) noexcept:
    """The same."""
    cdef PyObject *function = definition(callable)
    cdef PyCodeObject *code
    cdef node_t *node
    cdef int raised = 0
    if function == NULL:
        return 0
    if what != PyTrace_C_CALL:
        go_out(me, t, function, time)
        return 0
    code = PyFrame_GetCode(frame)
    if index_of(&me.calls.codes, code) != NOT_WANTED:
        node = callee(me, t, function, callable)
        if node == NULL:
            raised = -(PyErr_Occurred() != NULL)
        else:
            go_in(me, t, node, function, True, time)
    Py_DECREF(<PyObject *>code)
    return raised


cdef PyMethodDef definitions[6]
definitions[0] = PyMethodDef(b"on_start", <PyCFunction>on_start, METH_FASTCALL, NULL)
definitions[1] = PyMethodDef(b"on_resume", <PyCFunction>on_resume, METH_FASTCALL, NULL)
definitions[2] = PyMethodDef(b"on_throw", <PyCFunction>on_throw, METH_FASTCALL, NULL)
definitions[3] = PyMethodDef(b"on_leave", <PyCFunction>on_leave, METH_FASTCALL, NULL)
definitions[4] = PyMethodDef(b"on_c_call", <PyCFunction>on_c_call, METH_FASTCALL, NULL)
definitions[5] = PyMethodDef(b"on_c_leave", <PyCFunction>on_c_leave, METH_FASTCALL, NULL)

# -- the thin class ----------------------------------------------------------------------------------------------------

cdef void write_calls(void *calls, journal_t *journal, int64_t memory, bint whole) noexcept nogil:
    calls_flush(<calls_t *>calls, journal, memory, whole)


cdef class Calls(Tracer):
    """The tree of all call paths.

    ``describe`` is called once with each code object that is met, and returns None where it is not to be in the tree, or
    the number of the function, whether the tree may begin there, and the last instruction of a frame that begins;
    ``describe_builtin`` with each C function, and returns its number; ``describe_thread`` in each thread, and returns a
    number for its root and the system's number of the thread. ``more`` is the function of what is beyond the limit,
    ``fault_brings`` how many bytes one page fault can bring at most.
    ``disable`` is ``sys.monitoring.DISABLE``.
    """

    cdef calls_t calls
    cdef object describe, describe_builtin, describe_thread, disable
    cdef bint builtins, everywhere
    cdef list kept                  # code objects that are known

    def __cinit__(
        self, Meter meter, describe, describe_builtin, describe_thread, int more, bint everywhere, int64_t fault_brings,
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
        self.calls.more, self.calls.fault_brings = more, fault_brings
        if meter_open(&self.calls.tracer.meter):
            raise MeterError(f"meter {meter.name!r} cannot be read")

    cdef int handle(self, PyFrameObject *frame, int what, PyObject *argument) noexcept:
        """What the profile function is told of."""
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
        """Have a root for the calling thread; NULL perhaps with an exception that is the program's."""
        cdef int number = -1, thread = 0
        raised = None
        self.inside += 1
        try:
            number, thread = self.describe_thread()
        except BaseException as error:
            number, raised = -1, error
        set_again(raised)
        self.come_out()
        return join_thread(&self.calls, number, thread) if self.on and number >= 0 else NULL

    cdef node_t *find(self, thread_t *t, PyObject *code, PyObject *builtin) noexcept:
        cdef int index = index_of(&self.calls.codes, code)
        if index == UNKNOWN:
            settle(&self.calls, t, ticks())     # before the journal gives the GIL to another thread, which would read memory
            index = self.discover(code, builtin)
            if not self.on:
                return NULL                     # and the thread's state may be another tracer's by now
            t.since = ticks()
        if index < 0:
            return NULL
        if not self.everywhere and t.depth == 1 and not self.calls.codes.wanted[index].target:
            outside(self, t, ticks())
            return NULL
        return child_of(&self.calls, t.top, code, self.calls.codes.wanted[index].number)

    cdef int discover(self, PyObject *code, PyObject *builtin) noexcept:
        """Ask what is to be known of code, and remember the answer; UNKNOWN with an exception that is the program's."""
        cdef code_t *about = NULL
        cdef int index = NOT_WANTED, number = -1, begins = 0
        cdef bint target = False
        raised = None
        self.inside += 1
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
        if set_again(raised):
            index = UNKNOWN
        elif number < 0:
            note(&self.calls.codes, code, NOT_WANTED)
        else:
            about = want(&self.calls.codes, code, 0, 0)
        if about != NULL:
            about.number, about.target, about.begins = number, target, begins
            index = self.calls.codes.count - 1
        self.come_out()
        return index

    def callbacks(self):
        """What to register with ``sys.monitoring``: start, resume, throw, leave, call and leaving of C functions."""
        return tuple([PyCFunction_New(&definitions[i], self) for i in range(6)])

    def start(self):
        """Give every call its share from now on, until ``stop``; this thread has a root from now."""
        Tracer.start(self)
        this_thread(self)
        raise_what_is_set()

    def enter(self, code):
        """Code has just begun in this thread, before that could be told of."""
        cdef thread_t *t = this_thread(self) if self.on else NULL
        cdef node_t *node = callee(self, t, <PyObject *>code, NULL) if t != NULL else NULL
        if node != NULL:
            go_in(self, t, node, <PyObject *>code, True, ticks())
        raise_what_is_set()

    def settle(self):
        """Give what runs in this thread its share up to now."""
        cdef thread_t *t = own_thread(&self.calls)
        if t != NULL:
            settle(&self.calls, t, ticks())

    def read_cost(self):
        """Nanoseconds that one reading takes: the least of some."""
        cdef thread_t *t = this_thread(self)
        raise_what_is_set()
        return 0.0 if t == NULL else look_cost(&self.calls.tracer, &t.watch)

    def flush(self, Journal journal):
        """Write all totals that have changed, and what runs now."""
        with nogil:
            calls_flush(&self.calls, &journal.journal, meter_read(&self.calls.tracer.meter), True)

    @property
    def gate(self):
        """The gate of the threads that are traced, if they all could have it."""
        return NAMES[worst_gate(&self.calls.tracer)]

    cdef void release(self) noexcept:
        calls_close(&self.calls)
        meter_close(&self.calls.tracer.meter)

    def __dealloc__(self):
        calls_close(&self.calls)
        meter_close(&self.calls.tracer.meter)
