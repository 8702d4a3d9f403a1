# The base of what counts the heap where spans are told apart.

from libc.stdint cimport uint32_t, uint64_t

from memkit.native.heap.counted_heap cimport CountedHeap


cdef class HeapOfSpans(CountedHeap):
    cdef object named
    cdef bint by_spans          # and by nothing else
    cdef dict nodes             # (number of a label, label below it) -> number
    cdef dict free              # number of a label -> sites that no open span has
    cdef dict inside            # number of an open span -> the same, of those of spans that were inside it
    cdef dict labels            # label -> numbers of it, and of those below it
    cdef dict around            # number of a label -> those that it is below, and its own
    cdef dict late              # number of a label -> site of what is allocated once its spans are over
    cdef set unnamed            # numbers that have not been told to `named`
    cdef list takers            # the numbers of open spans that take all that is in no other, the innermost last
    cdef uint32_t sites
    cdef int open_mode(self) noexcept           # 0; -1: no memory
    cdef object node_below(self, uint32_t parent, str label)
    cdef int name(self, found, uint32_t parent, str label) except -1
    cdef int mark(self, str label, char *wanted) except -1
    cdef uint32_t new_site(self, uint32_t node)
    cdef uint32_t site_for(self, node, uint64_t outer)
