"""A hook of the interpreter that calls the hook which it replaced, and puts it back in the end.

The interpreter has one profile hook and one trace hook for each thread, and one reference hook for the process. A chain
installs its own, calls the hook that was there at every event, and restores that one when it is stopped: at once in the
thread that stops it, in other threads at their next event, since not every version of Python lets a thread change the hook
of another.

``sys.getprofile()`` and ``sys.gettrace()`` return the chain while it is installed. A tool that sets this value again later,
as one does that runs only for a moment, sets the chain as a Python function; it installs itself again when it is called so.
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
      #define memkit_has_all_threads 1
      #define memkit_profile_all(function, object) PyEval_SetProfileAllThreads(function, object)
      #define memkit_trace_all(function, object) PyEval_SetTraceAllThreads(function, object)
    #else
      #define memkit_has_all_threads 0
      #define memkit_profile_all(function, object) PyEval_SetProfile(function, object)
      #define memkit_trace_all(function, object) PyEval_SetTrace(function, object)
    #endif
    typedef int (*memkit_reference_hook)(PyObject *, int, void *);
    #if PY_VERSION_HEX >= 0x030D0000
      static memkit_reference_hook memkit_reference_hook_of(void **data) {
          return (memkit_reference_hook)PyRefTracer_GetTracer(data);
      }
      static int memkit_set_reference_hook(memkit_reference_hook function, void *data) {
          return PyRefTracer_SetTracer((PyRefTracer)function, data);
      }
    #else
      static memkit_reference_hook memkit_reference_hook_of(void **data) { *data = NULL; return NULL; }
      static int memkit_set_reference_hook(memkit_reference_hook function, void *data) { return -1; }
    #endif
    """
    bint has_all_threads "memkit_has_all_threads"
    void profile_all "memkit_profile_all"(Py_tracefunc, PyObject *)
    void trace_all "memkit_trace_all"(Py_tracefunc, PyObject *)
    reference_hook_t reference_hook "memkit_reference_hook_of"(void **)
    int set_reference_hook "memkit_set_reference_hook"(reference_hook_t, void *)

EVENTS = {"call": 0, "exception": 1, "line": 2, "return": 3, "c_call": 4, "c_exception": 5, "c_return": 6, "opcode": 7}


# -- the interpreter's hooks -------------------------------------------------------------------------------------------

cdef inline PyThreadState *state_of(int kind) noexcept:
    """This thread, where each thread has a hook of its own."""
    return NULL if kind == REFERENCE else PyThreadState_Get()


cdef inline hook_t installed(int kind, PyThreadState *state) noexcept:
    cdef hook_t hook
    if kind == PROFILE:
        hook.function, hook.argument = <void *>state.c_profilefunc, state.c_profileobj
    elif kind == TRACE:
        hook.function, hook.argument = <void *>state.c_tracefunc, state.c_traceobj
    else:
        hook.argument = NULL
        hook.function = <void *>reference_hook(<void **>&hook.argument)
    return hook


cdef void set_hook(int kind, void *function, PyObject *argument) noexcept:
    """Set this thread's hook. An audit hook may run Python here; an exception that is set stays set."""
    cdef PyObject *error_type
    cdef PyObject *error
    cdef PyObject *traceback
    PyErr_Fetch(&error_type, &error, &traceback)
    if kind == REFERENCE:
        set_reference_hook(<reference_hook_t>function, argument)
    else:
        if argument != NULL:
            Py_INCREF(argument)
        if kind == PROFILE:
            PyEval_SetProfile(<Py_tracefunc>function, argument)
        else:
            PyEval_SetTrace(<Py_tracefunc>function, argument)
        if argument != NULL:
            Py_DECREF(argument)
    PyErr_Restore(error_type, error, traceback)


cdef PyThreadState *older_thread(unsigned long long id) noexcept:
    """The youngest thread that is older than the one with some id, or NULL."""
    cdef PyThreadState *state = PyInterpreterState_ThreadHead(PyInterpreterState_Get())
    cdef PyThreadState *found = NULL
    while state != NULL:
        if state.id < id and (found == NULL or state.id > found.id):
            found = state
        state = PyThreadState_Next(state)
    return found


cdef int on_event(PyObject *self, PyFrameObject *frame, int what, PyObject *argument) noexcept:
    """The hook of PROFILE and TRACE."""
    cdef HookChain me = <HookChain>self     # holds a reference: restoring the hook before may drop the last other one
    if me.stopped:
        me.restore()
    elif me.handle(frame, what, argument):
        return -1
    return 0 if me.links == NULL else me.pass_on(frame, what, argument)


cdef int raised(int result) except -1:
    return result


cdef inline PyObject *value_of(int what, object argument) noexcept:
    """What the interpreter passes with an event, of what a Python function gets."""
    return NULL if argument is None and what == 3 else <PyObject *>argument


# -- the chain ---------------------------------------------------------------------------------------------------------

