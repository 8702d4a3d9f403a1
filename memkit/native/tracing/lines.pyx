"""Hits, time, growth, peak and rise of each line, summed up in C.

Each thread has tables that only it writes; a flush, which may run in another thread, adds them up, with what running lines
have done so far. A function has an activation on its thread's stack from entry or resumption to return or suspension. When a
line ends, it is charged with

* growth: what its thread was credited with since it began (see ``memkit.native.tracing.credit``), less the growth of
  activations in the same account inside it. So a recursion counts each byte once, on the line that really grew, and the
  growths of a function add up to what its thread did from its entry to its exit;
* time, by the same rule;
* peak: the highest memory while it ran, from the kernel's high-water mark, which is read only if memory or the count of page
  faults changed;
* rise: the highest level of its thread while it ran, less the level when it began; each run counts, of a recursion too.

Memory is read only when the gate says that it can have changed.
"""

from memkit.native.heap.own cimport joined, own_calloc, own_free, own_realloc
from memkit.native.heap.line_paths cimport free_line_paths, lines_below
from libc.stdint cimport int64_t, uint64_t

from memkit.native.tracing.code_table cimport code_table_close, code_table_open
from memkit.native.tracing.credit cimport ABSENT, HELPS, WORKS, read_memory
from memkit.native.tracing.gate cimport must_read
from memkit.native.tracing.greenlets cimport forget_asides, free_asides
from memkit.native.tracing.growing cimport free_stacks, grown
from memkit.native.tracing.noted cimport note
from memkit.native.tracing.thread_state cimport (
    OF_LINES, SLOTS, attach_thread, detach_thread, is_open, thread_state_t, thread_states, tracer_close, tracer_open,
)

cdef extern from *:
    void publish_table "memkit_publish"(table_t *, table_t *) noexcept nogil
    void publish_depth "memkit_publish"(int, int) noexcept nogil
    int load_depth "memkit_load"(int) noexcept nogil

cdef enum:
    FIRST_CAPACITY = 8


# -- threads -----------------------------------------------------------------------------------------------------------

cdef bint grow_stack(thread_t *t) noexcept:
    """Give a thread a larger stack, with a copy of its activations."""
    cdef activation_t *stack = <activation_t *>grown(&t.stacks, t.depth, FIRST_CAPACITY, sizeof(activation_t))
    if stack == NULL:
        return False
    t.stack = stack
    return True


cdef void clear_stack(thread_t *t) noexcept nogil:
    cdef table_t *table = t.first
    while table != NULL:
        table.top = table.inner = -1
        table = table.next
    publish_depth(t.depth, 0)
    t.heap_line = 0


cdef void forget_activations(lines_t *lines) noexcept:
    cdef thread_state_t *state = thread_states(&lines.tracer)
    while state != NULL:
        clear_stack(<thread_t *>state)
        forget_asides(&(<thread_t *>state).greenlets)
        state = state.next


cdef thread_t *join_thread(lines_t *lines) noexcept:
    """The calling thread's state, attached at its first event."""
    cdef thread_t *t = <thread_t *>attach_thread(&lines.tracer)
    if t == NULL:
        return NULL
    if t.stack == NULL and not grow_stack(t):
        detach_thread(&t.state)
        return NULL
    clear_stack(t)
    forget_asides(&t.greenlets)
    t.paths = NULL
    if lines.serials != NULL:
        t.paths = &lines.paths
        joined().line = &t.heap_line
    return t


cdef table_t *table_of(lines_t *lines, thread_t *t, int index) noexcept:
    """This thread's sums of a function, made at its first entry; NULL: no memory."""
    cdef table_t **tables = t.tables
    cdef table_t *table
    cdef int i, known
    if index >= t.known:
        known = lines.codes.count + lines.codes.count // 2
        tables = <table_t **>own_realloc(tables, known * sizeof(table_t *))
        if tables == NULL:
            return NULL
        for i in range(t.known, known):
            tables[i] = NULL
        t.tables, t.known = tables, known
    if tables[index] == NULL:
        table = <table_t *>own_calloc(1, sizeof(table_t))
        if table == NULL:
            return NULL
        table.info = lines.codes.infos[index]
        table.top = table.inner = -1
        table.lines = <line_t *>own_calloc(table.info.count, sizeof(line_t))
        if table.lines == NULL:
            own_free(table)
            return NULL
        for i in range(table.info.count):
            table.lines[i].statement = table.info.totals[i].statement
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
    cdef activation_t *a
    if t.depth:
        a = &t.stack[t.depth - 1]
        a.peak = max(a.peak, peak)
        a.reached = max(a.reached, thread_level(t) + t.state.above)
        a.quiet = False


cdef void add_memory(lines_t *lines, thread_t *t, activation_t *a, line_t *line) noexcept nogil:
    cdef int64_t growth = t.state.credited - a.before - a.nested
    if growth or max(a.reached, thread_level(t)) > a.level:
        note(
            &lines.tracer.notes, &line.mark, &line.growth, &line.lately, &line.own_lately, a.table.info.number,
            a.first + max(a.row, 0),
        )
    line.growth += growth
    line.about += t.state.uncertain - a.before_about - a.nested_about
    line.memory = t.state.memory
    if line.first == 0:
        line.first = a.since
    a.peak = max(a.peak, t.state.memory)
    line.peak = max(line.peak, a.peak)
    a.highest = max(a.highest, a.peak)
    a.reached = max(a.reached, thread_level(t))
    a.reached_in_all = max(a.reached_in_all, a.reached)
    if a.reached > a.level:
        line.rise = max(line.rise, a.reached - a.level)
        line.rises += a.reached - a.level
        line.own_rise = max(line.own_rise, a.reached - a.reached_inside)
        line.lately = max(line.lately, a.reached - a.level)
        line.own_lately = max(line.own_lately, a.reached - a.reached_inside)
    a.quiet = False


