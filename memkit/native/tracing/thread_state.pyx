"""What a tracer keeps for each thread: its gate, its peak scope, and memory at the last reading.

It is the first field of the structs that the line tracer and the call tracer have for a thread. The struct outlives the
thread, since its sums are still to be written, and is used again by the next thread that begins. Its descriptors and
mappings are closed when the thread ends.
"""

from memkit.native.heap.own cimport own_calloc
from libc.stdint cimport int64_t, uint64_t

from memkit.native.clock cimport MILLISECOND, now
from memkit.native.tracing.gate cimport (
    PERF, RUSAGE, faults_of_thread, gate_close, gate_open, process_faults, thread_faults, time_of_thread,
)
from memkit.native.meter cimport meter_read
from memkit.native.peak cimport scope_close, scope_open
from memkit.native.tracing.noted cimport forget_notes
from memkit.native.threads cimport (
    pthread_atfork, pthread_mutex_init, pthread_mutex_lock, pthread_mutex_t, pthread_mutex_unlock,
)

cdef extern from *:
    """
    #include <pthread.h>
    #include <sys/syscall.h>
    #include <unistd.h>
    #define memkit_tid() ((int)syscall(SYS_gettid))
    #define memkit_publish(place, value) __atomic_store_n(&(place), (value), __ATOMIC_RELEASE)
    #define memkit_load(place) __atomic_load_n(&(place), __ATOMIC_ACQUIRE)
    """
    ctypedef int pthread_key_t
    int own_tid "memkit_tid"() nogil
    int pthread_key_create(pthread_key_t *, void (*)(void *) noexcept nogil) nogil
    int pthread_setspecific(pthread_key_t, const void *) nogil
    void *pthread_getspecific(pthread_key_t) nogil
    void publish "memkit_publish"(thread_state_t *, thread_state_t *) noexcept nogil
    thread_state_t *load "memkit_load"(thread_state_t *) noexcept nogil

cdef tracer_t *tracers[KINDS][SLOTS]
cdef thread_state_t *states[KINDS][SLOTS]       # never freed: a thread may use its own at any time
cdef pthread_key_t keys[KINDS][SLOTS]   # of a thread's own state; its destructor runs when the thread ends
cdef bint initialised = False
cdef pthread_mutex_t lock
cdef int64_t generations = 0
cdef int64_t brief_closed = 0       # when a brief tracer was last closed

cdef enum:
    SOON = 1000 * MILLISECOND   # one that is closed so soon after another is taken for one of many


# -- end of a thread, and forks ----------------------------------------------------------------------------------------

cdef void close_state(thread_state_t *state, bint keep_gate) noexcept nogil:
    """Close what a thread has open."""
    if not keep_gate:
        gate_close(&state.gate)
    if state.scope.open:
        scope_close(&state.scope, -1, 0)
    state.generation = 0


cdef void at_thread_end(void *own) noexcept nogil:
    """The ring stays mapped until the state is used again: another thread may be looking at it, while it is traced."""
    cdef thread_state_t *state = <thread_state_t *>own
    cdef int slot
    pthread_mutex_lock(&lock)
    if not state.untraced:
        close_state(state, keep_gate=state.generation != 0)
        state.owned = False
    for slot in range(SLOTS):
        if tracers[OF_LINES][slot] != NULL:
            leave_faults(tracers[OF_LINES][slot])
    pthread_mutex_unlock(&lock)


cdef void leave_faults(tracer_t *tracer) noexcept nogil:
    """What this thread did is still to be considered, if it is an untraced one: one state has that of all that end."""
    cdef thread_state_t *state = state_of_thread(tracer, own_tid())
    cdef thread_state_t *others = state_of_thread(tracer, 0)
    if state == NULL or not state.untraced:
        return
    if others != NULL or state.helps:
        if not state.helps:
            others.left += max(thread_faults() - state.counted, <int64_t>0)
            tracer.untraced -= 1
        state.generation = 0
        state.owned = False
    else:
        state.left, state.tid = thread_faults(), 0


