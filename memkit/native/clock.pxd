# Clocks, in nanoseconds: header only, so that a reading is one inlined call.

from libc.stdint cimport int64_t
from posix.time cimport CLOCK_MONOTONIC, CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID, clock_gettime, timespec

cdef enum:
    MILLISECOND = 1000000
    SECOND = 1000000000


cdef inline int64_t now() noexcept nogil:
    """Time since an arbitrary fixed moment, the same for every process of the machine."""
    cdef timespec t
    clock_gettime(CLOCK_MONOTONIC, &t)
    return <int64_t>t.tv_sec * 1000000000 + t.tv_nsec


cdef inline int64_t thread_cpu() noexcept nogil:
    """CPU time that the calling thread has used."""
    cdef timespec t
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t)
    return <int64_t>t.tv_sec * 1000000000 + t.tv_nsec


cdef inline int64_t process_cpu() noexcept nogil:
    """CPU time that the process has used, which is what C calls ``clock()``."""
    cdef timespec t
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t)
    return <int64_t>t.tv_sec * 1000000000 + t.tv_nsec


cdef inline timespec as_timespec(int64_t time) noexcept nogil:
    cdef timespec t
    t.tv_sec = time // 1000000000
    t.tv_nsec = time % 1000000000
    return t
