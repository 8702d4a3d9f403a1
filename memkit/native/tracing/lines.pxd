# Hits, time, growth, peak and rise of each line: summed up per thread, written as totals by a flush.

from libc.stdint cimport int64_t, uint32_t, uint64_t

from memkit.native.heap.line_paths cimport line_paths_t
from memkit.native.tracing.code_table cimport code_info_t, code_table_t
from memkit.native.tracing.gate cimport must_read
from memkit.native.tracing.greenlets cimport greenlets_t
from memkit.native.tracing.growing cimport stack_t
from memkit.native.tracing.thread_state cimport tracer_t, thread_state_t

cdef extern from *:
    void publish_ended "memkit_publish"(uint64_t, uint64_t) noexcept nogil
    uint64_t load_ended "memkit_load"(uint64_t) noexcept nogil

cdef struct line_t:
    int64_t hits
    uint64_t time               # ticks
    int64_t growth
    int64_t memory              # after the line last ran
    int64_t peak
    int64_t rise                # the most by which one run rose above what there was when it began
    int64_t rises               # the sum of the rises of all runs
    int64_t about               # growth that was credited by estimate
    int64_t own_rise            # the most by which one run rose above what traced code that it called had reached
    uint64_t ended              # when it last ended; a flush that reads it first has at least what was before
    uint64_t first              # when it first began
    int statement               # see total_t
    uint32_t mark               # the last one before it was noted, see noted.pxd, and the highest rises since then
    int64_t lately
    int64_t own_lately

cdef struct table_t:            # of one function in one thread
    code_info_t *info
    line_t *lines
    int top                     # the innermost activation of the function on the thread's stack, or -1
    table_t *next
    table_t *lead               # of the function whose account this one shares; this table, if it has its own
    int inner                   # of a lead: the innermost activation in its account, or -1
    int64_t calls               # how often the code began; memory and time when it first and last did
    int64_t first_entry
    int64_t last_entry
    uint64_t first_entered
    uint64_t last_entered
    int open_place              # of an account, for the flush: the activation around the one handled last
    int64_t open_entry          # and credit and time when the one handled last was entered
    uint64_t open_entered

cdef struct activation_t:       # from an entry or resumption to a return or suspension
    table_t *table
    line_t *lines               # of the table, and the number of the first one, and how many there are
    int first
    int count
    void *code                  # compared by identity; it lives as long as this
    void *frame                 # with settrace only; sys.monitoring does not pass it
    int outer                   # the activation of the same function around this one, or -1
    int around                  # the same, of all code in the same account
    int row                     # the line that runs; -1: before the first, -2: its start was not seen
    int statement               # of several lines, that runs; else 0
    int first_row               # and its lines that have begun
    int last_row
    int latest
    uint64_t begun              # a bit for each, by the last six of its row
    uint64_t entered
    int64_t entry               # what its thread was credited with when entered
    uint64_t since              # when the line began
    int64_t before              # what its thread was credited with when the line began
    uint64_t nested_time        # what activations in the same account have taken from the line
    int64_t nested
    int64_t entry_about         # the same for the part of the credit that is an estimate
    int64_t before_about
    int64_t nested_about
    int64_t peak                # while the line runs
    int64_t highest             # of the whole activation
    int64_t level               # the thread's level when the line began
    int64_t reached             # the highest level while the line runs
    int64_t reached_inside      # of that, the highest of the activations inside it
    int64_t reached_in_all      # the highest level of the whole activation
    bint quiet                  # all that `begin_line` notes is still so, but for the line and when it began
    uint32_t heap_base          # for a heap recording: the number of the first line, see line_paths.pxd; 0: none
    uint32_t heap_around        # and of the line that it was entered from

cdef struct thread_t:
    thread_state_t state        # must be first: pointers to either are cast to the other
    activation_t *stack         # of the greenlet that runs
    int depth
    stack_t *stacks             # newest first
    greenlets_t greenlets
    table_t **tables            # by the index of the function
    int known
    table_t *first              # the same as a list, for the flush
    line_paths_t *paths         # NULL: no heap is recorded
    uint32_t heap_line          # the number of the line that runs

cdef struct lines_t:
    tracer_t tracer
    code_table_t codes
    code_table_t numbers        # the places in `codes.infos`, by the numbers of functions
    int64_t flushes
    line_paths_t paths
    uint32_t *serials           # for a heap recording: by number, counts runs that ended; NULL: there is none

# -- under the GIL, but for what is nogil

