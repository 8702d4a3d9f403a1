"""A limit of memory that is polled by the sampler's thread, and what is done when memory reaches it.

The nearer the limit, the sooner the next poll. Near it the pause is so short that a program which fills memory as fast as it
can be filled gets little beyond it; far from it polls are so rare that they cost nothing. Everything about a crossing is
written without the GIL, since a C call may hold it; only an exception has to wait until Python runs.
"""

from libc.stdint cimport int64_t
from libc.stdio cimport snprintf
from posix.unistd cimport _exit, getpid

import os
import sys

from memkit.native.clock cimport MILLISECOND, now, thread_cpu
from memkit.native.journal cimport LONGEST_ROW, Journal, journal_flush, journal_t, journal_text
from memkit.native.meter cimport Meter, meter_read_whole
from memkit.native.sampling.limit_counters cimport MOST_COUNTERS, counter_t, counters_close, counters_read
from memkit.native.sampling.stacks cimport stacks_close, stacks_open, stacks_write

cdef extern from "Python.h":
    int Py_AddPendingCall(int (*)(void *) noexcept with gil, void *) nogil
    void PyErr_SetObject(object, object) noexcept

cdef extern from *:
    """
    /* Up to Python 3.12 a call that another thread adds does not set the eval breaker, so that it is not run before the GIL
       changes hands. A thread that waits for the GIL sets the breaker too, so setting it here does no harm. */
    #if PY_VERSION_HEX < 0x030D0000 && defined(__has_include)
      #if __has_include("internal/pycore_interp.h")
        #ifndef Py_BUILD_CORE
          #define Py_BUILD_CORE 1
        #endif
        #undef _PyGC_FINALIZED      /* which that header defines as a function */
        #include "internal/pycore_interp.h"
        #define MEMKIT_SETS_BREAKER 1
      #endif
    #endif
    static inline void memkit_set_eval_breaker(void) {
    #ifdef MEMKIT_SETS_BREAKER
        PyInterpreterState *main = PyInterpreterState_Main();
        if (main != NULL)
            _Py_atomic_store_relaxed(&main->ceval.eval_breaker, 1);
    #endif
    }
    """
    void set_eval_breaker "memkit_set_eval_breaker"() noexcept nogil

cdef enum:
    FASTEST = 10                # bytes a nanosecond: no program fills memory faster
    SOONEST = 2 * MILLISECOND
    SOONEST_AT_REST = 8 * MILLISECOND
    LATEST = 1000 * MILLISECOND
    AT_REST = 256 * 1024        # a program that has moved by no more stays where it is
    READING_SHARE = 100         # polling may take 1/100 of the time
    MOST_FRAMES_TO_CHECK = 32
    MOST_CROSSINGS = 100        # that are written

ACTIONS = {"report": REPORT, "raise": RAISE, "stop": STOP}
cdef dict guards = {}           # id -> Guard: by the time Python runs, a guard may have ended
cdef int64_t last_id = 0


# -- measuring ---------------------------------------------------------------------------------------------------------

cdef int64_t measure(guard_t *guard) noexcept nogil:
    """Bytes that count against the limit, or -1."""
    if guard.used.count == 0:
        return meter_read_whole(guard.meter)
    return counters_read(&guard.used, guard.threshold)


