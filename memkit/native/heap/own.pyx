# distutils: include_dirs = memkit/native/heap
"""The counting allocators of this process, and memory that they do not count, because it is memkit's own."""

from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint32_t
from libc.stdlib cimport calloc, free, realloc

cdef extern from "Python.h":
    ctypedef enum PyMemAllocatorDomain:
        PYMEM_DOMAIN_RAW
    void PyMem_GetAllocator(int, allocator_t *)
    void PyMem_SetAllocator(int, allocator_t *)

cdef extern from *:
    """
    #include "counting.c"
    #define memkit_get_allocator(domain, into) PyMem_GetAllocator((PyMemAllocatorDomain)(domain), (PyMemAllocatorEx *)(into))
    #define memkit_set_allocator(domain, from) PyMem_SetAllocator((PyMemAllocatorDomain)(domain), (PyMemAllocatorEx *)(from))
    #if PY_VERSION_HEX >= 0x030C0000        /* what the interpreter keeps for the events of a code object */
    #define memkit_monitoring_of(code) ((code) ? (void **)((PyCodeObject *)(code))->_co_monitoring : NULL)
    #else
    #define memkit_monitoring_of(code) NULL
    #endif
    #ifdef Py_GIL_DISABLED
    #define memkit_has_gil 0
    #else
    #define memkit_has_gil 1
    #endif
    _Static_assert(sizeof(memkit_allocator_t) == sizeof(PyMemAllocatorEx), "Python's allocators differ");
    """
    ctypedef struct allocator_t "memkit_allocator_t":
        pass
    heap_t memkit_heap
    int memkit_has_gil
    enum:
        LINES "MEMKIT_LINES"
        PATHS "MEMKIT_PATHS"
    heap_thread_t *memkit_heap_thread() nogil
    heap_thread_t *memkit_heap_join() nogil
    int memkit_heap_open(int) nogil
    void memkit_heap_close() nogil
    int64_t memkit_heap_alive() nogil
    void memkit_heap_sums(uint32_t, heap_sums_t *) nogil
    void memkit_heap_parts(uint32_t, uint32_t *, uint32_t *) nogil
    size_t memkit_heap_disown(heap_thread_t *, int, void *) nogil
    void memkit_heap_disown_all(heap_thread_t *, int, void **) nogil
    void **memkit_monitoring_of(void *) nogil
    int memkit_heap_hook(allocator_t *, int) nogil
    void get_allocator "memkit_get_allocator"(int, allocator_t *)
    void set_allocator "memkit_set_allocator"(int, allocator_t *)

cdef enum:
    DOMAINS = 3

heap = &memkit_heap


cdef heap_thread_t *heap_thread() noexcept nogil:
    return memkit_heap_thread()


cdef heap_thread_t *joined() noexcept nogil:
    return memkit_heap_join()


cdef void disown(void *thing) noexcept nogil:
    memkit_heap_disown(memkit_heap_thread(), memkit_has_gil, thing)


cdef void disown_events(void *code) noexcept:
    memkit_heap_disown_all(memkit_heap_thread(), memkit_has_gil, memkit_monitoring_of(code))


cdef void mute() noexcept nogil:
    memkit_heap_thread().muted += 1


cdef void unmute() noexcept nogil:
    memkit_heap_thread().muted -= 1


cdef void *own_calloc(size_t count, size_t size) noexcept nogil:
    cdef void *made
    mute()
    made = calloc(count, size)
    unmute()
    return made


cdef void *own_realloc(void *block, size_t size) noexcept nogil:
    mute()
    block = realloc(block, size)
    unmute()
    return block


cdef void own_free(void *block) noexcept nogil:
    free(block)


cdef int open_heap(bint paths, bint lines) noexcept:
    """Count from now on. The hooks stay for good: other threads may be inside them at any time."""
    cdef allocator_t domains[DOMAINS]
    cdef int domain
    if memkit_heap_open((PATHS if paths else 0) | (LINES if lines else 0)):
        return -1
    for domain in range(DOMAINS):
        get_allocator(domain, &domains[domain])
    if memkit_heap_hook(domains, memkit_has_gil):
        memkit_heap_close()
        return -1
    for domain in range(DOMAINS):
        set_allocator(domain, &domains[domain])
    return 0


cdef void close_heap() noexcept:
    memkit_heap_close()


cdef int64_t alive() noexcept nogil:
    return memkit_heap_alive()


cdef void sums_of(uint32_t site, heap_sums_t *into) noexcept nogil:
    memkit_heap_sums(site, into)


cdef void parts_of(uint32_t site, uint32_t *path, uint32_t *line) noexcept nogil:
    memkit_heap_parts(site, path, line)
