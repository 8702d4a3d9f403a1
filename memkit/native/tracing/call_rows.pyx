"""The rows of the tree of calls: its totals, as a flush writes them, which may run in another thread without the GIL."""

from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memset

from memkit.native.journal cimport NOTHING, journal_row, journal_t
from memkit.native.tracing.calls cimport (
    CHUNK, CHUNKS, NOT_HANDED, call_t, calls_t, load_count, node_at, node_t, rise_of, rises_of, stack_t, sums_of, sums_t,
    thread_level, thread_t,
)
from memkit.native.changes cimport changes_t, choose, is_chosen, is_little, is_little_share, size_of_change
from memkit.native.tracing.credit cimport estimate
from memkit.native.tracing.gate cimport nanoseconds_per_tick, ticks
from memkit.native.tracing.greenlets cimport write_untold
from memkit.native.tracing.thread_state cimport new_reads, pending_of, thread_state_t, thread_states

cdef extern from *:
    stack_t *load_stack "memkit_load"(stack_t *) noexcept nogil
    node_t *load_node "memkit_load"(node_t *) noexcept nogil

cdef enum:
    MOST_OPEN = 1000            # calls of a thread that a flush handles, from the top


cdef inline void begin_open(calls_t *calls, node_t *node) noexcept nogil:
    """Reset what this flush finds running, at the first use."""
    if node.open_flush != calls.flushes:
        node.open_flush = calls.flushes
        node.open_rise = node.open_rises = 0
        node.open.time, node.open.growth, node.open.peak = node.time, node.growth, node.peak


cdef void add_running(calls_t *calls, thread_t *t, int64_t level) noexcept nogil:
    """Note how far the running calls of a thread have risen, from the top of its stack down; see `write_running`."""
    cdef stack_t *stack = load_stack(t.stacks)
    cdef int place, depth = min(load_count(t.depth), stack.capacity) if stack != NULL else 0     # or that of another stack
    cdef call_t call
    cdef int64_t highest = level
    for place in range(depth - 1, max(-1, depth - 1 - MOST_OPEN), -1):
        call = stack.at[place]
        if call.node == NULL or load_node(stack.at[place].node) != call.node or stack.at[place].entry != call.entry:
            continue                            # another call is just taking its place
        highest = max(highest, call.highest)
        begin_open(calls, call.node)
        call.node.open_rise = max(call.node.open_rise, highest - call.entry)
        call.node.open_rises += max(highest - call.entry, <int64_t>0)
        if call.node.is_work:
            highest = call.entry


cdef void find_running(calls_t *calls) noexcept nogil:
    """Note the rises of all calls that run, and of those that ran when their thread ended."""
    cdef thread_state_t *state = thread_states(&calls.tracer)
    cdef thread_t *t
    while state != NULL:
        t = <thread_t *>state
        if load_node(t.top) != NULL:
            add_running(calls, t, thread_level(t) + pending_of(state) + state.pending_above)
        state = state.next


cdef void write_row(calls_t *calls, journal_t *journal, node_t *node) noexcept nogil:
    cdef int64_t row[11]
    if node.written.peak < 0 and node.home != NOT_HANDED:
        row[0], row[1], row[2] = node.id, node.home if node.home >= 0 else NOTHING, node.kind
        journal_row(journal, b"handed", row, 3)
    row[0], row[1], row[2], row[3] = node.id, node.parent if node.parent >= 0 else NOTHING, node.function, node.thread
    node.written = sums_of(calls, node)
    row[4], row[5] = node.calls, <int64_t>(node.written.time * calls.tick)
    row[6], row[7] = node.written.growth, node.written.peak
    row[8], row[9], row[10] = rise_of(calls, node), rises_of(calls, node), node.about
    node.written_rise, node.written_rises = row[8], row[9]
    journal_row(journal, b"call", row, 11)


cdef void write_homes(calls_t *calls, journal_t *journal, node_t *node) noexcept nogil:
    """Write the nodes that the rows of a node and of its callers name beside these, if they are not in the journal yet."""
    cdef node_t *home
    while node.written.peak < 0:
        if node.home >= 0:
            home = node_at(calls, node.home)
            if home.written.peak < 0:
                write_node(calls, journal, home)
        if node.parent < 0:
            break
        node = node_at(calls, node.parent)


cdef void write_node(calls_t *calls, journal_t *journal, node_t *node) noexcept nogil:
    """Write a row, after those of its callers that are not in the journal yet. A tree may be deeper than the stack."""
    cdef node_t *first = node
    cdef node_t *caller
    write_homes(calls, journal, node)
    while first.parent >= 0:
        caller = node_at(calls, first.parent)
        if caller.written.peak >= 0:
            break
        caller.below = first.id
        first = caller
    while first != node:
        write_row(calls, journal, first)
        first = node_at(calls, first.below)
    write_row(calls, journal, node)


