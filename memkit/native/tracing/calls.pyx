"""Calls, time, growth, peak and rise of each call path, summed up in C.

A node is a call path: a function, called from the path of its parent. Its sums are its own, without its callees: what
happens between two events belongs to the node that runs. So nothing is counted twice, whichever way a call ends, and the
reader gets the sums with callees by adding up the subtree.

Each thread has a root, or shares one with threads of the same kind. Growth is what the thread is credited with, see
``memkit.native.tracing.credit``: so the growth of all trees is that of the process. A node is made at the first call of its
path and never moves; their number is limited.

A rise is with callees: the highest level of the thread from the entry of a call, or its resumption, to its return, or
suspension, less the level at the entry.
"""

from memkit.native.heap.own cimport give_room_back, joined, own_calloc, own_free, own_room, path_t
from libc.stdint cimport int64_t, uint64_t

from memkit.native.tracing.code_table cimport MACHINERY, code_table_close, code_table_open
from memkit.native.tracing.credit cimport WAITS, WORKS
from memkit.native.tracing.gate cimport ticks
from memkit.native.tracing.greenlets cimport forget_asides, free_asides
from memkit.native.tracing.growing cimport free_stacks, grown
from memkit.native.tracing.thread_state cimport (
    OF_CALLS, SLOTS, attach_thread, detach_thread, is_open, thread_state_t, thread_states, tracer_close, tracer_open,
)

cdef extern from *:
    """
    #ifdef __GLIBC__        /* keeps room for modules that are loaded late; musl has none for the faster model */
      #define memkit_tls_model __attribute__((tls_model("initial-exec")))
    #else
      #define memkit_tls_model
    #endif
    static __thread void *memkit_calls_of_thread[8] memkit_tls_model;
    """
    void *current "memkit_calls_of_thread"[SLOTS]
    node_t *load_node "memkit_load"(node_t *) noexcept nogil

cdef enum:
    FIRST_SIZE = 4096
    FIRST_CAPACITY = 16
    NOISE = 128 * 1024           # readings of memory may differ by this where it did not change


# -- threads -----------------------------------------------------------------------------------------------------------

cdef bint grow_stack(thread_t *t) noexcept:
    """Give a thread a larger stack, with a copy of its calls."""
    cdef call_t *stack = <call_t *>grown(&t.stacks, t.depth, FIRST_CAPACITY, sizeof(call_t))
    if stack == NULL:
        return False
    t.stack = stack
    return True


cdef void end_calls(calls_t *calls, thread_t *t, int depth) noexcept nogil:
    """Count the rises of the calls from a depth on, which have ended."""
    cdef int place
    for place in range(t.depth - 1, depth - 1, -1):
        if calls.serials != NULL:
            calls.serials[t.stack[place].node.id + 1] += 1
        if t.stack[place].node.is_work:
            leave_out(t, &t.stack[place])
        add_rise(calls, &t.stack[place], &t.stack[max(place - 1, 0)])


cdef void leave_out(thread_t *t, call_t *call) noexcept nogil:
    cdef int64_t growth = thread_level(t) - call.entry
    while call != t.stack:
        call -= 1
        call.entry += growth
        call.highest += growth


cdef thread_t *known_thread(calls_t *calls) noexcept:
    cdef thread_t *t = <thread_t *>current[calls.tracer.slot]
    return t if t != NULL and t.state.generation == calls.tracer.generation else NULL


cdef thread_t *join_thread(calls_t *calls, int function, int thread, node_t *starter, int kind) noexcept:
    """Attach the calling thread, with a root whose function names it."""
    cdef int home = NOT_HANDED if starter == NULL else OF_A_THREAD
    cdef thread_t *t = <thread_t *>attach_thread(&calls.tracer)
    cdef node_t *root
    if t == NULL:
        return NULL
    root = node_for(calls, starter, NULL, function, home) if t.stacks != NULL or grow_stack(t) else NULL
    if root == NULL:
        detach_thread(&t.state)
        return NULL
    t.ended, t.state.ending = NULL, False
    if t.top != NULL:           # the calls of a thread that has ended, and had this state
        end_calls(calls, t, 0)
        t.returned = NULL
        take_credit(calls, t)
    t.taken, t.taken_uncertain = t.state.credited, t.state.uncertain
    if root.calls == 0:         # threads may share a root
        root.thread, root.kind = thread, kind
    root.calls += 1
    root.peak = max(root.peak, t.state.memory)
    t.stack[0].node = t.top = t.root = root
    forget_asides(&t.greenlets)
    t.stack[0].code = t.returned = t.shown = NULL
    t.stack[0].entry = t.stack[0].highest = thread_level(t)
    publish_count(t.depth, 1)
    t.since = ticks()
    current[calls.tracer.slot] = t
    if calls.serials != NULL:
        joined().path = <path_t **>&t.top
    return t


cdef void take_credit(calls_t *calls, thread_t *t) noexcept nogil:
    """Give the running call what its thread was credited with since the last time.

    Memory that is freed right after a return was that of the locals, up to what the call had grown: the interpreter frees
    them after the event of the return.
    """
    cdef int64_t change = t.state.credited - t.taken
    cdef int64_t freed
    t.taken = t.state.credited
    t.top.about += t.state.uncertain - t.taken_uncertain
    t.taken_uncertain = t.state.uncertain
    if change < 0 and t.returned != NULL:
        freed = max(change, -t.returned_growth)
        note_node(calls, t.returned)
        t.returned.growth += freed
        change -= freed
    if change:
        note_node(calls, t.top)
        t.top.growth += change


