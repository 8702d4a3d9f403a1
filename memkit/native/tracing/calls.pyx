"""Calls, time, growth and peak of each call path, summed up in C.

A node is a call path: a function, called from the path of its parent. Its sums are its own, without its callees: what
happens between two events belongs to the node that runs. So nothing is counted twice, whichever way a call ends, and the
reader gets the sums with callees by adding up the subtree.

Each thread has a root, or shares one with threads of the same kind. Growth is credited once, to a thread that reads memory
and has had page faults since its last reading, without which it cannot have grown memory. Freed memory is credited to the
next thread that reads. So the growth of all trees is that of the process. A node is made at the first call of its path and
never moves; their number is limited.
"""

from cpython.mem cimport PyMem_RawCalloc, PyMem_RawFree, PyMem_RawRealloc
from libc.stdint cimport int64_t, uint64_t

from memkit.native.clock cimport MILLISECOND, now
from memkit.native.tracing.code_table cimport code_table_close, code_table_open
from memkit.native.tracing.gate cimport nanoseconds_per_tick, ticks
from memkit.native.journal cimport NOTHING, journal_row, journal_t
from memkit.native.tracing.thread_state cimport (
    OF_CALLS, SLOTS, attach_thread, detach_thread, is_open, new_reads, thread_state_t, thread_states, tracer_close,
    tracer_open,
)

cdef extern from *:
    """
    #ifdef __GLIBC__        /* keeps room for modules that are loaded late; musl has none for the faster model */
      #define memkit_tls_model __attribute__((tls_model("initial-exec")))
    #else
      #define memkit_tls_model
    #endif
    static __thread void *memkit_calls_of_thread[8] memkit_tls_model;
    #define memkit_publish(place, value) __atomic_store_n(&(place), (value), __ATOMIC_RELEASE)
    #define memkit_load(place) __atomic_load_n(&(place), __ATOMIC_ACQUIRE)
    """
    void *current "memkit_calls_of_thread"[SLOTS]
    void publish_count "memkit_publish"(int, int) noexcept nogil
    int load_count "memkit_load"(int) noexcept nogil
    node_t *load_node "memkit_load"(node_t *) noexcept nogil

cdef enum:
    FIRST_SIZE = 4096
    FIRST_CAPACITY = 64
    LARGE = 256 * 1024           # a change of memory that the next flush writes
    ROW = 60                    # bytes of a row, roughly
    ROWS_RATE = 100             # bytes a millisecond that rows of smaller changes may add to the file


# -- threads -----------------------------------------------------------------------------------------------------------

cdef bint grow_stack(thread_t *t) noexcept:
    cdef int capacity = 2 * t.capacity if t.capacity else FIRST_CAPACITY
    cdef call_t *stack = <call_t *>PyMem_RawRealloc(t.stack, capacity * sizeof(call_t))
    if stack == NULL:
        return False
    t.stack, t.capacity = stack, capacity
    return True


cdef thread_t *known_thread(calls_t *calls) noexcept:
    cdef thread_t *t = <thread_t *>current[calls.tracer.slot]
    return t if t != NULL and t.state.generation == calls.tracer.generation else NULL


cdef thread_t *join_thread(calls_t *calls, int function, int thread) noexcept:
    """Attach the calling thread, with a root whose function names it."""
    cdef thread_t *t = <thread_t *>attach_thread(&calls.tracer, sizeof(thread_t))
    cdef node_t *root
    if t == NULL:
        return NULL
    root = child_of(calls, NULL, NULL, function) if t.capacity or grow_stack(t) else NULL
    if root == NULL:
        detach_thread(&t.state)
        return NULL
    if root.calls == 0:         # threads may share a root
        root.thread = thread
    root.calls += 1
    root.peak = max(root.peak, t.state.memory)
    if calls.memory < 0:
        calls.memory = t.state.memory
    t.stack[0].node = t.top = root
    t.stack[0].code = t.returned = NULL
    t.depth = 1
    t.since = ticks()
    current[calls.tracer.slot] = t
    return t


