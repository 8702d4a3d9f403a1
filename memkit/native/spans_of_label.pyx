"""Spans of a label, counted one by one: how their measures are spread. ``memkit.record.span_sums`` has it in Python, too."""

from libc.stdint cimport int64_t, uint64_t

cdef extern from *:
    int __builtin_clzll(unsigned long long) nogil

cdef enum:
    BITS = 5                    # of a number that a bucket tells, as in memkit.model.file_format


cdef int64_t bucket_of(int64_t value) noexcept nogil:
    cdef int shift
    if value < 0:
        return -1 - bucket_of(-value)
    shift = max(0, 64 - __builtin_clzll(<uint64_t>value | 1) - BITS)
    return (<int64_t>shift << (BITS - 1)) + (value >> shift)


cdef class Spreads:
    """How many spans there were and others overlapped, and of each measure the total, the highest value, and how many values
    are in each bucket. A span is counted at once: no other thread and no signal handler comes in between."""

    def __cinit__(self, *_):
        self.totals = [0] * MEASURES
        self.buckets = [{} for _ in range(MEASURES)]

    cpdef bint add(self, bint overlapped, duration, growth, rise, tuple heap) except -1:
        """Count a span; whether one of its measures is the highest so far by 1/16. ``heap`` is what it allocated, what was
        freed of that, and the most that was alive; or None."""
        cdef int64_t allocated
        cdef bint worst
        self.number += 1
        self.overlapped += overlapped
        worst = self.count(0, duration) | self.count(1, growth)
        if rise is not None:
            worst |= self.count(2, rise)
        if heap is not None:
            allocated = heap[0]
            worst |= self.count(3, allocated)
            if heap[1] is not None:         # None where heap is counted by lines or calls
                worst |= self.count(4, allocated - <int64_t>heap[1]) | self.count(5, heap[2])
        return worst

    cdef bint count(self, int place, int64_t value) except -1:
        cdef measure_t *measure = &self.measures[place]
        cdef dict buckets = self.buckets[place]
        cdef bint worst
        number = bucket_of(value)
        buckets[number] = buckets.get(number, 0) + 1
        self.totals[place] += value
        if measure.known and value <= measure.worst:
            return False
        worst = not measure.known or value > measure.worst + abs(measure.worst) // 16
        measure.worst, measure.known = value, True
        return worst

    def as_lists(self):
        """Each measure as a row has it; None where nothing is known of one."""
        cdef int place
        return [self.as_list(place) for place in range(MEASURES)]

    cdef list as_list(self, int place):
        cdef list pairs
        if not self.measures[place].known:
            return None
        pairs = sorted(self.buckets[place].copy().items())
        return [self.totals[place], self.measures[place].worst, *[each for pair in pairs for each in pair]]
