"""A native thread that reads memory at a steady interval and writes a row of it.

It is a bare POSIX thread: no Python thread state, no GIL, every signal blocked. So it goes on while a C call holds the GIL
and is invisible to ``threading``. A tick is the moment at which a row is due. Deadlines are absolute, so lateness does not
add up; missed ticks are counted. Each row has the peak since the row before, so a long interval misses no peak.
"""

from cpython.pycapsule cimport PyCapsule_GetPointer
from libc.stdint cimport int64_t
from posix.time cimport CLOCK_MONOTONIC, timespec
from posix.types cimport pid_t
from posix.fcntl cimport O_RDONLY
from posix.unistd cimport getpid

from memkit.native.clock cimport MILLISECOND, as_timespec, now, thread_cpu
from memkit.native.sampling.limit_guard cimport STOP, Guard, guard_call_python, guard_poll, guard_stop, guard_t, guard_write
from memkit.native.journal cimport Journal, journal_flush, journal_row, journal_t, writer_t
from memkit.native.descriptors cimport ours_t, release
from memkit.native.meter cimport TEXT, Meter, meter_read, meter_t, open_file_of, open_kernel_file, read_text, sum_of_lines
from memkit.native.peak cimport mark_resets, scope_close, scope_open, scope_t, scope_take
from memkit.native.sampling.mapped cimport mapped_t, mapped_write
from memkit.native.sampling.stacks cimport stacks_close, stacks_open, stacks_t, stacks_write
from memkit.native.sampling.termination cimport (
    termination_call, termination_forget, termination_look, termination_t, termination_watch, termination_write
)
from memkit.native.sampling.sums cimport sums_t, sums_write
from memkit.native.threads cimport (
    pthread_cond_init, pthread_cond_signal, pthread_cond_t, pthread_cond_timedwait, pthread_condattr_init,
    pthread_condattr_setclock, pthread_condattr_t, pthread_join, pthread_mutex_init, pthread_mutex_lock, pthread_mutex_t,
    pthread_mutex_unlock, pthread_t, start_thread,
)

cdef enum:
    FLUSH = 250 * MILLISECOND           # what a kill may lose
    COST = 1000 * MILLISECOND           # between two rows about the sampler itself
    STACK = 256 * 1024                  # little: under RLIMIT_AS a default stack of 8 MiB would be the program's loss
    READING_SHARE = 100                 # a reading may take 1/100 of the time until the next
    SUMS_SHARE = 25                     # of sums that writing may take
    RISE = 20                           # a rise by 1/20 is flushed at once: the next may be the last

# An automatic interval is 1/434 of the time elapsed: a thousand rows for each factor of ten.
cdef enum:
    AUTO_START = MILLISECOND
    AUTO_GROWTH = 434
    LONGEST_PAUSE = FLUSH               # between two polls

cdef struct sampler_t:
    meter_t *meter
    journal_t *journal
    sums_t sums                 # of tracers, which are added before a flush
    guard_t *guard              # of a limit, or NULL
    stacks_t *stacks            # of all threads, as memory rises near a limit, or NULL
    int64_t near                # memory from which on they are written
    scope_t scope
    bint scoped                 # the meter is one that the kernel keeps a high-water mark of
    ours_t status               # of the process: another's has its mark, while our own is reset instead
    mapped_t mapped
    int64_t hwm                 # what that mark was
    int64_t slack               # by how much it may seem to fall: the kernel's counts differ by as much
    bint hwm_was_reset          # by that process, or as it executed another program
    int64_t began
    int64_t interval            # 0: automatic
    int64_t due                 # the next tick
    int64_t poll_due            # when memory is read next, at the latest at the tick
    int64_t cost_due
    int64_t peak                # since the last row
    int64_t highest             # in any row so far
    int64_t flushed             # the highest when rows last went to the file
    int64_t ticks
    int64_t missed
    int64_t cpu                 # of the thread, when it was last written
    bint stopping
    termination_t termination
    pthread_t thread
    pthread_mutex_t lock
    pthread_cond_t wake


