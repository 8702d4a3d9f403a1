"""What each line does to memory: hits, time, growth and peak, summed up in C.

Every thread sums for itself, in tables that only it writes; a flush reads them from any other thread and writes what has
come since the last one. A function that runs has an activation on its thread's stack, from entry or resumption to return or
suspension. When a line ends, it is given

* growth: memory now less memory when it began, less what activations of the same code inside it have accounted for, so that
  a recursion counts each byte once, on the line that really grew, and a function's growths add up to exit less entry;
* time, by the same rule;
* peak: the highest while it ran, from the kernel's mark, which is looked at only where something moved.

Memory is read only when the gate says that it can have changed.
"""

from cpython.mem cimport PyMem_RawCalloc, PyMem_RawFree, PyMem_RawMalloc, PyMem_RawRealloc
from libc.stdint cimport int64_t, uint64_t

from memkit.native.codes cimport codes_close, codes_open
from memkit.native.gate cimport gate_close, gate_open, must_read, nanoseconds_per_tick, thread_faults, ticks
from memkit.native.journal cimport journal_row, journal_t
from memkit.native.meter cimport meter_read
from memkit.native.peak cimport scope_close, scope_open, scope_take
from memkit.native.threads cimport pthread_mutex_init, pthread_mutex_lock, pthread_mutex_t, pthread_mutex_unlock

cdef extern from *:
    """
    #include <pthread.h>
    #define MEMKIT_SLOTS 8
    static __thread void *memkit_current[MEMKIT_SLOTS] __attribute__((tls_model("initial-exec")));
    static pthread_key_t memkit_key;

    #define memkit_publish(place, value) __atomic_store_n(&(place), (value), __ATOMIC_RELEASE)
    #define memkit_load(place) __atomic_load_n(&(place), __ATOMIC_ACQUIRE)

    /* Called as a thread ends, and in a forked child for its only thread. */
    static void memkit_on_thread_end(void (*leave)(void *)) {
        for (int slot = 0; slot < MEMKIT_SLOTS; slot++)
            if (memkit_current[slot]) {
                leave(memkit_current[slot]);
                memkit_current[slot] = 0;
            }
    }
    """
    void *current "memkit_current"[SLOTS]
    ctypedef int pthread_key_t
    pthread_key_t key "memkit_key"
    int pthread_key_create(pthread_key_t *, void (*)(void *) noexcept nogil) nogil
    int pthread_setspecific(pthread_key_t, const void *) nogil
    int pthread_atfork(void *, void *, void (*)() noexcept nogil) nogil
    void each_current "memkit_on_thread_end"(void (*)(void *) noexcept nogil) noexcept nogil
    void publish_table "memkit_publish"(table_t *, table_t *) noexcept nogil
    void publish_thread "memkit_publish"(thread_t *, thread_t *) noexcept nogil
    table_t *load_table "memkit_load"(table_t *) noexcept nogil
    thread_t *load_thread "memkit_load"(thread_t *) noexcept nogil

cdef lines_t *in_use[SLOTS]
cdef thread_t *threads[SLOTS]           # never freed: a thread may come back to its own at any time
cdef pthread_mutex_t threads_lock
cdef int64_t generations = 0


# -- threads -----------------------------------------------------------------------------------------------------------

cdef void leave_thread(void *thread) noexcept nogil:
    """Take from a thread what it holds of the system; its sums stay, and the next thread goes on with them."""
    cdef thread_t *t = <thread_t *>thread
    pthread_mutex_lock(&threads_lock)
    gate_close(&t.gate)
    if t.scope.open:
        scope_close(&t.scope)
    t.generation = 0
    t.busy = False
    pthread_mutex_unlock(&threads_lock)


cdef void at_thread_end(void *_) noexcept nogil:
    each_current(leave_thread)


cdef void forget_thread(void *thread) noexcept nogil:
    # The rings of the parent's events are not mapped in a forked child.
    gate_close(&(<thread_t *>thread).gate)


cdef void in_forked_child() noexcept nogil:
    each_current(forget_thread)


