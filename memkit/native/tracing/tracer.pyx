"""The base of the tracers of lines and of calls: start, stop and close, at any time and from any thread.

Events come from callbacks of ``sys.monitoring``, or from a trace or profile hook.
"""

from cpython.exc cimport PyErr_Occurred
from cpython.object cimport PyObject
from libc.stdint cimport int64_t
from libc.stdlib cimport free, malloc

from memkit.base.errors import MeterError
from memkit.native.cpython cimport (
    PyInterpreterState_Get, PyInterpreterState_ThreadHead, PyThreadState, PyThreadState_Get, PyThreadState_Next,
)
from memkit.native.tracing.callbacks cimport method_definition, return_none_unless_raised
from memkit.native.heap.own cimport mute, unmute
from memkit.native.journal cimport Journal, capsule_of
from memkit.native.meter cimport Meter, meter_open, meter_read
from memkit.native.tracing.credit cimport ABSENT
from memkit.native.tracing.credit import BY_FAULTS
from memkit.native.tracing.gate import NAMES
from memkit.native.tracing.hook_chain cimport HookChain
from memkit.native.tracing.noted cimport begin_stretch, noted_since
from memkit.native.tracing.thread_state cimport (
    SLOTS, know_thread, state_of_thread, thread_state_t, tracer_t, worst_gate,
)

cdef extern from "Python.h":
    void PyErr_SetObject(object, object) noexcept


cdef bint is_programs(object error) noexcept:
    """Whether a signal handler of the program raised an exception, as at Ctrl-C; otherwise it is memkit's own.

    In the traceback, a handler in Python is a call that has the frame which it interrupted as an argument.
    """
    if not isinstance(error, Exception):
        return True
    try:
        place = error.__traceback__
        while place is not None and place.tb_next is not None:
            for value in place.tb_next.tb_frame.f_locals.values():
                for one in value if type(value) is tuple else (value,):
                    if one is place.tb_frame:
                        return True
            place = place.tb_next
    except Exception:               # there may be no memory left for this
        pass
    return False


cdef bint set_if_programs(object error) noexcept:
    if error is None or not is_programs(error):
        return False                # the program must not see an error of memkit's
    PyErr_SetObject(type(error), error)
    return True


cdef bint unpacked(object found, int *number, int *thread, size_t *whose, int *kind) noexcept:
    try:
        number[0], thread[0], whose[0], kind[0] = found
    except Exception:
        return False
    return True


cdef int raise_pending() except -1:
    return -1 if PyErr_Occurred() != NULL else 0