cdef activation_t *enter(lines_t *lines, thread_t *t, int index, void *code, int row, uint64_t time) noexcept:
    cdef table_t *table = table_of(lines, t, index)
    if table == NULL or (t.depth == t.stacks.capacity and not grow_stack(t)):
        return NULL
    if must_read(&t.state.gate, time):
        update_memory(lines, t)
        time = t.state.gate.checked_at
    begin_activation(t, table, code, NULL, row, time)
    if row == -1:
        table.calls += 1
        table.last_entered, table.last_entry = time, t.state.memory
        if table.calls == 1:
            table.first_entered, table.first_entry = time, t.state.memory
    return &t.stack[t.depth - 1]


cdef void begin_activation(thread_t *t, table_t *table, void *code, void *frame, int row, uint64_t time) noexcept nogil:
    """Put an activation on the stack, which has room for it."""
    cdef activation_t *a = &t.stack[t.depth]
    a.table, a.lines, a.first, a.count = table, table.lines, table.info.first, table.info.count
    a.code, a.frame = code, frame
    a.outer, a.around = table.top, table.lead.inner
    a.entered = time
    a.entry, a.entry_about, a.highest = t.state.credited, t.state.uncertain, t.state.memory
    a.reached_in_all = thread_level(t)
    a.heap_base, a.heap_around = 0, t.heap_line
    if t.paths != NULL:
        if a.outer >= 0:        # a recursion has the numbers of its outermost call
            a.heap_base = t.stack[a.outer].heap_base
        else:
            a.heap_base = lines_below(t.paths, t.heap_line, table.info.number, table.info.first, table.info.count)
    a.statement, a.first_row, a.last_row, a.latest, a.begun = 0, 0, row, -1, <uint64_t>-1
    if row >= 0:                # resumed in a statement whose lines up to this one have begun
        a.statement = table.lines[row].statement
    table.top = table.lead.inner = t.depth
    begin_line(t, a, time)
    a.row = row
    t.heap_line = number_of_line(a)
    publish_depth(t.depth, t.depth + 1)


cdef void leave(thread_t *t, uint64_t time) noexcept nogil:
    """Take the activation on top off the stack; its last line has ended."""
    cdef activation_t *a = &t.stack[t.depth - 1]
    cdef activation_t *around
    a.table.top, a.table.lead.inner = a.outer, a.around
    if a.around >= 0:
        around = &t.stack[a.around]
        around.nested += t.state.credited - a.entry
        around.nested_about += t.state.uncertain - a.entry_about
        around.nested_time += time - a.entered
        around.quiet = False
    t.depth -= 1
    refresh_heap_line(t)
    if t.depth:
        around = &t.stack[t.depth - 1]
        around.peak = max(around.peak, a.highest)
        around.reached = max(around.reached, a.reached_in_all)
        around.reached_inside = max(around.reached_inside, a.reached_in_all)
        around.quiet = False


cdef void unwind_to(lines_t *lines, thread_t *t, int place, uint64_t time) noexcept nogil:
    """Take off the stack the activations above a place, which ended without an event."""
    while t.depth - 1 > place:
        time = end_line(lines, t, &t.stack[t.depth - 1], time)
        leave(t, time)


# -- open and close ----------------------------------------------------------------------------------------------------

cdef int role_of(thread_state_t *state) noexcept nogil:
    """A thread outside of traced code that works for it is as good as one without Python."""
    return WORKS if load_depth((<thread_t *>state).depth) else HELPS if state.helps else ABSENT


cdef int lines_open(lines_t *lines) noexcept:
    lines.tracer.role = role_of
    if not tracer_open(&lines.tracer, OF_LINES, sizeof(thread_t)):
        return -1
    if not code_table_open(&lines.codes) or not code_table_open(&lines.numbers):
        code_table_close(&lines.codes)
        code_table_close(&lines.numbers)
        tracer_close(&lines.tracer)
        return -2
    return 0


cdef void free_tables(thread_t *t) noexcept:
    cdef table_t *table = t.first
    cdef table_t *gone
    while table != NULL:
        gone, table = table, table.next
        own_free(gone.lines)
        own_free(gone)
    own_free(t.tables)
    t.tables, t.known, t.first, t.depth = NULL, 0, NULL, 0
    free_stacks(t.stacks)
    free_asides(&t.greenlets)
    t.stack, t.stacks = NULL, NULL


cdef void lines_close(lines_t *lines) noexcept:
    cdef thread_state_t *state
    if not is_open(&lines.tracer):
        return
    state = thread_states(&lines.tracer)
    while state != NULL:
        free_tables(<thread_t *>state)
        state = state.next
    free_line_paths(&lines.paths)
    tracer_close(&lines.tracer)
    code_table_close(&lines.codes)
    code_table_close(&lines.numbers)