cdef void in_forked_child() noexcept nogil:
    """The rings of the parent's perf events are not mapped here, and nobody may ever release the lock; start afresh."""
    cdef int kind, slot
    cdef thread_state_t *own
    cdef thread_state_t *state
    pthread_mutex_init(&lock, NULL)
    for kind in range(KINDS):
        for slot in range(SLOTS):
            own = <thread_state_t *>pthread_getspecific(keys[kind][slot])
            state = states[kind][slot]
            while state != NULL:
                state.gate.ring = NULL              # other memory may be mapped there
                gate_close(&state.gate)
                state.generation = 0
                state.owned = state == own and not state.untraced           # there is no other thread here
                state = state.next
            if tracers[kind][slot] != NULL:
                tracers[kind][slot].faults, tracers[kind][slot].untraced = -1, 0


cdef void initialise() noexcept:
    global initialised
    cdef int kind, slot
    if initialised:
        return
    initialised = True
    for kind in range(KINDS):
        for slot in range(SLOTS):
            pthread_key_create(&keys[kind][slot], at_thread_end)
    pthread_atfork(NULL, NULL, in_forked_child)
    pthread_mutex_init(&lock, NULL)


# -- tracers -----------------------------------------------------------------------------------------------------------

cdef bint tracer_open(tracer_t *tracer, int kind, size_t size) noexcept:
    global generations
    initialise()
    tracer.kind, tracer.slot, tracer.size, tracer.untraced = kind, 0, size, 0
    while tracer.slot < SLOTS and tracers[kind][tracer.slot] != NULL:
        tracer.slot += 1
    if tracer.slot == SLOTS:
        return False
    generations += 1
    tracer.generation = generations
    tracer.faults, tracer.exact_due, tracer.several = -1, 0, False
    tracers[kind][tracer.slot] = tracer
    return True


cdef void tracer_close(tracer_t *tracer) noexcept:
    global brief_closed
    cdef thread_state_t *state
    cdef bint keep_gates = tracer.is_brief and now() - brief_closed < SOON
    if tracer.is_brief:
        brief_closed = now()
    pthread_mutex_lock(&lock)
    state = states[tracer.kind][tracer.slot]
    while state != NULL:
        close_state(state, keep_gate=keep_gates and state.owned and not state.untraced)
        state.owned = state.owned and not state.untraced        # the other threads know theirs
        state.reads = 0
        state = state.next
    tracers[tracer.kind][tracer.slot] = NULL
    pthread_mutex_unlock(&lock)
    tracer.generation = -1          # another tracer may have the slot from now on
    forget_notes(&tracer.notes)


cdef thread_state_t *thread_states(tracer_t *tracer) noexcept nogil:
    return load(states[tracer.kind][tracer.slot]) if is_open(tracer) else NULL


cdef thread_state_t *free_state(tracer_t *tracer, bint untraced) noexcept:
    """A state that no thread has, and that only untraced threads had, or none of these; NULL: no memory."""
    cdef thread_state_t *state = states[tracer.kind][tracer.slot]
    while state != NULL and (state.owned or state.untraced != untraced):
        state = state.next
    if state == NULL:
        state = <thread_state_t *>own_calloc(1, tracer.size)
        if state == NULL:
            return NULL
        state.next = states[tracer.kind][tracer.slot]
        publish(states[tracer.kind][tracer.slot], state)
    state.helps = False
    return state


cdef thread_state_t *attach_thread(tracer_t *tracer) noexcept:
    cdef thread_state_t *state
    cdef thread_state_t *own
    cdef thread_state_t *other
    cdef int64_t counted = -1
    if not is_open(tracer):
        return NULL
    if tracer.faults < 0:
        count_afresh(tracer)
    state = own = <thread_state_t *>pthread_getspecific(keys[tracer.kind][tracer.slot])
    other = state_of_thread(tracer, own_tid())
    if state == NULL or state.untraced:
        state = free_state(tracer, False)
    if state == NULL:
        return NULL
    if state.generation != tracer.generation:
        state.helps = False
    if other != NULL and other.untraced:
        counted, state.helps = other.counted, other.helps
        forget_thread(tracer, other)
    pthread_mutex_lock(&lock)
    close_state(state, keep_gate=state == own)
    pthread_mutex_unlock(&lock)
    state.owned = True
    state.tid = own_tid()
    state.cpu = 0
    other = thread_states(tracer)
    while other != NULL and not tracer.several:
        tracer.several = other.generation == tracer.generation and not other.untraced
        other = other.next
    gate_open(&state.gate)
    if tracer.scoped:
        scope_open(&state.scope, -1, 0)
    begin_to_count(tracer, state)
    if counted >= 0:                # what it did meanwhile is its own
        state.counted = counted
    state.generation = tracer.generation
    pthread_setspecific(keys[tracer.kind][tracer.slot], state)
    return state


