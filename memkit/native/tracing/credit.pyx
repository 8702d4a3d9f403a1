"""Reading memory, and crediting its change to the threads that caused it.

Memory is the whole process's, and whoever reads it finds what all threads did since the last reading. Resident memory rises
only by page faults, and the kernel counts these for each thread. So growth is shared out by the page faults of each thread
since then:

* where no other thread had any, which costs one comparison to know, the change is the reader's;
* else each has what its faults brought. What they do not explain came by huge pages, and goes to those whose faults were
  each in a huge page of its own, as far as their rings tell;
* faults of no traced thread are those of threads that run no Python, such as numpy's or polars': what they brought goes to
  the threads that may be waiting for them in a C call, in equal parts, and counts as uncertain.

What the faults brought and is not there was freed: see ``memkit.native.tracing.freed`` for by whom.

The faults of another thread are read from its ring. Where these do not add up, as with faults in the kernel's own code, or
where there are no rings, ``/proc/self/task/TID/stat`` tells them, at some microseconds a thread. So it is read only for many
faults, which took longer by far, and else now and then; what is not explained meanwhile is credited at a later reading.
"""

from libc.stdint cimport int64_t, uint64_t
from posix.unistd cimport _SC_PAGESIZE, sysconf

from memkit.native.meter cimport meter_read
from memkit.native.peak cimport mark_resets, scope_take
from memkit.native.perf_event cimport perf_fault_address
from memkit.native.tracing.fault_counts cimport (
    count_by_rings, count_exactly, count_untraced, is_attached, threads,
)
from memkit.native.tracing.freed cimport MUCH, freer, settle_cpu
from memkit.native.tracing.gate cimport PERF, end_reading, nanoseconds_per_tick, process_faults, thread_faults, ticks
from memkit.native.tracing.thread_state cimport lock_states, share_t, thread_state_t, thread_states, tracer_t, unlock_states

cdef enum:
    FEW = 16                    # page faults that are not looked for
    MANY = 64
    MOST_LOOKS = 4
    MOST_UNKNOWN = 64           # page faults that may be unknown for each thread
    FEWER_THAN = 50             # for less than these, reading stat takes no more than 1/50 of the time
    LATEST = 256                # faults in a ring
    NEAR = 8                    # in the ring, to either side
    HUGE = 2 * 1024 * 1024
    LAG = 512 * 1024            # by so much the kernel's count of pages may be behind

cdef int64_t PAGE = sysconf(_SC_PAGESIZE)
BY_FAULTS = ("rss", "pss", "uss")       # the meters of what rises by page faults only


# -- who did it --------------------------------------------------------------------------------------------------------

cdef double huge_part(thread_state_t *state, int64_t faults) noexcept nogil:
    """Which part of a thread's latest page faults were each at the beginning of a huge page, with none near it."""
    cdef uint64_t places[LATEST]
    cdef uint64_t address
    cdef int count = <int>min(faults, <int64_t>LATEST)
    cdef int i, j, alone = 0
    cdef bint near
    if state.gate.engine != PERF or count == 0:
        return 0.0
    for i in range(count):
        address = perf_fault_address(state.gate.ring, i)
        places[i] = address // HUGE * 2 + (address % HUGE >= <uint64_t>PAGE)
    for i in range(count):
        near = places[i] & 1
        for j in range(max(0, i - NEAR), min(count, i + NEAR + 1)):
            near = near or (j != i and places[j] >> 1 == places[i] >> 1)
        alone += not near
    return <double>alone / count


