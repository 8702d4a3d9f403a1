# distutils: include_dirs = memkit/native/heap
"""The heap by stretches of time, one after the other: each block counts for the stretch in which it is allocated.

Nothing is written, and nothing booked between two. Then Python's own domains are not even hooked: no program pays for what
nobody asks.
"""

from libc.stdint cimport int64_t

import gc

from memkit.base.errors import MeterError
from memkit.native.heap.own cimport (
    STRETCH_ENDS, STRETCH_NONE, begin_stretch, close_heap, forget_heap, heap, open_stretches, stretch_t, unhook_python,
)
NO_MEMORY = "heap cannot be counted: its books need 4 MB of addresses: raise the limit that ulimit -v shows"
ANOTHER = "heap cannot be counted from here on: another interpreter runs, with a GIL of its own; begin before it is made"

cdef extern from *:
    """
    #define memkit_set_state(place, value) __atomic_store_n(place, value, __ATOMIC_RELEASE)
    #define memkit_sum(of, field) \
        (__atomic_load_n(&(of)[0].field, __ATOMIC_ACQUIRE) \
            + MEMKIT_STRETCH_BYTES(__atomic_load_n(&(of)[1].field, __ATOMIC_ACQUIRE)))
    #define memkit_allocated(of) memkit_sum(of, allocated)
    #define memkit_alive(of) memkit_sum(of, alive)
    """
    void set_state "memkit_set_state"(int *place, int value) noexcept nogil
    int64_t allocated_in "memkit_allocated"(stretch_t *) noexcept nogil
    int64_t alive_in "memkit_alive"(stretch_t *) noexcept nogil
    int64_t bytes_in "MEMKIT_STRETCH_BYTES"(int64_t word) noexcept nogil


cdef class Stretches:
    """Counts what is allocated in all threads, from ``begin`` to ``end``."""

    cdef int64_t generation

    @property
    def is_open(self):
        """Whether it counts in this process: not yet or no longer, and not in a fork."""
        return heap.on != 0 and self.generation == heap.generation

    def open(self):
        """Be ready to count. Raises ``MeterError`` where there is no memory for it."""
        if open_stretches():
            raise MeterError(NO_MEMORY)
        self.generation = heap.generation
        unhook_python()

    def begin(self):
        """A stretch begins. Raises ``MeterError`` where there is no memory for it, and where Python's allocators are not
        hooked and may be called at any time, by the thread of another interpreter."""
        cdef int failed = begin_stretch()
        if failed:
            raise MeterError(NO_MEMORY if failed == -1 else ANOTHER)

    def end(self, most=None):
        """It is over: the most that was alive of it at once, what still is, and what it allocated; None: it was not counted.

        If more than ``most`` is alive, garbage is collected before that is told.
        """
        cdef stretch_t *stretch = heap.stretch
        cdef int64_t alive, allocated
        if not (heap.on != 0 and self.generation == heap.generation):
            return None
        set_state(&heap.stretch_state, STRETCH_ENDS)
        if most is not None and alive_in(stretch) > most:
            gc.collect()
        set_state(&heap.stretch_state, STRETCH_NONE)
        unhook_python()
        alive = max(alive_in(stretch), <int64_t>0)
        allocated = allocated_in(stretch)       # after that: a thread without the GIL may still be counting a block
        return max(stretch[0].peak, bytes_in(stretch[1].peak), alive), alive, allocated

    def close(self):
        """Count no more, and give back the memory that tells blocks apart."""
        if self.generation == heap.generation:
            close_heap()
            forget_heap()
            unhook_python()

    def __dealloc__(self):
        self.close()
