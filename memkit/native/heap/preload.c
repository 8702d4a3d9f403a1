/* Counting what the C library hands out: a library that is loaded before all others, and keeps the books of its process.

It stands in front of the C library's allocators, or of others that are preloaded behind it, and of anonymous maps. Until a
recording opens the books it only passes on. What Python's allocators take from the C library counts where Python's own hooks
count it. */

#define MEMKIT_COUNTS_C 1
#include "counting.c"

#include <dlfcn.h>
#include <stdarg.h>

#define EXPORT __attribute__((visibility("default")))

static struct {
    void *(*malloc)(size_t);
    void *(*calloc)(size_t, size_t);
    void *(*realloc)(void *, size_t);
    void (*free)(void *);
    void *(*memalign)(size_t, size_t);
    int (*posix_memalign)(void **, size_t, size_t);
    void *(*aligned_alloc)(size_t, size_t);
    void *(*valloc)(size_t);
    void *(*pvalloc)(size_t);
    void *(*mmap)(void *, size_t, int, int, int, off_t);
    int (*munmap)(void *, size_t);
    void *(*mremap)(void *, size_t, size_t, int, ...);
} next;

/* What the search for the next functions allocates itself, and never gives back. */
static char early[1 << 16] __attribute__((aligned(16)));
static size_t early_used;
static volatile int finding;

static void *early_block(size_t size)
{
    size_t at = __atomic_fetch_add(&early_used, (size + 31) & ~(size_t)15, __ATOMIC_RELAXED);
    if (size > sizeof early || at > sizeof early - size - 16)
        return NULL;
    *(size_t *)(early + at) = size;
    return early + at + 16;
}

static int is_early(void *address)
{
    return (char *)address >= early && (char *)address < early + sizeof early;
}

static NOINLINE void find(void)
{
    if (__atomic_exchange_n(&finding, 1, __ATOMIC_ACQUIRE))
        return;                 /* the search itself allocates */
#define FIND(name) *(void **)&next.name = dlsym(RTLD_NEXT, #name)
    FIND(calloc), FIND(realloc), FIND(free), FIND(memalign), FIND(posix_memalign), FIND(aligned_alloc);
    FIND(valloc), FIND(pvalloc), FIND(mmap), FIND(munmap), FIND(mremap), FIND(malloc);
#undef FIND
    finding = 0;
}

__attribute__((constructor)) static void begin(void)
{
    find();
}

#define READY(name) (LIKELY(next.name != NULL) || (find(), next.name != NULL))

/* The next allocator, in the shape of one of Python's. */
static void *next_malloc(void *ctx, size_t size) { (void)ctx; return next.malloc(size); }
static void *next_calloc(void *ctx, size_t count, size_t size) { (void)ctx; return next.calloc(count, size); }
static void *next_realloc(void *ctx, void *block, size_t size) { (void)ctx; return next.realloc(block, size); }
static void next_free(void *ctx, void *block) { (void)ctx; next.free(block); }

static const memkit_allocator_t behind = {NULL, next_malloc, next_calloc, next_realloc, next_free};

/* -- the C library's allocators ------------------------------------------------------------------------------------ */

EXPORT void *malloc(size_t size)
{
    if (UNLIKELY(!READY(malloc)))
        return early_block(size);
    return malloc_any(&behind, size, 0);
}

EXPORT void *calloc(size_t count, size_t size)
{
    size_t whole;
    if (UNLIKELY(!READY(calloc)))
        return __builtin_mul_overflow(count, size, &whole) ? NULL : early_block(whole);
    return calloc_any(&behind, count, size, 0);
}

EXPORT void *realloc(void *block, size_t size)
{
    void *made;
    if (UNLIKELY(is_early(block) || !READY(realloc))) {
        made = malloc(size);
        if (made && block) {
            size_t before = *(size_t *)((char *)block - 16);
            memcpy(made, block, before < size ? before : size);
        }
        return made;
    }
    return realloc_any(&behind, block, size, 0);
}

EXPORT void *reallocarray(void *block, size_t count, size_t size)
{
    size_t whole;
    if (__builtin_mul_overflow(count, size, &whole)) {
        errno = ENOMEM;
        return NULL;
    }
    return realloc(block, whole);
}

EXPORT void free(void *block)
{
    if (LIKELY(!is_early(block) && READY(free)))
        free_any(&behind, block, 0);
}

