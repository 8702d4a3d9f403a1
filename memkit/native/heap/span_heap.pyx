# distutils: include_dirs = memkit/native/heap
"""The heap by spans: each block counts for the innermost span of the context in which it is allocated.

Nothing is traced, and no switch of tasks is hooked: a thread that allocates looks at which context runs in it, and looks the
span up where that is another than before. A span has a site while it is open; the next of the same label, below the same
others, gets it again. So there are as many sites as spans were ever open at the same time.
"""

from libc.stdint cimport UINT64_MAX, int64_t, uint32_t, uint64_t
from libc.string cimport memset

import contextvars

from memkit.native.heap.counted_heap cimport counting_t, write_total
from memkit.native.heap.counted_heap import NO_MEMORY
from memkit.native.heap.own cimport (
    LABELLED, LABELS, SITES, alive, heap, heap_sums_t, heap_thread_t, joined, label_sites, open_spans, span_t,
    sums_of,
)
from memkit.native.journal cimport NOTHING, journal_row, journal_t

cdef extern from *:
    """
    #if PY_VERSION_HEX >= 0x030D0000
    #define memkit_attached() PyThreadState_GetUnchecked()
    #elif PY_VERSION_HEX >= 0x030C0000
    #define memkit_attached() _PyThreadState_UncheckedGet()
    #else                       /* it is who has the GIL, which may be another thread */
    static PyThreadState *memkit_attached(void)
    {
        PyThreadState *state = _PyThreadState_UncheckedGet();
        return state && state == PyGILState_GetThisThreadState() ? state : NULL;
    }
    #endif

    static uint64_t memkit_number_in(void *variable)    /* it allocates nothing; 0: there is none */
    {
        PyObject *value = NULL;
        uint64_t number;
        if (PyContextVar_Get((PyObject *)variable, NULL, &value) < 0 || !value)
            return 0;
        number = PyLong_AsUnsignedLongLong(value);
        Py_DECREF(value);
        return number;
    }
    #define memkit_next_site(place) __atomic_fetch_add(place, 1, __ATOMIC_RELAXED)
    #define memkit_store(place, value) __atomic_store_n(place, value, __ATOMIC_RELEASE)
    #define memkit_load(place) __atomic_load_n(place, __ATOMIC_ACQUIRE)
    """
    ctypedef struct thread_state_t "PyThreadState":
        const void *context
        uint64_t context_ver
    thread_state_t *attached "memkit_attached"() noexcept nogil
    uint64_t number_in "memkit_number_in"(void *variable) noexcept nogil
    uint32_t next_site "memkit_next_site"(uint32_t *place) noexcept nogil
    void store "memkit_store"(uint32_t *place, uint32_t value) noexcept nogil
    uint32_t load "memkit_load"(uint32_t *place) noexcept nogil

cdef enum:
    NODES = LABELS              # labels below labels; further ones are one
    NONE = 0
    MORE = NODES - 1
    ANOTHER_PARENT = 1 << 16    # of a serial

MORE_SPANS = "<more spans>"
"""The label of spans beyond as many labels, each below others, as a recording tells apart."""

variable = contextvars.ContextVar("memkit heap by spans")       # the number of the innermost open span
cdef void *innermost = <void *>variable
cdef uint32_t everywhere = 0    # the site of the open span that takes what is allocated in no other; 0: there is none


cdef struct node_t:             # what the journal says, and what is counted now
    heap_sums_t written
    heap_sums_t now
    int64_t at_peak
    int64_t at_peak_written

cdef struct flush_t:
    counting_t counting
    node_t *nodes


# -- which span a thread is in ------------------------------------------------------------------------------------------
# The number of a span: 11 bits of the heap's generation, 20 of its site, 32 of the site's serial.


cdef inline uint64_t numbered(uint32_t site) noexcept nogil:
    return <uint64_t>(heap.generation & 0x7FF) << 52 | <uint64_t>site << 32 | heap.spans[site].serial


