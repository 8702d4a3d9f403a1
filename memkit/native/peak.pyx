"""The highest resident memory of this process since a moment, transients included.

The kernel keeps a high-water mark (``VmHWM`` in ``/proc/self/status``) and resets it when ``5`` is written to
``/proc/self/clear_refs`` (``man 5 proc``). One keeper owns that mark, because a reset for one purpose would spoil it for the
others: before each reset it folds the mark into every open scope.

Reading it costs as little as it can: ``getrusage`` is asked where it is sure, since ``status`` takes 20 times as long;
without a page fault since the last reading nothing can have risen, and the mark is reset only where it is above memory. A
transient is missed only if it comes and goes in the microsecond between reading the mark and resetting it.
"""

from libc.errno cimport errno
from libc.stdint cimport INT64_MAX, int64_t
from libc.string cimport strerror
from posix.fcntl cimport O_RDONLY, O_WRONLY
from posix.resource cimport RUSAGE_SELF, getrusage, rusage

from posix.types cimport pid_t
from posix.unistd cimport pwrite

from memkit.base.errors import MeterError
from memkit.native.clock cimport now
from memkit.native.descriptors cimport is_ours, ours_t, release
from memkit.native.meter cimport Meter, TEXT, open_kernel_file, own_pid, read_text, sum_of_lines, without_books
from memkit.native.threads cimport (
    pthread_atfork,
    pthread_mutex_init,
    pthread_mutex_lock,
    pthread_mutex_t,
    pthread_mutex_unlock,
)

cdef extern from "<sys/resource.h>" nogil:
    """
    #ifndef RUSAGE_THREAD
    #define RUSAGE_THREAD 1
    #endif
    """
    int RUSAGE_THREAD

cdef struct keeper_t:
    pid_t owner                 # 0: not begun
    bint allowed                # the user lets us reset the high-water mark
    bint resets                 # the kernel does, too
    int refusal                 # errno of the first attempt that failed
    ours_t clear_refs
    ours_t status
    int64_t floor               # the least that getrusage ever told: above this it tells the high-water mark
    int64_t faults              # of the process when the mark was last read; -1: read it in any case
    int64_t hwm                 # what it was then, or was reset to
    int64_t mark                # the kernel's, with all that memkit needs itself
    int64_t told                # what that was when it was given to the scopes last
    int64_t last                # what they were given
    int64_t highest             # of this process, whatever was reset
    volatile int64_t count      # of resets
    scope_t since_reset         # for peak_rss(reset=True)
    scope_t *scopes

cdef keeper_t keeper
cdef pthread_mutex_t lock
pthread_mutex_init(&lock, NULL)
pthread_atfork(NULL, NULL, in_forked_child)
keeper.allowed = True


cdef void in_forked_child() noexcept nogil:
    """Another thread of the parent may have had the lock."""
    pthread_mutex_init(&lock, NULL)


cdef int64_t status_hwm() noexcept nogil:
    cdef char text[TEXT]
    cdef ssize_t length = read_text(&keeper.status, text)
    if length < 0 and open_kernel_file(&keeper.status, b"status", O_RDONLY) == 0:
        length = read_text(&keeper.status, text)
    return sum_of_lines(text, b"VmHWM:") if length > 0 else -1


cdef int64_t usage_hwm() noexcept nogil:
    """What getrusage tells of the process: the high-water mark, or what was that before its exec, whichever is higher.

    The latter is always the same: so it is no more than the least that was ever told, and above that it is the mark. It is
    asked for the calling thread, which is told the same of memory without a sum over all threads.
    """
    cdef rusage usage
    getrusage(RUSAGE_THREAD, &usage)
    return <int64_t>usage.ru_maxrss * 1024


cdef int64_t page_faults() noexcept nogil:
    cdef rusage usage
    getrusage(RUSAGE_SELF, &usage)
    return usage.ru_minflt + usage.ru_majflt


