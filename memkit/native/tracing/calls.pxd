# Calls, time, growth and peak of each call path: a tree of nodes, written as totals by a flush.

from libc.stdint cimport int64_t, uint64_t

from memkit.native.tracing.code_table cimport code_table_t
from memkit.native.tracing.gate cimport must_read
from memkit.native.journal cimport journal_t
from memkit.native.tracing.thread_state cimport tracer_t, read_memory, thread_state_t

cdef enum:
    MOST_NODES = 262144         # further paths share one node under each node that there is
    CHUNK = 4096                # nodes in one allocation, which never moves
    CHUNKS = 128                # room for twice MOST_NODES

cdef struct node_t:             # a call path: its own sums, without its callees
    int id
    int parent                  # of its caller, or -1
    int function                # the number in the journal
    int thread
    void *code                  # the callee: a code object, or a C function's method definition
    node_t *recent              # the node that it called last
    int64_t calls
    uint64_t time               # ticks
    int64_t growth
    int64_t peak
    uint64_t written_time       # as in the journal
    int64_t written_growth
    int64_t written_peak

cdef struct call_t:             # a running call
    node_t *node
    void *code                  # not that of the node if the node is shared by further paths
    int64_t entry               # memory when it began or was resumed

cdef struct thread_t:
    thread_state_t state        # must be first: pointers to either are cast to the other
    node_t *top                 # the running call
    uint64_t since              # when it was last charged
    call_t *stack               # from the root to the top
    node_t *returned            # what has just returned and had grown memory: its locals are freed next
    int64_t returned_growth
    int depth
    int capacity

cdef struct calls_t:
    tracer_t tracer
    int64_t memory              # the part of memory that has been credited to a thread
    int64_t fault_bytes         # bytes that one page fault can bring, at most
    code_table_t codes
    node_t *chunks[CHUNKS]
    int count
    int *places                 # ids + 1 of nodes, hashed by parent and code
    int size                    # a power of two; at least half of it is free
    int more                    # the function of the paths beyond MOST_NODES
    double tick                 # nanoseconds
    int64_t full_due            # nanoseconds, when all changes are written again, small ones too

# -- under the GIL, but for what is nogil

cdef int calls_open(calls_t *calls) noexcept                    # 0; -1: SLOTS are open, -2: no memory
cdef void calls_close(calls_t *calls) noexcept                  # no flush or event may follow
cdef thread_t *known_thread(calls_t *calls) noexcept              # NULL: the calling thread is not attached
cdef thread_t *join_thread(calls_t *calls, int function, int thread) noexcept       # NULL: no memory
# Writes totals that have changed since the last flush; small changes only now and then, unless `whole`.
cdef void calls_flush(calls_t *calls, journal_t *journal, int64_t memory, bint whole) noexcept nogil

cdef node_t *child_of(calls_t *calls, node_t *parent, void *code, int function) noexcept    # NULL: no memory
cdef bint grow_stack(thread_t *t) noexcept                      # False: no memory
cdef void credit(calls_t *calls, thread_t *t) noexcept nogil         # the change of memory, to the calls that caused it
cdef bint unwind_to(calls_t *calls, thread_t *t, void *code, uint64_t time) noexcept nogil      # False: no such call


cdef inline uint64_t charge(calls_t *calls, thread_t *t, uint64_t time) noexcept nogil:
    """Charge the running call up to now, and return the time from which the next one counts."""
    cdef node_t *top = t.top
    cdef int64_t peak
    top.time += time - t.since
    if must_read(&t.state.gate, time):
        peak = read_memory(&calls.tracer, &t.state)
        if t.state.memory != calls.memory:
            credit(calls, t)
        top.peak = max(top.peak, peak)
        time = t.state.gate.checked_at       # the reading does not count as the program's time
    t.returned = NULL
    t.since = time
    return time


cdef inline bint push(calls_t *calls, thread_t *t, node_t *node, void *code) noexcept:
    """A call begins or is resumed; False: no memory."""
    if t.depth == t.capacity and not grow_stack(t):
        return False
    t.stack[t.depth].node, t.stack[t.depth].code, t.stack[t.depth].entry = node, code, calls.memory
    t.depth += 1
    t.top = node
    node.peak = max(node.peak, t.state.memory)
    return True


cdef inline void pop(calls_t *calls, thread_t *t) noexcept nogil:
    """The running call ends; it is not the root."""
    t.depth -= 1
    t.returned_growth = calls.memory - t.stack[t.depth].entry
    if t.returned_growth > 0:
        t.returned = t.top
    t.top = t.stack[t.depth - 1].node
