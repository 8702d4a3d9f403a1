# The gate: whether memory can have changed since it was last read. One inlined check, for each thread.

from libc.stdint cimport int64_t, uint64_t

cdef enum:
    PERF = 0
    RUSAGE = 1
    ALWAYS = 2

cdef extern from *:
    """
    #if defined(__x86_64__)
      #include <x86intrin.h>
      static inline uint64_t memkit_ticks(void) { return __rdtsc(); }
    #elif defined(__aarch64__)
      static inline uint64_t memkit_ticks(void) { uint64_t t; __asm__ volatile("mrs %0, cntvct_el0" : "=r"(t)); return t; }
    #else
      #include <time.h>
      static inline uint64_t memkit_ticks(void) {
          struct timespec t;
          clock_gettime(CLOCK_MONOTONIC, &t);
          return (uint64_t)t.tv_sec * 1000000000u + t.tv_nsec;
      }
    #endif
    #include <sys/time.h>
    #include <sys/resource.h>
    static inline long memkit_faults(void) {
        struct rusage usage;
        getrusage(RUSAGE_THREAD, &usage);
        return usage.ru_minflt + usage.ru_majflt;
    }
    static inline long memkit_process_faults(void) {
        struct rusage usage;
        getrusage(RUSAGE_SELF, &usage);
        return usage.ru_minflt + usage.ru_majflt;
    }
    """
    uint64_t ticks "memkit_ticks"() noexcept nogil          # of the processor's constant-rate counter
    long thread_faults "memkit_faults"() noexcept nogil     # page faults of the calling thread
    long process_faults "memkit_process_faults"() noexcept nogil    # of all threads, of those that have ended too

cdef struct gate_t:
    int engine
    uint64_t checked_at         # ticks, at the last check
    uint64_t read_at            # ticks, at the last reading
    uint64_t step               # after more than this since the last check, memory is read
    uint64_t stale              # after more than this since the last reading: small changes may have added up
    bint gap                    # whether the reading that comes was due to the time since the last check
    volatile uint64_t *head     # PERF: increases at each page fault of the thread
    uint64_t last_head
    long last_faults            # RUSAGE
    void *ring

cdef bint must_read_or_look(gate_t *gate, uint64_t time) noexcept nogil         # what the ring does not tell

cdef struct rules_t:            # ticks: what these are, where a reading does not take longer
    uint64_t step
    uint64_t stale

cdef rules_t rules

# Whether to read memory now; `time` is ticks().
cdef inline bint must_read(gate_t *gate, uint64_t time) noexcept nogil:
    if (
        time - gate.checked_at <= gate.step and time - gate.read_at <= gate.stale
        and gate.engine == PERF and gate.head[0] == gate.last_head
    ):
        gate.checked_at = time
        return False
    return must_read_or_look(gate, time)


cdef inline void end_reading(gate_t *gate, uint64_t began, bint costly) noexcept nogil:
    """After a reading of memory. A costly one is made less often, so that it takes half of the time at most."""
    cdef uint64_t took
    gate.checked_at = ticks()
    if costly:
        gate.read_at, took = gate.checked_at, gate.checked_at - began
        gate.step, gate.stale = max(rules.step, 2 * took), max(rules.stale, 2 * took)


# Page faults of a thread of this process by its TID, at some microseconds; -1: it has ended.
cdef int64_t faults_of_thread(int tid) noexcept nogil
# Nanoseconds of the processor that it has had; 0: it has ended.
cdef int64_t time_of_thread(int tid) noexcept nogil
# For the calling thread, which may have a ring already, or none: NULL; RUSAGE where PERF is refused.
cdef void gate_open(gate_t *gate) noexcept nogil
cdef void gate_close(gate_t *gate) noexcept nogil
cdef double nanoseconds_per_tick() noexcept nogil
