"""A place in front of whatever profiles or traces a thread.

The interpreter has one place a thread for a profile function and one for a trace function. A seat takes it, passes every
event on to the one that it found there, and gives the place back when it has stopped: at once in the thread that stops it,
elsewhere at the next event, because no thread may change another's place on every version of Python.

``sys.getprofile()`` and ``sys.gettrace()`` answer with the seat while it holds the place. Who puts that answer back later,
as tools do that are used for a moment, puts the seat back: called from Python, it takes its place again.
"""

from cpython.exc cimport PyErr_Fetch, PyErr_Restore
from cpython.object cimport PyObject
from libc.stdlib cimport calloc, free

from memkit.native.cpython cimport (
    Py_DECREF, Py_INCREF, Py_tracefunc, PyEval_SetProfile, PyEval_SetTrace, PyFrameObject, PyInterpreterState_Get,
    PyInterpreterState_ThreadHead, PyThreadState, PyThreadState_Get, PyThreadState_Next, PyThreadState_Swap,
)

cdef extern from *:
    """
    #if PY_VERSION_HEX >= 0x030C0000
      #define memkit_can_seize_all() 1
      #define memkit_profile_all(function, object) PyEval_SetProfileAllThreads(function, object)
      #define memkit_trace_all(function, object) PyEval_SetTraceAllThreads(function, object)
    #else
      #define memkit_can_seize_all() 0
      #define memkit_profile_all(function, object) PyEval_SetProfile(function, object)
      #define memkit_trace_all(function, object) PyEval_SetTrace(function, object)
    #endif
    """
    bint can_seize_all "memkit_can_seize_all"()
    void profile_all "memkit_profile_all"(Py_tracefunc, PyObject *)
    void trace_all "memkit_trace_all"(Py_tracefunc, PyObject *)

EVENTS = {"call": 0, "exception": 1, "line": 2, "return": 3, "c_call": 4, "c_exception": 5, "c_return": 6, "opcode": 7}


cdef inline Py_tracefunc function_in(PyThreadState *state, int kind) noexcept:
    return state.c_profilefunc if kind == PROFILE else state.c_tracefunc


cdef inline PyObject *target_in(PyThreadState *state, int kind) noexcept:
    return state.c_profileobj if kind == PROFILE else state.c_traceobj


cdef void put(int kind, Py_tracefunc function, PyObject *target) noexcept:
    """Fill this thread's place. An exception that is in flight stays there, and a hook for audits may run Python."""
    cdef PyObject *kind_of_error
    cdef PyObject *error
    cdef PyObject *trace
    if target != NULL:
        Py_INCREF(target)
    PyErr_Fetch(&kind_of_error, &error, &trace)
    if kind == PROFILE:
        PyEval_SetProfile(function, target)
    else:
        PyEval_SetTrace(function, target)
    PyErr_Restore(kind_of_error, error, trace)
    if target != NULL:
        Py_DECREF(target)


cdef int on_event(PyObject *self, PyFrameObject *frame, int what, PyObject *argument) noexcept:
    """What the interpreter calls."""
    cdef Seat me = <Seat>self       # counted: giving the place back may drop the last reference
    if me.stopped:
        me.give_back()
    elif me.handle(frame, what, argument):
        return -1
    return 0 if me.links == NULL else me.pass_on(frame, what, argument)


cdef int raised(int result) except -1:
    return result