cdef void count_peak(thread_t *t, int64_t before, int64_t peak) noexcept nogil:
    """Count a peak for the running call.

    Right after a return, memory was as high as before the reading with the locals of the call that returned: that is not the
    caller's own peak.
    """
    cdef call_t *running = &t.stack[t.depth - 1]
    running.highest = max(running.highest, thread_level(t) + t.state.above)
    if t.returned != NULL and peak <= before + NOISE:
        peak = t.state.memory
    t.top.peak = max(t.top.peak, peak)


# -- the tree ----------------------------------------------------------------------------------------------------------

cdef inline int place_of(calls_t *calls, int *places, int size, int parent, int function, int home) noexcept nogil:
    """The place of a child's id, or the free place for it."""
    cdef uint64_t key = <uint64_t>function ^ (<uint64_t>(parent + 1) << 20) ^ (<uint64_t>(home - NOT_HANDED) << 42)
    cdef int place = <int>(key * <uint64_t>0x9E3779B97F4A7C15 >> 33) & (size - 1)
    cdef node_t *node
    while places[place]:
        node = node_at(calls, places[place] - 1)
        if node.function == function and node.parent == parent and node.home == home:
            break
        place = (place + 1) & (size - 1)
    return place


cdef bint grow_places(calls_t *calls) noexcept:
    cdef int size = 2 * calls.size if calls.size else FIRST_SIZE
    cdef int *places = <int *>own_calloc(size, sizeof(int))
    cdef node_t *node
    cdef int id
    if places == NULL:
        return False
    for id in range(calls.count):
        node = node_at(calls, id)
        places[place_of(calls, places, size, node.parent, node.function, node.home)] = id + 1
    own_free(calls.places)
    calls.places, calls.size = places, size
    return True


cdef node_t *new_node(calls_t *calls, node_t *parent, int function, int home) noexcept:
    cdef node_t *node
    cdef int id = calls.count
    if id == CHUNKS * CHUNK:
        return NULL
    if calls.chunks[id >> 12] == NULL:
        calls.chunks[id >> 12] = <node_t *>own_room(CHUNK * sizeof(node_t))
        if calls.chunks[id >> 12] == NULL:
            return NULL
    node = node_at(calls, id)
    node.id, node.parent = id, parent.id if parent != NULL else -1
    node.function, node.home = function, home
    node.thread = node_at(calls, home).thread if home >= 0 else parent.thread if parent != NULL else 0
    node.written.growth = node.written.peak = node.written_rise = node.written_rises = -1
    publish_count(calls.count, id + 1)
    return node


cdef node_t *child_of(calls_t *calls, node_t *parent, void *code, int function) noexcept:
    cdef node_t *node = node_for(calls, parent, code, function, NOT_HANDED)
    if node != NULL and node.function == function:
        parent.recent = node
    return node


cdef node_t *node_for(calls_t *calls, node_t *parent, void *code, int function, int home) noexcept:
    """The node of a path, made at its first call; beyond the limit, the one that further paths share."""
    cdef int id = parent.id if parent != NULL else -1
    cdef int place
    cdef node_t *node
    if calls.count * 2 >= calls.size and not grow_places(calls):
        return NULL
    place = place_of(calls, calls.places, calls.size, id, function, home)
    if calls.places[place]:
        node = node_at(calls, calls.places[place] - 1)
    elif parent != NULL and parent.function == calls.more:
        node = parent
    elif calls.count >= MOST_NODES and function != calls.more:
        node = node_for(calls, parent, NULL, calls.more, NOT_HANDED)
    else:
        node = new_node(calls, parent, function, home)
        if node != NULL:
            calls.places[place] = node.id + 1
    if node != NULL and code != NULL and node.function == function:
        node.code, node.deaths = code, calls.codes.deaths
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
    end_calls(calls, t, place)
    t.depth = place
    t.top = t.stack[place - 1].node
    return True


# -- open and close ----------------------------------------------------------------------------------------------------

cdef int role_of(thread_state_t *state) noexcept nogil:
    cdef node_t *top = load_node((<thread_t *>state).top)
    return WAITS if top != NULL and top.role & MACHINERY else WORKS


cdef int calls_open(calls_t *calls) noexcept:
    calls.tracer.role = role_of
    calls.count, calls.more = 0, -1
    if not tracer_open(&calls.tracer, OF_CALLS, sizeof(thread_t)):
        return -1
    if not code_table_open(&calls.codes) or not code_table_open(&calls.answers) or not grow_places(calls):
        calls_close(calls)
        return -2
    return 0


cdef void free_calls(thread_t *t) noexcept:
    t.top = NULL
    free_stacks(t.stacks)
    free_asides(&t.greenlets)
    t.stack, t.stacks, t.depth = NULL, NULL, 0


cdef void calls_close(calls_t *calls) noexcept:
    cdef thread_state_t *state
    cdef int chunk
    if not is_open(&calls.tracer):
        return
    state = thread_states(&calls.tracer)
    while state != NULL:
        free_calls(<thread_t *>state)
        state = state.next
    tracer_close(&calls.tracer)
    code_table_close(&calls.codes)
    code_table_close(&calls.answers)
    for chunk in range(CHUNKS):
        give_room_back(calls.chunks[chunk], CHUNK * sizeof(node_t))
        calls.chunks[chunk] = NULL
    own_free(calls.places)
    own_free(calls.running)
    calls.places, calls.count, calls.size = NULL, 0, 0
    calls.running, calls.running_count, calls.running_room = NULL, 0, 0
