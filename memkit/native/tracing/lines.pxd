# Hits, time, growth and peak of each line: summed up per thread, written as totals by a flush.

from libc.stdint cimport int64_t, uint64_t

from memkit.native.tracing.code_table cimport code_info_t, code_table_t
from memkit.native.tracing.gate cimport must_read
from memkit.native.journal cimport journal_t
from memkit.native.tracing.thread_state cimport tracer_t, thread_state_t

cdef struct line_t:
    int64_t hits
    uint64_t time               # ticks
    int64_t growth
    int64_t memory              # after the line last ran
    int64_t peak
    uint64_t ended              # when it last ended
    uint64_t first              # when it first began

cdef struct table_t:            # of one code object in one thread
    code_info_t *info
    line_t *lines
    int top                     # the innermost activation of the code on the thread's stack, or -1
    table_t *next
    table_t *lead               # of the code object whose account this one shares; this table, if it has its own
    int inner                   # of a lead: the innermost activation in its account, or -1
    int64_t calls               # how often the code began; memory and time when it first and last did
    int64_t first_entry
    int64_t last_entry
    uint64_t first_entered
    uint64_t last_entered
    int open_place              # of an account, for the flush: the activation around the one handled last
    int64_t open_entry          # and memory and time when the one handled last was entered
    uint64_t open_entered

cdef struct activation_t:       # from an entry or resumption to a return or suspension
    table_t *table
    void *frame                 # with settrace only; sys.monitoring does not pass it
    int outer                   # the activation of the same code around this one, or -1
    int around                  # the same, of all code in the same account
    int row                     # the line that runs; -1: before the first, -2: its start was not seen
    uint64_t entered
    int64_t entry               # memory when entered
    uint64_t since              # when the line began
    int64_t memory              # memory when the line began
    uint64_t nested_time        # what activations in the same account have taken from the line
    int64_t nested
    int64_t peak                # while the line runs
    int64_t highest             # of the whole activation

cdef struct stack_t:            # smaller ones stay allocated when it grows, since a flush may be reading them
    activation_t *at
    int capacity
    stack_t *before

cdef struct thread_t:
    thread_state_t state        # must be first: pointers to either are cast to the other
    activation_t *stack
    int depth
    stack_t *stacks             # newest first
    table_t **tables            # by the index of the code
    int known
    table_t *first              # the same as a list, for the flush

cdef struct lines_t:
    tracer_t tracer
    code_table_t codes
    int64_t flushes

# -- under the GIL, but for what is nogil

cdef int lines_open(lines_t *lines) noexcept                    # 0; -1: SLOTS are open, -2: no memory
cdef void lines_close(lines_t *lines) noexcept                  # no flush or event may follow
cdef thread_t *this_thread(lines_t *lines) noexcept             # NULL: no memory
# Writes totals that have changed since the last flush, with running lines up to now; `memory` is the current one.
cdef void lines_flush(lines_t *lines, journal_t *journal, int64_t memory) noexcept nogil

# -- activations

cdef void update_memory(lines_t *lines, thread_t *t) noexcept nogil
cdef activation_t *enter(lines_t *lines, thread_t *t, int index, int row, uint64_t time) noexcept   # NULL: no memory
cdef void leave(thread_t *t, uint64_t time) noexcept nogil
cdef void unwind_to(lines_t *lines, thread_t *t, int place, uint64_t time) noexcept nogil
cdef void forget_activations(lines_t *lines) noexcept                    # of all threads; their lines get nothing more


cdef inline void begin_line(thread_t *t, activation_t *a, int row, uint64_t time) noexcept nogil:
    a.row = row
    a.since = time
    a.memory = t.state.memory
    a.nested_time = 0
    a.nested = 0
    a.peak = t.state.memory


cdef inline uint64_t end_line(lines_t *lines, thread_t *t, uint64_t time) noexcept nogil:
    """End the line that runs on top of the stack, and return the time from which the next one counts."""
    cdef activation_t *a = &t.stack[t.depth - 1]
    cdef line_t *line = &a.table.lines[max(a.row, 0)]
    cdef uint64_t took = time - a.since - a.nested_time
    if must_read(&t.state.gate, time):
        update_memory(lines, t)
        time = t.state.gate.checked_at       # the reading does not count as the program's time
    line.growth += t.state.memory - a.memory - a.nested
    line.memory = t.state.memory
    line.ended = time
    if line.first == 0:
        line.first = a.since
    a.peak = max(a.peak, t.state.memory)
    line.peak = max(line.peak, a.peak)
    a.highest = max(a.highest, a.peak)
    line.time += took
    return time