cdef int lines_open(lines_t *lines) noexcept                    # 0; -1: SLOTS are open, -2: no memory
cdef void lines_close(lines_t *lines) noexcept                  # no flush or event may follow
cdef thread_t *join_thread(lines_t *lines) noexcept             # attach the calling thread; NULL: no memory

# -- activations

cdef void update_memory(lines_t *lines, thread_t *t) noexcept nogil
# To the sums of a line that ends.
cdef void add_memory(lines_t *lines, thread_t *t, activation_t *a, line_t *line) noexcept nogil
cdef activation_t *enter(
    lines_t *lines, thread_t *t, int index, void *code, int row, uint64_t time
) noexcept                                                      # NULL: no memory
cdef void begin_activation(thread_t *t, table_t *table, void *code, void *frame, int row, uint64_t time) noexcept nogil
cdef void leave(thread_t *t, uint64_t time) noexcept nogil
cdef void unwind_to(lines_t *lines, thread_t *t, int place, uint64_t time) noexcept nogil
cdef bint grow_stack(thread_t *t) noexcept               # False: no memory
cdef void forget_activations(lines_t *lines) noexcept                    # of all threads; their lines get nothing more


cdef inline int row_in(activation_t *a, int line) noexcept nogil:
    """The row of a line number; 0 for a line outside the code object."""
    cdef int row = line - a.first
    return row if 0 <= row < a.count else 0


cdef inline int64_t thread_level(thread_t *t) noexcept nogil:
    """What rises are measured in: bytes, of which only differences matter."""
    return t.state.credited


cdef inline uint32_t number_of_line(activation_t *a) noexcept nogil:
    """What a heap recording books to the line that runs; before the first one, to that around it."""
    return a.heap_base + a.row if a.heap_base and a.row >= 0 else a.heap_around


cdef inline void refresh_heap_line(thread_t *t) noexcept nogil:
    t.heap_line = number_of_line(&t.stack[t.depth - 1]) if t.depth else 0


cdef inline void begin_line(thread_t *t, activation_t *a, uint64_t time) noexcept nogil:
    """Note what there is as a line begins, but for its row."""
    a.since = time
    a.before = t.state.credited
    a.nested_time = 0
    a.nested = 0
    a.before_about = t.state.uncertain
    a.nested_about = 0
    a.peak = t.state.memory
    a.level = a.reached = a.reached_inside = thread_level(t)
    a.quiet = True


cdef inline void count_hit(activation_t *a) noexcept nogil:
    """Count the line that begins, unless a statement comes back to it, as a call does after its arguments."""
    cdef int row = a.row
    cdef line_t *line = &a.lines[row]
    cdef uint64_t bit = <uint64_t>1 << (row & 63)
    if line.statement == 0:     # of one line
        a.statement = 0
        line.hits += 1
        return
    if line.statement != a.statement or row == a.latest:      # it may be a loop's only statement
        a.first_row = a.last_row = row
        a.begun = bit
    elif a.first_row <= row <= a.last_row and a.begun & bit:
        a.latest = row
        return
    else:
        a.first_row, a.last_row = min(a.first_row, row), max(a.last_row, row)
        a.begun |= bit
    a.statement, a.latest = line.statement, row
    line.hits += 1


cdef inline bint is_quiet(thread_t *t, activation_t *a, line_t *line) noexcept nogil:
    """Whether nothing but time has passed since the line began, and it has ended with the same memory before."""
    return (
        a.quiet and line.memory == t.state.memory and line.first != 0
        and t.state.credited == a.before and t.state.uncertain == a.before_about
    )


cdef inline uint64_t end_line(lines_t *lines, thread_t *t, activation_t *a, uint64_t time) noexcept nogil:
    """End the line that runs in the activation on top, and return the time from which the next one counts."""
    cdef line_t *line = &a.lines[max(a.row, 0)]
    cdef uint64_t took = time - a.since - a.nested_time
    if must_read(&t.state.gate, time):
        update_memory(lines, t)
        time = t.state.gate.checked_at       # the reading does not count as the program's time
    if not is_quiet(t, a, line):
        add_memory(lines, t, a, line)
    line.time += took
    publish_ended(line.ended, time)
    if lines.serials != NULL:
        lines.serials[t.heap_line] += 1
    return time


cdef inline void next_line(lines_t *lines, thread_t *t, activation_t *a, int row, uint64_t time) noexcept nogil:
    """The activation on top goes on with a line, which is a hit. What was before its first one is charged to that."""
    if a.row >= 0:
        time = end_line(lines, t, a, time)
        if a.quiet:
            a.since = time
        else:
            begin_line(t, a, time)
    a.row = row
    t.heap_line = number_of_line(a)
    count_hit(a)