cdef inline uint32_t site_in(uint64_t number) noexcept nogil:
    """The site of a span, which may be over; 0: it is one of another recording, or none."""
    return (number >> 32) & (SITES - 1) if number >> 52 == (<uint64_t>heap.generation & 0x7FF) else 0


cdef inline bint is_open(uint64_t number) noexcept nogil:
    cdef uint32_t site = site_in(number)
    return site != 0 and heap.spans[site].serial == <uint32_t>number


cdef inline bint is_inside(span_t *span) noexcept nogil:
    """Whether the span around an open one is open, too."""
    return span.parent != 0 and heap.spans[span.parent].serial == span.parent_serial


cdef void find_span(heap_thread_t *thread) noexcept nogil:
    """Without the GIL the thread is in the context in which it released it: what was found last holds."""
    cdef thread_state_t *state = attached()
    cdef uint64_t number
    joined()
    if state != NULL and (state.context != thread.context or state.context_ver != thread.context_version):
        thread.context, thread.context_version = state.context, state.context_ver
        number = number_in(innermost)
        thread.span, thread.span_serial = site_in(number), <uint32_t>number
    if thread.span and heap.spans[thread.span].serial != thread.span_serial:
        thread.span = heap.spans[thread.span].late
        thread.span_serial = heap.spans[thread.span].serial
    cdef uint32_t all_else = load(&everywhere)
    if all_else and heap.spans[thread.span].late == thread.span:    # in no span, or in none that is open
        thread.span, thread.span_serial = all_else, heap.spans[all_else].serial
        thread.context_version = UINT64_MAX         # it may end without this thread


cdef int be_in(uint64_t number) except -1:
    """This context is in a span from now on. It is looked up at once: what comes next may be without the GIL."""
    cdef heap_thread_t *thread = joined()
    variable.set(number)
    thread.context_version = UINT64_MAX
    find_span(thread)
    return 0


# -- rows ---------------------------------------------------------------------------------------------------------------


cdef inline bint is_new(node_t *node) noexcept nogil:
    return (
        node.now.allocated != node.written.allocated
        or node.now.freed != node.written.freed
        or node.at_peak != node.at_peak_written
    )


cdef void write_node(journal_t *journal, uint32_t number, node_t *node) noexcept nogil:
    cdef int64_t row[8]
    cdef heap_sums_t *sums = &node.now
    node.written, node.at_peak_written = sums[0], node.at_peak
    row[0], row[1], row[2], row[3], row[4] = number, sums.allocated, sums.freed, sums.blocks, sums.blocks_freed
    row[5], row[6] = node.at_peak, sums.temporary_line
    journal_row(journal, b"span_heap", row, 7)


cdef void write_outside(journal_t *journal, node_t *node) noexcept nogil:
    """The row of what no span allocated, as where lines and calls are traced."""
    cdef int64_t row[9]
    cdef heap_sums_t *sums = &node.now
    node.written, node.at_peak_written = sums[0], node.at_peak
    row[0] = row[1] = NOTHING
    row[2], row[3], row[4], row[5] = sums.allocated, sums.freed, sums.blocks, sums.blocks_freed
    row[6], row[7], row[8] = node.at_peak, 0, 0
    journal_row(journal, b"heap", row, 9)


cdef int64_t write_nodes(counting_t *counting, journal_t *journal, int64_t most) noexcept nogil:
    cdef flush_t *flush = <flush_t *>counting
    cdef heap_sums_t sums
    cdef node_t *node
    cdef uint32_t site, number
    cdef int64_t changed = 0
    cdef int64_t row[5]
    for number in range(NODES):
        flush.nodes[number].at_peak = 0
        memset(&flush.nodes[number].now, 0, sizeof(heap_sums_t))
    for site in range(heap.most + 1):
        sums_of(site, &sums)
        node = &flush.nodes[heap.spans[site].node]
        node.now.allocated += sums.allocated
        node.now.freed += sums.freed
        node.now.blocks += sums.blocks
        node.now.blocks_freed += sums.blocks_freed
        node.now.temporary_line += sums.temporary_line
        node.at_peak += heap.at_peak[site]
    for number in range(NODES):
        if is_new(&flush.nodes[number]):
            changed += 1
            if number == NONE:
                write_outside(journal, &flush.nodes[number])
            else:
                write_node(journal, number, &flush.nodes[number])
    row[0], row[1], row[2], row[3], row[4] = alive(), heap.peak, heap.copies, heap.unbooked, heap.mapped
    write_total(counting, journal, changed, row, 5)
    return changed


