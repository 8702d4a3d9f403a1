# distutils: include_dirs = memkit/native/heap
"""The heap by stretches of time, one after the other: each block counts for the stretch in which it is allocated.

It is what counts spans, with one site: no context is looked at, and nothing is written.
"""

from libc.stdint cimport int64_t, uint32_t

import gc

from memkit.base.errors import MeterError
from memkit.native.heap.counted_heap import NO_MEMORY
from memkit.native.heap.own cimport (
    close_heap, forget_heap, heap, heap_thread_t, look_for_libraries, open_spans, span_t,
)

cdef extern from *:
    """
    #define memkit_store(place, value) __atomic_store_n(place, value, __ATOMIC_RELEASE)
    #define memkit_load(place) __atomic_load_n(place, __ATOMIC_ACQUIRE)
    """
    void store "memkit_store"(uint32_t *place, uint32_t value) noexcept nogil
    uint32_t load "memkit_load"(uint32_t *place) noexcept nogil

cdef enum:
    BETWEEN = 0                 # sites
    STRETCH = 1

cdef uint32_t current = BETWEEN


cdef void find_stretch(heap_thread_t *thread) noexcept nogil:
    thread.span = load(&current)


cdef class Stretches:
    """Counts what is allocated in all threads, from ``begin`` to ``end``."""

    cdef int64_t generation

    @property
    def is_open(self):
        """Whether it counts in this process: not yet or no longer, and not in a fork."""
        return heap.on != 0 and self.generation == heap.generation

    def open(self):
        """Count from now on. Raises ``MeterError`` where there is no memory for it."""
        store(&current, BETWEEN)
        heap.find_span = find_stretch
        if open_spans():
            raise MeterError(NO_MEMORY)
        self.generation = heap.generation

    def begin(self):
        """A stretch begins."""
        cdef span_t *span = heap.spans + STRETCH
        look_for_libraries()
        span.serial += 1                        # what is booked to those before counts for none
        span.allocated = span.alive = span.peak = 0
        store(&current, STRETCH)

    def end(self, most=None):
        """It is over: the most that was alive of it at once, what still is, and what it allocated; None: it was not counted.

        If more than ``most`` is alive, garbage is collected before that is told.
        """
        cdef span_t *span = heap.spans + STRETCH
        cdef int64_t peak, allocated
        if not self.is_open:
            return None
        store(&current, BETWEEN)
        peak, allocated = span.peak, span.allocated
        if most is not None and span.alive > most:
            gc.collect()
        return peak, span.alive, allocated

    def close(self):
        """Count no more, and give back the memory that tells blocks apart."""
        if self.generation == heap.generation:
            close_heap()
            forget_heap()

    def __dealloc__(self):
        self.close()
