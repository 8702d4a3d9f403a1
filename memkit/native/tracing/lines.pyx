"""What each line does to memory: hits, time, growth and peak, summed up in C.

Every thread sums for itself, in tables that only it writes; a flush adds them up from any other thread, and what the lines
that run have done so far. A function that runs has an activation on its thread's stack, from entry or resumption to return
or suspension. When a line ends, it is given

* growth: memory now less memory when it began, less what activations of the same code inside it have accounted for, so that
  a recursion counts each byte once, on the line that really grew, and a function's growths add up to exit less entry;
* time, by the same rule;
* peak: the highest while it ran, from the kernel's mark, which is looked at only where something moved.

Memory is read only when the gate says that it can have changed.
"""

from cpython.mem cimport PyMem_RawCalloc, PyMem_RawFree, PyMem_RawRealloc
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcpy

from memkit.native.tracing.code_table cimport codes_close, codes_open, total_t
from memkit.native.tracing.gate cimport must_read, nanoseconds_per_tick, ticks
from memkit.native.journal cimport journal_row, journal_t
from memkit.native.tracing.thread_state cimport (
    OF_LINES, SLOTS, is_open, new_reads, tracer_close, tracer_open, watch_join, watch_look, watch_part, watch_t, watches,
)

cdef extern from *:
    """
    static __thread void *memkit_lines_of_thread[8] __attribute__((tls_model("initial-exec")));
    #define memkit_publish(place, value) __atomic_store_n(&(place), (value), __ATOMIC_RELEASE)
    #define memkit_load(place) __atomic_load_n(&(place), __ATOMIC_ACQUIRE)
    """
    void *current "memkit_lines_of_thread"[SLOTS]
    void publish_table "memkit_publish"(table_t *, table_t *) noexcept nogil
    void publish_stack "memkit_publish"(activation_t *, activation_t *) noexcept nogil
    void publish_depth "memkit_publish"(int, int) noexcept nogil
    table_t *load_table "memkit_load"(table_t *) noexcept nogil
    activation_t *load_stack "memkit_load"(activation_t *) noexcept nogil
    int load_depth "memkit_load"(int) noexcept nogil

cdef enum:
    FIRST_ROOM = 64
    MOST_OPEN = 100             # of the activations that run, how many a flush looks at


# -- threads -----------------------------------------------------------------------------------------------------------

cdef bint make_room(thread_t *t) noexcept:
    """Give a thread a larger stack, with what is on it."""
    cdef stack_t *stack = <stack_t *>PyMem_RawCalloc(1, sizeof(stack_t))
    if stack == NULL:
        return False
    stack.room = 2 * t.stacks.room if t.stacks != NULL else FIRST_ROOM
    stack.at = <activation_t *>PyMem_RawCalloc(stack.room, sizeof(activation_t))
    if stack.at == NULL:
        PyMem_RawFree(stack)
        return False
    if t.stacks != NULL:
        memcpy(stack.at, t.stack, t.depth * sizeof(activation_t))
    stack.before = t.stacks
    t.stacks = stack
    publish_stack(t.stack, stack.at)
    return True


cdef void forget_what_runs(thread_t *t) noexcept nogil:
    cdef table_t *table = t.first
    while table != NULL:
        table.top = table.inner = -1
        table = table.next
    publish_depth(t.depth, 0)


cdef void leave_all(lines_t *lines) noexcept:
    cdef watch_t *watch = watches(&lines.tracer)
    while watch != NULL:
        forget_what_runs(<thread_t *>watch)
        watch = watch.next


cdef thread_t *join_thread(lines_t *lines) noexcept:
    """The calling thread's state, made ready at its first event."""
    cdef thread_t *t = <thread_t *>watch_join(&lines.tracer, sizeof(thread_t))
    if t == NULL:
        return NULL
    if t.stack == NULL and not make_room(t):
        watch_part(&t.watch)
        return NULL
    forget_what_runs(t)
    current[lines.tracer.slot] = t
    return t


