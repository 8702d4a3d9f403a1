/* The hooks of the C library's allocators and of its maps, which pass on to the functions in `next`.

Included by who has defined what they are called (`NAMED`), whether one of `next` is known already (`READY`), and what is handed
out until then (`early_block`, `is_early`). */

#include <stdarg.h>

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

/* The next allocator, in the shape of one of Python's. */
static void *next_malloc(void *ctx, size_t size) { (void)ctx; return next.malloc(size); }
static void *next_calloc(void *ctx, size_t count, size_t size) { (void)ctx; return next.calloc(count, size); }
static void *next_realloc(void *ctx, void *block, size_t size) { (void)ctx; return next.realloc(block, size); }
static void next_free(void *ctx, void *block) { (void)ctx; next.free(block); }

static const memkit_allocator_t behind = {NULL, next_malloc, next_calloc, next_realloc, next_free};

/* -- the C library's allocators ------------------------------------------------------------------------------------ */

HOOK void *NAMED(malloc)(size_t size)
{
    if (UNLIKELY(!READY(malloc)))
        return early_block(size);
    return malloc_any(&behind, size, 0);
}

HOOK void *NAMED(calloc)(size_t count, size_t size)
{
    size_t whole;
    if (UNLIKELY(!READY(calloc)))
        return __builtin_mul_overflow(count, size, &whole) ? NULL : early_block(whole);
    return calloc_any(&behind, count, size, 0);
}

HOOK void *NAMED(realloc)(void *block, size_t size)
{
    void *made;
    if (UNLIKELY(is_early(block) || !READY(realloc))) {
        made = NAMED(malloc)(size);
        if (made && block) {
            size_t before = *(size_t *)((char *)block - 16);
            memcpy(made, block, before < size ? before : size);
        }
        return made;
    }
    return realloc_any(&behind, block, size, 0);
}

HOOK void *NAMED(reallocarray)(void *block, size_t count, size_t size)
{
    size_t whole;
    if (__builtin_mul_overflow(count, size, &whole)) {
        errno = ENOMEM;
        return NULL;
    }
    return NAMED(realloc)(block, whole);
}

HOOK void NAMED(free)(void *block)
{
    if (LIKELY(!is_early(block) && READY(free)))
        free_any(&behind, block, 0);
}

HOOK void NAMED(free_sized)(void *block, size_t size)
{
    (void)size;
    NAMED(free)(block);
}

HOOK void NAMED(free_aligned_sized)(void *block, size_t alignment, size_t size)
{
    (void)alignment, (void)size;
    NAMED(free)(block);
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

HOOK void *NAMED(memalign)(size_t alignment, size_t size)
{
    memkit_thread_t *thread = READY(memalign) ? counting() : NULL;
    return counted(thread, next.memalign(alignment, size), size);
}

HOOK int NAMED(posix_memalign)(void **into, size_t alignment, size_t size)
{
    memkit_thread_t *thread = READY(posix_memalign) ? counting() : NULL;
    int failed = next.posix_memalign(into, alignment, size);
    counted(thread, failed ? NULL : *into, size);
    return failed;
}

HOOK void *NAMED(aligned_alloc)(size_t alignment, size_t size)
{
    memkit_thread_t *thread = READY(aligned_alloc) ? counting() : NULL;
    return counted(thread, next.aligned_alloc(alignment, size), size);
}

HOOK void *NAMED(valloc)(size_t size)
{
    memkit_thread_t *thread = READY(valloc) ? counting() : NULL;
    return counted(thread, next.valloc(size), size);
}

HOOK void *NAMED(pvalloc)(size_t size)
{
    memkit_thread_t *thread = READY(pvalloc) ? counting() : NULL;
    return counted(thread, next.pvalloc(size), size);
}

/* -- anonymous maps ------------------------------------------------------------------------------------------------ */

HOOK void *NAMED(mmap)(void *address, size_t size, int protection, int flags, int file, off_t offset)
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

HOOK void *NAMED(mmap64)(void *address, size_t size, int protection, int flags, int file, off_t offset)
{
    return NAMED(mmap)(address, size, protection, flags, file, offset);
}

HOOK int NAMED(munmap)(void *address, size_t size)
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

HOOK void *NAMED(mremap)(void *address, size_t before, size_t size, int flags, ...)
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
