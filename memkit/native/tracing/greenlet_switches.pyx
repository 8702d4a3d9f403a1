"""Tells tracers when a thread switches from one greenlet to another, for gevent, eventlet and SQLAlchemy's asyncio.

greenlet calls one trace function for each thread, after each switch. There is one here for all tracers. It is set in a
thread when a tracer meets new code there and greenlet is loaded; it calls the function that was there before, and is taken
out when no tracer is left: at once in the thread that stops the last, in others at their next switch.
"""

import sys

from cpython.exc cimport PyErr_Clear, PyErr_Occurred
from cpython.object cimport PyObject
from libc.stdint cimport int64_t

from memkit.native.cpython cimport (
    METH_FASTCALL, Py_DECREF, Py_INCREF, Py_None, PyCFunction, PyCFunction_Check, PyCFunction_New, PyCFunctionObject,
    PyMethodDef,
)
from memkit.native.tracing.greenlets cimport NO_SETTRACE, TAKEN_OVER, switch_t
from memkit.native.tracing.tracer cimport Tracer

cdef extern from *:
    """
    static PyObject *memkit_descriptor_get(PyObject *descriptor, PyObject *object) {
        descrgetfunc get = Py_TYPE(descriptor)->tp_descr_get;
        return get ? get(descriptor, object, (PyObject *)Py_TYPE(object)) : NULL;
    }
    static __thread void *memkit_switches_of_thread;
    static __thread int64_t memkit_switches_since;
    """
    PyObject *descriptor_get "memkit_descriptor_get"(PyObject *, PyObject *) noexcept    # NULL, perhaps with an exception
    void *current "memkit_switches_of_thread"       # the Switches that tells of this thread's; only compared
    int64_t since "memkit_switches_since"           # the period in which it was set

cdef extern from "Python.h":
    PyObject *PyObject_Vectorcall(PyObject *, PyObject **, size_t, PyObject *) noexcept
    PyObject *PyTuple_GET_ITEM(PyObject *, Py_ssize_t) noexcept
    Py_ssize_t PyTuple_GET_SIZE(PyObject *) noexcept
    bint PyTuple_Check(PyObject *) noexcept

cdef list told = []             # the tracers that are told
cdef int64_t period = 0         # counts up whenever there is a tracer again
# Of the greenlet module; None before it is loaded.
cdef object settrace = None
cdef object gettrace = None
cdef object parent_of = None    # descriptors of the type, since a subclass may have attributes of its own
cdef object is_dead = None


# -- at a switch, where Python must not run ----------------------------------------------------------------------------

cdef bint has_ended(PyObject *greenlet) noexcept:
    cdef PyObject *dead = descriptor_get(<PyObject *>is_dead, greenlet)
    cdef bint ended = dead == <PyObject *>True
    if dead == NULL:
        PyErr_Clear()
    else:
        Py_DECREF(dead)
    return ended


cdef PyObject *parent_or_none(PyObject *greenlet) noexcept:
    """A borrowed reference: a greenlet keeps its parent."""
    cdef PyObject *parent = descriptor_get(<PyObject *>parent_of, greenlet)
    if parent == NULL:
        PyErr_Clear()
        return Py_None
    Py_DECREF(parent)
    return parent


cdef void tell(PyObject *origin, PyObject *target) noexcept:
    cdef switch_t switch
    cdef PyObject *parent = parent_or_none(target)
    switch.origin, switch.target, switch.ended, switch.main = origin, target, has_ended(origin), parent == Py_None
    switch.child = parent == origin and parent_or_none(origin) == Py_None
    for tracer in told:
        (<StackTracer>tracer).switched(&switch)


cdef PyObject *on_switch(PyObject *self, PyObject **args, Py_ssize_t count) noexcept:
    """greenlet's trace function: an event, and a tuple of two greenlets."""
    cdef Switches me = <Switches>self           # holds a reference
    if current == self and count == 2 and PyTuple_Check(args[1]) and PyTuple_GET_SIZE(args[1]) == 2:
        if told:
            tell(PyTuple_GET_ITEM(args[1], 0), PyTuple_GET_ITEM(args[1], 1))
        else:
            me.restore()
    return me.pass_on(args, count)


