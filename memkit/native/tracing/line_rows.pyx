"""The rows of lines: the totals of all threads, as a flush writes them, which may run in another thread without the GIL."""

from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memset

from memkit.native.heap.line_paths cimport write_line_paths
from memkit.native.journal cimport journal_row, journal_t
from memkit.native.changes cimport changes_t, choose, is_chosen, is_little, is_little_share, size_of_change
from memkit.native.tracing.code_table cimport total_t
from memkit.native.tracing.credit cimport estimate
from memkit.native.tracing.gate cimport nanoseconds_per_tick, ticks
from memkit.native.tracing.greenlets cimport write_untold
from memkit.native.tracing.growing cimport load_stack, stack_t
from memkit.native.tracing.lines cimport activation_t, line_t, lines_t, load_ended, table_t, thread_level, thread_t
from memkit.native.tracing.thread_state cimport new_reads, pending_of, thread_state_t, thread_states

cdef extern from *:
    table_t *load_table "memkit_load"(table_t *) noexcept nogil
    int load_depth "memkit_load"(int) noexcept nogil

cdef enum:
    MOST_OPEN = 100             # activations of a thread that a flush handles, from the top


cdef inline total_t *total_of(lines_t *lines, table_t *table, int row) noexcept nogil:
    """The total of a line in this flush, reset at the first use."""
    cdef total_t *total = &table.info.totals[row]
    if total.flush != lines.flushes:
        total.flush = lines.flushes
        total.hits = total.time = total.growth = total.peak = 0
        total.rise = total.rises = total.about = total.own_rise = 0
        total.ended = 0
    return total


cdef void add_table(lines_t *lines, table_t *table) noexcept nogil:
    cdef total_t *total
    cdef line_t *line
    cdef uint64_t ended
    cdef int i
    for i in range(table.info.count):
        line = &table.lines[i]
        ended = load_ended(line.ended)
        if line.hits == 0 and ended == 0:
            continue
        total = total_of(lines, table, i)
        total.hits += line.hits
        total.time += line.time
        total.growth += line.growth
        total.peak = max(total.peak, line.peak)
        total.rise = max(total.rise, line.rise)
        total.rises += line.rises
        total.about += line.about
        total.own_rise = max(total.own_rise, line.own_rise)
        if ended >= total.ended:
            total.ended, total.memory = ended, line.memory


cdef void add_running(lines_t *lines, thread_t *t, int64_t memory, uint64_t now) noexcept nogil:
    """Add what the running lines of a thread have done so far, from the top of its stack down.

    The thread goes on meanwhile, so this may miss what it is just doing; the next flush computes it from scratch.
    """
    cdef stack_t *stack = load_stack(t.stacks)
    cdef int place, depth = min(load_depth(t.depth), stack.capacity) if stack != NULL else 0     # or that of another stack
    cdef activation_t *at = <activation_t *>stack.at if stack != NULL else NULL
    cdef activation_t a
    cdef total_t *total
    cdef table_t *table = load_table(t.first)
    cdef table_t *account
    cdef int64_t peak = max(memory, t.state.scope.peak)
    cdef int64_t reached = thread_level(t) + pending_of(&t.state) + t.state.pending_above
    cdef int64_t inside = 0
    cdef bint called = False
    while table != NULL:
        table.open_place = -1
        table = table.next
    for place in range(depth - 1, max(-1, depth - 1 - MOST_OPEN), -1):
        a = at[place]
        if a.table == NULL or a.row >= a.table.info.count:
            continue
        account = a.table.lead
        peak = max(peak, a.peak)
        reached = max(reached, a.reached)
        if a.row >= 0:                          # before its first line, an activation has nothing to add
            total = total_of(lines, a.table, a.row)
            if account.open_place == place:        # it called code in the same account, which counts from there
                total.growth += account.open_entry - a.before - a.nested
                total.time += max(<int64_t>(account.open_entered - a.since - a.nested_time), <int64_t>0)
            else:
                total.growth += t.state.credited + pending_of(&t.state) - a.before - a.nested
                total.time += max(<int64_t>(now - a.since - a.nested_time), <int64_t>0)
            total.peak = max(total.peak, peak)
            total.memory, total.ended = memory, now
            total.rise = max(total.rise, reached - a.level)
            total.rises += max(reached - a.level, <int64_t>0)
            inside = max(inside, a.reached_inside) if called else a.reached_inside
            total.own_rise = max(total.own_rise, reached - inside)
        account.open_place, account.open_entry, account.open_entered = a.around, a.entry, a.entered
        peak = max(peak, a.highest)
        reached = inside = max(reached, a.reached_in_all)
        called = True


