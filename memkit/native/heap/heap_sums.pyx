# distutils: include_dirs = memkit/native/heap
"""The sums of a heap recording, as rows: what each call path and each line has allocated and freed so far."""

from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.stdint cimport int64_t, uint32_t
from libc.string cimport memset

from memkit.base.errors import MeterError
from memkit.native.heap.own cimport (
    SITES, alive, close_heap, counted, forget_heap, give_room_back, heap, heap_sums_t, look_for_libraries, mute, open_heap,
    own_room, parts_of, sums_of, unmute,
)
from memkit.native.journal cimport NOTHING, Journal, capsule_of, journal_row, journal_t, writer_t
from memkit.native.changes cimport changes_t, choose, is_chosen, is_little, size_of_change
from memkit.native.threads cimport pthread_detach, pthread_t, start_thread

cdef enum:
    STACK = 1 << 20             # of a thread in which Python runs

NO_MEMORY = "heap cannot be counted: its books need 80 MB of addresses: raise the limit that ulimit -v shows"

cdef struct written_t:          # what the journal says of a site
    int64_t allocated
    int64_t freed
    int64_t at_peak

cdef struct flush_t:
    written_t *written
    int64_t generation
    int64_t total               # alive, as in the journal
    int64_t peak


cdef inline int change_of(flush_t *flush, uint32_t site, heap_sums_t *sums, bint whole) noexcept nogil:
    """The size of the change since it was written; 0: there is none, or it is little and not the ``whole`` is written."""
    cdef written_t *written = &flush.written[site]
    cdef int64_t allocated = sums.allocated - written.allocated
    cdef int64_t freed = sums.freed - written.freed
    cdef int64_t at_peak = heap.at_peak[site] - written.at_peak
    if allocated == 0 and freed == 0 and at_peak == 0:
        return 0
    if not whole and is_little(allocated, freed) and is_little(at_peak, 0):
        return 0
    return size_of_change(allocated - freed, at_peak, allocated)


cdef void write_site(flush_t *flush, journal_t *journal, uint32_t site, heap_sums_t *sums) noexcept nogil:
    cdef int64_t row[9]
    cdef uint32_t path, line
    parts_of(site, &path, &line)
    row[0], row[1] = <int64_t>path - 1 if path else NOTHING, line if line else NOTHING
    row[2], row[3], row[4], row[5] = sums.allocated, sums.freed, sums.blocks, sums.blocks_freed
    row[6], row[7], row[8] = heap.at_peak[site], sums.temporary, sums.temporary_line
    flush.written[site].allocated, flush.written[site].freed = sums.allocated, sums.freed
    flush.written[site].at_peak = row[6]            # it may change meanwhile
    journal_row(journal, b"heap", row, 9)


cdef int64_t write_heap(void *whose, journal_t *journal, int64_t memory, int64_t most) noexcept nogil:
    cdef flush_t *flush = <flush_t *>whose
    cdef changes_t changes
    cdef heap_sums_t sums
    cdef int64_t changed = 0
    cdef int64_t row[5]
    cdef int size, writing
    cdef uint32_t site
    if flush.generation != heap.generation:         # another recording has begun
        return 0
    look_for_libraries()
    memset(&changes, 0, sizeof(changes))
    for writing in range(2):                        # first they are counted
        for site in range(heap.most + 1):
            sums_of(site, &sums)
            size = change_of(flush, site, &sums, most < 0)
            if size and not writing:
                changed += 1
                changes.counts[size] += 1
            elif size and is_chosen(&changes, size):
                write_site(flush, journal, site, &sums)
        choose(&changes, changed if most < 0 else most)
    row[0], row[1], row[2], row[3], row[4] = alive(), heap.peak, heap.copies, heap.unbooked, heap.mapped
    if changed or row[0] != flush.total or row[1] != flush.peak:
        flush.total, flush.peak = row[0], row[1]
        journal_row(journal, b"heap_total", row, 5)
    return changed


cdef void *run_own(void *target) noexcept nogil:
    mute()                                          # first: what Python makes for a thread is not the program's either
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


cdef class HeapSums:
    """Counts what allocators give and take in this process, from ``start`` to ``stop``: Python's, and those of the C library
    as ``counted`` tells.

    ``paths`` and ``lines`` are whether the tracers of calls and of lines say where each thread is. Raises ``MeterError``
    where another recording counts already.
    """

    cdef writer_t sums_writer
    cdef flush_t state
    cdef bint paths, lines

    def __cinit__(self, bint paths, bint lines):
        check()
        self.paths, self.lines = paths, lines
        self.state.written = <written_t *>own_room(SITES * sizeof(written_t))
        if self.state.written == NULL:
            raise MeterError(NO_MEMORY)
        self.sums_writer.write, self.sums_writer.whose = write_heap, &self.state

    @property
    def counted(self):
        """Whose allocators are counted, once it has started: "python", "python, c" where a library was preloaded for it, or
        "python, c patched" where what is loaded was led to hooks of the C library's instead."""
        return counted().decode()

    def start(self):
        """Count from now on; of this thread from ``begin`` on."""
        mute()
        if open_heap(self.paths, self.lines):
            unmute()
            raise MeterError(NO_MEMORY)
        self.state.generation = heap.generation

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
        """Count no more. The sums are kept."""
        if self.state.generation == heap.generation:
            close_heap()

    def forget(self):
        """Count no more, and give back the memory that tells blocks apart. The sums are kept."""
        if self.state.generation == heap.generation:
            close_heap()
            forget_heap()

    def writer(self):
        """A capsule for ``Sampler.flush_also``, with a reference to this object."""
        return capsule_of(&self.sums_writer, self)

    def flush(self, Journal journal):
        """Write the totals that have changed."""
        with nogil:
            write_heap(&self.state, &journal.journal, -1, -1)

    def __dealloc__(self):
        self.forget()
        give_room_back(self.state.written, SITES * sizeof(written_t))
