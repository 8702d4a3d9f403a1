"""Whether memory can have changed since it was last read, at a fraction of the cost of a reading.

Resident memory rises only through a page fault and falls only through an unmapping, which takes microseconds. So memory is
read only if this thread has had a page fault since the last check, or if that was more than two microseconds ago. How a
fault is noticed:

==========  =============================================================  ===========================================
engine      check                                                          needs
==========  =============================================================  ===========================================
``perf``    one load from the ring of a page-fault event of this thread    Linux, ``perf_event_open`` allowed
``rusage``  ``getrusage(RUSAGE_THREAD)``, 0.15 µs                          Linux
``always``  none: memory is read each time                                 nothing
==========  =============================================================  ===========================================

What the first two can miss is an unmapping of fewer than about 20 pages, and a fault in the kernel of a page or two. Changes
as small as that may add up for 50 microseconds before the next read finds them.
"""

from libc.errno cimport errno
from libc.stdint cimport int64_t, uint64_t
from libc.stdio cimport snprintf
from libc.string cimport memset, strerror, strrchr
from posix.fcntl cimport O_CLOEXEC, O_RDONLY, open
from posix.mman cimport MAP_FAILED, MAP_SHARED, PROT_READ, mmap, munmap
from posix.time cimport clock_gettime, timespec
from posix.unistd cimport _SC_PAGESIZE, close, read, sysconf

from memkit.base.errors import MeterError, UsageError
from memkit.native.clock cimport now
from memkit.native.decimal cimport number_at
from memkit.native.perf_event cimport perf_head, perf_open_faults

cdef enum:
    STEP = 2000                 # nanoseconds
    STALE = 50000
    CALIBRATION = 200000
    STAT = 512                  # bytes of it that are read

NAMES = ("perf", "rusage", "always")

cdef int preferred = -1         # -1: not probed
cdef int refusal = 0            # errno of perf_event_open, where it was refused
cdef uint64_t first_tick = 0
cdef int64_t first_time = 0


# -- one thread ------------------------------------------------------------------------------------------------------

cdef bint must_read_or_look(gate_t *gate, uint64_t time) noexcept nogil:
    cdef bint gap = time - gate.checked_at > gate.step
    cdef bint slow = gap or time - gate.read_at > gate.stale
    cdef uint64_t head
    cdef long faults
    gate.checked_at = time
    if gate.engine == PERF:
        head = gate.head[0]
        if head == gate.last_head and not slow:
            return False
        gate.last_head = head
    elif gate.engine == RUSAGE:
        if not slow:
            faults = thread_faults()
            if faults == gate.last_faults:
                return False
            gate.last_faults = faults
    gate.gap = gap
    gate.read_at = time
    return True


cdef int map_faults(gate_t *gate) noexcept nogil:
    """Open this thread's page-fault event and map its ring, read-only and never drained; 0, or errno.

    The map keeps the event: its descriptor is closed at once, so that a program has all of its own, however many threads.
    """
    cdef long page = sysconf(_SC_PAGESIZE)
    cdef int code = 0
    cdef int fd = perf_open_faults()
    if fd < 0:
        return errno
    gate.ring = mmap(NULL, 2 * page, PROT_READ, MAP_SHARED, fd, 0)
    if gate.ring == MAP_FAILED:
        code = errno
        gate.ring = NULL
    else:
        gate.head = perf_head(gate.ring)
    close(fd)
    return code


cdef void gate_open(gate_t *gate) noexcept nogil:
    cdef void *ring = gate.ring
    memset(gate, 0, sizeof(gate_t))
    gate.step, gate.stale = rules.step, rules.stale
    gate.engine = preferred
    if ring != NULL and preferred == PERF:
        gate.ring, gate.head = ring, perf_head(ring)
        return
    unmap(ring)
    if gate.engine == PERF and map_faults(gate):        # no descriptor left, or refused meanwhile
        gate.engine = RUSAGE


cdef void unmap(void *ring) noexcept nogil:
    if ring != NULL:
        munmap(ring, 2 * sysconf(_SC_PAGESIZE))


cdef void gate_close(gate_t *gate) noexcept nogil:
    unmap(gate.ring)
    gate.ring = NULL
    if gate.engine == PERF:
        gate.engine = RUSAGE


cdef int64_t faults_of_thread(int tid) noexcept nogil:
    """As ``man 5 proc`` has them, in the 10th and 12th field of stat."""
    cdef char text[STAT]
    cdef const char *place
    cdef int64_t minor, length
    cdef int fd, field
    snprintf(text, STAT, b"/proc/self/task/%d/stat", tid)
    fd = open(text, O_RDONLY | O_CLOEXEC)
    if fd < 0:
        return -1
    length = read(fd, text, STAT - 1)
    close(fd)
    text[max(length, 0)] = 0
    place = strrchr(text, c")")             # a name may have spaces and brackets
    if place == NULL:
        return -1
    place += 4                              # the state is one letter
    for field in range(4, 10):
        number_at(&place)
    minor = number_at(&place)
    number_at(&place)
    return minor + number_at(&place)


cdef int64_t time_of_thread(int tid) noexcept nogil:
    """The number of its clock is the kernel's."""
    cdef timespec time
    if clock_gettime(<int>((~<unsigned int>tid << 3) | 6), &time) != 0:
        return 0
    return time.tv_sec * <int64_t>1000000000 + time.tv_nsec


# -- all threads -------------------------------------------------------------------------------------------------------

cdef int64_t both_clocks(uint64_t *tick) noexcept nogil:
    """The time and the tick of one moment: the best of three, since the thread may be preempted between the two."""
    cdef uint64_t before, took, least = <uint64_t>-1
    cdef int64_t time, best = 0
    for _ in range(3):
        before = ticks()
        time = now()
        took = ticks() - before
        if took < least:
            least = took
            best, tick[0] = time, before
    return best


cdef double nanoseconds_per_tick() noexcept nogil:
    """The length of a tick, measured since the calibration."""
    cdef uint64_t tick
    cdef int64_t time = both_clocks(&tick)
    return <double>(time - first_time) / (tick - first_tick) if tick != first_tick else 1.0


cdef void calibrate() noexcept nogil:
    global first_time
    first_time = both_clocks(&first_tick)
    while now() - first_time < CALIBRATION:
        pass
    rules.step = <uint64_t>(STEP / nanoseconds_per_tick())
    rules.stale = <uint64_t>(STALE / nanoseconds_per_tick())


def probe(str requested=""):
    """Choose the engine for all threads to come: the one that is requested, or the best that works here.

    Raises ``UsageError`` for an unknown engine, and ``MeterError`` for one that does not work here.
    """
    global preferred, refusal
    cdef gate_t gate
    if requested and requested not in NAMES:
        raise UsageError(f"MEMKIT_GATE is {requested!r}: write {', '.join(NAMES[:-1])} or {NAMES[-1]}, or leave it out")
    if not first_time:
        calibrate()
    preferred = NAMES.index(requested) if requested else PERF
    refusal = 0
    if preferred == PERF:
        refusal = map_faults(&gate)
        if refusal:
            preferred = RUSAGE
        else:
            gate_close(&gate)
    if requested == "perf" and refusal:
        raise MeterError(f"MEMKIT_GATE is 'perf', but perf_event_open is refused here: {strerror(refusal).decode()}")


def chosen():
    """The engine for new threads, and why it is not a better one: ``(name, reason or None)``."""
    if preferred < 0:
        probe()
    reason = f"perf_event_open: {strerror(refusal).decode()}" if refusal else None
    return NAMES[preferred], reason
