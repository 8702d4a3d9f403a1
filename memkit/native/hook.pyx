"""A place in the threads' trace or profile functions (``PyEval_SetTrace``, ``PyEval_SetProfile``).

There is one of each in a thread. Whoever is there already is called through us, and put back at the end.
"""

from cpython.object cimport PyObject

from memkit.native.cpython cimport (
    PyEval_SetProfile, PyEval_SetTrace, PyFrameObject, PyInterpreterState_Get, PyInterpreterState_ThreadHead,
    PyThreadState, PyThreadState_Get, PyThreadState_Next, PyThreadState_Swap, Py_tracefunc,
)

cdef extern from *:
    """
    #if PY_VERSION_HEX >= 0x030C0000
      #define memkit_can_set_all() 1
      #define memkit_trace_all(function, object) PyEval_SetTraceAllThreads(function, object)
      #define memkit_profile_all(function, object) PyEval_SetProfileAllThreads(function, object)
    #else
      #define memkit_can_set_all() 0
      #define memkit_trace_all(function, object) PyEval_SetTrace(function, object)
      #define memkit_profile_all(function, object) PyEval_SetProfile(function, object)
    #endif
    """
    bint can_set_all "memkit_can_set_all"()
    void trace_all "memkit_trace_all"(Py_tracefunc, PyObject *)
    void profile_all "memkit_profile_all"(Py_tracefunc, PyObject *)


cdef class Chain:
    """What was in a thread's place before us."""

    cdef Py_tracefunc function
    cdef PyObject *target
    cdef object kept


cdef class Hook:
    """Something that the interpreter calls for what happens in threads; what it calls is in C, and set by the subclass."""

    def __cinit__(self, *_):
        self.chained = {}

    cdef bint come_out(self) noexcept:
        """Running Python for us is over; whether we are on still. Whoever is the last makes up for a close meanwhile."""
        self.inside -= 1
        if self.closing and not self.inside:
            self.give_back()
        return self.on

    def close(self):
        """Give everything back. Nothing may flush any more, and whatever calls back finds us off."""
        self.on = False
        self.closing = True
        if not self.inside:
            self.give_back()

    cdef int give_back(self) except -1:
        raise NotImplementedError

    cdef bint is_in(self, PyThreadState *state) noexcept:
        """Whether a thread calls us, at first hand."""
        if self.profiles:
            return state.c_profilefunc == self.function and state.c_profileobj == <PyObject *>self
        return state.c_tracefunc == self.function and state.c_traceobj == <PyObject *>self

    cdef int link(self, PyThreadState *state) except -1:
        """Remember what a thread calls, if anything."""
        cdef Chain before = Chain()
        before.function = state.c_profilefunc if self.profiles else state.c_tracefunc
        before.target = state.c_profileobj if self.profiles else state.c_traceobj
        if before.function == NULL:
            self.chained.pop(<size_t>state, None)       # of a thread that had the same address
            return 0
        if before.target != NULL:
            before.kept = <object>before.target
        self.chained[<size_t>state] = before
        return 0

    cdef int pass_on(self, PyFrameObject *frame, int what, PyObject *arg) noexcept:
        cdef Chain before
        if not self.chained:
            return 0
        before = self.chained.get(<size_t>PyThreadState_Get())
        return 0 if before is None else before.function(before.target, frame, what, arg)

    def hook_all_threads(self):
        """Be called in every thread that Python knows."""
        cdef PyThreadState *mine = PyThreadState_Get()
        cdef PyThreadState *state = PyInterpreterState_ThreadHead(PyInterpreterState_Get())
        self.hook_this_thread()
        if can_set_all():
            while state != NULL:
                if not self.is_in(state):
                    self.link(state)
                state = PyThreadState_Next(state)
            if self.profiles:
                profile_all(self.function, <PyObject *>self)
            else:
                trace_all(self.function, <PyObject *>self)
            return
        while state != NULL:
            if state != mine:
                # Python 3.11 has no call for it: be that thread for a moment, which the GIL keeps from running.
                PyThreadState_Swap(state)
                self.hook_this_thread()
                PyThreadState_Swap(mine)
            state = PyThreadState_Next(state)

    def hook_this_thread(self):
        """Be called in this thread, and have whatever it called before called through us."""
        cdef PyThreadState *state = PyThreadState_Get()
        if self.is_in(state):
            return
        self.link(state)
        self.put(self.function, <PyObject *>self)

    def unhook_this_thread(self):
        """Put back what this thread called before, unless something else has taken our place."""
        cdef PyThreadState *state = PyThreadState_Get()
        cdef Chain before
        if not self.is_in(state):
            return
        before = self.chained.get(<size_t>state)
        while before is not None and before.function == self.function and not (<Hook>before.target).on:
            before = (<Hook>before.target).chained.get(<size_t>state)       # that one has ended meanwhile
        if before is None:
            self.put(NULL, NULL)
        else:
            self.put(before.function, before.target)

    cdef int put(self, Py_tracefunc function, PyObject *target) except -1:
        if self.profiles:
            PyEval_SetProfile(function, target)
        else:
            PyEval_SetTrace(function, target)
        return 0
