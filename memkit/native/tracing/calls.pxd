# Calls, time, growth, peak and rise of each call path: a tree of nodes, written as totals by a flush.

from libc.stdint cimport int64_t, uint32_t, uint64_t

from memkit.native.tracing.code_table cimport COROUTINE, MACHINERY, code_table_t
from memkit.native.tracing.credit cimport read_memory
from memkit.native.tracing.gate cimport must_read
from memkit.native.tracing.greenlets cimport greenlets_t
from memkit.native.tracing.growing cimport stack_t
from memkit.native.tracing.noted cimport note
from memkit.native.tracing.thread_state cimport thread_state_t, tracer_t

cdef extern from *:
    void publish_count "memkit_publish"(int, int) noexcept nogil
    int load_count "memkit_load"(int) noexcept nogil

cdef enum:
    MOST_NODES = 262144         # further paths share one node under each node that there is
    CHUNK = 4096                # nodes in one allocation, which never moves
    CHUNKS = 128                # room for twice MOST_NODES
    NOT_HANDED = -2             # homes of nodes
    OF_A_THREAD = -1

cdef struct sums_t:
    uint64_t time               # ticks
    int64_t growth
    int64_t peak

cdef struct node_t:             # a call path: its own sums, without its callees
    int id
    int parent                  # of its caller, or of what handed it over, or -1
    int function                # the number in the journal
    int thread
    void *code                  # what was called last by this path: a code object, or a C function's method definition
    unsigned int deaths         # of code objects until then: after a further one, another may have the address of `code`
    int below                   # by the flush: the node on the way to one that is being written
    node_t *recent              # the node that it called last
    int64_t calls
    uint64_t time               # ticks
    int64_t growth
    int64_t peak
    int64_t rise                # with its callees: the most by which one call rose above what there was at its entry
    int64_t rises               # the sum of the rises of all calls
    int64_t about               # growth that was credited by estimate
    sums_t written              # as in the journal, there perhaps with what a running call has done since it was charged
    int64_t written_rise
    int64_t written_rises
    int64_t lately              # the highest rise since it was noted, see noted.pxd, and the last mark before that
    uint32_t mark
    int running                 # by the flush: where it is in `calls_t.running`, if that says so too
    int role                    # of its code in handing work over, see handed_over.pxd
    int home                    # of handed over work: of what called it in its thread, or OF_A_THREAD; else NOT_HANDED
    int kind                    # of such work: a function's number
    bint is_work                # it was handed over: what it does is not its thread's other calls'

cdef struct running_t:          # a node of which a flush finds calls running
    node_t *node
    int64_t rise                # the highest of theirs so far, and the sum
    int64_t rises
    sums_t sums                 # of the node, with what they had done since they were charged

cdef struct call_t:             # a running call
    node_t *node
    void *code                  # not that of the node if the node is shared by further paths
    int64_t entry               # the thread's level when it began or was resumed
    int64_t highest             # the highest level since

cdef struct thread_t:
    thread_state_t state        # must be first: pointers to either are cast to the other
    node_t *top                 # the running call
    uint64_t since              # when it was last charged
    int64_t taken               # of what the thread is credited with: what calls have got
    int64_t taken_uncertain
    call_t *stack               # from the root to the top, of the greenlet that runs
    node_t *root                # of the thread
    greenlets_t greenlets
    node_t *returned            # what has just returned and had grown memory: its locals are freed next
    node_t *ended               # for a heap recording: what returned last
    int64_t returned_growth
    node_t *shown               # by the flush: the running call that was written last, and its sums
    sums_t shown_sums
    int depth
    stack_t *stacks             # newest first

cdef struct calls_t:
    tracer_t tracer
    code_table_t codes
    code_table_t answers        # the places in `codes.infos`, by what is known of a function
    node_t *chunks[CHUNKS]
    int count
    int *places                 # ids + 1 of nodes, hashed by parent and function
    int size                    # a power of two; at least half of it is free
    int more                    # the function of the paths beyond MOST_NODES
    double tick                 # nanoseconds
    running_t *running          # by the flush, with how many there are and have room
    int running_count
    int running_room
    uint32_t *serials           # for a heap recording: by id + 1, counts calls that began or ended; NULL: there is none

# -- under the GIL, but for what is nogil

cdef int calls_open(calls_t *calls) noexcept                    # 0; -1: SLOTS are open, -2: no memory
cdef void calls_close(calls_t *calls) noexcept                  # no flush or event may follow
cdef thread_t *known_thread(calls_t *calls) noexcept              # NULL: the calling thread is not attached
# `starter` started the thread, or is NULL; `kind` is what it started. NULL: no memory
cdef thread_t *join_thread(calls_t *calls, int function, int thread, node_t *starter, int kind) noexcept

