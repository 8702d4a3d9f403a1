# distutils: include_dirs = memkit/native/heap
"""The base of what counts the heap: from its start to its stop, and how sums become rows."""

from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.stdint cimport int64_t, uint32_t
from libc.string cimport memset

from memkit.base.errors import MeterError
from memkit.native.changes cimport changes_t, choose, is_chosen, is_little, size_of_change
from memkit.native.heap.own cimport (
    close_heap, counted, forget_heap, give_room_back, heap, look_for_libraries, mute, own_room, own_thread, unmute,
)
from memkit.native.journal cimport Journal, capsule_of, journal_row, journal_t
from memkit.native.threads cimport pthread_detach, pthread_t, start_thread

NO_MEMORY = "heap cannot be counted: its books need 144 MB of addresses: raise the limit that ulimit -v shows"

cdef enum:
    STACK = 1 << 20             # of a thread in which Python runs


cdef inline int change_of(written_t *written, written_t *now, bint whole) noexcept nogil:
    """The size of the change since it was written; 0: there is none, or it is little and not the ``whole`` is written."""
    cdef int64_t allocated = now.allocated - written.allocated
    cdef int64_t freed = now.freed - written.freed
    cdef int64_t at_peak = now.at_peak - written.at_peak
    if allocated == 0 and freed == 0 and at_peak == 0:
        return 0
    if not whole and is_little(allocated, freed) and is_little(at_peak, 0):
        return 0
    return size_of_change(allocated - freed, at_peak, allocated)


cdef int64_t write_sites(
    counting_t *counting, journal_t *journal, uint32_t count, uint32_t second, uint32_t end, int64_t most, read_site_t read,
    write_site_t write
) noexcept nogil:
    cdef changes_t changes
    cdef written_t now
    cdef int64_t changed = 0
    cdef int size, writing
    cdef uint32_t site
    memset(&changes, 0, sizeof(changes))
    for writing in range(2):                        # first they are counted
        site = 0
        while site < count or second <= site < end:
            read(site, &now)
            size = change_of(&counting.written[site], &now, most < 0)
            if size and not writing:
                changed += 1
                changes.counts[size] += 1
            elif size and is_chosen(&changes, size):
                write(counting, journal, site)
            site = max(second, count) if site + 1 == count else site + 1
        choose(&changes, changed if most < 0 else most)
    return changed


cdef void write_total(counting_t *counting, journal_t *journal, int64_t changed, int64_t *row, int size) noexcept nogil:
    if changed or row[0] != counting.total or row[1] != counting.peak:
        counting.total, counting.peak = row[0], row[1]
        journal_row(journal, b"heap_total", row, size)


cdef int64_t write_heap(void *whose, journal_t *journal, int64_t memory, int64_t most) noexcept nogil:
    cdef counting_t *counting = <counting_t *>whose
    if counting.generation != heap.generation:      # another recording has begun
        return 0
    look_for_libraries()
    return counting.write(counting, journal, most)


cdef void *run_own(void *target) noexcept nogil:
    own_thread()                                    # first: what Python makes for a thread is not the program's either
    call_own(target)
    return NULL


cdef void call_own(void *target) noexcept with gil:
    function = <object>target
    Py_DECREF(function)
    function()


def check():
    """Raise ``MeterError`` if another recording counts already."""
    if heap.on:
        raise MeterError("heap is being recorded already, by memkit-run or this program: one recording can count it")


cdef class CountedHeap:
    """Counts what allocators give and take in this process, from ``start`` to ``stop``: Python's, and those of the C library
    as ``counted`` tells.

    Raises ``MeterError`` where another recording counts already.
    """

    def __cinit__(self):
        check()

    cdef void *prepare(self, counting_t *counting, size_t size, str no_memory) except NULL:
        self.counting, self.no_memory = counting, no_memory
        self.rows_writer.write, self.rows_writer.whose = write_heap, counting
        self.room, self.room_size = own_room(size), size
        if self.room == NULL:
            raise MeterError(no_memory)
        return self.room

    cdef int open(self) noexcept:
        """Open the heap in a mode."""

    @property
    def counted(self):
        """Whose allocators are counted, once it has started: "python", "python, c" where a library was preloaded for it, or
        "python, c patched" where what is loaded was led to hooks of the C library's instead."""
        return counted().decode()

    def start(self):
        """Count from now on; of this thread from ``begin`` on."""
        mute()
        if self.open():
            unmute()
            raise MeterError(self.no_memory)
        self.counting.generation = heap.generation

    def begin(self):
        """What this thread allocates is the program's from now on, and no longer memkit's."""
        unmute()

    def pause(self):
        """What this thread allocates is memkit's from now on, until ``begin``."""
        mute()

    def start_thread(self, target):
        """Call a function in a thread of memkit's, in which nothing counts. Raises ``RuntimeError`` if there is none."""
        cdef pthread_t thread
        Py_INCREF(target)
        if start_thread(&thread, run_own, <void *>target, STACK):
            Py_DECREF(target)
            raise RuntimeError("the system has no thread to give")
        pthread_detach(thread)

    def stop(self):
        """Count no more. The sums are kept until another begins."""
        if self.counting.generation == heap.generation:
            close_heap()

    def forget(self):
        """Count no more, and give back the memory that tells blocks apart. The sums are kept."""
        if self.counting.generation == heap.generation:
            close_heap()
            forget_heap()

    def writer(self):
        """A capsule for ``Sampler.flush_also``, with a reference to this object."""
        return capsule_of(&self.rows_writer, self)

    def flush(self, Journal journal):
        """Write the totals that have changed."""
        with nogil:
            write_heap(self.counting, &journal.journal, -1, -1)

    def __dealloc__(self):
        if self.counting != NULL:
            self.forget()
        give_room_back(self.room, self.room_size)
