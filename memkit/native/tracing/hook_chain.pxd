# A hook of the interpreter that calls the hook which it replaced, and puts it back in the end.

from cpython.object cimport PyObject

from memkit.native.cpython cimport PyFrameObject, PyThreadState

cdef enum:                      # kinds of hooks
    PROFILE = 0                 # of sys.setprofile, one a thread
    TRACE = 1                   # of sys.settrace, one a thread
    REFERENCE = 2               # of PyRefTracer_SetTracer, one a process; Python 3.13 and later

ctypedef int (*reference_hook_t)(PyObject *, int, void *) noexcept

cdef struct hook_t:
    void *function              # a Py_tracefunc, or a reference_hook_t; NULL: no hook
    PyObject *argument          # what it is called with; of REFERENCE it need not be an object

cdef struct link_t:             # a hook that was replaced
    PyThreadState *state        # the thread it is for; REFERENCE: NULL
    hook_t hook
    link_t *next


# All of it under the GIL.
cdef class HookChain:
    cdef int kind
    cdef void *function         # ours; its argument is this object
    cdef bint stopped           # in each thread the hook before is put back at the next event
    cdef link_t *links
    cdef link_t *unlinked       # to be freed, which may run Python

    # What subclasses do at an event of PROFILE or TRACE: 0, or -1 with an exception that the program raised.
    cdef int handle(self, PyFrameObject *frame, int what, PyObject *argument) noexcept
    # Calls the hook before ours: 0, or -1 with an exception that it raised.
    cdef int pass_on(self, PyFrameObject *frame, int what, PyObject *argument) noexcept
    cdef void install(self) noexcept                        # in this thread; the interpreter reports what goes wrong
    cdef bint restore(self) noexcept                        # False: another hook has replaced ours
    cdef bint is_installed(self) noexcept                   # in this thread
    cdef int link(self, PyThreadState *state) except -1     # MemoryError
    cdef void unlink(self, PyThreadState *state) noexcept
    cdef void free_unlinked(self) noexcept
    cdef link_t *link_of(self, PyThreadState *state) noexcept       # NULL: there was no hook