cdef node_t *child_of(calls_t *calls, node_t *parent, void *code, int function) noexcept    # NULL: no memory
# The same, but the next call of this path comes here too, and is not found by `recent`.
cdef node_t *node_for(calls_t *calls, node_t *parent, void *code, int function, int home) noexcept
# What a call did that has ended is not to count as the rise of those that its thread has open.
cdef void leave_out(thread_t *t, call_t *call) noexcept nogil
cdef bint grow_stack(thread_t *t) noexcept                      # False: no memory
cdef void take_credit(calls_t *calls, thread_t *t) noexcept nogil   # to the running call: its thread's credit
# The reading that has just been made is that of the running call; `before` is memory at the reading before.
cdef void count_peak(thread_t *t, int64_t before, int64_t peak) noexcept nogil
cdef bint unwind_to(calls_t *calls, thread_t *t, void *code, uint64_t time) noexcept nogil      # False: no such call


cdef inline node_t *node_at(calls_t *calls, int id) noexcept nogil:
    return &calls.chunks[id >> 12][id & (CHUNK - 1)]


cdef inline void note_node(calls_t *calls, node_t *node) noexcept nogil:
    """A node is about to change."""
    note(&calls.tracer.notes, &node.mark, &node.growth, &node.lately, NULL, node.id, node.parent)


cdef inline int64_t thread_level(thread_t *t) noexcept nogil:
    """What rises are measured in: bytes, of which only differences matter."""
    return t.state.credited


cdef inline uint64_t charge(calls_t *calls, thread_t *t, uint64_t time) noexcept nogil:
    """Charge the running call up to now, and return the time from which the next one counts."""
    cdef int64_t peak, before
    t.top.time += time - t.since
    if must_read(&t.state.gate, time):
        before = t.state.memory
        peak = read_memory(&calls.tracer, &t.state)
        if t.state.credited != t.taken:
            take_credit(calls, t)
        count_peak(t, before, peak)
        time = t.state.gate.checked_at       # the reading does not count as the program's time
    elif t.returned != NULL:                # memory is what it was at the return, with what was returned
        t.top.peak = max(t.top.peak, t.state.memory)
        if t.state.credited != t.taken:
            take_credit(calls, t)
    t.returned = NULL
    t.state.returning = 0
    t.since = time
    return time


cdef inline void end_path(calls_t *calls, thread_t *t) noexcept nogil:
    """For a heap recording: the call that returned last has freed its locals, which the interpreter does after the event."""
    if t.ended != NULL:
        calls.serials[t.ended.id + 1] += 1
        t.ended = NULL


cdef inline bint push(calls_t *calls, thread_t *t, node_t *node, void *code) noexcept:
    """A call begins or is resumed; False: no memory."""
    cdef call_t *call
    if t.depth == t.stacks.capacity and not grow_stack(t):
        return False
    call = &t.stack[t.depth]
    call.node, call.code = node, code
    call.entry = call.highest = thread_level(t)
    publish_count(t.depth, t.depth + 1)
    t.top = node
    if calls.serials != NULL:
        end_path(calls, t)
        calls.serials[node.id + 1] += 1
    node.peak = max(node.peak, t.state.memory)
    return True


cdef inline void add_rise(calls_t *calls, call_t *call, call_t *caller) noexcept nogil:
    """Count the rise of a call that ends, for its caller too."""
    cdef int64_t rise = call.highest - call.entry
    if rise > 0:
        note_node(calls, call.node)
        call.node.lately = max(call.node.lately, rise)
        call.node.rise = max(call.node.rise, rise)
        call.node.rises += rise
        if not call.node.is_work:
            caller.highest = max(caller.highest, call.highest)


cdef inline void pop(calls_t *calls, thread_t *t) noexcept nogil:
    """The running call ends; it is not the root."""
    cdef call_t *call = &t.stack[t.depth - 1]
    t.depth -= 1
    t.returned_growth = thread_level(t) - call.entry
    if call.node.role & COROUTINE:          # the call has grown before it was resumed, too
        t.returned_growth = max(t.returned_growth, call.node.rises + min(call.node.growth, <int64_t>0))
    if t.returned_growth > 0:
        t.returned = t.top
        t.state.returning = t.returned_growth
    if call.node.is_work:
        leave_out(t, call)
    if calls.serials != NULL:
        end_path(calls, t)
        t.ended = call.node
    add_rise(calls, call, call - 1)
    t.top = call[-1].node
    if t.depth == 1:            # the first call of a thread that was started by another is threading's
        t.state.ending = t.root.home == OF_A_THREAD and call.node.role & MACHINERY != 0