cdef thread_state_t *state_of_thread(tracer_t *tracer, int tid) noexcept nogil:
    cdef thread_state_t *state = thread_states(tracer)
    while state != NULL and not (state.generation == tracer.generation and state.tid == tid):
        state = state.next
    return state


cdef void know_thread(tracer_t *tracer, int tid, bint helps) noexcept:
    cdef thread_state_t *state = state_of_thread(tracer, tid)
    cdef int64_t faults
    if not is_open(tracer):
        return
    if state != NULL:
        tracer.untraced += (state.helps - helps) if state.untraced else 0
        state.helps = helps
    else:
        faults = faults_of_thread(tid)
        state = free_state(tracer, True) if faults >= 0 else NULL
        if state == NULL:
            return
        state.owned, state.untraced, state.helps = True, True, helps
        state.gate.engine, state.tid, state.cpu, state.counted = RUSAGE, tid, time_of_thread(tid), faults
        state.generation = tracer.generation
        tracer.untraced += not helps
    if tid == own_tid() and pthread_getspecific(keys[tracer.kind][tracer.slot]) == NULL:
        pthread_setspecific(keys[tracer.kind][tracer.slot], state)      # its end is to be noticed


cdef void forget_thread(tracer_t *tracer, thread_state_t *state) noexcept nogil:
    pthread_mutex_lock(&lock)
    if state.generation == tracer.generation and (state.tid or state.left == state.counted):
        tracer.untraced -= not state.helps
        state.generation = 0
        state.owned = False
    pthread_mutex_unlock(&lock)


cdef void count_afresh(tracer_t *tracer) noexcept:
    """What the threads did that are known was done before the first thread was attached."""
    cdef thread_state_t *state = thread_states(tracer)
    while state != NULL:
        if state.generation == tracer.generation and state.untraced:
            state.counted = max(faults_of_thread(state.tid), state.counted)
        state = state.next


cdef void begin_to_count(tracer_t *tracer, thread_state_t *state) noexcept nogil:
    """From now on the thread has a share in what memory changes by."""
    cdef int64_t faults = thread_faults()
    state.memory = meter_read(&tracer.meter)
    state.above = state.pending = state.pending_above = 0       # what was credited to the thread before is still to be taken
    if tracer.faults < 0:
        tracer.faults, tracer.memory = process_faults(), state.memory
    state.counted = faults
    state.counted_head = state.gate.head[0] if state.gate.engine == PERF else 0


cdef void lock_states() noexcept nogil:
    pthread_mutex_lock(&lock)


cdef void unlock_states() noexcept nogil:
    pthread_mutex_unlock(&lock)


cdef void detach_thread(thread_state_t *state) noexcept:
    pthread_mutex_lock(&lock)
    close_state(state, keep_gate=False)
    pthread_mutex_unlock(&lock)


# -- reading -----------------------------------------------------------------------------------------------------------

cdef int64_t new_reads(tracer_t *tracer) noexcept nogil:
    cdef thread_state_t *state = thread_states(tracer)
    cdef int64_t reads = 0
    while state != NULL:
        reads += state.reads
        state = state.next
    reads, tracer.written_reads = reads - tracer.written_reads, reads
    return reads


cdef int worst_gate(tracer_t *tracer) noexcept nogil:
    """The slowest engine that one of the threads uses."""
    cdef thread_state_t *state = thread_states(tracer)
    cdef int worst = 0
    while state != NULL:
        if state.generation == tracer.generation and not state.untraced:
            worst = max(worst, state.gate.engine)
        state = state.next
    return worst