cdef class Seat:
    """Holds the place of a profile or a trace function, in the threads that it was put into."""

    cdef int handle(self, PyFrameObject *frame, int what, PyObject *argument) noexcept:
        return 0

    def take(self):
        """Take the place in this thread; False where it has stopped."""
        cdef PyThreadState *state = PyThreadState_Get()
        if self.stopped:
            return False
        if target_in(state, self.kind) != <PyObject *>self:
            self.link(state)
        self.seize()
        return True

    def take_all(self):
        """Take the place in every thread that Python knows."""
        cdef PyThreadState *mine = PyThreadState_Get()
        cdef PyThreadState *state = PyInterpreterState_ThreadHead(PyInterpreterState_Get())
        self.take()
        while state != NULL:
            if state != mine:
                self.link(state)
                if not can_seize_all():
                    # Python 3.11 has no call for it: be that thread for a moment, which the GIL keeps from running.
                    PyThreadState_Swap(state)
                    self.seize()
                    PyThreadState_Swap(mine)
            state = PyThreadState_Next(state)
        if can_seize_all() and self.kind == PROFILE:
            profile_all(on_event, <PyObject *>self)
        elif can_seize_all():
            trace_all(on_event, <PyObject *>self)

    def stop(self):
        """Handle nothing more, and give the places back."""
        self.stopped = True
        self.give_back()

    def __call__(self, frame, str event, argument):
        """Be called by ``sys``'s own function, which somebody put back into our place, or by another tool that found us."""
        cdef PyThreadState *state = PyThreadState_Get()
        cdef int what = EVENTS[event]
        cdef PyObject *value = NULL if argument is None and what == 3 else <PyObject *>argument
        if target_in(state, self.kind) == <PyObject *>self and function_in(state, self.kind) != on_event:
            self.seize()
        raised(on_event(<PyObject *>self, <PyFrameObject *><PyObject *>frame, what, value))

    cdef void seize(self) noexcept:
        put(self.kind, on_event, <PyObject *>self)

    cdef void give_back(self) noexcept:
        """Put back what held this thread's place, unless something else has taken ours."""
        cdef PyThreadState *state = PyThreadState_Get()
        cdef link_t *before
        if target_in(state, self.kind) != <PyObject *>self:
            return
        before = self.link_of(state)
        while before != NULL and before.function == on_event and (<Seat>before.target).stopped:
            before = (<Seat>before.target).link_of(state)       # that one has ended meanwhile
        if before == NULL:
            put(self.kind, NULL, NULL)
        else:
            put(self.kind, before.function, before.target)

    cdef int pass_on(self, PyFrameObject *frame, int what, PyObject *argument) noexcept:
        cdef PyThreadState *state = PyThreadState_Get()
        cdef link_t *before = self.link_of(state)
        cdef PyObject *target
        cdef int result
        if before == NULL:
            return 0
        target = before.target
        if target != NULL:
            Py_INCREF(target)
        result = before.function(target, frame, what, argument)
        if target != NULL:
            Py_DECREF(target)
        if not self.stopped and function_in(state, self.kind) == NULL:
            # It removed itself, or the interpreter did because it raised; the place that it emptied was ours.
            self.unlink(state)
            self.seize()
        return result

    cdef link_t *link_of(self, PyThreadState *state) noexcept:
        cdef link_t *link = self.links
        while link != NULL and link.state != state:
            link = link.next
        return link

    cdef int link(self, PyThreadState *state) except -1:
        """Remember what holds a thread's place, if anything does."""
        cdef link_t *link
        self.unlink(state)              # that of a thread that had the same address
        if function_in(state, self.kind) == NULL:
            return 0
        link = <link_t *>calloc(1, sizeof(link_t))
        if link == NULL:
            raise MemoryError
        link.state, link.function, link.target = state, function_in(state, self.kind), target_in(state, self.kind)
        if link.target != NULL:
            Py_INCREF(link.target)
        link.next = self.links
        self.links = link
        return 0

    cdef void unlink(self, PyThreadState *state) noexcept:
        """Forget what held the place; a NULL state stands for every thread."""
        cdef link_t **place = &self.links
        cdef link_t *link
        while place[0] != NULL:
            link = place[0]
            if state != NULL and link.state != state:
                place = &link.next
                continue
            place[0] = link.next
            if link.target != NULL:
                Py_DECREF(link.target)
                place = &self.links     # that may have run anything
            free(link)

    def __dealloc__(self):
        self.unlink(NULL)