EXPORT void free_sized(void *block, size_t size)
{
    (void)size;
    free(block);
}

EXPORT void free_aligned_sized(void *block, size_t alignment, size_t size)
{
    (void)alignment, (void)size;
    free(block);
}

/* A thread for which something counts; what it calls from now on does not. NULL: nothing does. */
static memkit_thread_t *counting(void)
{
    memkit_thread_t *thread = memkit_heap_thread();
    if (LIKELY(!memkit_heap.on) || thread->inside)
        return NULL;
    thread->inside = 1;
    return thread;
}

static void *counted(memkit_thread_t *thread, void *made, size_t size)
{
    int mode = memkit_heap.on;
    if (thread) {
        if (made && mode && !thread->muted)
            put(thread, 0, mode, made, size);
        thread->inside = 0;
    }
    return made;
}

EXPORT void *memalign(size_t alignment, size_t size)
{
    memkit_thread_t *thread = READY(memalign) ? counting() : NULL;
    return counted(thread, next.memalign(alignment, size), size);
}

EXPORT int posix_memalign(void **into, size_t alignment, size_t size)
{
    memkit_thread_t *thread = READY(posix_memalign) ? counting() : NULL;
    int failed = next.posix_memalign(into, alignment, size);
    counted(thread, failed ? NULL : *into, size);
    return failed;
}

EXPORT void *aligned_alloc(size_t alignment, size_t size)
{
    memkit_thread_t *thread = READY(aligned_alloc) ? counting() : NULL;
    return counted(thread, next.aligned_alloc(alignment, size), size);
}

EXPORT void *valloc(size_t size)
{
    memkit_thread_t *thread = READY(valloc) ? counting() : NULL;
    return counted(thread, next.valloc(size), size);
}

EXPORT void *pvalloc(size_t size)
{
    memkit_thread_t *thread = READY(pvalloc) ? counting() : NULL;
    return counted(thread, next.pvalloc(size), size);
}

/* -- anonymous maps ------------------------------------------------------------------------------------------------ */

EXPORT void *mmap(void *address, size_t size, int protection, int flags, int file, off_t offset)
{
    memkit_thread_t *thread = READY(mmap) ? counting() : NULL;
    void *made = next.mmap(address, size, protection, flags, file, offset);
    if (thread) {
        if (made != MAP_FAILED && flags & MAP_FIXED)
            take_maps(thread, made, size);
        if (made != MAP_FAILED && flags & MAP_ANONYMOUS && protection & PROT_WRITE && !(flags & MAP_STACK) && !thread->muted)
            put_map(thread, made, size);
        thread->inside = 0;
    }
    return made;
}

EXPORT void *mmap64(void *address, size_t size, int protection, int flags, int file, off_t offset)
{
    return mmap(address, size, protection, flags, file, offset);
}

EXPORT int munmap(void *address, size_t size)
{
    memkit_thread_t *thread = READY(munmap) ? counting() : NULL;
    int failed;
    if (thread)                 /* before another thread can map the same addresses */
        lock(&maps_lock);
    failed = next.munmap(address, size);
    if (thread) {
        if (!failed)
            take_maps_locked(thread, address, size);
        unlock(&maps_lock);
        thread->inside = 0;
    }
    return failed;
}

EXPORT void *mremap(void *address, size_t before, size_t size, int flags, ...)
{
    memkit_thread_t *thread = READY(mremap) ? counting() : NULL;
    void *made, *wanted = NULL;
    size_t found = 0;
    va_list rest;
    if (flags & MREMAP_FIXED) {
        va_start(rest, flags);
        wanted = va_arg(rest, void *);
        va_end(rest);
    }
    if (thread)                 /* as in munmap */
        lock(&maps_lock);
    made = next.mremap(address, before, size, flags, wanted);
    if (thread) {
        if (made != MAP_FAILED)
            found = take_maps_locked(thread, address, before);
        if (made != MAP_FAILED && flags & MREMAP_FIXED)
            take_maps_locked(thread, made, size);
        unlock(&maps_lock);
        if (found && !thread->muted)
            put_map(thread, made, size);
        thread->inside = 0;
    }
    return made;
}

/* -- the books ----------------------------------------------------------------------------------------------------- */

EXPORT const memkit_books_t *memkit_heap_books(void)
{
    return &memkit_books;
}