cdef thread_t *this_thread(lines_t *lines) noexcept:
    cdef thread_t *t = <thread_t *>current[lines.tracer.slot]
    return t if t != NULL and t.watch.generation == lines.tracer.generation else join_thread(lines)


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
        table.top = table.inner = -1
        table.lines = <line_t *>PyMem_RawCalloc(table.about.count, sizeof(line_t))
        if table.lines == NULL:
            PyMem_RawFree(table)
            return NULL
        table.lead = table if table.about.lead < 0 else table_of(lines, t, table.about.lead)
        if table.lead == NULL:
            table.lead = table
        t.tables[index] = table
        table.next = t.first
        publish_table(t.first, table)
    return t.tables[index]


# -- what runs ---------------------------------------------------------------------------------------------------------

cdef void look(lines_t *lines, thread_t *t) noexcept nogil:
    """Read memory; where something moved, learn the peak since the last time, for the activation on top."""
    cdef int64_t peak = watch_look(&lines.tracer, &t.watch)
    if t.depth:
        t.stack[t.depth - 1].peak = max(t.stack[t.depth - 1].peak, peak)


cdef activation_t *enter(lines_t *lines, thread_t *t, int index, int row, uint64_t time) noexcept:
    cdef table_t *table = table_of(lines, t, index)
    cdef activation_t *a
    if table == NULL or (t.depth == t.stacks.room and not make_room(t)):
        return NULL
    if must_read(&t.watch.gate, time):
        look(lines, t)
        time = t.watch.gate.asked
    a = &t.stack[t.depth]
    a.table = table
    a.frame = NULL
    a.outer, a.around = table.top, table.lead.inner
    a.entered = time
    a.entry = a.highest = t.watch.memory
    table.top = table.lead.inner = t.depth
    if row == -1:
        table.calls += 1
        table.last_entered, table.last_entry = time, a.entry
        if table.calls == 1:
            table.first_entered, table.first_entry = time, a.entry
    begin_line(t, a, row, time)
    publish_depth(t.depth, t.depth + 1)
    return a


cdef void leave(thread_t *t, uint64_t time) noexcept nogil:
    """Take the activation on top off the stack; its last line has been given its share."""
    cdef activation_t *a = &t.stack[t.depth - 1]
    cdef activation_t *around
    a.table.top, a.table.lead.inner = a.outer, a.around
    if a.around >= 0:
        around = &t.stack[a.around]
        around.nested += t.watch.memory - a.entry
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

cdef inline total_t *total_of(lines_t *lines, table_t *table, int row) noexcept nogil:
    """What a line comes to in this flush, from nothing at the first asking."""
    cdef total_t *total = &table.about.totals[row]
    if total.flush != lines.flushes:
        total.flush = lines.flushes
        total.hits = total.time = total.growth = total.peak = 0
        total.ended = 0
    return total


cdef void add_table(lines_t *lines, table_t *table) noexcept nogil:
    cdef total_t *total
    cdef line_t *line
    cdef int i
    for i in range(table.about.count):
        line = &table.lines[i]
        if line.hits == 0 and line.ended == 0:
            continue
        total = total_of(lines, table, i)
        total.hits += line.hits
        total.time += line.time
        total.growth += line.growth
        total.peak = max(total.peak, line.peak)
        if line.ended >= total.ended:
            total.ended, total.memory = line.ended, line.memory


