"""The tracer of calls: it takes the events of the interpreter, and keeps the tree of call paths.

There are two engines: callbacks for ``sys.monitoring``, which ``memkit.tracing.tracers`` registers, and a profile hook.
"""

from cpython.exc cimport PyErr_Occurred
from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memset

from memkit.native.tracing.calls cimport (
    calls_close, calls_open, calls_t, charge, child_of, join_thread, known_thread, node_t, pop, push, take_credit, thread_t,
    unwind_to,
)
from memkit.native.tracing.code_table cimport (
    DISPATCHES, GIVES_JOB, MACHINERY, NOT_WANTED, TO_PROCESSES, UNKNOWN, code_info_t, index_of, index_of_function, set_index,
    set_index_of_code,
)
from memkit.native.cpython cimport (
    Py_DECREF, Py_INCREF, PyCodeObject, PyFrame_GetCode, PyFrame_GetLasti, PyFrameObject, PyTrace_C_CALL, PyTrace_CALL,
    PyTrace_RETURN,
)
from memkit.native.tracing.credit cimport least_read_cost
from memkit.native.tracing.call_rows cimport calls_flush
from memkit.native.tracing.callbacks cimport (
    callback, method_definition, owner_of, return_disable, return_none, return_none_unless_raised,
)
from memkit.native.tracing.gate cimport ticks
from memkit.native.tracing.handed_over cimport given_close, given_table_t, give_job, is_outside, marked, submitter, taken
from memkit.native.tracing.handed_over cimport watched_call
from memkit.native.heap.own cimport disown_events, disown_frame_if, disown_if, heap, is_own_thread
from memkit.native.journal cimport journal_t
from memkit.native.meter cimport Meter, meter_close
from memkit.native.tracing.hook_chain cimport PROFILE
from memkit.native.tracing.greenlet_stacks cimport switch_calls
from memkit.native.tracing.greenlet_switches cimport StackTracer
from memkit.native.tracing.greenlets cimport switch_t
from memkit.native.tracing.tracer cimport Tracer, is_watched, raise_pending, set_if_programs, unpacked


# -- both engines ------------------------------------------------------------------------------------------------------

cdef inline thread_t *this_thread(Calls me) noexcept:
    cdef thread_t *t = known_thread(&me.calls)
    return t if t != NULL else me.join()


cdef inline node_t *callee(Calls me, thread_t *t, PyObject *code, PyObject *builtin, int begins) noexcept:
    """The node of what is called now; NULL: nothing is left to do. ``builtin`` is NULL for Python code."""
    cdef node_t *node = t.top.recent
    if node != NULL and node.code == <void *>code and node.deaths == me.calls.codes.deaths:
        return node
    return me.find(t, code, builtin, begins)


cdef inline void begin_call(Calls me, thread_t *t, node_t *node, PyObject *code, bint begins, uint64_t time) noexcept:
    charge(&me.calls, t, max(time, t.since))        # later than `time` if Python ran meanwhile, see Calls.find
    if push(&me.calls, t, node, code):
        node.calls += begins


cdef inline void untraced_event(Calls me, thread_t *t, uint64_t time) noexcept:
    """A call begins or ends that is not in the tree: by now, the last call that returned has freed its locals."""
    if t.returned != NULL:
        charge(&me.calls, t, max(time, t.since))
    elif t.state.credited != t.taken:
        take_credit(&me.calls, t)


cdef inline void end_call(Calls me, thread_t *t, PyObject *code, uint64_t time) noexcept:
    if t.depth > 1 and t.stack[t.depth - 1].code == <void *>code:
        charge(&me.calls, t, time)
        pop(&me.calls, t)
    elif t.depth > 1 and t.stack[t.depth - 1].code == marked(code):
        me.watched_return(t, code, time)
    elif not (t.depth > 1 and index_of(&me.calls.codes, code) >= 0 and unwind_to(&me.calls, t, code, time)):
        untraced_event(me, t, time)