cdef inline int change_of(total_t *total, bint whole) noexcept nogil:
    """The size of the change since it was written; 0: there is none, or it is little and not the ``whole`` is written."""
    cdef int64_t growth = total.growth - total.written[2]
    cdef int64_t peak = total.peak - total.written[4]
    if total.rise - total.written[5] > total.written[5] // 16:
        peak = max(peak, total.rise - total.written[5])
    if total.ended == total.written_ended and total.hits == total.written[0]:
        if growth == 0 and <int64_t>total.time == total.written[1]:     # of several threads, one may have ended it before
            return 0
    if not whole and is_little(growth, peak) and is_little_share(total.hits, total.written[0]):
        if is_little_share(<int64_t>total.time, total.written[1]):
            return 0
    return size_of_change(growth, peak if total.written[4] else 0, <int64_t>total.time - total.written[1])


cdef void write_total(table_t *table, journal_t *journal, int i, double tick) noexcept nogil:
    cdef int64_t row[11]
    cdef int k
    cdef total_t *total = &table.info.totals[i]
    row[0], row[1], row[2], row[3] = table.info.number, table.info.first + i, total.hits, <int64_t>(total.time * tick)
    row[4], row[5], row[6] = total.growth, total.memory, total.peak
    row[7], row[8], row[9], row[10] = total.rise, total.rises, total.about, total.own_rise
    for k in range(9):
        total.written[k] = row[2 + k]
    total.written[1], total.written_ended = <int64_t>total.time, total.ended
    journal_row(journal, b"line", row, 11)


cdef void add_all(lines_t *lines, int64_t memory) noexcept nogil:
    """Compute the totals from scratch, with running lines unless ``memory`` is negative."""
    cdef thread_state_t *state = thread_states(&lines.tracer)
    cdef table_t *table
    lines.flushes += 1
    estimate(&lines.tracer, memory)
    while state != NULL:
        table = load_table((<thread_t *>state).first)
        while table != NULL:
            add_table(lines, table)
            table = table.next
        if memory >= 0 and state.generation == lines.tracer.generation:
            add_running(lines, <thread_t *>state, memory, ticks())
        state = state.next


cdef int64_t lines_flush(lines_t *lines, journal_t *journal, int64_t memory, int64_t most) noexcept nogil:
    cdef double tick = nanoseconds_per_tick()
    cdef changes_t changes
    cdef thread_state_t *state
    cdef table_t *table
    cdef int64_t reads, changed = 0
    cdef int i, size
    add_all(lines, memory)
    if lines.serials != NULL:
        write_line_paths(&lines.paths, journal)
    memset(&changes, 0, sizeof(changes))
    for writing in range(2):                    # first they are counted
        state = thread_states(&lines.tracer)
        while state != NULL:
            table = load_table((<thread_t *>state).first)
            while table != NULL:
                for i in range(table.info.count if writing or table.info.flush != lines.flushes else 0):
                    size = change_of(&table.info.totals[i], most < 0)
                    if size and not writing:
                        changed += 1
                        changes.counts[size] += 1
                    elif size and is_chosen(&changes, size):
                        write_total(table, journal, i, tick)
                table.info.flush = lines.flushes
                table = table.next
            state = state.next
        choose(&changes, changed if most < 0 else most)
    reads = new_reads(&lines.tracer)
    if reads:
        journal_row(journal, b"reads", &reads, 1)
    write_untold(&lines.tracer, journal)
    return changed
