# distutils: include_dirs = memkit/native/heap
"""The counting allocators of this process, and memory that they do not count, because it is memkit's own."""

from libc.stddef cimport size_t
from libc.stdint cimport UINT64_MAX, int64_t, uint32_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcmp

cimport memkit.native.meter as meter
from memkit.native.peak cimport give_books_back

cdef extern from "Python.h":
    ctypedef enum PyMemAllocatorDomain:
        PYMEM_DOMAIN_RAW
    void PyMem_GetAllocator(int, allocator_t *)
    void PyMem_SetAllocator(int, allocator_t *)

cdef extern from *:
    """
    #include "counting.c"
    #include <dlfcn.h>

    /* A library that memkit-run has preloaded keeps them, if there is one, and one like this module. */
    static const memkit_books_t *memkit_find_books(void)
    {
        const memkit_books_t *(*preloaded)(void);
        *(void **)&preloaded = dlsym(RTLD_DEFAULT, "memkit_heap_books");
        return preloaded && preloaded()->size == MEMKIT_BOOKS_SIZE ? preloaded() : &memkit_books;
    }

    #define memkit_get_allocator(domain, into) PyMem_GetAllocator((PyMemAllocatorDomain)(domain), (PyMemAllocatorEx *)(into))
    #define memkit_set_allocator(domain, from) PyMem_SetAllocator((PyMemAllocatorDomain)(domain), (PyMemAllocatorEx *)(from))
    #if PY_VERSION_HEX >= 0x030C0000        /* what the interpreter keeps for the events of a code object */
    #define memkit_monitoring_of(code) ((code) ? (void **)((PyCodeObject *)(code))->_co_monitoring : NULL)
    #else
    #define memkit_monitoring_of(code) NULL
    #endif
    #ifdef Py_GIL_DISABLED
    #define memkit_has_gil 0
    #define memkit_interpreters NULL
    #else
    #define memkit_has_gil 1
    static int memkit_interpreters(void)    /* more than one, which can have a GIL of its own from Python 3.12 on */
    { return PY_VERSION_HEX >= 0x030C0000 && PyInterpreterState_Next(PyInterpreterState_Head()) != NULL; }
    #endif

    /* Small blocks are not `inside` where they are sampled: what Python's allocator maps for them must not count. */
    static memkit_thread_t *(*memkit_thread_of_arena)(void);
    static PyObjectArenaAllocator memkit_arenas;
    static void *memkit_new_arena(void *ctx, size_t size)
    {
        memkit_thread_t *thread = memkit_thread_of_arena();
        void *made;
        thread->inside++;
        made = memkit_arenas.alloc(ctx, size);
        thread->inside--;
        return made;
    }
    static void memkit_hook_arenas(memkit_thread_t *(*thread)(void))
    {
        PyObjectArenaAllocator hooked;
        if (memkit_thread_of_arena)
            return;             /* it stays, as the other hooks do */
        PyObject_GetArenaAllocator(&memkit_arenas);
        memkit_thread_of_arena = thread;
        hooked = (PyObjectArenaAllocator){memkit_arenas.ctx, memkit_new_arena, memkit_arenas.free};
        PyObject_SetArenaAllocator(&hooked);
    }
    #include "patching.h"
    #ifdef MEMKIT_CAN_PATCH
    #define memkit_can_patch 1
    #else
    #define memkit_can_patch 0
    #endif
    _Static_assert(sizeof(memkit_allocator_t) == sizeof(PyMemAllocatorEx), "Python's allocators differ");
    """
    ctypedef struct allocator_t "memkit_allocator_t":
        pass
    ctypedef struct books_t "const memkit_books_t":
        bint counts_c
        heap_t *heap
        heap_thread_t *(*thread)() noexcept nogil
        heap_thread_t *(*join)() noexcept nogil
        int (*open)(int) noexcept nogil
        void (*close)() noexcept nogil
        void (*forget)() noexcept nogil
        int (*hook)(allocator_t *, int (*)() noexcept nogil) noexcept nogil
        int (*unhook)(allocator_t *) noexcept nogil
        void (*begin)() noexcept nogil
        int64_t (*alive)() noexcept nogil
        void (*sums)(uint32_t, heap_sums_t *) noexcept nogil
        void (*parts)(uint32_t, uint32_t *, uint32_t *, uint32_t *) noexcept nogil
        size_t (*disown)(heap_thread_t *, int, void *) noexcept nogil
        void (*disown_all)(heap_thread_t *, int, void **) noexcept nogil
        void (*stack)(uint32_t, heap_stack_t *) noexcept nogil
        const char *(*function)(uint32_t, size_t *) noexcept nogil
    books_t *memkit_find_books() nogil
    void *pages(size_t) noexcept nogil
    int munmap(void *, size_t) noexcept nogil
    int memkit_has_gil
    int memkit_interpreters() noexcept nogil
    enum:
        LINES "MEMKIT_LINES"
        PATHS "MEMKIT_PATHS"
        SAMPLED "MEMKIT_SAMPLED"
        SPANS "MEMKIT_SPANS"
        STRETCHES "MEMKIT_STRETCHES"
    void **memkit_monitoring_of(void *) nogil
    void hook_arenas "memkit_hook_arenas"(heap_thread_t *(*)() noexcept nogil)
    bint memkit_can_patch
    bint memkit_patch() noexcept nogil
    void get_allocator "memkit_get_allocator"(int, allocator_t *)
    void set_allocator "memkit_set_allocator"(int, allocator_t *)