cdef class Tracer(HookChain):
    """Sums up events from ``start`` to ``stop``; ``close`` frees its memory.

    It may be stopped and closed whenever Python runs, and the interpreter holds no reference to the callback that it calls.
    So a callback holds a reference to the tracer while it runs. Python runs for it only between ``python_runs`` and
    ``python_returned``; after that, the tracer's memory may be used only if it is still on.
    """

    cdef void reads(self, tracer_t *threads, Meter meter):
        self.threads = threads
        threads.scoped, threads.by_faults = meter.name == "rss", meter.name in BY_FAULTS
        threads.meter = meter.meter
        threads.meter.file.fd = -1

    cdef int opened(self, Meter meter, int refused, str what) except -1:
        if refused == -1:
            raise MeterError(f"{what} are being traced {SLOTS} times over already: stop one of the recordings")
        if refused:
            raise MemoryError
        if meter_open(&self.threads.meter):
            raise MeterError(f"meter {meter.name!r} cannot be read")
        return 0

    @property
    def gate(self):
        """The slowest gate engine of the traced threads."""
        return NAMES[worst_gate(self.threads)]

    def start(self):
        """Count from now on, until ``stop``."""
        self.on = not self.closing

    def stop(self):
        """Count no further event, and put the hooks back that were there before."""
        self.on = False
        HookChain.stop(self)

    def writer(self):
        """A capsule for ``Sampler.flush_also``, with a reference to this tracer. Take it back before ``close``."""
        return capsule_of(&self.sums_writer, self)

    def flush(self, Journal journal):
        """Write the totals that have changed, with what is running."""
        self.python_runs()            # for a ``close`` of another thread: the GIL is given up
        with nogil:
            self.sums_writer.write(self.sums_writer.whose, &journal.journal, meter_read(&self.threads.meter), -1)
        self.python_returned()

    def settle(self):
        """Charge what runs in this thread up to now, where that is of calls."""

    def mark(self):
        """A stretch of time begins: what to give to ``since`` when it is over."""
        self.settle()
        return begin_stretch(&self.threads.notes) if self.on else -1

    def since(self, int64_t begun):
        """What grew or rose since then: of a path its number and that of its caller or -1, of a line that of its function
        and its own; growth, rise, and of a line its own rise. None where that is not known any more."""
        self.settle()
        self.python_runs()
        try:
            return noted_since(&self.threads.notes, begun) if self.on else None
        finally:
            self.python_returned()

    def close(self):
        """Free all memory and descriptors. No flush may follow; callbacks that still come do nothing."""
        self.on = False
        self.closing = True
        if not self.running_python:
            self.free_all()

    def unknown_threads(self):
        """The threads of Python that are neither traced nor known: of each its identifier, and its TID."""
        cdef PyThreadState *state
        cdef unsigned long *found
        cdef int i, most = 0, count = 0
        state = PyInterpreterState_ThreadHead(PyInterpreterState_Get())
        while state != NULL:
            most += 1
            state = PyThreadState_Next(state)
        found = <unsigned long *>malloc(2 * most * sizeof(unsigned long))
        if found == NULL:
            return []
        state = PyInterpreterState_ThreadHead(PyInterpreterState_Get())
        while state != NULL and count < most:       # Python must not run in here: a thread could leave the list
            if state.native_thread_id and state_of_thread(self.threads, <int>state.native_thread_id) == NULL:
                found[2 * count], found[2 * count + 1] = state.thread_id, state.native_thread_id
                count += 1
            state = PyThreadState_Next(state)
        try:
            return [(found[2 * i], found[2 * i + 1]) for i in range(count)]
        finally:
            free(found)

    def know_thread(self, int tid, bint helps):
        """What a thread does outside of traced code is its own, or with ``helps`` may be done for traced code."""
        know_thread(self.threads, tid, helps)

    def is_at_work(self):
        """Whether this thread is in traced code, or may be working for it."""
        cdef thread_state_t *state = state_of_thread(self.threads, <int>PyThreadState_Get().native_thread_id)
        return state != NULL and (self.threads.role == NULL or self.threads.role(state) != ABSENT)

    def thread_ends(self):
        """This thread ends: what it did since it was looked at is counted once it has ended."""
        cdef thread_state_t *state = state_of_thread(self.threads, <int>PyThreadState_Get().native_thread_id)
        if state != NULL:
            know_thread(self.threads, state.tid, state.helps)

    def watch_calls(self, functions, before):
        """Call ``before`` ahead of some C functions, where events of C functions come."""
        cdef int i
        for i, function in enumerate(functions):
            self.watched[i] = method_definition(<PyObject *>function)
        self.before = before

    cdef int run_before(self) noexcept:
        self.ask(self.before, ())
        return -(PyErr_Occurred() != NULL)

    cdef PyObject *told_thread(self) noexcept:
        self.ask(self.of_threads, ())
        return return_none_unless_raised()

    cdef object ask(self, function, tuple arguments):
        raised = found = None
        self.python_runs()
        try:
            found = function(*arguments)
        except BaseException as error:
            raised = error
        set_if_programs(raised)
        self.python_returned()
        return found

    cdef void python_runs(self) noexcept:
        """Python is about to run for the tracer; what it allocates is memkit's own."""
        self.running_python += 1
        mute()

    cdef void python_returned(self) noexcept:
        """Python has run for the tracer. The last thread that returns does a ``close`` that came meanwhile."""
        unmute()
        self.running_python -= 1
        if self.closing and not self.running_python:
            self.free_all()

    cdef void free_all(self) noexcept:
        """Free memory and descriptors."""
