# What each call path did to memory: a tree of nodes, summed up in C; written as totals by whoever flushes.

from libc.stdint cimport int64_t, uint64_t

from memkit.native.tracing.code_table cimport codes_t
from memkit.native.tracing.gate cimport must_read
from memkit.native.journal cimport journal_t
from memkit.native.tracing.thread_state cimport tracer_t, watch_look, watch_t

cdef enum:
    MOST_NODES = 262144         # beyond these, what is new is summed up under one more node for each that there is
    CHUNK = 4096                # nodes in a piece of memory, which never moves
    CHUNKS = 128                # of twice as many nodes

cdef struct node_t:             # a call path: its own sums, without what it calls
    int id
    int parent                  # of its caller, or -1
    int function                # the number in the journal
    int thread
    void *code                  # what was called: a code object, or a C function's definition
    node_t *recent              # what it called last
    int64_t calls
    uint64_t time               # ticks
    int64_t growth
    int64_t peak
    uint64_t written_time       # what stands in the journal already
    int64_t written_growth
    int64_t written_peak

cdef struct call_t:             # something that runs
    node_t *node
    void *code                  # which is not the node's where that stands for further paths
    int64_t entry               # memory when it began or went on

cdef struct thread_t:
    watch_t watch               # first, for each is made from the other
    node_t *top                 # what runs
    uint64_t since              # when it began or went on
    call_t *stack               # from the root to the top
    node_t *left                # what returned just now, having grown memory; its locals are still to be freed
    int64_t left_grew
    int depth
    int room

cdef struct calls_t:
    tracer_t tracer
    int64_t memory              # up to which growth has been given to one of the threads, once
    int64_t fault_brings        # bytes, at most
    codes_t codes
    node_t *chunks[CHUNKS]
    int count
    int *places                 # ids + 1 of nodes, hashed by parent and code
    int size                    # a power of two, never full
    int more                    # the function of what is beyond MOST_NODES
    double tick                 # nanoseconds
    int64_t full_due            # nanoseconds, when everything that changed is written again

# -- all but the flush and the sums under the GIL

cdef int calls_open(calls_t *calls) noexcept                    # 0, or -1: too many, -2: no memory
cdef void calls_close(calls_t *calls) noexcept                  # nothing may flush or call any more
cdef thread_t *own_thread(calls_t *calls) noexcept              # the calling thread's state, or NULL: it is to join
cdef thread_t *join_thread(calls_t *calls, int function, int thread) noexcept       # NULL: no memory
# Totals that have changed since the last time; of those that changed little only now and then, unless the whole is wanted.
cdef void calls_flush(calls_t *calls, journal_t *journal, int64_t memory, bint whole) noexcept nogil

cdef node_t *child_of(calls_t *calls, node_t *parent, void *code, int function) noexcept    # NULL: no memory
cdef bint make_room(thread_t *t) noexcept
cdef void give(calls_t *calls, thread_t *t) noexcept nogil         # what memory changed by, to what is to have it
cdef bint leave_to(calls_t *calls, thread_t *t, void *code, uint64_t time) noexcept nogil


cdef inline uint64_t settle(calls_t *calls, thread_t *t, uint64_t time) noexcept nogil:
    """Give what runs its share; the time to go on with is returned."""
    cdef node_t *top = t.top
    cdef int64_t peak
    top.time += time - t.since
    if must_read(&t.watch.gate, time):
        peak = watch_look(&calls.tracer, &t.watch)
        if t.watch.memory != calls.memory:
            give(calls, t)
        top.peak = max(top.peak, peak)
        time = t.watch.gate.asked       # reading is not the program's time
    t.left = NULL
    t.since = time
    return time


cdef inline bint push(calls_t *calls, thread_t *t, node_t *node, void *code) noexcept:
    """What runs calls something, or goes on with it."""
    if t.depth == t.room and not make_room(t):
        return False
    t.stack[t.depth].node, t.stack[t.depth].code, t.stack[t.depth].entry = node, code, calls.memory
    t.depth += 1
    t.top = node
    node.peak = max(node.peak, t.watch.memory)
    return True


cdef inline void pop(calls_t *calls, thread_t *t) noexcept nogil:
    """What runs is over; the root is not taken off."""
    t.depth -= 1
    t.left_grew = calls.memory - t.stack[t.depth].entry
    if t.left_grew > 0:
        t.left = t.top
    t.top = t.stack[t.depth - 1].node