cdef void share_excess(tracer_t *tracer, int pass_, int64_t excess, int64_t others_faults) noexcept nogil:
    """Give what the count of faults does not explain to those whose faults bring huge pages; else by their faults."""
    cdef thread_state_t *state = thread_states(tracer)
    cdef share_t *share
    cdef double weights = 0, all_faults = others_faults
    cdef int64_t part, left = excess
    cdef int causes = others_faults > 0
    while state != NULL:
        if is_attached(tracer, state) and state.shares[pass_].faults:
            share = &state.shares[pass_]
            share.weight = huge_part(state, share.faults) * share.faults
            weights += share.weight
            all_faults += share.faults
            causes += 1
        state = state.next
    state = thread_states(tracer)
    while state != NULL:
        share = &state.shares[pass_]
        if is_attached(tracer, state) and share.faults:
            part = <int64_t>(excess * (share.weight / weights if weights else share.faults / all_faults))
            part = min(part, share.faults * (HUGE - PAGE)) if causes > 1 else excess
            share.bytes += part
            share.uncertain += part if causes > 1 else 0
            left -= part
        state = state.next
    tracer.unexplained[pass_] += max(left, <int64_t>0)


cdef void share_growth(tracer_t *tracer, int pass_, int64_t growth, int64_t others_faults) noexcept nogil:
    """Share out growth among threads by their faults; what other threads had goes to ``unexplained``."""
    cdef thread_state_t *state = thread_states(tracer)
    cdef share_t *share
    cdef int64_t freed, faults = others_faults
    cdef int causes = others_faults > 0
    cdef double each
    while state != NULL:
        if is_attached(tracer, state):
            faults += state.shares[pass_].faults
            causes += state.shares[pass_].faults > 0
        state = state.next
    freed = max(faults * PAGE - growth, <int64_t>0) if causes > 1 else 0        # nobody knows by whom
    each = min(<double>PAGE, <double>growth / faults) if faults else 0      # less where faults brought nothing that stayed
    tracer.unexplained[pass_] = <int64_t>(each * others_faults)
    state = thread_states(tracer)
    while state != NULL:
        if is_attached(tracer, state):
            share = &state.shares[pass_]
            share.bytes = <int64_t>(each * share.faults)
            share.uncertain = min(share.bytes, freed)
        state = state.next
    if growth > faults * PAGE:
        share_excess(tracer, pass_, growth - faults * PAGE, others_faults)


cdef void share_unexplained(tracer_t *tracer, thread_state_t *reader, int pass_) noexcept nogil:
    """Give what threads without Python touched to those that may be waiting for them in a C call."""
    cdef thread_state_t *state
    cdef int64_t bytes = tracer.unexplained[pass_]
    cdef int count, role = WORKS
    while bytes and role <= ABSENT:
        count = 0
        state = thread_states(tracer)
        while state != NULL:
            count += is_attached(tracer, state) and waits_in_c(tracer, state, reader, role)
            state = state.next
        if count:
            break
        role += 1
    state = thread_states(tracer)
    while state != NULL and bytes and role <= ABSENT:
        if is_attached(tracer, state) and waits_in_c(tracer, state, reader, role):
            state.shares[pass_].bytes += bytes // count
            state.shares[pass_].uncertain += bytes // count
        state = state.next


cdef inline bint waits_in_c(tracer_t *tracer, thread_state_t *state, thread_state_t *reader, int role) noexcept nogil:
    """Whether a thread may have been in a C call for long. The reader was not if it has run Python all the time."""
    if state == reader and not state.gate.gap and role == WORKS:
        return False
    return tracer.role == NULL or tracer.role(state) <= role


# -- a reading ---------------------------------------------------------------------------------------------------------

cdef struct look_t:             # at a moment in which no thread had more than a few page faults
    int64_t change              # of memory since what has been credited
    int64_t faults              # page faults of the process
    int64_t others              # page faults of all threads but the reader, not considered before; no fewer than `known`
    int64_t known               # those of traced threads
    int64_t late                # faults while the look lasted: some of them are counted, and of others the memory is
    bint exact                  # what is left is of threads without Python