cdef int64_t read_hwm(int64_t memory, int64_t resets) noexcept nogil:
    """The highest resident memory since the last reset; -1 where the kernel does not tell.

    ``memory`` is resident memory as it was just read; -1: it is not known. The mark may lag behind it by some pages. But
    where the mark was reset since then, memory may have fallen before, and counts for the scopes of others only if the
    kernel says so.

    It is without what memkit needs now to count the heap, and needed at most then: too low by what that grew by meanwhile.
    """
    cdef int64_t used = usage_hwm(), faults = -1
    if resets != keeper.count:
        memory = -1
    if used <= keeper.floor and without_books(used) > memory:
        keeper.floor = used
        if memory >= 0:
            faults = page_faults()
            if faults == keeper.faults and memory <= keeper.hwm:
                return keeper.hwm
        used = status_hwm()
    keeper.mark, keeper.faults = used, faults
    keeper.hwm = max(without_books(used), memory)
    return keeper.hwm


cdef void fold(int64_t memory, int64_t resets) noexcept nogil:
    """Give the high-water mark to every open scope."""
    cdef scope_t *scope = keeper.scopes
    cdef int64_t high = read_hwm(memory, resets)
    if not keeper.resets and keeper.mark <= keeper.told:
        return                  # an old mark: nothing is known of the time since
    keeper.told, keeper.last = keeper.mark, high
    keeper.highest = max(keeper.highest, high)
    while scope != NULL:
        scope.peak = max(scope.peak, high)
        scope = scope.next


cdef void reset() noexcept nogil:
    keeper.count += 1
    if keeper.resets and (is_ours(&keeper.clear_refs) or open_kernel_file(&keeper.clear_refs, b"clear_refs", O_WRONLY) == 0):
        pwrite(keeper.clear_refs.fd, b"5", 1, 0)


cdef void link_scope(scope_t *scope) noexcept nogil:
    scope.previous = NULL
    scope.next = keeper.scopes
    if scope.next != NULL:
        scope.next.previous = scope
    keeper.scopes = scope
    scope.open = True


cdef void unlink_scope(scope_t *scope) noexcept nogil:
    if scope.previous != NULL:
        scope.previous.next = scope.next
    else:
        keeper.scopes = scope.next
    if scope.next != NULL:
        scope.next.previous = scope.previous
    scope.open = False


cdef void begin() noexcept nogil:
    """Open the kernel's files, once in a process and again after a fork."""
    if keeper.owner:            # forked: our files speak of the parent, and its scopes are not ours
        release(&keeper.clear_refs)
        release(&keeper.status)
        while keeper.scopes != NULL:
            keeper.scopes.open = False
            keeper.scopes = keeper.scopes.next
    keeper.owner = own_pid()
    keeper.floor = INT64_MAX
    open_kernel_file(&keeper.status, b"status", O_RDONLY)
    keeper.mark = keeper.told = max(status_hwm(), 0)
    keeper.last = keeper.highest = without_books(keeper.mark)
    keeper.refusal = open_kernel_file(&keeper.clear_refs, b"clear_refs", O_WRONLY)
    keeper.since_reset.peak = keeper.highest
    link_scope(&keeper.since_reset)
    if keeper.allowed:
        try_reset()


cdef void take_lock() noexcept nogil:
    """Take the lock, with the kernel's files open."""
    pthread_mutex_lock(&lock)
    if keeper.owner != own_pid():
        begin()


cdef void try_reset() noexcept nogil:
    keeper.resets = False
    if is_ours(&keeper.clear_refs):
        if pwrite(keeper.clear_refs.fd, b"5", 1, 0) == 1:
            keeper.resets = True
        else:
            keeper.refusal = errno
    keeper.floor = usage_hwm()


cdef void lower_mark(int64_t memory, int64_t resets) noexcept nogil:
    """Have the high-water mark tell of nothing before now."""
    fold(memory, resets)
    if memory < 0 or keeper.last > memory:
        reset()
        keeper.hwm = memory


cdef void scope_open(scope_t *scope, int64_t memory, int64_t resets) noexcept nogil:
    take_lock()
    lower_mark(memory, resets)
    scope.peak = 0
    link_scope(scope)
    pthread_mutex_unlock(&lock)


