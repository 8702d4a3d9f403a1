"""The rows of the tree of calls: its totals, as a flush writes them, which may run in another thread without the GIL."""

from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memset

from memkit.native.heap.own cimport own_realloc
from memkit.native.journal cimport NOTHING, journal_row, journal_t
from memkit.native.tracing.calls cimport (
    CHUNK, CHUNKS, NOT_HANDED, call_t, calls_t, load_count, node_at, node_t, running_t, sums_t, thread_level,
    thread_t,
)
from memkit.native.changes cimport changes_t, choose, is_chosen, is_little, is_little_share, size_of_change
from memkit.native.tracing.credit cimport estimate
from memkit.native.tracing.gate cimport nanoseconds_per_tick, ticks
from memkit.native.tracing.greenlets cimport write_untold
from memkit.native.tracing.growing cimport load_stack, stack_t
from memkit.native.tracing.thread_state cimport new_reads, pending_of, thread_state_t, thread_states

cdef extern from *:
    node_t *load_node "memkit_load"(node_t *) noexcept nogil

cdef enum:
    MOST_OPEN = 1000            # calls of a thread that a flush handles, from the top


cdef inline running_t *running_of(calls_t *calls, node_t *node) noexcept nogil:
    """What this flush has found of the running calls of a node; NULL: none run."""
    if node.running < calls.running_count and calls.running[node.running].node == node:
        return &calls.running[node.running]
    return NULL


cdef running_t *find_or_add_running(calls_t *calls, node_t *node) noexcept nogil:
    """The same, added at the first use; NULL: no memory."""
    cdef running_t *running = running_of(calls, node)
    cdef int room = max(2 * calls.running_room, 64)
    if running != NULL:
        return running
    if calls.running_count == calls.running_room:
        running = <running_t *>own_realloc(calls.running, room * sizeof(running_t))
        if running == NULL:
            return NULL
        calls.running, calls.running_room = running, room
    node.running = calls.running_count
    running = &calls.running[node.running]
    running.node, running.rise, running.rises = node, 0, 0
    running.sums.time, running.sums.growth, running.sums.peak = node.time, node.growth, node.peak
    calls.running_count += 1
    return running


cdef inline sums_t sums_of(calls_t *calls, node_t *node) noexcept nogil:
    """As this flush has found them, with what running calls had done: their threads go on meanwhile."""
    cdef running_t *running = running_of(calls, node)
    cdef sums_t sums
    if running != NULL:
        return running.sums
    sums.time, sums.growth, sums.peak = node.time, node.growth, node.peak
    return sums


cdef inline int64_t rise_of(calls_t *calls, node_t *node) noexcept nogil:
    cdef running_t *running = running_of(calls, node)
    return node.rise if running == NULL else max(node.rise, running.rise)


cdef inline int64_t rises_of(calls_t *calls, node_t *node) noexcept nogil:
    cdef running_t *running = running_of(calls, node)
    return node.rises if running == NULL else node.rises + running.rises


cdef void add_running(calls_t *calls, thread_t *t, int64_t level) noexcept nogil:
    """Note how far the running calls of a thread have risen, from the top of its stack down; see `write_running`."""
    cdef stack_t *stack = load_stack(t.stacks)
    cdef int place, depth = min(load_count(t.depth), stack.capacity) if stack != NULL else 0     # or that of another stack
    cdef call_t *at = <call_t *>stack.at if stack != NULL else NULL
    cdef call_t call
    cdef running_t *running
    cdef int64_t highest = level
    for place in range(depth - 1, max(-1, depth - 1 - MOST_OPEN), -1):
        call = at[place]
        if call.node == NULL or load_node(at[place].node) != call.node or at[place].entry != call.entry:
            continue                            # another call is just taking its place
        highest = max(highest, call.highest)
        running = find_or_add_running(calls, call.node)
        if running != NULL:
            running.rise = max(running.rise, highest - call.entry)
            running.rises += max(highest - call.entry, <int64_t>0)
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
    cdef running_t *running = NULL
    while state != NULL:
        t = <thread_t *>state
        top = load_node(t.top)
        if top != NULL and (state.generation == calls.tracer.generation or state.credited != t.taken):
            running = find_or_add_running(calls, top)
        if running != NULL:
            running.sums.growth += state.credited - t.taken + pending_of(state)
            running.sums.peak = max(running.sums.peak, max(memory if pending_of(state) else 0, state.scope.peak))
            if state.generation == calls.tracer.generation:
                running.sums.time += max(<int64_t>(ticks() - t.since), <int64_t>0)   # it may have been charged just now
        state, running = state.next, NULL


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
        if top != NULL and running_of(calls, top) != NULL:
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
    calls.running_count = 0
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