cdef bint look(tracer_t *tracer, thread_state_t *reader, int pass_, bint exactly, look_t *found) noexcept nogil:
    """Read memory and all counts of faults together; False: other threads had too many faults meanwhile, several times."""
    cdef int64_t memory, faults, attempt
    for attempt in range(MOST_LOOKS):
        faults = found.faults = process_faults()
        found.known = count_by_rings(tracer, reader, pass_)
        if exactly:
            found.known = count_exactly(tracer, reader, pass_)
        memory = meter_read(&tracer.meter)
        found.change = memory - tracer.memory
        found.late = process_faults() - faults
        found.others = max(faults - tracer.faults, found.known)
        if memory >= 0 and found.late <= (MANY if exactly else FEW):
            found.exact = exactly or found.others == found.known
            return True
    return False


cdef bint look_well(tracer_t *tracer, thread_state_t *reader, int pass_, look_t *found) noexcept nogil:
    """By rings where they explain it, else by the kernel's counts if that is not too often; False: nothing is known."""
    cdef uint64_t began = ticks()
    cdef int64_t unknown
    if not look(tracer, reader, pass_, False, found):
        return False
    unknown = found.others - found.known
    if found.exact or (reader != NULL and began < tracer.exact_due and unknown < MOST_UNKNOWN * threads(tracer)):
        return True
    if not look(tracer, reader, pass_, True, found):
        return look(tracer, reader, pass_, False, found)
    tracer.exact_due = ticks() + FEWER_THAN * (ticks() - began)
    return True


cdef void divide(tracer_t *tracer, thread_state_t *reader, int pass_, look_t *found, int64_t own) noexcept nogil:
    """Set the share of each thread in a change of memory."""
    cdef thread_state_t *state = thread_states(tracer)
    cdef int64_t others = found.others - found.known
    cdef int64_t freed = (own + found.others) * PAGE - found.change
    if found.change >= 0 and freed < MUCH + LAG:
        freed = 0
    if reader != NULL:
        reader.shares[pass_].faults = own
    while state != NULL:
        if is_attached(tracer, state) and tracer.role != NULL and tracer.role(state) == HELPS and state != reader:
            others += state.shares[pass_].faults
            state.shares[pass_].faults = 0
        state = state.next
    share_growth(tracer, pass_, found.change + freed, others)
    if freed:
        state = freer(tracer, reader, pass_, freed)
        if state != NULL:
            state.shares[pass_].bytes -= freed
    share_unexplained(tracer, reader, pass_)


cdef void share_out(tracer_t *tracer, thread_state_t *reader, int64_t change, int64_t own) noexcept nogil:
    """Credit a change of memory to all threads, when others than the reader had page faults."""
    cdef thread_state_t *state
    cdef share_t *share
    cdef look_t found
    cdef int64_t rest, explained
    if not look_well(tracer, reader, 0, &found):        # the others' part is left for a later reading
        change = min(change, own * PAGE)
        reader.credited += change
        tracer.memory += change
        return
    explained = (own + (found.others if found.exact else found.known)) * PAGE
    if not found.exact:                                 # the rest is left for a later reading, too
        found.change, found.others = min(found.change, explained), found.known
    elif found.change > 0 and -LAG <= found.change - explained <= LAG + found.late * PAGE:
        found.change = explained
    rest = found.change
    tracer.memory += found.change
    if found.exact:             # whatever was counted twice or not at all before, nothing is left now
        tracer.faults = found.faults + min(found.late, max(tracer.faults + found.known - found.faults, <int64_t>0))
    else:
        tracer.faults += found.known
    divide(tracer, reader, 0, &found, own)
    state = thread_states(tracer)
    while state != NULL:
        if is_attached(tracer, state):
            share = &state.shares[0]
            state.credited += share.bytes
            state.uncertain += share.uncertain
            rest -= share.bytes
            if state != reader:
                state.counted, state.counted_head = share.counted, share.head
        state = state.next
    reader.credited += rest                 # of rounding


