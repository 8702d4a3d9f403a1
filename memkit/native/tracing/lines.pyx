"""Hits, time, growth and peak of each line, summed up in C.

Each thread has tables that only it writes; a flush, which may run in another thread, adds them up, with what running lines
have done so far. A function has an activation on its thread's stack from entry or resumption to return or suspension. When a
line ends, it is charged with

* growth: memory now less memory when it began, less the growth of activations in the same account inside it. So a recursion
  counts each byte once, on the line that really grew, and the growths of a function add up to its exit less its entry;
* time, by the same rule;
* peak: the highest memory while it ran, from the kernel's high-water mark, which is read only if memory or the count of page
  faults changed.

Memory is read only when the gate says that it can have changed.
"""

from cpython.mem cimport PyMem_RawCalloc, PyMem_RawFree, PyMem_RawRealloc
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcpy

from memkit.native.tracing.code_table cimport code_table_close, code_table_open, total_t
from memkit.native.tracing.gate cimport must_read, nanoseconds_per_tick, ticks
from memkit.native.journal cimport journal_row, journal_t
from memkit.native.tracing.thread_state cimport (
    OF_LINES, SLOTS, attach_thread, detach_thread, is_open, new_reads, read_memory, thread_state_t, thread_states,
    tracer_close, tracer_open,
)

cdef extern from *:
    """
    #ifdef __GLIBC__        /* keeps room for modules that are loaded late; musl has none for the faster model */
      #define memkit_tls_model __attribute__((tls_model("initial-exec")))
    #else
      #define memkit_tls_model
    #endif
    static __thread void *memkit_lines_of_thread[8] memkit_tls_model;
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
    FIRST_CAPACITY = 64
    MOST_OPEN = 100             # activations of a thread that a flush handles, from the top


# -- threads -----------------------------------------------------------------------------------------------------------

cdef bint grow_stack(thread_t *t) noexcept:
    """Give a thread a larger stack, with a copy of its activations."""
    cdef stack_t *stack = <stack_t *>PyMem_RawCalloc(1, sizeof(stack_t))
    if stack == NULL:
        return False
    stack.capacity = 2 * t.stacks.capacity if t.stacks != NULL else FIRST_CAPACITY
    stack.at = <activation_t *>PyMem_RawCalloc(stack.capacity, sizeof(activation_t))
    if stack.at == NULL:
        PyMem_RawFree(stack)
        return False
    if t.stacks != NULL:
        memcpy(stack.at, t.stack, t.depth * sizeof(activation_t))
    stack.before = t.stacks
    t.stacks = stack
    publish_stack(t.stack, stack.at)
    return True


cdef void clear_stack(thread_t *t) noexcept nogil:
    cdef table_t *table = t.first
    while table != NULL:
        table.top = table.inner = -1
        table = table.next
    publish_depth(t.depth, 0)


cdef void forget_activations(lines_t *lines) noexcept:
    cdef thread_state_t *state = thread_states(&lines.tracer)
    while state != NULL:
        clear_stack(<thread_t *>state)
        state = state.next


cdef thread_t *join_thread(lines_t *lines) noexcept:
    """The calling thread's state, attached at its first event."""
    cdef thread_t *t = <thread_t *>attach_thread(&lines.tracer, sizeof(thread_t))
    if t == NULL:
        return NULL
    if t.stack == NULL and not grow_stack(t):
        detach_thread(&t.state)
        return NULL
    clear_stack(t)
    current[lines.tracer.slot] = t
    return t


cdef thread_t *this_thread(lines_t *lines) noexcept:
    cdef thread_t *t = <thread_t *>current[lines.tracer.slot]
    return t if t != NULL and t.state.generation == lines.tracer.generation else join_thread(lines)


cdef table_t *table_of(lines_t *lines, thread_t *t, int index) noexcept:
    """This thread's sums of a code object, made at its first entry; NULL: no memory."""
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
        table.info = lines.codes.infos[index]
        table.top = table.inner = -1
        table.lines = <line_t *>PyMem_RawCalloc(table.info.count, sizeof(line_t))
        if table.lines == NULL:
            PyMem_RawFree(table)
            return NULL
        table.lead = table if table.info.lead < 0 else table_of(lines, t, table.info.lead)
        if table.lead == NULL:
            table.lead = table
        t.tables[index] = table
        table.next = t.first
        publish_table(t.first, table)
    return t.tables[index]


# -- activations -------------------------------------------------------------------------------------------------------

cdef void update_memory(lines_t *lines, thread_t *t) noexcept nogil:
    """Read memory; the peak since the last reading belongs to the activation on top."""
    cdef int64_t peak = read_memory(&lines.tracer, &t.state)
    if t.depth:
        t.stack[t.depth - 1].peak = max(t.stack[t.depth - 1].peak, peak)