cdef PyMethodDef definition
definition = PyMethodDef(b"on_switch", <PyCFunction>on_switch, METH_FASTCALL, NULL)


cdef bint is_ours(object function) noexcept:
    return PyCFunction_Check(<PyObject *>function) and (<PyCFunctionObject *><PyObject *>function).m_ml == &definition


cdef class Switches:
    """What one thread's trace function belongs to."""

    cdef object before          # the trace function that was there, or None

    cdef void restore(self) noexcept:
        """Take the trace function of this thread out, unless another has taken its place."""
        global current
        current = NULL
        try:
            if is_ours(gettrace()):
                settrace(self.before)
        except BaseException:               # greenlet raises nothing here
            pass

    cdef PyObject *pass_on(self, PyObject **args, Py_ssize_t count) noexcept:
        """Call the trace function before ours. greenlet takes a trace function out that raises, so it takes ours out too."""
        global current
        cdef PyObject *result
        before = self.before
        if before is None:
            Py_INCREF(Py_None)
            return Py_None
        result = PyObject_Vectorcall(<PyObject *>before, args, count, NULL)
        if result == NULL:
            self.before = None
            if current == <void *><PyObject *>self:
                current = NULL
            for tracer in told:
                (<StackTracer>tracer).threads.untold = TAKEN_OVER
        return result


cdef int install() except -1:
    """Set the trace function in this thread."""
    global current, since
    cdef Switches switches = Switches.__new__(Switches)
    switches.before = gettrace()
    if is_ours(switches.before):            # of an earlier period; nothing has switched since
        switches = <Switches>switches.before.__self__
    else:
        settrace(PyCFunction_New(&definition, switches))
    current, since = <void *><PyObject *>switches, period
    return 0


# -- noticing greenlet -------------------------------------------------------------------------------------------------

cdef bint find_greenlet(object code) except -1:
    """Find the module, as soon as it is loaded; False: it is not.

    It is loaded a moment early where its package is just being imported: what comes next may be a switch already.
    """
    global settrace, gettrace, parent_of, is_dead
    module = sys.modules.get("greenlet._greenlet")
    if module is None and code is not None and code.co_name == "<module>":
        if code.co_filename.endswith(("/greenlet/__init__.py", "\\greenlet\\__init__.py")):
            import greenlet._greenlet as module
    if module is None:
        return False
    gettrace, parent_of, is_dead = module.gettrace, module.greenlet.__dict__["parent"], module.greenlet.__dict__["dead"]
    settrace = module.settrace
    return True


cdef bint is_reached(object function) except -1:
    """Whether ours is called by a trace function that passes switches on in the way of gevent's."""
    cdef int most = 100
    while function is not None and not is_ours(function) and most:
        function = getattr(function, "previous_trace_function", None)
        most -= 1
    return function is not None and is_ours(function)


cdef class StackTracer(Tracer):
    """A tracer with a stack of what runs in each thread, and in each greenlet."""

    cdef void switched(self, switch_t *switch) noexcept:
        """A greenlet has switched to another."""

    cdef int notice(self, object code) except -1:
        global period
        if self.told and since == period and current != NULL:
            return 0
        try:
            if settrace is None and not find_greenlet(code):
                return 0
        except (AttributeError, KeyError):
            self.threads.untold = NO_SETTRACE
            return 0
        if not self.on:                     # Python has run
            return 0
        if not self.told:
            period += not told
            self.told = True
            told.append(self)
        if since != period or current == NULL:
            install()
        return 0

    cdef void notice_quietly(self) noexcept:
        try:
            self.notice(None)
        except BaseException:               # no Python code of the program runs in there
            pass

    def stop(self):
        if self.told:
            self.told = False
            told.remove(self)
            if since == period and settrace is not None:
                self.leave_thread()
        Tracer.stop(self)

    cdef int leave_thread(self) except -1:
        """See whether the trace function of this thread is still called, and take it out after the last tracer."""
        found = gettrace()
        if not is_reached(found):
            self.threads.untold = TAKEN_OVER
        elif not told and is_ours(found):
            (<Switches>found.__self__).restore()
        return 0
