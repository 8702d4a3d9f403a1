# The kernel's perf events, declared once: see man 2 perf_event_open. Header only, so that reading a ring is one load.

from libc.stdint cimport uint64_t

cdef extern from *:
    """
    #if defined(__has_include)
    #if __has_include(<linux/perf_event.h>)
    #define MEMKIT_HAS_PERF 1
    #include <linux/perf_event.h>
    #include <sys/ioctl.h>
    #include <sys/syscall.h>
    #include <unistd.h>
    #include <string.h>
    #include <time.h>
    #endif
    #endif
    #include <errno.h>

    #ifdef MEMKIT_HAS_PERF
    enum { MEMKIT_FORK = PERF_RECORD_FORK, MEMKIT_EXIT = PERF_RECORD_EXIT, MEMKIT_COMM = PERF_RECORD_COMM,
           MEMKIT_LOST = PERF_RECORD_LOST, MEMKIT_EXEC = PERF_RECORD_MISC_COMM_EXEC };

    static inline int memkit_perf_open(struct perf_event_attr *attr, int thread, int cpu) {
        attr->size = sizeof *attr;
        attr->type = PERF_TYPE_SOFTWARE;
        attr->exclude_kernel = 1;
        attr->exclude_hv = 1;
        return (int)syscall(SYS_perf_event_open, attr, thread, cpu, -1, PERF_FLAG_FD_CLOEXEC);
    }
    static inline int memkit_perf_open_faults(void) {
        struct perf_event_attr attr;
        memset(&attr, 0, sizeof attr);
        attr.config = PERF_COUNT_SW_PAGE_FAULTS;
        attr.sample_period = 1;
        attr.sample_type = PERF_SAMPLE_ADDR;
        return memkit_perf_open(&attr, 0, -1);
    }
    static inline int memkit_perf_open_tasks(int thread, int cpu) {
        struct perf_event_attr attr;
        memset(&attr, 0, sizeof attr);
        attr.config = PERF_COUNT_SW_DUMMY;
        attr.sample_type = PERF_SAMPLE_TIME;
        attr.sample_id_all = 1;
        attr.inherit = 1;
        attr.task = 1;
        attr.comm = 1;
        attr.comm_exec = 1;
        attr.use_clockid = 1;
        attr.clockid = CLOCK_MONOTONIC;
        attr.watermark = 1;
        attr.wakeup_watermark = 1;
        return memkit_perf_open(&attr, thread, cpu);
    }
    static inline int memkit_perf_share_ring(int fd, int with) {
        return ioctl(fd, PERF_EVENT_IOC_SET_OUTPUT, with);
    }
    static inline uint64_t memkit_perf_id(int fd) {
        uint64_t id = 0;
        return ioctl(fd, PERF_EVENT_IOC_ID, &id) == 0 ? id : 0;
    }
    static inline volatile uint64_t *memkit_perf_head(void *ring) {
        return (volatile uint64_t *)&((struct perf_event_mmap_page *)ring)->data_head;
    }
    static inline uint64_t memkit_perf_read_head(void *ring) {
        return __atomic_load_n(&((struct perf_event_mmap_page *)ring)->data_head, __ATOMIC_ACQUIRE);
    }
    static inline uint64_t memkit_perf_fault_address(void *ring, uint64_t before_head) {
        struct perf_event_mmap_page *page = (struct perf_event_mmap_page *)ring;
        uint64_t size = (uint64_t)sysconf(_SC_PAGESIZE);
        uint64_t place = (page->data_head - 16 * (before_head + 1)) & (size - 1);
        return *(volatile uint64_t *)((char *)ring + size + place + 8);
    }
    static inline uint64_t memkit_perf_tail(void *ring) {
        return ((struct perf_event_mmap_page *)ring)->data_tail;
    }
    static inline void memkit_perf_set_tail(void *ring, uint64_t tail) {
        __atomic_store_n(&((struct perf_event_mmap_page *)ring)->data_tail, tail, __ATOMIC_RELEASE);
    }
    #else
    enum { MEMKIT_FORK = 7, MEMKIT_EXIT = 4, MEMKIT_COMM = 3, MEMKIT_LOST = 2, MEMKIT_EXEC = 1 << 13 };

    static inline int memkit_perf_open_faults(void) { errno = ENOSYS; return -1; }
    static inline int memkit_perf_open_tasks(int thread, int cpu) { errno = ENOSYS; return -1; }
    static inline int memkit_perf_share_ring(int fd, int with) { errno = ENOSYS; return -1; }
    static inline uint64_t memkit_perf_id(int fd) { return 0; }
    static inline volatile uint64_t *memkit_perf_head(void *ring) { return NULL; }
    static inline uint64_t memkit_perf_read_head(void *ring) { return 0; }
    static inline uint64_t memkit_perf_fault_address(void *ring, uint64_t before_head) { return 0; }
    static inline uint64_t memkit_perf_tail(void *ring) { return 0; }
    static inline void memkit_perf_set_tail(void *ring, uint64_t tail) { }
    #endif
    """
    # Descriptors, or -1 with errno.
    int perf_open_faults "memkit_perf_open_faults"() noexcept nogil     # page faults of the calling thread, each in its ring
    # Forks, execs and exits of what a thread starts (0: the calling one), while it is on one CPU.
    int perf_open_tasks "memkit_perf_open_tasks"(int thread, int cpu) noexcept nogil
    int perf_share_ring "memkit_perf_share_ring"(int fd, int other) noexcept nogil     # write into another's ring; 0, or -1
    uint64_t perf_id "memkit_perf_id"(int fd) noexcept nogil            # the kernel's ID of an event; 0: fd is not an event

    # A mapped ring: a header page, then the records between tail, which the reader moves, and head, which the kernel moves.
    volatile uint64_t *perf_head "memkit_perf_head"(void *ring) noexcept nogil
    uint64_t perf_read_head "memkit_perf_read_head"(void *ring) noexcept nogil          # and all records before it
    # Where the latest fault was (0), or one before it, in a ring of one page that is never drained.
    uint64_t perf_fault_address "memkit_perf_fault_address"(void *ring, uint64_t before) noexcept nogil
    uint64_t perf_tail "memkit_perf_tail"(void *ring) noexcept nogil
    void perf_set_tail "memkit_perf_set_tail"(void *ring, uint64_t tail) noexcept nogil

    enum:                       # the types of records that tell of tasks; EXEC is a flag of COMM
        FORK "MEMKIT_FORK"
        EXIT "MEMKIT_EXIT"
        COMM "MEMKIT_COMM"
        LOST "MEMKIT_LOST"
        EXEC "MEMKIT_EXEC"

cdef enum:
    FAULT_BYTES = 16            # of the record of a page fault