cdef enum:
    DOMAINS = 3

cdef books_t *books = memkit_find_books()
cdef bint patched = False
heap = books.heap
meter.books_size = &heap.books


cdef heap_thread_t *heap_thread() noexcept nogil:
    return books.thread()


cdef heap_thread_t *joined() noexcept nogil:
    return books.join()


cdef void disown(void *thing) noexcept nogil:
    books.disown(books.thread(), memkit_has_gil, thing)


cdef void disown_events(void *code) noexcept:
    books.disown_all(books.thread(), memkit_has_gil, memkit_monitoring_of(code))


cdef void mute() noexcept nogil:
    books.thread().muted += 1


cdef void unmute() noexcept nogil:
    if books.thread().muted:    # a signal handler may have raised before it was muted
        books.thread().muted -= 1


cdef void own_thread() noexcept nogil:
    mute()
    books.thread().own = True


cdef bint is_own_thread() noexcept nogil:
    return books.thread().own


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


cdef void *own_room(size_t size) noexcept nogil:
    cdef void *made
    mute()
    made = pages(size)
    unmute()
    return made


cdef void give_room_back(void *room, size_t size) noexcept nogil:
    if room != NULL:
        munmap(room, size)


cdef int open_heap(bint paths, bint lines) noexcept:
    return opened((PATHS if paths else 0) | (LINES if lines else 0))


cdef int open_sampled(sampling_t sampling) noexcept:
    if books.counts_c or memkit_can_patch:
        hook_arenas(books.thread)
    heap.sampling = sampling
    return opened(SAMPLED)


cdef int open_spans() noexcept:
    return opened(SPANS)


cdef int open_stretches() noexcept:
    return opened(STRETCHES)


cdef int begin_stretch() noexcept:
    cdef allocator_t allocator
    cdef int domain
    look_for_libraries()
    if memkit_has_gil and memkit_interpreters():        # a thread of another one may be calling an allocator at any time
        for domain in range(1, DOMAINS):
            get_allocator(domain, &allocator)
            if not books.unhook(&allocator):
                return -2
    if hook():
        return -1
    books.begin()
    return 0


cdef void unhook_python() noexcept:
    cdef allocator_t allocator
    cdef int domain
    if not memkit_has_gil or memkit_interpreters():     # a thread may be calling one at any time
        return
    for domain in range(1, DOMAINS):
        get_allocator(domain, &allocator)
        if books.unhook(&allocator):
            set_allocator(domain, &allocator)


cdef int hook() noexcept:
    """Hook what is not hooked. 0; -1: no memory."""
    cdef allocator_t before[DOMAINS]
    cdef allocator_t domains[DOMAINS]
    cdef int domain
    for domain in range(DOMAINS):
        get_allocator(domain, &before[domain])
        domains[domain] = before[domain]
    if books.hook(domains, memkit_interpreters):
        return -1
    for domain in range(DOMAINS):
        if memcmp(&before[domain], &domains[domain], sizeof(allocator_t)):
            set_allocator(domain, &domains[domain])
    return 0


cdef int opened(int mode) noexcept:
    """Count from now on. The hooks stay for good where other threads may be inside them at any time."""
    if books.open(mode):
        return -1
    if hook():
        books.close()
        return -1
    look_for_libraries()
    return 0


cdef void look_for_libraries() noexcept nogil:
    global patched
    if heap.on and not books.counts_c:
        patched = memkit_patch()


cdef const char *counted() noexcept:
    if books.counts_c:
        return b"python, c"
    return b"python, c patched" if patched else b"python"


cdef void close_heap() noexcept:
    books.close()


cdef void forget_heap() noexcept:
    if heap.books:
        give_books_back(books.forget)
    else:
        books.forget()


cdef int64_t alive() noexcept nogil:
    return books.alive()


cdef void sums_of(uint32_t site, heap_sums_t *into) noexcept nogil:
    books.sums(site, into)


cdef void parts_of(uint32_t site, uint32_t *label, uint32_t *path, uint32_t *line) noexcept nogil:
    books.parts(site, label, path, line)


cdef void label_sites() noexcept:
    cdef int mode
    for mode in range(4):               # who holds the GIL looks at the span as well
        heap.gates[mode] = UINT64_MAX
    heap.labelled = 1


cdef heap_stack_t stack_at(uint32_t number) noexcept nogil:
    cdef heap_stack_t found
    books.stack(number, &found)
    return found


cdef const char *function_text(uint32_t number, size_t *length) noexcept nogil:
    return books.function(number, length)