# -- sys.monitoring ----------------------------------------------------------------------------------------------------

cdef bint on_begin(Calls me, PyObject **args, int begins) noexcept:
    """A call begins or is resumed; False: see ``return_disable``. ``begins`` is -1 where an exception is thrown into it."""
    cdef uint64_t time = ticks()
    cdef PyObject *code = args[0]
    cdef thread_t *t
    cdef node_t *node
    disown_if(me.calls.serials, args[1])
    if not me.on:
        return True
    t = this_thread(me)
    if t == NULL:
        return PyErr_Occurred() == NULL
    node = callee(me, t, code, NULL, begins)
    if node == NULL:
        return PyErr_Occurred() == NULL and (not me.on or index_of(&me.calls.codes, code) != NOT_WANTED)
    begin_call(me, t, node, code, begins == 1, time)
    return True


cdef PyObject *on_start(PyObject *self, PyObject **args, size_t count, PyObject *names) noexcept:
    cdef Calls me = <Calls>owner_of(self)
    return return_none() if on_begin(me, args, True) else return_disable(me.disable)


cdef PyObject *on_resume(PyObject *self, PyObject **args, size_t count, PyObject *names) noexcept:
    cdef Calls me = <Calls>owner_of(self)
    return return_none() if on_begin(me, args, False) else return_disable(me.disable)


cdef PyObject *on_throw(PyObject *self, PyObject **args, size_t count, PyObject *names) noexcept:
    cdef Calls me = <Calls>owner_of(self)
    return return_none() if on_begin(me, args, -1) else return_none_unless_raised()


cdef PyObject *on_leave(PyObject *self, PyObject **args, size_t count, PyObject *names) noexcept:
    """PY_RETURN, PY_YIELD and PY_UNWIND."""
    cdef Calls me = <Calls>owner_of(self)
    cdef uint64_t time = ticks()
    cdef thread_t *t
    disown_if(me.calls.serials, args[1])
    if me.on:
        t = known_thread(&me.calls)
        if t != NULL:
            end_call(me, t, args[0], time)
    return return_none()


cdef PyObject *on_c_call(PyObject *self, PyObject **args, size_t count, PyObject *names) noexcept:
    """CALL, of any callable."""
    cdef Calls me = <Calls>owner_of(self)
    cdef uint64_t time = ticks()
    cdef PyObject *function = method_definition(args[2])
    cdef thread_t *t
    cdef node_t *node
    disown_if(me.calls.serials, args[1])
    if function == NULL or not me.on or index_of(&me.calls.codes, args[0]) == NOT_WANTED:
        return return_none()
    if is_watched(me, function) and (me.run_before() or not me.on):
        return return_none_unless_raised()
    t = this_thread(me)
    node = callee(me, t, function, args[2], True) if t != NULL else NULL
    if node == NULL:
        return return_none_unless_raised()
    begin_call(me, t, node, function, True, time)
    return return_none()


cdef PyObject *on_c_leave(PyObject *self, PyObject **args, size_t count, PyObject *names) noexcept:
    """C_RETURN and C_RAISE."""
    cdef Calls me = <Calls>owner_of(self)
    cdef uint64_t time = ticks()
    cdef PyObject *function = method_definition(args[2])
    cdef thread_t *t
    disown_if(me.calls.serials, args[1])
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
        disown_frame_if(me.calls.serials, frame)
        node = callee(me, t, <PyObject *>code, NULL, -1)
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
    if what == PyTrace_C_CALL and is_watched(me, function):
        raised = me.run_before()
    if not me.builtins or raised or not me.on:
        return raised
    if what != PyTrace_C_CALL:
        end_call(me, t, function, time)
        return 0
    code = PyFrame_GetCode(frame)
    if index_of(&me.calls.codes, code) != NOT_WANTED:
        node = callee(me, t, function, callable, True)
        if node == NULL:
            raised = -(PyErr_Occurred() != NULL)
        else:
            begin_call(me, t, node, function, True, time)
    Py_DECREF(<PyObject *>code)
    return raised