cdef int64_t own_part(tracer_t *tracer, thread_state_t *state, int64_t above, int64_t own, int64_t others) noexcept nogil:
    """How far a thread itself can have been above what it has now: others may have been, and had read memory themselves.

    Where no other thread is traced, threads without Python may have been for this one; their pages may be huge.
    """
    cdef int64_t apart = others, native
    cdef bint huge
    if above <= 0 or not tracer.by_faults or not (tracer.several or tracer.untraced):
        return above
    if not tracer.several:
        apart = min(count_untraced(tracer), others) if above > MUCH and others > FEW * tracer.untraced else 0
    native = others - apart
    if apart:
        above -= <int64_t>(<double>above * apart / (own + others))
    if above > (own + native) * PAGE:
        huge = native > FEW or huge_part(state, own) != 0.0 or (not tracer.several and state.gate.engine != PERF)
        above = min(above, (own + native) * (HUGE if huge else PAGE))
    return above


cdef int64_t read_memory(tracer_t *tracer, thread_state_t *state) noexcept nogil:
    """Read memory; if it or the count of page faults changed, read the high-water mark too."""
    cdef uint64_t began = ticks()
    cdef int64_t resets = mark_resets(), memory = meter_read(&tracer.meter), faults = thread_faults()
    cdef int64_t own = max(faults - state.counted, <int64_t>0)    # a ring may tell of one a moment before it is counted
    cdef int64_t change, others = 0, peak = memory
    state.reads += 1
    if tracer.scoped and (own or memory != state.memory):
        peak = max(memory, scope_take(&state.scope, memory, resets))
    if own:
        state.counted = faults
        tracer.faults += own
        if state.gate.engine == PERF:
            state.counted_head = state.gate.head[0]
    if memory >= 0:
        state.memory = memory
        change = memory - tracer.memory
        if tracer.by_faults and (change or peak > memory):
            others = max(process_faults() - tracer.faults, <int64_t>0)
        state.above = own_part(tracer, state, peak - memory, own, others)
        if change and (others or (change <= -MUCH and (tracer.several or tracer.untraced))):
            share_out(tracer, state, change, own)
        elif change:
            tracer.memory = memory
            state.credited += change
    if tracer.several or tracer.untraced:
        settle_cpu(state)
    end_reading(&state.gate, began, tracer.meter.costly)
    return peak


cdef void estimate(tracer_t *tracer, int64_t memory) noexcept nogil:
    """What none knows to be whose is of the thread with the latest event."""
    cdef thread_state_t *state = thread_states(tracer)
    cdef thread_state_t *latest = NULL
    cdef thread_state_t *by = NULL
    cdef look_t found
    cdef int64_t rest = memory - tracer.memory if memory >= 0 else 0
    cdef bint shared
    lock_states()
    while state != NULL:
        state.estimated = state.credited
        state = state.next
    state = thread_states(tracer)
    shared = rest > 0 and tracer.by_faults and look_well(tracer, NULL, 1, &found) and found.change > 0
    if shared:
        rest = found.change
        divide(tracer, NULL, 1, &found, 0)
    while state != NULL:
        state.pending = state.pending_above = 0
        if is_attached(tracer, state):
            if shared:
                state.pending = state.shares[1].bytes
                rest -= state.pending
                state.pending_above = max(state.scope.peak - memory, <int64_t>0) if state.pending > 0 else 0
            if latest == NULL or state.gate.checked_at > latest.gate.checked_at:
                latest = state
        state = state.next
    if rest <= -MUCH:
        by = freer(tracer, NULL, 1, -rest)
    if by != NULL:
        by.pending += rest
    elif latest != NULL:
        latest.pending += rest
        latest.pending_above = max(latest.scope.peak - memory, <int64_t>0) if memory >= 0 else 0
    unlock_states()


cdef double least_read_cost(tracer_t *tracer, thread_state_t *state) noexcept:
    cdef uint64_t before, best = <uint64_t>-1
    for _ in range(20):
        before = ticks()
        read_memory(tracer, state)
        best = min(best, ticks() - before)
    return best * nanoseconds_per_tick()
