# What each line did to memory, summed up per thread; written as partial sums by whoever flushes.

from libc.stdint cimport int64_t, uint64_t

from memkit.native.codes cimport code_t, codes_t
from memkit.native.gate cimport gate_t, must_read
from memkit.native.journal cimport journal_t
from memkit.native.meter cimport meter_t
from memkit.native.peak cimport scope_t

cdef enum:
    SLOTS = 8                   # tracers at a time; as in lines.pyx

cdef struct line_t:
    int64_t hits
    uint64_t time               # ticks
    int64_t growth
    int64_t memory              # after it last ran
    int64_t peak
    int64_t written_hits        # what stands in the journal already
    uint64_t written_time
    int64_t written_growth
    int64_t written_memory
    int64_t written_peak

cdef struct table_t:            # of one code object in one thread
    code_t *about
    line_t *lines
    int top                     # the innermost activation of the code in the thread's stack, or -1
    table_t *next

cdef struct activation_t:       # from an entry or resumption to a return or suspension
    table_t *table
    void *frame                 # of sys.settrace; monitoring does not tell
    int outer                   # the activation of the same code around this one, or -1
    int row                     # the line that runs, or -1 before the first
    uint64_t entered
    int64_t entry               # memory when entered
    uint64_t since              # when the line began
    int64_t memory              # memory when the line began
    uint64_t nested_time        # what activations of the same code have taken from the line
    int64_t nested
    int64_t peak                # while the line runs
    int64_t highest             # of the whole activation

cdef struct thread_t:
    gate_t gate
    scope_t scope
    int64_t memory              # when it was last read
    long faults
    int64_t reads
    activation_t *stack
    int depth
    int room
    table_t **tables            # by the index of the code
    int known
    table_t *first              # the same, for whoever flushes
    bint busy                   # belongs to a thread that lives
    int64_t generation          # of the tracer that it was last made ready for
    thread_t *next

cdef struct lines_t:
    int slot
    bint active
    bint scoped                 # the meter is one that the kernel keeps a peak of
    int64_t generation
    meter_t meter
    codes_t codes
    int64_t written_reads

# -- a tracer's sums, and the threads that make them; all but the flush under the GIL

cdef int lines_open(lines_t *lines) noexcept                    # 0, or -1: too many, -2: no memory
cdef void lines_close(lines_t *lines) noexcept                  # nothing may flush or call any more
cdef thread_t *this_thread(lines_t *lines) noexcept             # the calling thread's state; NULL: no memory
cdef void lines_flush(lines_t *lines, journal_t *journal) noexcept nogil
cdef int gate_of(lines_t *lines) noexcept                       # the worst that one of the threads has

# -- what runs

cdef void look(lines_t *lines, thread_t *t) noexcept nogil
cdef activation_t *enter(lines_t *lines, thread_t *t, int index, int row, uint64_t time) noexcept
cdef void leave(thread_t *t, uint64_t time) noexcept nogil
cdef void leave_down_to(lines_t *lines, thread_t *t, int place, uint64_t time) noexcept nogil


cdef inline void begin_line(thread_t *t, activation_t *a, int row, uint64_t time) noexcept nogil:
    a.row = row
    a.since = time
    a.memory = t.memory
    a.nested_time = 0
    a.nested = 0
    a.peak = t.memory


cdef inline uint64_t end_line(lines_t *lines, thread_t *t, uint64_t time) noexcept nogil:
    """Give the line that runs on top of the stack its share; the time to go on with is returned."""
    cdef activation_t *a = &t.stack[t.depth - 1]
    cdef line_t *line = &a.table.lines[max(a.row, 0)]
    cdef uint64_t took = time - a.since - a.nested_time
    if must_read(&t.gate, time):
        look(lines, t)
        time = t.gate.asked         # reading is not the program's time
    line.growth += t.memory - a.memory - a.nested
    line.memory = t.memory
    a.peak = max(a.peak, t.memory)
    line.peak = max(line.peak, a.peak)
    a.highest = max(a.highest, a.peak)
    line.time += took
    return time
