# distutils: include_dirs = memkit/native/heap
"""What allocators tell of themselves in this process: the C library's, others in its place, and memkit's books of blocks.

All sizes are bytes.
"""

from memkit.native.heap.own cimport heap

cdef extern from *:
    """
    #include <dlfcn.h>
    #include <malloc.h>
    #include <stddef.h>
    #include <stdint.h>
    #if defined(__GLIBC__) && (__GLIBC__ > 2 || __GLIBC_MINOR__ >= 33)
    #define memkit_mallinfo_known 1
    static void memkit_mallinfo(size_t *fast, size_t *mapped) {
        struct mallinfo2 found = mallinfo2();
        *fast = found.fsmblks;
        *mapped = found.hblkhd;
    }
    #else
    #define memkit_mallinfo_known 0
    static void memkit_mallinfo(size_t *fast, size_t *mapped) { *fast = *mapped = 0; }
    #endif

    static int memkit_jemalloc(const char *name, size_t *value) {
        int (*mallctl)(const char *, void *, size_t *, void *, size_t);
        uint64_t epoch = 1;
        size_t size = sizeof(*value);
        *(void **)&mallctl = dlsym(RTLD_DEFAULT, "mallctl");
        if (mallctl == NULL)
            return -1;
        mallctl("epoch", NULL, NULL, &epoch, sizeof(epoch));        /* the numbers are those of its last change */
        return mallctl(name, value, &size, NULL, 0) ? -1 : 0;
    }

    static int memkit_tcmalloc(const char *name, size_t *value) {
        int (*property)(const char *, size_t *);
        *(void **)&property = dlsym(RTLD_DEFAULT, "MallocExtension_GetNumericProperty");
        return property != NULL && property(name, value) ? 0 : -1;
    }

    /* What the frames of all Python calls take that run. Without a GIL another thread may give its memory back meanwhile. */
    static size_t memkit_frames(void) {
        size_t found = 0;
    #if !defined(Py_GIL_DISABLED) && PY_VERSION_HEX < 0x030F0000
        PyThreadState *thread = PyInterpreterState_ThreadHead(PyInterpreterState_Get());
        for (; thread != NULL; thread = PyThreadState_Next(thread)) {
            _PyStackChunk *chunk = thread->datastack_chunk;
            if (chunk != NULL)
                found += (char *)thread->datastack_top - (char *)chunk;
            while (chunk != NULL && (chunk = chunk->previous) != NULL)
                found += chunk->size;
        }
    #endif
        return found;
    }
    """
    size_t memkit_frames()
    bint mallinfo_known "memkit_mallinfo_known"
    void mallinfo "memkit_mallinfo"(size_t *, size_t *) nogil
    int jemalloc "memkit_jemalloc"(const char *, size_t *) nogil
    int tcmalloc "memkit_tcmalloc"(const char *, size_t *) nogil


def c_library():
    """Of this process: bytes in fastbins, and bytes in blocks that were mapped one by one; None where nothing tells.

    It takes 10 ms and more where much is free in small chunks.
    """
    cdef size_t fast = 0, mapped = 0
    if not mallinfo_known:
        return None
    mallinfo(&fast, &mapped)
    return fast, mapped


def other_allocator():
    """Of an allocator that takes the place of the C library's: name, bytes alive and bytes resident; or None."""
    cdef size_t alive = 0, resident = 0, unmapped = 0
    if jemalloc("stats.allocated", &alive) == 0 and jemalloc("stats.resident", &resident) == 0:
        return "jemalloc", alive, resident
    if tcmalloc("generic.current_allocated_bytes", &alive) == 0 and tcmalloc("generic.heap_size", &resident) == 0:
        tcmalloc("tcmalloc.pageheap_unmapped_bytes", &unmapped)
        return "tcmalloc", alive, resident - unmapped
    return None


def books():
    """What memkit needs now to tell blocks of a counted heap apart, all of it resident; 0 where none is counted."""
    return heap.books


def frames():
    """What the frames of all Python calls take that run; 0 where that is not known, as without a GIL and from 3.15 on."""
    return memkit_frames()