cdef activation_t *enter(lines_t *lines, thread_t *t, int index, int row, uint64_t time) noexcept:
    cdef table_t *table = table_of(lines, t, index)
    cdef activation_t *a
    if table == NULL or (t.depth == t.stacks.capacity and not grow_stack(t)):
        return NULL
    if must_read(&t.state.gate, time):
        update_memory(lines, t)
        time = t.state.gate.checked_at
    a = &t.stack[t.depth]
    a.table = table
    a.frame = NULL
    a.outer, a.around = table.top, table.lead.inner
    a.entered = time
    a.entry = a.highest = t.state.memory
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
    """Take the activation on top off the stack; its last line has ended."""
    cdef activation_t *a = &t.stack[t.depth - 1]
    cdef activation_t *around
    a.table.top, a.table.lead.inner = a.outer, a.around
    if a.around >= 0:
        around = &t.stack[a.around]
        around.nested += t.state.memory - a.entry
        around.nested_time += time - a.entered
    t.depth -= 1
    if t.depth:
        around = &t.stack[t.depth - 1]
        around.peak = max(around.peak, a.highest)


cdef void unwind_to(lines_t *lines, thread_t *t, int place, uint64_t time) noexcept nogil:
    """Take off the stack the activations above a place, which ended without an event."""
    while t.depth - 1 > place:
        time = end_line(lines, t, time)
        leave(t, time)


# -- writing -----------------------------------------------------------------------------------------------------------

cdef inline total_t *total_of(lines_t *lines, table_t *table, int row) noexcept nogil:
    """The total of a line in this flush, reset at the first use."""
    cdef total_t *total = &table.info.totals[row]
    if total.flush != lines.flushes:
        total.flush = lines.flushes
        total.hits = total.time = total.growth = total.peak = 0
        total.ended = 0
    return total


cdef void add_table(lines_t *lines, table_t *table) noexcept nogil:
    cdef total_t *total
    cdef line_t *line
    cdef int i
    for i in range(table.info.count):
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
    """Add what the running lines of a thread have done so far, from the top of its stack down.

    The thread goes on meanwhile, so this may miss what it is just doing; the next flush computes it from scratch.
    """
    cdef activation_t *stack = load_stack(t.stack)
    cdef int place, depth = load_depth(t.depth)
    cdef activation_t a
    cdef total_t *total
    cdef table_t *table = load_table(t.first)
    cdef table_t *account
    cdef int64_t peak = max(memory, t.state.scope.peak)
    while table != NULL:
        table.open_place = -1
        table = table.next
    for place in range(depth - 1, max(-1, depth - 1 - MOST_OPEN), -1):
        a = stack[place]
        if a.table == NULL or a.row >= a.table.info.count:
            continue
        account = a.table.lead
        peak = max(peak, a.peak)
        if a.row >= 0:                          # before its first line, an activation has nothing to add
            total = total_of(lines, a.table, a.row)
            if account.open_place == place:        # it called code in the same account, which counts from there
                total.growth += account.open_entry - a.memory - a.nested
                total.time += max(<int64_t>(account.open_entered - a.since - a.nested_time), <int64_t>0)
            else:
                total.growth += memory - a.memory - a.nested
                total.time += max(<int64_t>(now - a.since - a.nested_time), <int64_t>0)
            total.peak = max(total.peak, peak)
            total.memory, total.ended = memory, now
        account.open_place, account.open_entry, account.open_entered = a.around, a.entry, a.entered
        peak = max(peak, a.highest)


cdef void write_table(table_t *table, journal_t *journal, double tick) noexcept nogil:
    """Write the lines of a code object that differ from the journal."""
    cdef int64_t row[7]
    cdef total_t *total
    cdef int i, k
    cdef bint changed
    row[0] = table.info.number
    for i in range(table.info.count):
        total = &table.info.totals[i]
        row[1] = table.info.first + i
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
    cdef thread_state_t *state
    cdef table_t *table
    cdef int64_t reads
    lines.flushes += 1
    state = thread_states(&lines.tracer)
    while state != NULL:
        table = load_table((<thread_t *>state).first)
        while table != NULL:
            add_table(lines, table)
            table = table.next
        if memory >= 0 and state.generation == lines.tracer.generation:
            add_running(lines, <thread_t *>state, memory, ticks())
        state = state.next
    state = thread_states(&lines.tracer)
    while state != NULL:
        table = load_table((<thread_t *>state).first)
        while table != NULL:
            write_table(table, journal, tick)
            table = table.next
        state = state.next
    reads = new_reads(&lines.tracer)
    if reads:
        journal_row(journal, b"reads", &reads, 1)


# -- open and close ----------------------------------------------------------------------------------------------------

cdef int lines_open(lines_t *lines) noexcept:
    if not tracer_open(&lines.tracer, OF_LINES):
        return -1
    if not code_table_open(&lines.codes):
        code_table_close(&lines.codes)
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
    cdef thread_state_t *state
    if not is_open(&lines.tracer):
        return
    state = thread_states(&lines.tracer)
    while state != NULL:
        free_tables(<thread_t *>state)
        state = state.next
    tracer_close(&lines.tracer)
    code_table_close(&lines.codes)
