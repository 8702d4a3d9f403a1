"""What a tracer keeps for each thread: its gate, its peak scope, and memory at the last reading.

It is the first field of the structs that the line tracer and the call tracer have for a thread. The struct outlives the
thread, since its sums are still to be written, and is used again by the next thread that begins. Its descriptors and
mappings are closed when the thread ends.
"""

from memkit.native.heap.own cimport own_calloc
from libc.stdint cimport int64_t, uint64_t

from memkit.native.tracing.gate cimport PERF, gate_close, gate_open, process_faults, thread_faults
from memkit.native.meter cimport meter_read
from memkit.native.peak cimport scope_close, scope_open
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


# -- end of a thread, and forks ----------------------------------------------------------------------------------------

cdef void close_state(thread_state_t *state) noexcept nogil:
    """Close what a thread has open."""
    gate_close(&state.gate)
    if state.scope.open:
        scope_close(&state.scope)
    state.generation = 0


cdef void at_thread_end(void *own) noexcept nogil:
    """The ring stays mapped until the state is used again: another thread may be looking at it."""
    cdef thread_state_t *state = <thread_state_t *>own
    pthread_mutex_lock(&lock)
    if state.scope.open:
        scope_close(&state.scope)
    state.generation = 0
    state.owned = False
    pthread_mutex_unlock(&lock)


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
                state.owned = state == own          # there is no other thread here
                state = state.next
            if tracers[kind][slot] != NULL:
                tracers[kind][slot].faults = -1


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

cdef bint tracer_open(tracer_t *tracer, int kind) noexcept:
    global generations
    initialise()
    tracer.kind, tracer.slot = kind, 0
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
    cdef thread_state_t *state
    pthread_mutex_lock(&lock)
    state = states[tracer.kind][tracer.slot]
    while state != NULL:
        close_state(state)
        state.reads = 0
        state = state.next
    pthread_mutex_unlock(&lock)
    tracers[tracer.kind][tracer.slot] = NULL
    tracer.generation = -1          # another tracer may have the slot from now on


cdef thread_state_t *thread_states(tracer_t *tracer) noexcept nogil:
    return load(states[tracer.kind][tracer.slot]) if is_open(tracer) else NULL


cdef thread_state_t *attach_thread(tracer_t *tracer, size_t size) noexcept:
    cdef thread_state_t *state
    cdef thread_state_t *other
    if not is_open(tracer):
        return NULL
    state = <thread_state_t *>pthread_getspecific(keys[tracer.kind][tracer.slot])
    if state == NULL:
        state = states[tracer.kind][tracer.slot]
        while state != NULL and state.owned:
            state = state.next
    if state == NULL:
        state = <thread_state_t *>own_calloc(1, size)
        if state == NULL:
            return NULL
        state.next = states[tracer.kind][tracer.slot]
        publish(states[tracer.kind][tracer.slot], state)
    pthread_mutex_lock(&lock)
    close_state(state)
    pthread_mutex_unlock(&lock)
    state.owned = True
    state.tid = own_tid()
    state.cpu = 0
    other = thread_states(tracer)
    while other != NULL and not tracer.several:
        tracer.several = other.generation == tracer.generation
        other = other.next
    gate_open(&state.gate)
    if tracer.scoped:
        scope_open(&state.scope)
    begin_to_count(tracer, state)
    state.generation = tracer.generation
    pthread_setspecific(keys[tracer.kind][tracer.slot], state)
    return state


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
    close_state(state)
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
        if state.generation == tracer.generation:
            worst = max(worst, state.gate.engine)
        state = state.next
    return worst
