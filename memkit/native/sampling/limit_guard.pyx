"""A limit of memory that is watched by the sampler's thread, and what is done when memory reaches it.

The nearer the limit, the sooner the next look: so soon that a program which fills memory as fast as it can be filled is not
far beyond, and far from the limit so late that it costs nothing. All that is written at a crossing is written without the
GIL, for a C call may hold it; only an exception has to wait until Python runs.
"""

from libc.stdint cimport int64_t
from libc.stdio cimport snprintf
from libc.stdlib cimport strtoll
from libc.string cimport strlen, strstr
from posix.fcntl cimport O_CLOEXEC, O_RDONLY, open
from posix.unistd cimport _exit, getpid, pread

import os
import sys

from memkit.native.clock cimport MILLISECOND, now, thread_cpu
from memkit.native.descriptors cimport adopt, is_ours, release
from memkit.native.journal cimport LONGEST_ROW, Journal, journal_flush, journal_t, journal_text
from memkit.native.meter cimport TEXT, Meter, meter_read
from memkit.native.sampling.stacks cimport stacks_close, stacks_open, stacks_write

cdef extern from "Python.h":
    int Py_AddPendingCall(int (*)(void *) noexcept with gil, void *) nogil
    void PyErr_SetObject(object, object) noexcept

cdef extern from *:
    """
    /* Up to Python 3.12 a call that another thread adds is not noticed before the GIL changes hands: no breaker is set for
       it. Setting that is what a thread does that wants the GIL; whoever finds nothing to do then goes on. */
    #if PY_VERSION_HEX < 0x030D0000 && defined(__has_include)
      #if __has_include("internal/pycore_interp.h")
        #ifndef Py_BUILD_CORE
          #define Py_BUILD_CORE 1
        #endif
        #undef _PyGC_FINALIZED      /* which that header defines as a function */
        #include "internal/pycore_interp.h"
        #define MEMKIT_NUDGES 1
      #endif
    #endif
    static inline void memkit_nudge(void) {
    #ifdef MEMKIT_NUDGES
        PyInterpreterState *main = PyInterpreterState_Main();
        if (main != NULL)
            _Py_atomic_store_relaxed(&main->ceval.eval_breaker, 1);
    #endif
    }
    """
    void nudge "memkit_nudge"() noexcept nogil

cdef enum:
    FASTEST = 10                # bytes a nanosecond: no program fills memory faster
    SOONEST = 2 * MILLISECOND
    SOONEST_AT_REST = 8 * MILLISECOND
    LATEST = 1000 * MILLISECOND
    AT_REST = 256 * 1024        # a program that has moved by no more stays where it is
    READING_SHARE = 100         # a reading may take one part in so many of the time
    MOST_FRAMES_TO_ASK = 32

ACTIONS = {"report": REPORT, "raise": RAISE, "stop": STOP}
cdef dict living = {}           # number -> Guard: what Python is told of may have ended meanwhile
cdef int64_t numbers = 0


# -- measuring ---------------------------------------------------------------------------------------------------------

cdef int64_t read_counter(counter_t *counter) noexcept nogil:
    """Bytes, or -1."""
    cdef char text[TEXT]
    cdef const char *place = text
    cdef const char *end
    cdef ssize_t length
    if not is_ours(&counter.file):
        adopt(&counter.file, open(counter.path, O_RDONLY | O_CLOEXEC))
    length = pread(counter.file.fd, text, TEXT - 1, 0) if counter.file.fd >= 0 else -1
    if length <= 0:
        return -1
    text[length] = 0
    while counter.key[0]:
        place = strstr(place, counter.key)
        if place == NULL:
            return -1
        end = place + strlen(counter.key)
        if (place == text or place[-1] == c'\n') and end[0] in (c' ', c':'):
            place = end + 1
            break
        place = end
    return strtoll(place, NULL, 10)


cdef int64_t add_counters(guard_t *guard, bint late) noexcept nogil:
    cdef int64_t sum = guard.total
    cdef int64_t value
    cdef int i
    for i in range(guard.count):
        if guard.counters[i].late and not late:
            continue
        value = read_counter(&guard.counters[i])
        if value < 0:
            return -1
        sum += value * guard.counters[i].unit
    return max(sum, <int64_t>0)


cdef int64_t measure(guard_t *guard) noexcept nogil:
    """Bytes that count against the limit, or -1."""
    cdef int64_t memory
    if guard.count == 0:
        return meter_read(guard.meter)
    memory = add_counters(guard, False)
    return add_counters(guard, True) if memory >= guard.threshold else memory