cdef bint guard_poll(guard_t *guard, int64_t time) noexcept nogil:
    cdef bint costly = guard.used.count == 0 and guard.meter.costly
    cdef int64_t cost = thread_cpu() if costly else 0
    cdef int64_t memory = measure(guard)
    cdef int64_t left = max(guard.threshold - memory, <int64_t>0)
    cdef bint reached = memory >= guard.threshold
    cost = thread_cpu() - cost if costly else 0
    if -AT_REST < memory - guard.memory < AT_REST:
        guard.pause = min(2 * guard.pause, <int64_t>SOONEST_AT_REST)
    else:
        guard.pause = SOONEST
    guard.memory = memory
    guard.due = time + max(max(guard.pause, min(left // FASTEST, <int64_t>LATEST)), cost * READING_SHARE)
    if 0 <= memory < guard.again:
        guard.crossed = False
    if not reached or guard.crossed:
        return False
    guard.crossed = True
    guard.reached = memory
    return True


# -- what is done ------------------------------------------------------------------------------------------------------

cdef void guard_write(guard_t *guard, journal_t *journal, int64_t time) noexcept nogil:
    cdef char row[4 * LONGEST_ROW]
    cdef int length, threads
    guard.crossings += 1
    guard.call_wanted = guard.action == RAISE
    if guard.crossings > MOST_CROSSINGS:
        return
    length = snprintf(
        row, sizeof(row), b"[\"crossing\",%lld,%lld,%s]\n", <long long>time, <long long>guard.memory, guard.limit_fields
    )
    journal_text(journal, row, length)
    threads = stacks_write(&guard.stacks, journal, time)
    journal_flush(journal, now())
    if threads != 1:            # several have names that only Python knows; of none, only Python knows the stacks
        guard.call_wanted = True


cdef void guard_call_python(guard_t *guard) noexcept nogil:
    if guard.call_wanted and Py_AddPendingCall(on_pending_call, <void *>guard.id) == 0:
        guard.call_wanted = False
        set_eval_breaker()


cdef void guard_stop(guard_t *guard, journal_t *journal, int64_t time) noexcept nogil:
    cdef char row[4 * LONGEST_ROW]
    cdef int length = snprintf(row, sizeof(row), b"[\"end\",%lld,%s]\n", <long long>time, guard.end_fields)
    journal_text(journal, row, length)
    journal_flush(journal, now())
    _exit(guard.exit_code)


cdef int on_pending_call(void *id) noexcept with gil:
    """Python runs, in the main thread."""
    cdef Guard guard = guards.get(<int64_t>id)
    if guard is None or guard.owner != getpid():        # a forked child inherits the pending calls of its parent
        return 0
    try:
        return guard.run_pending()
    except Exception:           # memory may have run out
        return 0


cdef class Guard:
    """Polls a limit. ``bound`` is a ``memkit.record.limit_guard.Bound``; the rest is as for the ``Sampler``."""

    def __cinit__(self, Journal journal, Meter meter, bound, int64_t began):
        global last_id
        cdef counter_t *counter
        self.journal, self.bound, self.began = journal, bound, began
        self.guard.meter = &meter.meter
        self.guard.threshold, self.guard.again = bound.threshold, bound.again
        self.guard.action = ACTIONS[bound.action]
        self.guard.used.base, self.guard.exit_code = bound.total, bound.EXIT_CODE
        self.guard.pause = SOONEST
        self.held = [bound.words, bound.ending]
        self.guard.limit_fields, self.guard.end_fields = <bytes>self.held[0], <bytes>self.held[1]
        if len(bound.counters) > MOST_COUNTERS or max(len(bound.words), len(bound.ending)) > 3 * LONGEST_ROW:
            raise ValueError("a limit has too many counters, or too long a text")
        for path, key, unit, costly in bound.counters:
            self.held += os.fsencode(path), key.encode()
            counter = &self.guard.used.counters[self.guard.used.count]
            counter.path, counter.key = <bytes>self.held[-2], <bytes>self.held[-1]
            counter.unit, counter.costly = unit, costly
            counter.file.fd = -1
            self.guard.used.count += 1
        self.owner = getpid()
        stacks_open(&self.guard.stacks)
        last_id += 1
        self.guard.id = last_id
        guards[last_id] = self

    def end(self):
        """Call Python no more, and poll a last time: what was reached meanwhile is written, but nothing is done about it."""
        cdef int64_t time = now()
        guards.pop(self.guard.id, None)
        if self.owner == getpid() and guard_poll(&self.guard, time):
            row = b'["crossing",%d,%d,%s]\n' % (time - self.began, self.guard.memory, <bytes>self.bound.last_words)
            self.journal.text(row)

    cdef bint must_wait(self) except -1:
        """Whether the main thread runs code of memkit's that an exception must not leave half done."""
        cdef int i
        frame = sys._getframe()
        for i in range(MOST_FRAMES_TO_CHECK):
            if frame is None:
                break
            if frame.f_code.co_filename in self.bound.NOT_IN:
                return True
            frame = frame.f_back
        return False

    cdef int run_pending(self) except -2:
        """Do what needs the GIL, without running Python code: the program's tracers and debuggers would see that.

        Only where the layout of this Python's frames is not known is Python code run, to get the stacks. Returns what a
        pending call is to return: -1 for an exception that is set.
        """
        if self.must_wait():
            self.guard.call_wanted = True
            return 0
        if self.guard.stacks.memory.file.fd < 0:
            self.journal.text(self.bound.stacks(now() - self.began))
        else:
            self.name_threads()
        if self.guard.action != RAISE:
            return 0
        unit, name = (1 << 30, "GiB") if self.guard.reached >= 1 << 30 else (1 << 20, "MiB")
        error = MemoryError(self.bound.said.replace("%s", f"{self.guard.reached / unit:.1f} {name}", 1))
        error.memkit_limit = self.bound.fields      # by which the end of the recording knows it
        PyErr_SetObject(MemoryError, error)
        return -1

    cdef void name_threads(self) except *:
        """Write the names that the threads have now."""
        threading = sys.modules.get("threading")
        for thread in list(threading._active.values()) if threading is not None else ():
            if type(thread._name) is str and thread._native_id is not None:
                row = b'["thread",%d,%s]\n' % (thread._native_id, (<str>self.bound.quote(thread._name)).encode())
                self.journal.text(row)

    def __dealloc__(self):
        counters_close(&self.guard.used)
        stacks_close(&self.guard.stacks)