cdef int64_t interval_at(sampler_t *s, int64_t time) noexcept nogil:
    if s.interval:
        return s.interval
    return max(<int64_t>AUTO_START, (time - s.began) // AUTO_GROWTH)


cdef void write_sample(sampler_t *s, int64_t time, int64_t memory) noexcept nogil:
    cdef int64_t row[3]
    row[0], row[1], row[2] = time - s.began, memory, s.peak - memory
    if s.scoped:
        mapped_write(&s.mapped, s.journal, s.meter, &s.status, row)
    journal_row(s.journal, b"sample", row, 3 if s.peak > memory else 2)
    s.highest = max(s.highest, max(s.peak, memory))
    s.peak = 0
    s.ticks += 1


cdef void write_cost(sampler_t *s, int64_t cpu) noexcept nogil:
    """Write what came since the last time; ``cpu`` is the time that the thread has taken in all."""
    cdef int64_t row[3]
    row[0], row[1], row[2] = s.ticks, s.missed, cpu - s.cpu
    journal_row(s.journal, b"cost", row, 3)
    s.ticks = s.missed = 0
    s.cpu = cpu


cdef int64_t poll(sampler_t *s) noexcept nogil:
    """Read memory, and note the peak since the last poll."""
    cdef int64_t resets = mark_resets(), memory = meter_read(s.meter)
    if not s.scoped:
        s.peak = max(s.peak, memory)
    elif s.meter.pid:
        s.peak = max(s.peak, risen_hwm(s))
    else:
        s.peak = max(s.peak, scope_take(&s.scope, memory, resets))
    return memory


cdef int64_t risen_hwm(sampler_t *s) noexcept nogil:
    """The high-water mark of another process if it rose or was reset since the last poll, else -1."""
    cdef char text[TEXT]
    cdef int64_t hwm = sum_of_lines(text, b"VmHWM:") if read_text(&s.status, text) > 0 else -1
    if hwm < 0 or s.hwm - s.slack <= hwm <= s.hwm:
        return -1
    s.hwm_was_reset = s.hwm_was_reset or hwm < s.hwm
    s.hwm = hwm
    return hwm


cdef void schedule(sampler_t *s, int64_t time, int64_t cost) noexcept nogil:
    """Find the next tick and poll; ticks that are past already are missed."""
    cdef int64_t missed, interval = interval_at(s, time)
    if time >= s.due:
        if cost * READING_SHARE > interval:
            s.due = time + cost * READING_SHARE
        else:
            missed = (time - s.due) // interval
            s.missed += missed
            s.due += (missed + 1) * interval
    s.poll_due = min(s.due, time + max(<int64_t>LONGEST_PAUSE, cost * READING_SHARE))


cdef void take(sampler_t *s, int64_t time, bint must) noexcept nogil:
    """Poll, and write a row at a tick, at a new height, or if it ``must`` be."""
    cdef int64_t cost = thread_cpu() if s.meter.costly else 0
    cdef int64_t memory = poll(s)
    if s.meter.costly:
        cost = thread_cpu() - cost
    # Between two distant ticks a new height is written at once: it may be the last thing the program does.
    if memory >= 0 and (must or time >= s.due or max(memory, s.peak) > s.highest + s.highest // 100):
        write_sample(s, time, memory)
    if s.guard != NULL and s.guard.used.count == 0 and memory >= s.guard.threshold and not s.guard.crossed:
        s.guard.due = time
    schedule(s, time, cost)


cdef void write_sums(sampler_t *s, int64_t time, bint whole) noexcept nogil:
    cdef int64_t took = thread_cpu()
    sums_write(&s.sums, s.journal, s.began, time, poll(s), whole)
    s.sums.due = time + max(<int64_t>FLUSH, (thread_cpu() - took) * SUMS_SHARE)


cdef void poll_limit(sampler_t *s, int64_t time) noexcept nogil:
    """See whether memory has reached the limit; then all that is known goes to the file, before anything else happens."""
    if not guard_poll(s.guard, time):
        return
    take(s, time, True)
    guard_write(s.guard, s.journal, time - s.began)
    write_sums(s, time, True)
    journal_flush(s.journal, now())
    s.flushed = s.highest
    if s.guard.action == STOP:
        write_cost(s, thread_cpu())
        guard_stop(s.guard, s.journal, now() - s.began)


cdef void write_stack_snapshot(sampler_t *s, int64_t time) noexcept nogil:
    """Write where the threads are: should the program die now, this is what ran last."""
    cdef int64_t row[1]
    row[0] = time - s.began
    journal_row(s.journal, b"snapshot", row, 1)
    stacks_write(s.stacks, s.journal, time - s.began)


cdef void *run(void *argument) noexcept nogil:
    cdef sampler_t *s = <sampler_t *>argument
    cdef int64_t time, flush = now() + FLUSH
    cdef timespec until
    cdef bint rose
    s.cpu = 0
    pthread_mutex_lock(&s.lock)
    while not s.stopping:
        until = as_timespec(min(min(s.poll_due, flush), s.guard.due if s.guard != NULL else flush))
        pthread_cond_timedwait(&s.wake, &s.lock, &until)
        time = now()
        if s.stopping:
            break
        if s.termination.number:
            take(s, time, True)
            write_sums(s, time, True)
            termination_write(&s.termination, s.journal, s.began)
        if time >= s.poll_due:
            take(s, time, False)
        if s.guard != NULL:
            if time >= s.guard.due:
                poll_limit(s, time)
            guard_call_python(s.guard)
        if time >= s.cost_due:
            write_cost(s, thread_cpu())
            s.cost_due = time + COST
        rose = s.highest - s.flushed > s.flushed // RISE
        if time >= flush or rose:
            if rose and s.stacks != NULL and s.highest >= s.near:
                write_stack_snapshot(s, time)
            if s.sums.writers != NULL and (rose or time >= s.sums.due):
                write_sums(s, time, False)
            journal_flush(s.journal, time)
            termination_look(&s.termination)
            s.flushed = s.highest
            flush = time + FLUSH
    write_cost(s, thread_cpu())
    pthread_mutex_unlock(&s.lock)
    return NULL


cdef class Sampler:
    """A thread that writes ``sample`` rows.

    ``journal`` is where to, ``meter`` what of, ``interval`` nanoseconds between two or 0 for an interval that grows with the
    time elapsed, ``began`` the moment (on ``time.monotonic_ns``) that the rows count from. ``peaks`` is whether the kernel's
    high-water mark is to be used; that of another process is only read: ``hwm`` is what it was before, and ``slack`` by how
    much it may seem to fall.
    """

    engine = "native"

    cdef sampler_t sampler
    cdef stacks_t stacks
    cdef Journal journal
    cdef Meter meter
    cdef Guard guard
    cdef list capsules          # of the writers
    cdef pid_t home             # the process that made it; in one forked from it any lock may be held for ever
    cdef pid_t owner            # the process that the thread is of
    cdef bint running
    cdef bint threaded

    def __cinit__(self, Journal journal, Meter meter, int64_t interval, int64_t began, bint peaks, int64_t hwm=0,
                  int64_t slack=0):
        cdef pthread_condattr_t monotonic
        self.journal, self.meter = journal, meter
        self.home = getpid()
        self.sampler.journal, self.sampler.meter = &journal.journal, &meter.meter
        self.sampler.interval, self.sampler.began = interval, began
        self.sampler.scoped, self.sampler.hwm, self.sampler.slack = peaks, hwm, slack
        self.sampler.status.fd = self.stacks.memory.file.fd = -1
        if peaks and meter.pid is not None:
            open_file_of(&meter.meter.folder, &self.sampler.status, b"status")
        elif peaks:
            open_kernel_file(&self.sampler.status, b"status", O_RDONLY)
        pthread_mutex_init(&self.sampler.lock, NULL)
        pthread_condattr_init(&monotonic)
        pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC)
        pthread_cond_init(&self.sampler.wake, &monotonic)
        self.sampler.termination.wake = &self.sampler.wake

    def start(self, bint thread=True):
        """Take the first sample and start the thread, or without one wait for the end."""
        cdef int64_t time = now()
        self.sampler.due = time
        self.sampler.cost_due = time + COST
        if self.sampler.scoped and self.meter.pid is None:
            scope_open(&self.sampler.scope, -1, 0)
        take(&self.sampler, time, True)
        journal_flush(self.sampler.journal, time)
        self.owner, self.threaded = getpid(), thread
        self.resume()

    def watch(self, bound):
        """Poll a limit, a ``memkit.record.limit_guard.Bound``. To be called before the start."""
        self.guard = Guard(self.journal, self.meter, bound, self.sampler.began)
        self.sampler.guard = &self.guard.guard

    def flush_when_terminated(self, bint on, handled=None):
        """Flush before SIGTERM ends the process, unless the program handles it; off: once everything is in the file.

        ``handled`` is called once the program does, by the main thread.
        """
        if handled is not None:
            termination_call(handled)
        (termination_watch if on else termination_forget)(&self.sampler.termination)
        self.sampler.termination.paused = not self.running

    def snapshot_stacks_from(self, int64_t memory, stacks):
        """Write where the threads are whenever memory rises by 1/20 to a height of ``memory`` or more: before the start.

        ``stacks`` is for the portable sampler, which cannot read stacks without Python's help.
        """
        stacks_open(&self.stacks)
        if self.stacks.memory.file.fd >= 0:
            self.sampler.stacks, self.sampler.near = &self.stacks, memory

    def flush_also(self, writers):
        """Have writers add rows before a flush: capsules that tracers' ``writer()`` returned, in place of those before."""
        cdef writer_t *first = NULL
        cdef writer_t *one
        cdef list capsules = list(writers)
        for capsule in capsules:
            PyCapsule_GetPointer(capsule, b"memkit.writer")         # raises for anything else
        if self.home != getpid():
            self.sampler.sums.writers, self.capsules = NULL, None
            return
        self.lock()
        for capsule in capsules:
            one = <writer_t *>PyCapsule_GetPointer(capsule, b"memkit.writer")
            one.next, first = first, one
        self.sampler.sums.writers = first
        self.sampler.sums.due = self.sampler.sums.whole_due = 0
        pthread_mutex_unlock(&self.sampler.lock)
        self.capsules = capsules            # releases those before, which may run Python

    cdef void lock(self) noexcept:
        with nogil:
            pthread_mutex_lock(&self.sampler.lock)

    def flush(self):
        """Write the sums as they are now, and hand everything to the kernel."""
        if self.home != getpid():
            return
        self.lock()
        with nogil:
            write_sums(&self.sampler, now(), True)
            journal_flush(self.sampler.journal, now())
            pthread_mutex_unlock(&self.sampler.lock)

    def flush_with_sample(self):
        """Read once more, and write everything, for the process may end at once."""
        if self.home != getpid() or not self.running:
            return
        self.lock()
        with nogil:
            take(&self.sampler, now(), True)
            pthread_mutex_unlock(&self.sampler.lock)
        self.flush()

    def pause(self):
        """End the thread, so that a fork finds none; ``resume`` starts another that goes on."""
        if not self.running:
            return
        if self.owner != getpid():      # forked by C code, which copies no thread
            self.running = False
            return
        self.lock()
        with nogil:
            self.sampler.stopping = self.sampler.termination.paused = True
            pthread_cond_signal(&self.sampler.wake)
            pthread_mutex_unlock(&self.sampler.lock)
            pthread_join(self.sampler.thread, NULL)
        self.running = False

    def resume(self):
        """Start the thread. Raises ``OSError`` where the system has none to give."""
        cdef int code
        if self.running or not self.threaded:
            return
        self.sampler.stopping = False
        code = start_thread(&self.sampler.thread, run, &self.sampler, STACK)
        if code:
            raise OSError(code, "the sampling thread cannot be started")
        self.running = True
        self.sampler.termination.paused = False
        self.owner = getpid()

    def stop(self):
        """End the thread and take the last sample."""
        self.pause()
        if self.guard is not None:
            self.guard.end()
        if self.owner == getpid():
            take(&self.sampler, now(), True)
            write_cost(&self.sampler, self.sampler.cpu)
            if self.sampler.scope.open:
                scope_close(&self.sampler.scope, -1, 0)
            self.owner = 0

    @property
    def hwm_was_reset(self):
        """Whether the high-water mark of another process was reset meanwhile, so that not all peaks are known."""
        return self.sampler.hwm_was_reset

    def __dealloc__(self):
        self.pause()
        termination_forget(&self.sampler.termination)
        release(&self.sampler.status)
        stacks_close(&self.stacks)
        if self.sampler.scope.open:
            scope_close(&self.sampler.scope, -1, 0)