cdef class HookChain:
    """A hook, with those that it replaced. A subclass sets ``kind``, and for REFERENCE ``function``."""

    def __cinit__(self):
        self.function = <void *>on_event

    cdef int handle(self, PyFrameObject *frame, int what, PyObject *argument) noexcept:
        return 0

    def take(self):
        """Install the hook in this thread; False once the chain is stopped."""
        cdef PyThreadState *state = state_of(self.kind)
        if self.stopped:
            return False
        if not self.is_installed():
            self.link(state)
        self.install()
        self.free_unlinked()
        return True

    def take_all(self):
        """Install the hook in every thread that Python knows."""
        cdef PyThreadState *mine = PyThreadState_Get()
        cdef PyThreadState *state
        cdef unsigned long long id
        if not self.take():
            return
        state = PyInterpreterState_ThreadHead(PyInterpreterState_Get())
        while state != NULL:                # Python must not run in here: a thread could leave the list
            if state != mine and installed(self.kind, state).argument != <PyObject *>self:
                self.link(state)
            state = PyThreadState_Next(state)
        if has_all_threads and self.kind == PROFILE:
            profile_all(on_event, <PyObject *>self)
        elif has_all_threads:
            trace_all(on_event, <PyObject *>self)
        else:
            # Python 3.11 has no call for it: switch to each thread, which cannot run without the GIL, and back. Audit hooks
            # may run Python, so that threads begin and end: go by their ids, which are not used again.
            id = <unsigned long long>-1
            state = older_thread(id)
            while state != NULL:
                id = state.id
                if state != mine:
                    PyThreadState_Swap(state)
                    self.install()
                    PyThreadState_Swap(mine)
                state = older_thread(id)
        self.free_unlinked()

    def stop(self):
        """Handle no further event, and put the hooks back that were there before."""
        self.stopped = True
        self.restore()

    def __call__(self, frame, str event, argument):
        """Be a Python trace or profile function: another tool has set the chain again, or calls it."""
        cdef PyThreadState *state = PyThreadState_Get()
        cdef int what = EVENTS[event]
        if self.is_installed() and installed(self.kind, state).function != self.function:
            self.install()
        raised(on_event(<PyObject *>self, <PyFrameObject *><PyObject *>frame, what, value_of(what, argument)))

    def tell(self, frame, str event, argument):
        """Handle an event, and do not pass it on."""
        cdef int what = EVENTS[event]
        raised(self.handle(<PyFrameObject *><PyObject *>frame, what, value_of(what, argument)))

    cdef bint is_installed(self) noexcept:
        return installed(self.kind, state_of(self.kind)).argument == <PyObject *>self

    cdef void install(self) noexcept:
        set_hook(self.kind, self.function, <PyObject *>self)

    cdef bint restore(self) noexcept:
        """Put back the hook that was in this thread before, unless another has replaced ours."""
        cdef PyThreadState *state = state_of(self.kind)
        cdef link_t *before
        if not self.is_installed():
            return False
        before = self.link_of(state)
        while before != NULL and before.hook.function == self.function and (<HookChain>before.hook.argument).stopped:
            before = (<HookChain>before.hook.argument).link_of(state)
        if before == NULL:
            set_hook(self.kind, NULL, NULL)
        else:
            set_hook(self.kind, before.hook.function, before.hook.argument)
        return True

    cdef int pass_on(self, PyFrameObject *frame, int what, PyObject *argument) noexcept:
        cdef PyThreadState *state = PyThreadState_Get()
        cdef link_t *before = self.link_of(state)
        cdef PyObject *target
        cdef int result
        if before == NULL:
            return 0
        target = before.hook.argument
        if target != NULL:
            Py_INCREF(target)
        result = (<Py_tracefunc>before.hook.function)(target, frame, what, argument)
        if target != NULL:
            Py_DECREF(target)
        if not self.stopped and installed(self.kind, state).function == NULL:
            # It removed itself, or the interpreter removed it since it raised; what was removed is our hook.
            self.unlink(state)
            self.install()
            self.free_unlinked()
        return result

    # -- the hooks before ours ---------------------------------------------------------------------------------------

    cdef link_t *link_of(self, PyThreadState *state) noexcept:
        cdef link_t *link = self.links
        while link != NULL and link.state != state:
            link = link.next
        return link

    cdef int link(self, PyThreadState *state) except -1:
        """Remember the hook of a thread, if it has one. Runs no Python."""
        cdef hook_t hook = installed(self.kind, state)
        cdef link_t *link
        self.unlink(state)              # of an earlier thread whose state was at the same address
        if hook.function == NULL:
            return 0
        link = <link_t *>calloc(1, sizeof(link_t))
        if link == NULL:
            raise MemoryError
        link.state, link.hook = state, hook
        if holds_object(self, link):
            Py_INCREF(hook.argument)
        link.next = self.links
        self.links = link
        return 0

    cdef void unlink(self, PyThreadState *state) noexcept:
        """Forget the hook of a thread, if it had one. Runs no Python; see ``free_unlinked``."""
        cdef link_t **place = &self.links
        cdef link_t *link
        while place[0] != NULL and place[0].state != state:
            place = &place[0].next
        link = place[0]
        if link != NULL:
            place[0] = link.next
            link.next, self.unlinked = self.unlinked, link

    cdef void free_unlinked(self) noexcept:
        cdef link_t *link
        while self.unlinked != NULL:
            link = self.unlinked
            self.unlinked = link.next
            if holds_object(self, link):
                Py_DECREF(link.hook.argument)
            free(link)

    def __dealloc__(self):
        while self.links != NULL:
            self.unlink(self.links.state)
        self.free_unlinked()


cdef inline bint holds_object(HookChain self, link_t *link) noexcept:
    """Whether the argument of a hook is known to be an object, which the link holds a reference to."""
    return link.hook.argument != NULL and (self.kind != REFERENCE or link.hook.function == self.function)