# -- the class ---------------------------------------------------------------------------------------------------------

cdef int64_t write_calls(void *calls, journal_t *journal, int64_t memory, int64_t most) noexcept nogil:
    return calls_flush(<calls_t *>calls, journal, memory, most)


cdef class Calls(StackTracer):
    """The tree of all call paths.

    ``describe`` is called once with each code object, and returns None if it is not to be in the tree; otherwise the number
    of the function, whether the tree may begin there, the last instruction of a frame that begins, and its part in handing
    work over: a role, the name of a local variable, and the function that stands for the work. Code objects are not kept
    alive. ``describe_builtin`` is called once with each C function, and returns its number, ``describe_thread`` in each
    thread, and returns the function of its root, its TID, the ``id`` of its ``Thread`` and the function that stands for a
    thread. ``more`` is the function of the paths beyond the limit, ``disable`` is ``sys.monitoring.DISABLE``, ``give``
    takes who hands work to other processes, a node, and the local variable of its caller that holds the work.
    """

    cdef calls_t calls
    cdef given_table_t given
    cdef object describe, describe_builtin, describe_thread, disable, give
    cdef bint builtins, everywhere

    def __cinit__(self, Meter meter, describe, describe_builtin, describe_thread, int more, bint everywhere,
                  disable=None, give=None, bint with_heap=False):
        self.kind = PROFILE
        self.sums_writer.write, self.sums_writer.whose = write_calls, &self.calls
        self.describe, self.describe_builtin, self.describe_thread = describe, describe_builtin, describe_thread
        self.builtins, self.everywhere, self.disable, self.give = describe_builtin is not None, everywhere, disable, give
        self.reads(&self.calls.tracer, meter)
        self.opened(meter, calls_open(&self.calls), "calls")
        self.calls.more = more
        self.calls.serials = heap.path_serials if with_heap else NULL

    cdef int handle(self, PyFrameObject *frame, int what, PyObject *argument) noexcept:
        """An event of the profile hook."""
        cdef uint64_t time = ticks()
        cdef thread_t *t = this_thread(self) if self.on else NULL
        if t == NULL:
            return -(PyErr_Occurred() != NULL)
        if what == PyTrace_CALL or what == PyTrace_RETURN:
            return on_frame(self, t, frame, what, time)
        if argument != NULL:
            return on_builtin(self, t, frame, what, argument, time)
        return 0

    cdef thread_t *join(self) noexcept:
        """Attach the calling thread with a root; NULL: not attached, perhaps with an exception that the program raised."""
        cdef int number, thread, kind
        cdef size_t whose
        found = None if is_own_thread() else self.ask(self.describe_thread, ())     # at each call: it never is attached
        if not self.on or found is None or not unpacked(found, &number, &thread, &whose, &kind) or number < 0:
            return NULL
        return join_thread(&self.calls, number, thread, taken(&self.given, <void *>whose, kind), kind)

    cdef node_t *find(self, thread_t *t, PyObject *code, PyObject *builtin, int begins) noexcept:
        cdef code_info_t *info
        cdef node_t *node
        cdef int index = index_of(&self.calls.codes, code)
        if index == UNKNOWN:
            charge(&self.calls, t, ticks())     # Python may give the GIL to a thread that reads memory
            index = self.classify(code, builtin)
            if not self.on:
                return NULL                     # the thread's state may be another tracer's by now
            t.since = ticks()
        if index < 0:
            return NULL
        info = self.calls.codes.infos[index]
        if builtin == NULL and (info.role > MACHINERY or t.top.role & DISPATCHES):
            return self.find_watched(t, info, code, begins)
        if not self.everywhere and is_outside(t, info):
            untraced_event(self, t, ticks())
            return NULL
        node = child_of(&self.calls, t.top, code, info.number)
        if node != NULL and node.code == <void *>code:
            node.role = info.role
        return node

    cdef node_t *find_watched(self, thread_t *t, code_info_t *info, PyObject *code, int begins) noexcept:
        """The same for a call that may have a part in handing work over."""
        cdef node_t *node
        info.code = code
        if info.role & TO_PROCESSES:
            node = submitter(&self.calls, t.top, self.everywhere)
            charge(&self.calls, t, ticks())     # Python may give the GIL to a thread that reads memory
            if node != NULL:
                self.ask(self.give, (node.id, <object>info.local))
            if not self.on or PyErr_Occurred() != NULL:
                return NULL
            t.since = ticks()
        self.python_runs()                # Python 3.11 may collect garbage
        node = watched_call(&self.calls, &self.given, t, info, begins, self.everywhere)
        self.python_returned()
        if not self.on:
            return NULL
        if node == NULL:
            untraced_event(self, t, ticks())
        elif info.role & GIVES_JOB:
            begin_call(self, t, node, <PyObject *>marked(code), True, ticks())
            return NULL
        return node

    cdef void watched_return(self, thread_t *t, PyObject *code, uint64_t time) noexcept:
        """A call returns that hands over work."""
        cdef int index = index_of(&self.calls.codes, code)
        charge(&self.calls, t, time)
        if index >= 0:
            self.python_runs()            # Python 3.11 may collect garbage
            give_job(&self.calls, &self.given, t, self.calls.codes.infos[index], self.everywhere)
            self.python_returned()
        if self.on:
            pop(&self.calls, t)

    cdef int classify(self, PyObject *code, PyObject *builtin) noexcept:
        """Ask about a code object or C function, and remember the answer; UNKNOWN with an exception of the program."""
        cdef code_info_t answer
        cdef int index = NOT_WANTED
        memset(&answer, 0, sizeof(answer))
        raised = local = None
        self.python_runs()
        try:
            self.notice(None if builtin != NULL else <object>code)
            if builtin != NULL:
                answer.number = self.describe_builtin(<object>builtin)
            else:
                found = self.describe(<object>code)
                if found is None:
                    answer.number = -1
                else:
                    answer.number, answer.target, answer.begins, (answer.role, local, answer.kind) = found
                    answer.local = <PyObject *>local            # the table of names keeps it alive
        except BaseException as error:
            answer.number, raised = -1, error
        if set_if_programs(raised):
            index = UNKNOWN
        else:
            if answer.number >= 0:
                index = index_of_function(&self.calls.codes, &self.calls.answers, &answer)
            if builtin != NULL:
                set_index(&self.calls.codes, code, index)
            elif not set_index_of_code(&self.calls.codes, code, index):
                index = NOT_WANTED
        disown_events(code if builtin == NULL else NULL)
        self.python_returned()
        return index

    cdef void switched(self, switch_t *switch) noexcept:
        cdef thread_t *t = known_thread(&self.calls) if self.on else NULL
        if t != NULL:
            switch_calls(&self.calls, t, switch)

    def callbacks(self):
        """The callbacks for ``sys.monitoring``: start, resume, throw, leave, call and end of C functions."""
        return (
            callback(self, on_start), callback(self, on_resume), callback(self, on_throw), callback(self, on_leave),
            callback(self, on_c_call), callback(self, on_c_leave),
        )

    def start(self):
        """Count from now on, until ``stop``. This thread is attached at once."""
        Tracer.start(self)
        this_thread(self)
        raise_pending()

    def enter(self, code):
        """Count a call that has just begun in this thread, whose event came before it was traced."""
        cdef thread_t *t = this_thread(self) if self.on else NULL
        cdef node_t *node = callee(self, t, <PyObject *>code, NULL, True) if t != NULL else NULL
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

    cdef void free_all(self) noexcept:
        given_close(&self.given)
        calls_close(&self.calls)
        meter_close(&self.calls.tracer.meter)

    def __dealloc__(self):
        self.free_all()