cdef inline bint is_outermost(uint32_t site, const char *wanted) noexcept nogil:
    """Whether the span of a site is open, of a label that is wanted, and in no other one of these."""
    cdef span_t *span = heap.spans + site
    return wanted[span.node] and span.is_open and not (wanted[heap.spans[span.parent].node] and is_inside(span))


cdef class HeapOfSpans(CountedHeap):
    """What spans are open where the heap is counted.

    ``named`` is called with the number of each label below others when it is first met, the number of the one that it is
    below or None, and the label.
    """

    def __cinit__(self):
        self.nodes, self.free, self.inside, self.late = {}, {}, {}, {}
        self.labels, self.around = {}, {}
        self.takers, self.unnamed = [], set()
        self.sites = 1

    cdef int open(self) noexcept:
        store(&everywhere, 0)
        heap.find_span = find_span
        return self.open_mode()

    cdef int open_mode(self) noexcept:
        """Open the heap in a mode."""

    def enter(self, str label, bint takes_all=False):
        """A span begins in this context: its number, and that of the one around it. To be called while paused.

        It ``takes_all`` if what threads and contexts allocate that are in no span counts for it, until it ends.
        """
        cdef uint64_t outer = number_in(innermost)
        cdef uint32_t parent = site_in(outer), site
        cdef bint below = is_open(outer)
        cdef uint64_t number = 0
        if self.counting.generation == heap.generation:
            if not self.by_spans and not heap.labelled:
                label_sites()
            node = self.node_below(heap.spans[parent].node, label)
            site = self.site_for(node, outer if below else 0)
            if site:
                begin_in(site, parent if below else 0)
                number = numbered(site)
                if takes_all:
                    self.takers.append(number)
                    store(&everywhere, site)
        be_in(number)
        return number, outer

    def exit(self, uint64_t number, uint64_t outer):
        """The span with this number is over: what was allocated in it, what was freed of that, and the most that was alive
        of it; None where it was not counted, and for the last two where lines or paths are. To be called while paused."""
        cdef uint32_t site = site_in(number)
        cdef span_t *span = heap.spans + site
        cdef bint counted = self.counting.generation == heap.generation and is_open(number)
        if counted and number in self.takers:
            self.takers.remove(number)
            store(&everywhere, site_in(self.takers[-1]) if self.takers else 0)
        if number_in(innermost) == number:
            be_in(outer)
        if not counted:
            return None
        found = (span.allocated, span.allocated - span.alive, span.peak) if self.by_spans else (span.allocated, None, None)
        span.is_open = False
        store(&span.serial, (span.serial & ~0xFFFF) | ((span.serial + 1) & 0xFFFF))
        inside = self.inside.pop(number, None)
        if inside is not None:
            for node, sites in inside.items():
                self.free.setdefault(node, []).extend(sites)
        kept = self.free
        if is_open(outer) and site_in(outer) == span.parent:
            kept = self.inside.setdefault(outer, {})
        kept.setdefault(span.node, []).append(site)
        return found

    cdef object node_below(self, uint32_t parent, str label):
        """The number of a label below that with the number ``parent``, 0 for none."""
        found = self.nodes.get((parent, label))
        if found is not None:
            if self.unnamed and found in self.unnamed:
                self.name(found, parent, label)
            return found
        if len(self.nodes) >= MORE - 1:
            label, parent = MORE_SPANS, NONE
            found = self.nodes.setdefault((NONE, label), MORE)
        else:
            found = self.nodes.setdefault((parent, label), len(self.nodes) + 1)
        if found not in self.late:
            self.late[found] = site = self.new_site(found)
            heap.spans[<uint32_t>site].late = site
            self.around[found] = {*self.around.get(parent, ()), label}
            for each in self.around[found]:
                self.labels.setdefault(each, []).append(found)
            self.unnamed.add(found)
            self.name(found, parent, label)
        return found

    cdef int name(self, found, uint32_t parent, str label) except -1:
        """Say what a number stands for. A signal handler may raise here: then the next span of the label says it again."""
        self.named(found, parent or None, label)
        self.unnamed.discard(found)
        return 0

    cdef uint32_t new_site(self, uint32_t node):
        """One more site, or 0."""
        cdef uint32_t site, most = LABELLED - 1
        if self.sites >= most:
            return 0
        site = next_site(&self.sites)
        if site >= most:
            return 0
        heap.spans[site].node = node
        return site

    cdef uint32_t site_for(self, node, uint64_t outer):
        """A site for a span with a label, inside an open one or none; or 0."""
        cdef uint32_t site
        cdef dict inside = self.inside.get(outer) if outer else None
        cdef list sites = inside.get(node) if inside is not None else None
        if sites:
            return sites.pop()
        sites = self.free.get(node)
        site = sites.pop() if sites else self.new_site(node)
        heap.spans[site].late = self.late[node]
        heap.spans[site].serial += ANOTHER_PARENT
        return site

    def alive(self, str label):
        """What is alive at least of all spans with a label that are over, and of those inside them; and what of that is in
        blocks of sizes that no free list of Python's has: who has an object from one of these did not allocate it.

        What those that are open have allocated is left out, as if they had freed nothing of it.
        """
        cdef char wanted[NODES]
        cdef uint32_t site
        cdef int64_t found = 0, sure = 0
        self.mark(label, wanted)
        for number in self.labels.get(label, ()) if self.counting.generation == heap.generation else ():
            found += heap.labels[<uint32_t>number].alive
            sure += heap.labels[<uint32_t>number].sure
        for site in range(1, self.sites):
            if is_outermost(site, wanted):
                found -= heap.spans[site].allocated
                sure -= heap.spans[site].allocated
        return max(found, <int64_t>0), max(sure, <int64_t>0)

    cdef int mark(self, str label, char *wanted) except -1:
        """Note which numbers a label has, and those below it."""
        memset(wanted, 0, NODES)
        for number in self.labels.get(label, ()):
            wanted[<uint32_t>number] = 1
        return 0