cdef int64_t mark_resets() noexcept nogil:
    return keeper.count


cdef int64_t scope_take(scope_t *scope, int64_t memory, int64_t resets) noexcept nogil:
    cdef int64_t peak
    pthread_mutex_lock(&lock)
    lower_mark(memory, resets)
    peak = scope.peak
    scope.peak = 0
    pthread_mutex_unlock(&lock)
    return peak


cdef int64_t scope_close(scope_t *scope, int64_t memory, int64_t resets) noexcept nogil:
    take_lock()
    if scope.open:              # a forked child finds its parent's closed
        fold(memory, resets)
        unlink_scope(scope)
    pthread_mutex_unlock(&lock)
    return scope.peak


cdef void give_books_back(void (*give_back)() noexcept nogil) noexcept nogil:
    if keeper.owner != own_pid():   # nobody wanted a peak here: the high-water mark is left alone
        give_back()
        return
    take_lock()
    fold(-1, 0)                 # as long as it is known how much of the mark they are
    give_back()
    reset()
    keeper.faults = -1
    pthread_mutex_unlock(&lock)


cdef class Scope:
    """A stretch of this process's time, from its making to ``close()``, whose peak is wanted.

    With a ``meter`` of its resident memory it reads that too, at its beginning and its end, and costs much less.
    """

    cdef scope_t scope
    cdef Meter meter
    cdef int64_t found
    cdef readonly object memory     # in bytes as it was last read, or None
    cdef readonly int64_t time      # when that was, on the monotonic clock

    def __cinit__(self, Meter meter=None):
        cdef int64_t resets = mark_resets()
        self.meter = meter
        self.read()
        scope_open(&self.scope, self.found, resets)
        self.time = now()

    cdef int read(self) except -1:
        """Read memory. The GIL is kept: another thread could have it for long."""
        self.found = self.meter.bytes() if self.meter is not None else -1
        self.memory = self.found if self.found >= 0 else None
        return 0

    def close(self):
        """The highest resident memory during the stretch in bytes, or None where the kernel does not tell."""
        cdef int64_t resets = mark_resets()
        self.time = now()
        if self.scope.open or self.meter is not None:
            self.read()
            scope_close(&self.scope, self.found, resets)
        return self.scope.peak or None

    def __dealloc__(self):
        if self.scope.open:
            scope_close(&self.scope, -1, 0)


def allow_reset(bint allowed):
    """Whether the high-water mark may be reset from now on; others read it too (a parent's ``wait4``)."""
    take_lock()
    fold(-1, 0)
    keeper.allowed = allowed
    keeper.resets = False
    if allowed:
        try_reset()
    else:
        keeper.last, keeper.told = max(read_hwm(-1, 0), 0), keeper.mark
    pthread_mutex_unlock(&lock)


def peaks():
    """How peaks are known here, and why not better: ``("reset" | "mark" | "samples", reason or None)``.

    ``reset``: the high-water mark is reset, so every peak is exact. ``mark``: it is only read, so a peak is exact where
    the process rose higher than ever before. ``samples``: nothing but the readings themselves.
    """
    take_lock()
    pthread_mutex_unlock(&lock)
    if keeper.resets:
        return "reset", None
    reason = f"/proc/self/clear_refs: {strerror(keeper.refusal).decode()}" if keeper.allowed else "switched off"
    return ("mark" if keeper.last > 0 else "samples"), reason


def peak_rss(bint reset=False):
    """The highest resident memory of this process in bytes, since it began or since the last reset, or None."""
    take_lock()
    fold(-1, 0)
    cdef int64_t peak = max(keeper.since_reset.peak, 0)
    pthread_mutex_unlock(&lock)
    if not reset:
        return peak or None
    if not keeper.resets:
        raise MeterError(f"the peak cannot be reset here ({peaks()[1]}); call peak_rss() without reset")
    scope_take(&keeper.since_reset, -1, 0)
    return peak or None
