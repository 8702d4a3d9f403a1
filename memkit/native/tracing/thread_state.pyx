"""What a tracer keeps of each thread: its gate, its scope, and memory as it was last read.

The line tracer and the call tracer each put this at the head of what they keep of a thread. It outlives the thread, for its
sums are still to be written, and the next thread that comes goes on with it; what it holds of the system is given back when
the thread ends.
"""

from cpython.mem cimport PyMem_RawCalloc
from libc.stdint cimport int64_t, uint64_t

from memkit.native.tracing.gate cimport gate_close, gate_open, nanoseconds_per_tick, thread_faults, ticks
from memkit.native.meter cimport meter_read
from memkit.native.peak cimport scope_close, scope_open, scope_take
from memkit.native.threads cimport (
    pthread_atfork, pthread_mutex_init, pthread_mutex_lock, pthread_mutex_t, pthread_mutex_unlock,
)

cdef extern from *:
    """
    #include <pthread.h>
    #define memkit_publish(place, value) __atomic_store_n(&(place), (value), __ATOMIC_RELEASE)
    #define memkit_load(place) __atomic_load_n(&(place), __ATOMIC_ACQUIRE)
    """
    ctypedef int pthread_key_t
    int pthread_key_create(pthread_key_t *, void (*)(void *) noexcept nogil) nogil
    int pthread_setspecific(pthread_key_t, const void *) nogil
    void *pthread_getspecific(pthread_key_t) nogil
    void publish "memkit_publish"(watch_t *, watch_t *) noexcept nogil
    watch_t *load "memkit_load"(watch_t *) noexcept nogil

cdef tracer_t *in_use[KINDS][SLOTS]
cdef watch_t *known[KINDS][SLOTS]       # never freed: a thread may come back to its own at any time
cdef pthread_key_t keys[KINDS][SLOTS]   # by which a thread finds its own, and which tells of its end
cdef bint begun = False
cdef pthread_mutex_t lock
cdef int64_t generations = 0


# -- threads that end, and forks ---------------------------------------------------------------------------------------

cdef void give_back(watch_t *watch) noexcept nogil:
    """Take from a thread what it holds of the system."""
    gate_close(&watch.gate)
    if watch.scope.open:
        scope_close(&watch.scope)
    watch.generation = 0


cdef void at_thread_end(void *mine) noexcept nogil:
    cdef watch_t *watch = <watch_t *>mine
    pthread_mutex_lock(&lock)
    give_back(watch)
    watch.busy = False
    pthread_mutex_unlock(&lock)


cdef void in_forked_child() noexcept nogil:
    """The rings of the parent's events are not mapped here, and any lock may be held for ever; begin anew."""
    cdef int kind, slot
    cdef watch_t *mine
    cdef watch_t *watch
    pthread_mutex_init(&lock, NULL)
    for kind in range(KINDS):
        for slot in range(SLOTS):
            mine = <watch_t *>pthread_getspecific(keys[kind][slot])
            watch = known[kind][slot]
            while watch != NULL:
                watch.gate.ring = NULL              # something else may be there
                gate_close(&watch.gate)
                watch.generation = 0
                watch.busy = watch == mine          # no other thread has come along
                watch = watch.next


cdef void begin() noexcept:
    global begun
    cdef int kind, slot
    if begun:
        return
    begun = True
    for kind in range(KINDS):
        for slot in range(SLOTS):
            pthread_key_create(&keys[kind][slot], at_thread_end)
    pthread_atfork(NULL, NULL, in_forked_child)
    pthread_mutex_init(&lock, NULL)


# -- tracers -----------------------------------------------------------------------------------------------------------

cdef bint tracer_open(tracer_t *tracer, int kind) noexcept:
    global generations
    begin()
    tracer.kind, tracer.slot = kind, 0
    while tracer.slot < SLOTS and in_use[kind][tracer.slot] != NULL:
        tracer.slot += 1
    if tracer.slot == SLOTS:
        return False
    generations += 1
    tracer.generation = generations
    in_use[kind][tracer.slot] = tracer
    return True


cdef void tracer_close(tracer_t *tracer) noexcept:
    cdef watch_t *watch
    pthread_mutex_lock(&lock)
    watch = known[tracer.kind][tracer.slot]
    while watch != NULL:
        give_back(watch)
        watch.reads = 0
        watch = watch.next
    pthread_mutex_unlock(&lock)
    in_use[tracer.kind][tracer.slot] = NULL
    tracer.generation = -1          # the slot may be another tracer's from now on


cdef watch_t *watches(tracer_t *tracer) noexcept nogil:
    return load(known[tracer.kind][tracer.slot]) if is_open(tracer) else NULL


cdef watch_t *watch_join(tracer_t *tracer, size_t size) noexcept:
    cdef watch_t *watch
    if not is_open(tracer):
        return NULL
    watch = <watch_t *>pthread_getspecific(keys[tracer.kind][tracer.slot])
    if watch == NULL:
        watch = known[tracer.kind][tracer.slot]
        while watch != NULL and watch.busy:
            watch = watch.next
    if watch == NULL:
        watch = <watch_t *>PyMem_RawCalloc(1, size)
        if watch == NULL:
            return NULL
        watch.next = known[tracer.kind][tracer.slot]
        publish(known[tracer.kind][tracer.slot], watch)
    watch.busy = True
    watch.generation = tracer.generation
    gate_open(&watch.gate)
    if tracer.scoped:
        scope_open(&watch.scope)
    watch.memory = meter_read(&tracer.meter)
    watch.faults = thread_faults()
    pthread_setspecific(keys[tracer.kind][tracer.slot], watch)
    return watch


cdef void watch_part(watch_t *watch) noexcept:
    pthread_mutex_lock(&lock)
    give_back(watch)
    pthread_mutex_unlock(&lock)


# -- reading -----------------------------------------------------------------------------------------------------------

cdef int64_t watch_look(tracer_t *tracer, watch_t *watch) noexcept nogil:
    """Read memory; where something moved, learn the peak since the last time."""
    cdef int64_t memory = meter_read(&tracer.meter)
    cdef long faults = thread_faults()
    cdef int64_t peak = memory
    watch.reads += 1
    watch.news = faults - watch.faults
    if memory != watch.memory or watch.news:
        watch.faults = faults
        if tracer.scoped:
            peak = max(memory, scope_take(&watch.scope, memory))
    if memory >= 0:
        watch.memory = memory
    watch.gate.asked = ticks()
    return peak


cdef int64_t new_reads(tracer_t *tracer) noexcept nogil:
    cdef watch_t *watch = watches(tracer)
    cdef int64_t reads = 0
    while watch != NULL:
        reads += watch.reads
        watch = watch.next
    reads, tracer.written_reads = reads - tracer.written_reads, reads
    return reads


cdef int worst_gate(tracer_t *tracer) noexcept nogil:
    """The worst gate that one of the threads has."""
    cdef watch_t *watch = watches(tracer)
    cdef int worst = 0
    while watch != NULL:
        if watch.generation == tracer.generation:
            worst = max(worst, watch.gate.engine)
        watch = watch.next
    return worst


cdef double look_cost(tracer_t *tracer, watch_t *watch) noexcept:
    cdef uint64_t before, best = <uint64_t>-1
    for _ in range(20):
        before = ticks()
        watch_look(tracer, watch)
        best = min(best, ticks() - before)
    return best * nanoseconds_per_tick()