cdef class SpanHeap(HeapOfSpans):
    """Counts by spans alone."""

    cdef flush_t state

    def __cinit__(self, named):
        self.named, self.by_spans = named, True
        self.state.nodes = <node_t *>self.prepare(&self.state.counting, NODES * sizeof(node_t), NO_MEMORY)
        self.state.counting.write = write_nodes

    cdef int open_mode(self) noexcept:
        return open_spans()

    def alive(self, str label):
        """What is alive of all spans with a label that are over, and of those inside them; and what of that is in blocks of
        sizes that no free list of Python's has: who has an object from one of these did not allocate it."""
        cdef char wanted[NODES]
        cdef heap_sums_t sums
        cdef uint32_t site
        cdef span_t *span
        cdef int64_t found = 0, sure = 0
        self.mark(label, wanted)
        for site in range(heap.most + 1):
            span = heap.spans + site
            if not wanted[span.node]:
                continue
            sums_of(site, &sums)
            found += sums.allocated - sums.freed
            sure += sums.sure
            if is_outermost(site, wanted):
                found -= span.alive             # with what is inside it
                sure -= span.sure
        return found, sure


cdef void begin_in(uint32_t site, uint32_t parent) noexcept nogil:
    """One more span begins in a site: nothing is alive of it."""
    cdef span_t *span = heap.spans + site
    span.allocated = span.alive = span.peak = span.sure = 0
    span.parent_serial = heap.spans[parent].serial
    span.parent = parent
    span.is_open = True