cdef void credit(calls_t *calls, thread_t *t) noexcept nogil:
    """Credit a thread with the growth that its page faults explain; the rest is that of another thread, which will read it.

    Memory that is freed right after a return was that of the locals, up to what the call had grown: the interpreter frees
    them after the event of the return.
    """
    cdef int64_t change = t.state.memory - calls.memory
    cdef int64_t freed
    if change > 0:
        change = min(change, t.state.new_faults * calls.fault_bytes)
    calls.memory += change
    if change < 0 and t.returned != NULL:
        freed = max(change, -t.returned_growth)
        t.returned.growth += freed
        change -= freed
    t.top.growth += change


# -- the tree ----------------------------------------------------------------------------------------------------------

cdef inline node_t *node_at(calls_t *calls, int id) noexcept nogil:
    return &calls.chunks[id >> 12][id & (CHUNK - 1)]


cdef inline int place_of(calls_t *calls, int *places, int size, int parent, void *code, int function) noexcept nogil:
    """The place of a child's id, or the free place for it. Roots have no code, and differ by their functions."""
    cdef uint64_t key = (<uint64_t>code >> 4) ^ (<uint64_t>(parent + 1) << 20) ^ (<uint64_t>function if code == NULL else 0)
    cdef int place = <int>(key * <uint64_t>0x9E3779B97F4A7C15 >> 33) & (size - 1)
    cdef node_t *node
    while places[place]:
        node = node_at(calls, places[place] - 1)
        if node.code == code and node.parent == parent and (code != NULL or node.function == function):
            break
        place = (place + 1) & (size - 1)
    return place


cdef bint grow_places(calls_t *calls) noexcept:
    cdef int size = 2 * calls.size if calls.size else FIRST_SIZE
    cdef int *places = <int *>PyMem_RawCalloc(size, sizeof(int))
    cdef node_t *node
    cdef int id
    if places == NULL:
        return False
    for id in range(calls.count):
        node = node_at(calls, id)
        places[place_of(calls, places, size, node.parent, node.code, node.function)] = id + 1
    PyMem_RawFree(calls.places)
    calls.places, calls.size = places, size
    return True


cdef node_t *new_node(calls_t *calls, node_t *parent, void *code, int function) noexcept:
    cdef node_t *node
    cdef int id = calls.count
    if id == CHUNKS * CHUNK:
        return NULL
    if calls.chunks[id >> 12] == NULL:
        calls.chunks[id >> 12] = <node_t *>PyMem_RawCalloc(CHUNK, sizeof(node_t))
        if calls.chunks[id >> 12] == NULL:
            return NULL
    node = node_at(calls, id)
    node.id, node.parent = id, parent.id if parent != NULL else -1
    node.code, node.function = code, function
    node.thread = parent.thread if parent != NULL else 0
    node.written_growth = node.written_peak = -1
    publish_count(calls.count, id + 1)
    return node


cdef node_t *child_of(calls_t *calls, node_t *parent, void *code, int function) noexcept:
    """The node of a path, made at its first call; beyond the limit, the one that further paths share."""
    cdef int id = parent.id if parent != NULL else -1
    cdef int place
    cdef node_t *node
    if calls.count * 2 >= calls.size and not grow_places(calls):
        return NULL
    place = place_of(calls, calls.places, calls.size, id, code, function)
    if calls.places[place]:
        node = node_at(calls, calls.places[place] - 1)
    elif parent != NULL and parent.function == calls.more:
        node = parent
    elif calls.count >= MOST_NODES and function != calls.more:
        node = child_of(calls, parent, NULL, calls.more)
    else:
        node = new_node(calls, parent, code, function)
        if node != NULL:
            calls.places[place] = node.id + 1
    if parent != NULL and node != NULL and node.code != NULL:
        parent.recent = node
    return node


cdef bint unwind_to(calls_t *calls, thread_t *t, void *code, uint64_t time) noexcept nogil:
    """End the calls above the innermost call of some code, which ended without an event, and that call too."""
    cdef int place = t.depth - 1
    while place > 0 and t.stack[place].code != code:
        place -= 1
    if place <= 0:
        return False
    charge(calls, t, time)
    t.returned = NULL
    t.depth = place
    t.top = t.stack[place - 1].node
    return True


# -- writing -----------------------------------------------------------------------------------------------------------