cdef bint guard_look(guard_t *guard, int64_t time) noexcept nogil:
    cdef bint costly = guard.count == 0 and guard.meter.costly
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
    guard.asked = guard.action == RAISE
    if guard.crossings > MOST_CROSSINGS:
        return
    length = snprintf(
        row, sizeof(row), b"[\"crossing\",%lld,%lld,%s]\n", <long long>time, <long long>guard.memory, guard.words
    )
    journal_text(journal, row, length)
    threads = stacks_write(&guard.stacks, journal, time)
    journal_flush(journal, now())
    if threads != 1:            # more have names that only Python knows, none: all that is to be known only Python knows
        guard.asked = True


cdef void guard_tell(guard_t *guard) noexcept nogil:
    if guard.asked and Py_AddPendingCall(come, <void *>guard.number) == 0:
        guard.asked = False
        nudge()


cdef void guard_stop(guard_t *guard, journal_t *journal, int64_t time) noexcept nogil:
    cdef char row[4 * LONGEST_ROW]
    cdef int length = snprintf(row, sizeof(row), b"[\"end\",%lld,%s]\n", <long long>time, guard.ending)
    journal_text(journal, row, length)
    journal_flush(journal, now())
    _exit(guard.code)


cdef int come(void *number) noexcept with gil:
    """Python runs, in the main thread."""
    cdef Guard guard = living.get(<int64_t>number)
    if guard is None or guard.owner != getpid():        # a forked child inherits what its parent was to be told
        return 0
    try:
        return guard.come()
    except Exception:           # there may be no memory left for this
        return 0


cdef class Guard:
    """Watches a limit. ``bound`` is a ``memkit.record.limit_guard.Bound``; the rest is as for the ``Sampler``."""

    def __cinit__(self, Journal journal, Meter meter, bound, int64_t began):
        global numbers
        cdef counter_t *counter
        self.journal, self.bound, self.began = journal, bound, began
        self.guard.meter = &meter.meter
        self.guard.threshold, self.guard.again = bound.threshold, bound.again
        self.guard.action = ACTIONS[bound.action]
        self.guard.total, self.guard.code = bound.total, bound.EXIT_CODE
        self.guard.pause = SOONEST
        self.held = [bound.words, bound.ending]
        self.guard.words, self.guard.ending = <bytes>self.held[0], <bytes>self.held[1]
        if len(bound.counters) > MOST_COUNTERS or max(len(bound.words), len(bound.ending)) > 3 * LONGEST_ROW:
            raise ValueError("what is to be watched takes too many words")
        for path, key, unit, late in bound.counters:
            self.held += os.fsencode(path), key.encode()
            counter = &self.guard.counters[self.guard.count]
            counter.path, counter.key = <bytes>self.held[-2], <bytes>self.held[-1]
            counter.unit, counter.late = unit, late
            counter.file.fd = -1
            self.guard.count += 1
        self.owner = getpid()
        stacks_open(&self.guard.stacks)
        numbers += 1
        self.guard.number = numbers
        living[numbers] = self

    def end(self):
        """Tell Python no more, and look a last time: nothing is done about what was reached meanwhile, but it is known."""
        cdef int64_t time = now()
        living.pop(self.guard.number, None)
        if self.owner == getpid() and guard_look(&self.guard, time):
            row = b'["crossing",%d,%d,%s]\n' % (time - self.began, self.guard.memory, <bytes>self.bound.last_words)
            self.journal.text(row)

    cdef bint busy(self) except -1:
        """Whether the main thread is in a place of memkit's that an exception must not leave half done."""
        cdef int i
        frame = sys._getframe()
        for i in range(MOST_FRAMES_TO_ASK):
            if frame is None:
                break
            if frame.f_code.co_filename in self.bound.NOT_IN:
                return True
            frame = frame.f_back
        return False

    cdef int come(self) except -2:
        """Do what only Python can, without running any: a program's tracers and debuggers would see it.

        Only where the frames of this Python are not known, it has to tell of those, too. Returns what a pending call is to
        return, -1 for an exception that is set.
        """
        if self.busy():
            self.guard.asked = True
            return 0
        if self.guard.stacks.memory.fd < 0:
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
        cdef int i
        for i in range(self.guard.count):
            release(&self.guard.counters[i].file)
        stacks_close(&self.guard.stacks)