cdef inline bint is_news(thread_t *t, node_t *top, sums_t *sums) noexcept nogil:
    """Whether the running call of a thread is not in the journal like this, but for a little."""
    return not (
        top == t.shown and is_little(sums.growth - t.shown_sums.growth, sums.peak - t.shown_sums.peak)
        and is_little_share(<int64_t>sums.time, <int64_t>t.shown_sums.time)
    )


cdef void add_up_running(calls_t *calls, int64_t memory) noexcept nogil:
    """Note what running calls have done since they were charged; threads may share a root."""
    cdef thread_state_t *state = thread_states(&calls.tracer)
    cdef thread_t *t
    cdef node_t *top
    while state != NULL:
        t = <thread_t *>state
        top = load_node(t.top)
        if top != NULL and (state.generation == calls.tracer.generation or state.credited != t.taken):
            begin_open(calls, top)
            top.open.growth += state.credited - t.taken + pending_of(state)
            top.open.peak = max(top.open.peak, max(memory if pending_of(state) else 0, state.scope.peak))
            if state.generation == calls.tracer.generation:
                top.open.time += max(<int64_t>(ticks() - t.since), <int64_t>0)       # it may have been charged just now
        state = state.next


cdef void write_running(calls_t *calls, journal_t *journal, int64_t memory, bint whole) noexcept nogil:
    """Write what the running calls have done so far; the next flush computes it from scratch.

    Their threads go on meanwhile, so this may miss what they are just doing, or count it twice. No such row is the last of a
    call: what it says is compared with the sums that the next flush finds.
    """
    cdef thread_state_t *state = thread_states(&calls.tracer)
    cdef thread_t *t
    cdef node_t *top
    cdef sums_t sums
    add_up_running(calls, memory)
    while state != NULL:
        t = <thread_t *>state
        top = load_node(t.top)
        if top != NULL and top.open_flush == calls.flushes:
            sums = sums_of(calls, top)
            if whole or is_news(t, top, &sums):
                t.shown, t.shown_sums = top, sums
                write_node(calls, journal, top)
        state = state.next


cdef inline int change_of(calls_t *calls, node_t *node, bint whole) noexcept nogil:
    """The size of the change since it was written; 0: there is none, or it is little and not the ``whole`` is written."""
    cdef sums_t sums = sums_of(calls, node)
    cdef int64_t growth = sums.growth - node.written.growth
    cdef int64_t peak = sums.peak - node.written.peak
    cdef int64_t rose = rise_of(calls, node) - node.written_rise
    if rose > node.written_rise // 16:          # of itself too: all callers of what grows rise with it
        peak = max(peak, rose)
    if sums.time == node.written.time and growth == 0 and peak == 0 and rises_of(calls, node) == node.written_rises:
        return 0
    if not whole and is_little(growth, peak) and is_little_share(<int64_t>sums.time, <int64_t>node.written.time):
        return 0
    return size_of_change(growth, peak if node.written.peak >= 0 else 0, <int64_t>(sums.time - node.written.time))


cdef int64_t write_changed(calls_t *calls, journal_t *journal, int64_t most) noexcept nogil:
    cdef changes_t changes
    cdef int largest[CHUNKS]        # change in each chunk
    cdef int64_t changed = 0
    cdef node_t *node
    cdef int id, size, count = load_count(calls.count)
    memset(&changes, 0, sizeof(changes))
    memset(largest, 0, sizeof(largest))
    for id in range(count):
        node = node_at(calls, id)
        size = change_of(calls, node, most < 0)
        if size:
            changed += 1
            changes.counts[size] += 1
            largest[id >> 12] = max(largest[id >> 12], size)
    choose(&changes, changed if most < 0 else most)
    id = 0
    while id < count and changed:
        if largest[id >> 12] == 0 or largest[id >> 12] < changes.least:
            id += CHUNK
            continue
        node = node_at(calls, id)
        size = change_of(calls, node, most < 0)
        if size and is_chosen(&changes, size):
            write_node(calls, journal, node)
        id += 1
    return changed


cdef int64_t calls_flush(calls_t *calls, journal_t *journal, int64_t memory, int64_t most) noexcept nogil:
    cdef int64_t reads, changed
    calls.tick = nanoseconds_per_tick()
    calls.flushes += 1
    estimate(&calls.tracer, memory)
    find_running(calls)
    if memory >= 0:
        write_running(calls, journal, memory, most < 0)
    changed = write_changed(calls, journal, most)
    reads = new_reads(&calls.tracer)
    if reads:
        journal_row(journal, b"call_reads", &reads, 1)
    write_untold(&calls.tracer, journal)
    return changed