cdef void add_running(lines_t *lines, thread_t *t, int64_t memory, uint64_t now) noexcept nogil:
    """Add what the lines on a thread's stack have done so far, from the top down.

    The thread goes on meanwhile, so this may be off by what it is just doing; the next flush does not build on it.
    """
    cdef activation_t *stack = load_stack(t.stack)
    cdef int place, depth = load_depth(t.depth)
    cdef activation_t a
    cdef total_t *total
    cdef table_t *table = load_table(t.first)
    cdef table_t *book
    cdef int64_t peak = max(memory, t.watch.scope.peak)
    while table != NULL:
        table.open_place = -1
        table = table.next
    for place in range(depth - 1, max(-1, depth - 1 - MOST_OPEN), -1):
        a = stack[place]
        if a.table == NULL or a.row >= a.table.about.count:
            continue
        book = a.table.lead
        peak = max(peak, a.peak)
        if a.row >= 0:                          # what comes before the first line will be that line's
            total = total_of(lines, a.table, a.row)
            if book.open_place == place:        # the line goes on in a call of the same code, which has the share from there
                total.growth += book.open_entry - a.memory - a.nested
                total.time += max(<int64_t>(book.open_entered - a.since - a.nested_time), <int64_t>0)
            else:
                total.growth += memory - a.memory - a.nested
                total.time += max(<int64_t>(now - a.since - a.nested_time), <int64_t>0)
            total.peak = max(total.peak, peak)
            total.memory, total.ended = memory, now
        book.open_place, book.open_entry, book.open_entered = a.around, a.entry, a.entered
        peak = max(peak, a.highest)


cdef void write_table(table_t *table, journal_t *journal, double tick) noexcept nogil:
    """Write the lines of a code object that are not what the journal has."""
    cdef int64_t row[7]
    cdef total_t *total
    cdef int i, k
    cdef bint changed
    row[0] = table.about.number
    for i in range(table.about.count):
        total = &table.about.totals[i]
        row[1] = table.about.first + i
        row[2], row[3], row[4] = total.hits, <int64_t>(total.time * tick), total.growth
        row[5], row[6] = total.memory, total.peak
        changed = total.ended != total.written_ended
        for k in range(5):
            changed = changed or (k != 1 and row[2 + k] != total.written[k])
        if changed:
            for k in range(5):
                total.written[k] = row[2 + k]
            total.written_ended = total.ended
            journal_row(journal, b"line", row, 7)


cdef void lines_flush(lines_t *lines, journal_t *journal, int64_t memory) noexcept nogil:
    cdef double tick = nanoseconds_per_tick()
    cdef watch_t *watch
    cdef table_t *table
    cdef int64_t reads
    lines.flushes += 1
    watch = watches(&lines.tracer)
    while watch != NULL:
        table = load_table((<thread_t *>watch).first)
        while table != NULL:
            add_table(lines, table)
            table = table.next
        if memory >= 0 and watch.generation == lines.tracer.generation:
            add_running(lines, <thread_t *>watch, memory, ticks())
        watch = watch.next
    watch = watches(&lines.tracer)
    while watch != NULL:
        table = load_table((<thread_t *>watch).first)
        while table != NULL:
            write_table(table, journal, tick)
            table = table.next
        watch = watch.next
    reads = new_reads(&lines.tracer)
    if reads:
        journal_row(journal, b"reads", &reads, 1)


# -- open and close ----------------------------------------------------------------------------------------------------

cdef int lines_open(lines_t *lines) noexcept:
    if not tracer_open(&lines.tracer, OF_LINES):
        return -1
    if not codes_open(&lines.codes):
        codes_close(&lines.codes)
        tracer_close(&lines.tracer)
        return -2
    return 0


cdef void free_tables(thread_t *t) noexcept:
    cdef table_t *table = t.first
    cdef table_t *gone
    while table != NULL:
        gone, table = table, table.next
        PyMem_RawFree(gone.lines)
        PyMem_RawFree(gone)
    PyMem_RawFree(t.tables)
    t.tables, t.known, t.first, t.depth = NULL, 0, NULL, 0


cdef void lines_close(lines_t *lines) noexcept:
    cdef watch_t *watch
    if not is_open(&lines.tracer):
        return
    watch = watches(&lines.tracer)
    while watch != NULL:
        free_tables(<thread_t *>watch)
        watch = watch.next
    tracer_close(&lines.tracer)
    codes_close(&lines.codes)