cdef thread_t *join_thread(lines_t *lines) noexcept:
    """The calling thread's state, made ready at its first event."""
    cdef thread_t *t = <thread_t *>current[lines.slot]
    cdef table_t *table
    if t == NULL:
        t = threads[lines.slot]
        while t != NULL and t.busy:
            t = t.next
    if t == NULL:
        t = <thread_t *>PyMem_RawCalloc(1, sizeof(thread_t))
        if t == NULL:
            return NULL
        t.room = 64
        t.stack = <activation_t *>PyMem_RawMalloc(t.room * sizeof(activation_t))
        if t.stack == NULL:
            PyMem_RawFree(t)
            return NULL
        t.next = threads[lines.slot]
        publish_thread(threads[lines.slot], t)
    table = t.first
    while table != NULL:
        table.top = -1
        table = table.next
    t.busy = True
    t.generation = lines.generation
    t.depth = 0
    gate_open(&t.gate)
    if lines.scoped:
        scope_open(&t.scope)
    t.memory = meter_read(&lines.meter)
    t.faults = thread_faults()
    current[lines.slot] = t
    pthread_setspecific(key, <void *>1)
    return t


cdef thread_t *this_thread(lines_t *lines) noexcept:
    cdef thread_t *t = <thread_t *>current[lines.slot]
    return t if t != NULL and t.generation == lines.generation else join_thread(lines)


cdef table_t *table_of(lines_t *lines, thread_t *t, int index) noexcept:
    """This thread's sums for a code object, made at its first entry."""
    cdef table_t **tables = t.tables
    cdef table_t *table
    cdef int i
    if index >= t.known:
        tables = <table_t **>PyMem_RawRealloc(tables, lines.codes.count * sizeof(table_t *))
        if tables == NULL:
            return NULL
        for i in range(t.known, lines.codes.count):
            tables[i] = NULL
        t.tables, t.known = tables, lines.codes.count
    if tables[index] == NULL:
        table = <table_t *>PyMem_RawCalloc(1, sizeof(table_t))
        if table == NULL:
            return NULL
        table.about = lines.codes.wanted[index]
        table.top = -1
        table.lines = <line_t *>PyMem_RawCalloc(table.about.count, sizeof(line_t))
        if table.lines == NULL:
            PyMem_RawFree(table)
            return NULL
        tables[index] = table
        table.next = t.first
        publish_table(t.first, table)
    return tables[index]


# -- what runs ---------------------------------------------------------------------------------------------------------

cdef void look(lines_t *lines, thread_t *t) noexcept nogil:
    """Read memory; where something moved, learn the peak since the last time, for the activation on top."""
    cdef int64_t memory = meter_read(&lines.meter)
    cdef long faults = thread_faults()
    cdef int64_t peak = memory
    t.reads += 1
    if memory != t.memory or faults != t.faults:
        t.faults = faults
        if lines.scoped:
            peak = max(memory, scope_take(&t.scope, memory))
    if memory >= 0:
        t.memory = memory
    if t.depth:
        t.stack[t.depth - 1].peak = max(t.stack[t.depth - 1].peak, peak)
    else:
        t.scope.peak = 0        # what was before the first activation is nobody's
    t.gate.asked = ticks()

cdef activation_t *enter(lines_t *lines, thread_t *t, int index, int row, uint64_t time) noexcept:
    cdef table_t *table = table_of(lines, t, index)
    cdef activation_t *a
    cdef activation_t *stack
    if table == NULL:
        return NULL
    if must_read(&t.gate, time):
        look(lines, t)
        time = t.gate.asked
    if t.depth == t.room:
        stack = <activation_t *>PyMem_RawRealloc(t.stack, 2 * t.room * sizeof(activation_t))
        if stack == NULL:
            return NULL
        t.stack, t.room = stack, 2 * t.room
    a = &t.stack[t.depth]
    a.table = table
    a.frame = NULL
    a.outer = table.top
    a.entered = time
    a.entry = a.highest = t.memory
    table.top = t.depth
    t.depth += 1
    begin_line(t, a, row, time)
    return a


