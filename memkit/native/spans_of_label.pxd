# Spans of a label, counted one by one.

from libc.stdint cimport int64_t

cdef enum:
    MEASURES = 6

cdef struct measure_t:
    bint known
    int64_t worst


cdef class Spreads:
    cdef readonly int64_t number
    cdef readonly int64_t overlapped
    cdef public int64_t due             # when its row is written next, at the earliest
    cdef measure_t measures[MEASURES]
    cdef list totals                    # of nanoseconds, of thousands of connections for years, there are too many for C
    cdef list buckets
    cpdef bint add(self, bint overlapped, duration, growth, rise, tuple heap) except -1
    cdef bint count(self, int place, int64_t value) except -1
    cdef list as_list(self, int place)