cdef void write_node(
    calls_t *calls, journal_t *journal, node_t *node, uint64_t time, int64_t growth, int64_t peak
) noexcept nogil:
    """Write a row, after those of its callers that are not in the journal yet."""
    cdef int64_t row[8]
    cdef node_t *caller
    if node.parent >= 0:
        caller = node_at(calls, node.parent)
        if caller.written_peak < 0:
            write_node(calls, journal, caller, caller.time, caller.growth, caller.peak)
    row[0], row[1], row[2], row[3] = node.id, node.parent if node.parent >= 0 else NOTHING, node.function, node.thread
    row[4], row[5], row[6], row[7] = node.calls, <int64_t>(time * calls.tick), growth, peak
    node.written_time, node.written_growth, node.written_peak = time, growth, peak
    journal_row(journal, b"call", row, 8)


cdef inline bint is_large(int64_t value, int64_t written) noexcept nogil:
    return value - written >= LARGE or written - value >= LARGE


cdef void write_running(calls_t *calls, journal_t *journal, int64_t memory, bint whole) noexcept nogil:
    """Write what the running calls have done so far; the next flush computes it from scratch.

    Their threads go on meanwhile, so this may miss what they are just doing. The change of memory is credited to the thread
    with the latest event: no other can have run Python code since.
    """
    cdef thread_state_t *state
    cdef thread_t *t
    cdef thread_t *last = NULL
    cdef node_t *top
    cdef int64_t peak, growth, running
    for last_found in range(2):
        state = thread_states(&calls.tracer)
        while state != NULL:
            t = <thread_t *>state
            top = load_node(t.top)
            if top != NULL and state.generation == calls.tracer.generation:
                if not last_found:
                    last = t if last == NULL or t.since > last.since else last
                else:
                    peak = max(max(top.peak, memory if t == last else 0), state.scope.peak)
                    growth = top.growth + (memory - calls.memory if t == last else 0)
                    if whole or is_large(growth, top.written_growth) or is_large(peak, top.written_peak):
                        running = max(<int64_t>(ticks() - t.since), <int64_t>0)     # it may have been charged just now
                        write_node(calls, journal, top, top.time + running, growth, peak)
            state = state.next


cdef void calls_flush(calls_t *calls, journal_t *journal, int64_t memory, bint whole) noexcept nogil:
    cdef int64_t reads, time = now()
    cdef int64_t rows = 0
    cdef node_t *node
    cdef int id, count = load_count(calls.count)
    whole = whole or time >= calls.full_due
    calls.tick = nanoseconds_per_tick()
    for id in range(count):
        node = node_at(calls, id)
        if whole:
            if node.time == node.written_time and node.growth == node.written_growth and node.peak == node.written_peak:
                continue
        elif not is_large(node.growth, node.written_growth) and not is_large(node.peak, node.written_peak):
            continue
        rows += 1
        write_node(calls, journal, node, node.time, node.growth, node.peak)
    if memory >= 0:
        write_running(calls, journal, memory, whole)
    if whole:
        calls.full_due = time + rows * ROW // ROWS_RATE * MILLISECOND
    reads = new_reads(&calls.tracer)
    if reads:
        journal_row(journal, b"call_reads", &reads, 1)


# -- open and close ----------------------------------------------------------------------------------------------------

cdef int calls_open(calls_t *calls) noexcept:
    calls.count, calls.more, calls.full_due, calls.memory = 0, -1, 0, -1
    if not tracer_open(&calls.tracer, OF_CALLS):
        return -1
    if not code_table_open(&calls.codes) or not grow_places(calls):
        calls_close(calls)
        return -2
    return 0


cdef void calls_close(calls_t *calls) noexcept:
    cdef thread_state_t *state
    cdef int chunk
    if not is_open(&calls.tracer):
        return
    state = thread_states(&calls.tracer)
    while state != NULL:
        (<thread_t *>state).top = NULL
        state = state.next
    tracer_close(&calls.tracer)
    code_table_close(&calls.codes)
    for chunk in range(CHUNKS):
        PyMem_RawFree(calls.chunks[chunk])
        calls.chunks[chunk] = NULL
    PyMem_RawFree(calls.places)
    calls.places, calls.count, calls.size = NULL, 0, 0
