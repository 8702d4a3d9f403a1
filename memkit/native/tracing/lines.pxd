# What each line did to memory, summed up per thread; written as totals by whoever flushes.

from libc.stdint cimport int64_t, uint64_t

from memkit.native.tracing.code_table cimport code_t, codes_t
from memkit.native.tracing.gate cimport must_read
from memkit.native.journal cimport journal_t
from memkit.native.tracing.thread_state cimport tracer_t, watch_t

cdef struct line_t:
    int64_t hits
    uint64_t time               # ticks
    int64_t growth
    int64_t memory              # after it last ran
    int64_t peak
    uint64_t ended              # when it last did
    uint64_t first              # when it first began

cdef struct table_t:            # of one code object in one thread
    code_t *about
    line_t *lines
    int top                     # the innermost activation of the code in the thread's stack, or -1
    table_t *next
    table_t *lead               # of those that share one book, the code that the others stand in; this one, if none do
    int inner                   # of a lead: the innermost activation of any of them, or -1
    int64_t calls               # how often the code began, and memory and time as it did first and last
    int64_t first_entry
    int64_t last_entry
    uint64_t first_entered
    uint64_t last_entered
    int open_place              # for whoever flushes: the activation around the one that was looked at
    int64_t open_entry          # and memory and time when that one was entered
    uint64_t open_entered

cdef struct activation_t:       # from an entry or resumption to a return or suspension
    table_t *table
    void *frame                 # of the trace function's; monitoring does not tell
    int outer                   # the activation of the same code around this one, or -1
    int around                  # the same of code that shares its book
    int row                     # the line that runs, -1 before the first, -2 where the start was not met
    uint64_t entered
    int64_t entry               # memory when entered
    uint64_t since              # when the line began
    int64_t memory              # memory when the line began
    uint64_t nested_time        # what activations in the same book have taken from the line
    int64_t nested
    int64_t peak                # while the line runs
    int64_t highest             # of the whole activation

cdef struct stack_t:            # one that grew leaves those before it where they are, for whoever flushes may read them
    activation_t *at
    int room
    stack_t *before

cdef struct thread_t:
    watch_t watch               # first, for each is made from the other
    activation_t *stack
    int depth
    stack_t *stacks             # newest first
    table_t **tables            # by the index of the code
    int known
    table_t *first              # the same, for whoever flushes

cdef struct lines_t:
    tracer_t tracer
    codes_t codes
    int64_t flushes

# -- a tracer's sums, and the threads that make them; all but the flush under the GIL

cdef int lines_open(lines_t *lines) noexcept                    # 0, or -1: too many, -2: no memory
cdef void lines_close(lines_t *lines) noexcept                  # nothing may flush or call any more
cdef thread_t *this_thread(lines_t *lines) noexcept             # the calling thread's state; NULL: no memory
# Totals that have changed since the last time, lines that run with what they have done so far; `memory` is memory now.
cdef void lines_flush(lines_t *lines, journal_t *journal, int64_t memory) noexcept nogil

# -- what runs

cdef void look(lines_t *lines, thread_t *t) noexcept nogil
cdef activation_t *enter(lines_t *lines, thread_t *t, int index, int row, uint64_t time) noexcept
cdef void leave(thread_t *t, uint64_t time) noexcept nogil
cdef void leave_down_to(lines_t *lines, thread_t *t, int place, uint64_t time) noexcept nogil
cdef void leave_all(lines_t *lines) noexcept                    # what runs, in all threads; no line is given its share


cdef inline void begin_line(thread_t *t, activation_t *a, int row, uint64_t time) noexcept nogil:
    a.row = row
    a.since = time
    a.memory = t.watch.memory
    a.nested_time = 0
    a.nested = 0
    a.peak = t.watch.memory


cdef inline uint64_t end_line(lines_t *lines, thread_t *t, uint64_t time) noexcept nogil:
    """Give the line that runs on top of the stack its share; the time to go on with is returned."""
    cdef activation_t *a = &t.stack[t.depth - 1]
    cdef line_t *line = &a.table.lines[max(a.row, 0)]
    cdef uint64_t took = time - a.since - a.nested_time
    if must_read(&t.watch.gate, time):
        look(lines, t)
        time = t.watch.gate.asked       # reading is not the program's time
    line.growth += t.watch.memory - a.memory - a.nested
    line.memory = t.watch.memory
    line.ended = time
    if line.first == 0:
        line.first = a.since
    a.peak = max(a.peak, t.watch.memory)
    line.peak = max(line.peak, a.peak)
    a.highest = max(a.highest, a.peak)
    line.time += took
    return time