cdef void leave(thread_t *t, uint64_t time) noexcept nogil:
    """Take the activation on top off the stack; its last line has been given its share."""
    cdef activation_t *a = &t.stack[t.depth - 1]
    cdef activation_t *around
    a.table.top = a.outer
    if a.outer >= 0:
        around = &t.stack[a.outer]
        around.nested += t.memory - a.entry
        around.nested_time += time - a.entered
    t.depth -= 1
    if t.depth:
        around = &t.stack[t.depth - 1]
        around.peak = max(around.peak, a.highest)


cdef void leave_down_to(lines_t *lines, thread_t *t, int place, uint64_t time) noexcept nogil:
    """Take off the stack what vanished without an event, until an activation is on top."""
    while t.depth - 1 > place:
        time = end_line(lines, t, time)
        leave(t, time)


# -- writing -----------------------------------------------------------------------------------------------------------

cdef void write_table(table_t *table, journal_t *journal, double tick) noexcept nogil:
    cdef int64_t row[7]
    cdef line_t *line
    cdef int i
    cdef uint64_t time
    row[0] = table.about.number
    for i in range(table.about.count):
        line = &table.lines[i]
        time = line.time
        row[2] = line.hits - line.written_hits
        row[4] = line.growth - line.written_growth
        row[5], row[6] = line.memory, line.peak
        if row[2] == 0 and row[4] == 0 and time == line.written_time:
            if row[5] == line.written_memory and row[6] == line.written_peak:
                continue
        row[1] = table.about.first + i
        row[3] = <int64_t>((time - line.written_time) * tick)
        line.written_hits += row[2]
        line.written_growth += row[4]
        line.written_time = time
        line.written_memory, line.written_peak = row[5], row[6]
        journal_row(journal, b"line", row, 7)


cdef void lines_flush(lines_t *lines, journal_t *journal) noexcept nogil:
    cdef double tick = nanoseconds_per_tick()
    cdef thread_t *t = load_thread(threads[lines.slot])
    cdef table_t *table
    cdef int64_t reads = 0
    while t != NULL:
        reads += t.reads
        table = load_table(t.first)
        while table != NULL:
            write_table(table, journal, tick)
            table = table.next
        t = t.next
    if reads != lines.written_reads:
        reads, lines.written_reads = reads - lines.written_reads, reads
        journal_row(journal, b"reads", &reads, 1)


# -- open and close ----------------------------------------------------------------------------------------------------

cdef int lines_open(lines_t *lines) noexcept:
    global generations
    if generations == 0:
        pthread_key_create(&key, at_thread_end)
        pthread_atfork(NULL, NULL, in_forked_child)
        pthread_mutex_init(&threads_lock, NULL)
    lines.slot = 0
    while lines.slot < SLOTS and in_use[lines.slot] != NULL:
        lines.slot += 1
    if lines.slot == SLOTS:
        lines.slot = -1
        return -1
    if not codes_open(&lines.codes):
        codes_close(&lines.codes)
        lines.slot = -1
        return -2
    generations += 1
    lines.generation = generations
    in_use[lines.slot] = lines
    return 0


cdef void free_tables(thread_t *t) noexcept:
    cdef table_t *table = t.first
    cdef table_t *gone
    while table != NULL:
        gone, table = table, table.next
        PyMem_RawFree(gone.lines)
        PyMem_RawFree(gone)
    PyMem_RawFree(t.tables)
    t.tables, t.known, t.first = NULL, 0, NULL


cdef void lines_close(lines_t *lines) noexcept:
    cdef thread_t *t
    if lines.slot < 0:
        return
    lines.active = False
    pthread_mutex_lock(&threads_lock)
    t = threads[lines.slot]
    while t != NULL:
        gate_close(&t.gate)
        if t.scope.open:
            scope_close(&t.scope)
        free_tables(t)
        t.generation = t.depth = t.reads = 0
        t = t.next
    pthread_mutex_unlock(&threads_lock)
    in_use[lines.slot] = NULL
    lines.slot = -1
    codes_close(&lines.codes)


cdef int gate_of(lines_t *lines) noexcept:
    cdef thread_t *t = threads[lines.slot]
    cdef int worst = 0
    while t != NULL:
        if t.generation == lines.generation:
            worst = max(worst, t.gate.engine)
        t = t.next
    return worst
