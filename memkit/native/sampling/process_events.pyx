"""Forks, execs and exits among the descendants of a thread, as the kernel reports them.

An event that counts nothing (``PERF_COUNT_SW_DUMMY``) is opened on a thread once for each CPU. Every thread and process that
it starts inherits the event, and so do those that these start. The kernel writes a record into the ring of the CPU at every
fork, exec and exit among them, with its time on the monotonic clock. So a process that lived for a millisecond between two
polls is known too, with its parent. Source: ``man 2 perf_event_open``.
"""

from libc.errno cimport ENODEV, ESRCH, errno
from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, strerror
from posix.mman cimport MAP_FAILED, MAP_SHARED, PROT_READ, PROT_WRITE, mmap, munmap
from posix.types cimport pid_t
from posix.unistd cimport _SC_PAGESIZE, close, getpid, sysconf

from memkit.base.errors import MeterError
from memkit.native.descriptors cimport moved_up
from memkit.native.perf_event cimport (
    COMM, EXEC, EXIT, FORK, LOST, perf_id, perf_open_tasks, perf_read_head, perf_set_tail, perf_share_ring, perf_tail,
)

cdef extern from "<unistd.h>" nogil:
    int _SC_NPROCESSORS_CONF
    int _SC_NPROCESSORS_ONLN

cdef enum:
    RING = 64 * 1024            # bytes, at least a page: some 400 lives of processes between two polls
    MOST = 512                  # descriptors
    LONGEST = 256               # bytes of a record


cdef long page = sysconf(_SC_PAGESIZE)
cdef long ring_size = max(page, <long>RING)         # the kernel may allow few bytes, and wants a power of two of pages

cdef struct record_t:           # as the kernel lays it out
    uint32_t kind
    unsigned short misc
    unsigned short size

cdef struct event_t:
    int fd
    uint64_t id                 # the kernel's
    void *ring                  # NULL: it writes into the ring of another


cdef class ProcessEvents:
    """Forks, execs and exits of all that the given threads start from now on.

    ``threads`` are TIDs, 0 for the calling thread; what they started before is not included. Raises ``MeterError`` where the
    kernel refuses.
    """

    cdef event_t *opened
    cdef int count
    cdef pid_t owner
    cdef readonly int lost      # records that the ring had no room for

    def __cinit__(self, threads=(0,)):
        cdef int cpus = sysconf(_SC_NPROCESSORS_CONF)
        cdef list wanted = list(threads)
        cdef int code = ESRCH
        self.owner = getpid()
        cdef int online = sysconf(_SC_NPROCESSORS_ONLN)
        if len(wanted) * online > MOST:
            raise MeterError(
                f"perf_event_open: {len(wanted)} threads on {online} CPUs would take more than {MOST} descriptors"
            )
        self.opened = <event_t *>calloc(len(wanted) * cpus, sizeof(event_t))
        if self.opened == NULL:
            raise MemoryError
        for cpu in range(cpus):
            code = self.open_on(cpu, wanted) or code
        if not self.rings() or code not in (ESRCH, ENODEV):
            self.close()
            raise MeterError(f"perf_event_open: {strerror(code).decode()}")

    cdef int open_on(self, int cpu, list threads) except -1:
        """Open the events of threads on one CPU, with one ring for all; 0, or the errno of what failed."""
        cdef event_t *one
        cdef int fd, first = -1, code = 0
        for thread in threads:
            fd = perf_open_tasks(thread, cpu)
            if fd < 0:
                code = errno
                if code in (ESRCH, ENODEV):         # it has ended; the CPU is switched off
                    continue
                return code
            one = &self.opened[self.count]
            one.fd = moved_up(fd)
            one.id = perf_id(one.fd)
            one.ring = NULL
            self.count += 1
            if first >= 0:
                if perf_share_ring(one.fd, first):
                    return errno
                continue
            one.ring = mmap(NULL, page + ring_size, PROT_READ | PROT_WRITE, MAP_SHARED, one.fd, 0)
            if one.ring == MAP_FAILED:
                one.ring = NULL
                return errno
            first = one.fd
        return code

    cdef int rings(self) noexcept:
        cdef int i, found = 0
        for i in range(self.count):
            found += self.opened[i].ring != NULL
        return found

    @property
    def descriptors(self):
        """Those to wait for: readable when something has happened. What the program has closed is left out."""
        cdef int i
        return [
            self.opened[i].fd
            for i in range(self.count)
            if self.opened[i].ring != NULL and perf_id(self.opened[i].fd) == self.opened[i].id
        ]

    def events(self):
        """What has happened since the last call, in order of time.

        Tuples of the time on ``time.monotonic_ns``, then ``"fork"``, TID and PID of the new thread, and its parent's PID;
        ``"exec"``, TID, PID, the name of the program; or ``"exit"``, TID, PID, the parent's PID.
        """
        cdef int i
        cdef list found = []
        for i in range(self.count):
            if self.opened[i].ring != NULL:
                self.drain(self.opened[i].ring, found)
        found.sort()
        return found

    cdef int drain(self, void *ring, list found) except -1:
        cdef char *data = <char *>ring + page
        cdef uint64_t size = ring_size, head = perf_read_head(ring), tail = perf_tail(ring)
        cdef char whole[LONGEST]
        cdef record_t record
        cdef uint64_t place, fits
        while tail < head:
            place = tail % size
            memcpy(&record, data + place, sizeof(record_t))     # its size is a multiple of 8, so this much never wraps
            if record.size < sizeof(record_t):
                tail = head
                break
            fits = min(<uint64_t>record.size, size - place)
            if record.size <= LONGEST:
                memcpy(whole, data + place, fits)
                memcpy(whole + fits, data, record.size - fits)
                self.take(&record, whole, found)
            tail += record.size
        perf_set_tail(ring, tail)
        return 0

    cdef int take(self, record_t *record, char *whole, list found) except -1:
        cdef uint32_t ids[4]
        cdef uint64_t time, lost
        if record.kind == <uint32_t>FORK or record.kind == <uint32_t>EXIT:
            memcpy(ids, whole + sizeof(record_t), sizeof(ids))              # process, parent, thread, parent's thread
            memcpy(&time, whole + sizeof(record_t) + sizeof(ids), sizeof(time))
            found.append((time, "fork" if record.kind == <uint32_t>FORK else "exit", ids[2], ids[0], ids[1]))
        elif record.kind == <uint32_t>COMM and record.misc & EXEC:
            memcpy(ids, whole + sizeof(record_t), 8)                        # process, thread
            memcpy(&time, whole + record.size - sizeof(time), sizeof(time))
            name = whole[sizeof(record_t) + 8:record.size - sizeof(time)]
            found.append((time, "exec", ids[1], ids[0], name.partition(b"\0")[0].decode(errors="replace")))
        elif record.kind == <uint32_t>LOST:
            memcpy(&lost, whole + sizeof(record_t) + 8, sizeof(lost))
            self.lost += <int>lost
        return 0

    def close(self):
        """Close the descriptors and unmap the rings; harmless when closed already."""
        cdef int i
        cdef event_t *one
        for i in range(self.count):
            one = &self.opened[i]
            if one.ring != NULL and self.owner == getpid():      # a forked child has no such map, but may have another there
                munmap(one.ring, page + ring_size)
            one.ring = NULL
            if perf_id(one.fd) == one.id and one.id:
                close(one.fd)
        self.count = 0

    def __dealloc__(self):
        if self.opened != NULL:
            self.close()
            free(self.opened)
