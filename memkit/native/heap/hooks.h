/* The hooks of Python's allocators. Included by counting.c alone.

A request that falls through to another domain, or to the C library, counts in the domain where it was made. */

static ALWAYS_INLINE void *malloc_in(const memkit_allocator_t *before, size_t size, int locked, int mode)
{
    memkit_thread_t *thread = locked ? &this_thread : memkit_heap_thread();
    void *made;
    if (UNLIKELY(thread->inside | thread->muted))
        return before->malloc(before->ctx, size);
    thread->inside = 1;
    made = before->malloc(before->ctx, size);
    if (LIKELY(made != NULL))
        put(thread, locked, mode, made, size);
    thread->inside = 0;
    return made;
}

static ALWAYS_INLINE void *calloc_in(const memkit_allocator_t *before, size_t count, size_t size, int locked, int mode)
{
    memkit_thread_t *thread = locked ? &this_thread : memkit_heap_thread();
    void *made;
    if (UNLIKELY(thread->inside | thread->muted))
        return before->calloc(before->ctx, count, size);
    thread->inside = 1;
    made = before->calloc(before->ctx, count, size);
    if (LIKELY(made != NULL))
        put(thread, locked, mode, made, count * size);
    thread->inside = 0;
    return made;
}

static ALWAYS_INLINE void *realloc_in(const memkit_allocator_t *before, void *address, size_t size, int locked, int mode)
{
    memkit_thread_t *thread = locked ? &this_thread : memkit_heap_thread();
    block_t former;
    int booked, where;
    void *made;
    if (UNLIKELY(thread->inside))
        return before->realloc(before->ctx, address, size);
    thread->inside = 1;
    booked = address && take(thread, locked, mode, address, &former, &where);
    made = before->realloc(before->ctx, address, size);
    if (UNLIKELY(made == NULL)) {
        if (booked && size)     /* of no bytes it is freed: the C library's */
            restore(thread, locked, mode, address, &former, where);
    } else if (!thread->muted) {
        put(thread, locked, mode, made, size);
    }
    thread->inside = 0;
    return made;
}

static ALWAYS_INLINE void free_in(const memkit_allocator_t *before, void *address, int locked, int mode)
{
    memkit_thread_t *thread = locked ? &this_thread : memkit_heap_thread();
    block_t block;
    int where;
    if (UNLIKELY(thread->inside || !address)) {
        before->free(before->ctx, address);
        return;
    }
    thread->inside = 1;
    take(thread, locked, mode, address, &block, &where);
    before->free(before->ctx, address);
    thread->inside = 0;
}

/* The same where the thread's gate says that it counts, so that `put_as_last` and `take_recent` can book most small blocks.

The allocator before has no context, as Python's own. So it is none of those that allocate themselves when they free. */

static NOINLINE void *put_slowly(memkit_thread_t *thread, int mode, void *made, size_t size)
{
    if (made)
        put_with_gil(thread, mode, made, size);
    thread->gate--;
    return made;
}

static NOINLINE void *at_peak(void *made)
{
    look_at_peak(0);
    return made;
}

static ALWAYS_INLINE void *malloc_at_gate(const memkit_allocator_t *before, size_t size, int mode)
{
    memkit_thread_t *thread = &this_thread;
    void *made;
    int booked;
    thread->gate++;             /* `inside`, as a whole word: it is read so by the next hook */
    made = before->malloc(NULL, size);
    booked = put_as_last(thread, mode, made, size);
    if (UNLIKELY(!booked))
        return put_slowly(thread, mode, made, size);
    thread->gate--;
    return LIKELY(booked > 0) ? made : at_peak(made);
}

static ALWAYS_INLINE void *malloc_by_chance(const memkit_allocator_t *, size_t, int);
static ALWAYS_INLINE void *calloc_by_chance(const memkit_allocator_t *, size_t, size_t, int);
static ALWAYS_INLINE void *realloc_by_chance(const memkit_allocator_t *, void *, size_t, int);
static ALWAYS_INLINE void free_by_chance(const memkit_allocator_t *, void *);

/* For a hook of another mode than the heap's: another tool has kept it from a recording before, and calls it now. And for all
hooks where interpreters have a GIL each: it keeps nobody else from the sums. */
static NOINLINE void *malloc_any(const memkit_allocator_t *before, size_t size, int locked)
{
    int mode = memkit_heap.on;
    if (mode == MEMKIT_SAMPLED)
        return malloc_by_chance(before, size, 0);
    return mode ? malloc_in(before, size, locked, mode) : before->malloc(before->ctx, size);
}

static NOINLINE void *calloc_any(const memkit_allocator_t *before, size_t count, size_t size, int locked)
{
    int mode = memkit_heap.on;
    if (mode == MEMKIT_SAMPLED)
        return calloc_by_chance(before, count, size, 0);
    return mode ? calloc_in(before, count, size, locked, mode) : before->calloc(before->ctx, count, size);
}

static NOINLINE void *realloc_any(const memkit_allocator_t *before, void *address, size_t size, int locked)
{
    int mode = memkit_heap.on;
    if (mode == MEMKIT_SAMPLED)
        return realloc_by_chance(before, address, size, 0);
    return mode ? realloc_in(before, address, size, locked, mode) : before->realloc(before->ctx, address, size);
}

static NOINLINE void free_any(const memkit_allocator_t *before, void *address, int locked)
{
    int mode = memkit_heap.on;
    if (mode == MEMKIT_SAMPLED)
        free_by_chance(before, address);
    else if (mode)
        free_in(before, address, locked, mode);
    else
        before->free(before->ctx, address);
}

#include "sampled_hooks.h"

/* A new interpreter allocates in the raw domain before any code of its own runs. */
static ALWAYS_INLINE void look_for_interpreters(int locked)
{
    if (!locked && memkit_heap.on_with_gil && memkit_heap.interpreters())
        let_count_with_gil(0);
}

#define IS(mode, locked) LIKELY(((locked) ? memkit_heap.on_with_gil : memkit_heap.on) == (mode))
#define ONE_GIL(locked) ((locked) && memkit_heap.on_with_gil)
#define HOOKS(name, locked, mode) \
    static NOINLINE void *name##_malloc(void *ctx, size_t size) \
    { \
        look_for_interpreters(locked); \
        return IS(mode, locked) ? malloc_in(ctx, size, locked, mode) : malloc_any(ctx, size, ONE_GIL(locked)); \
    } \
    static void *name##_calloc(void *ctx, size_t count, size_t size) \
    { \
        look_for_interpreters(locked); \
        return IS(mode, locked) ? calloc_in(ctx, count, size, locked, mode) : calloc_any(ctx, count, size, ONE_GIL(locked)); \
    } \
    static void *name##_realloc(void *ctx, void *address, size_t size) \
    { \
        return IS(mode, locked) ? realloc_in(ctx, address, size, locked, mode) \
            : realloc_any(ctx, address, size, ONE_GIL(locked)); \
    } \
    static NOINLINE void name##_free(void *ctx, void *address) \
    { if (IS(mode, locked)) free_in(ctx, address, locked, mode); else free_any(ctx, address, ONE_GIL(locked)); }

#define GATED(name, slow, mode) \
    HOOKS(slow, 1, mode)                        /* who uses these holds the GIL */ \
    static void *name##_malloc(void *ctx, size_t size) \
    { \
        return LIKELY(this_thread.gate == memkit_heap.gates[mode]) ? malloc_at_gate(ctx, size, mode) \
            : slow##_malloc(ctx, size); \
    } \
    static void name##_free(void *ctx, void *address) \
    { \
        const memkit_allocator_t *before = ctx; \
        if (UNLIKELY(this_thread.gate != memkit_heap.gates[mode]) || UNLIKELY(!take_recent(mode, address))) \
            slow##_free(ctx, address); \
        else \
            before->free(NULL, address); \
    }

GATED(gated_lines, locked_lines, MEMKIT_LINES)
GATED(gated_paths, locked_paths, MEMKIT_PATHS)
GATED(gated_pairs, locked_pairs, MEMKIT_PAIRS)
HOOKS(unlocked_lines, 0, MEMKIT_LINES)
HOOKS(unlocked_paths, 0, MEMKIT_PATHS)
HOOKS(unlocked_pairs, 0, MEMKIT_PAIRS)
HOOKS(locked_spans, 1, MEMKIT_SPANS)
HOOKS(unlocked_spans, 0, MEMKIT_SPANS)
HOOKS(locked_stretches, 1, MEMKIT_STRETCHES)
HOOKS(unlocked_stretches, 0, MEMKIT_STRETCHES)

#define HOOKED(name) {NULL, name##_malloc, name##_calloc, name##_realloc, name##_free}
#define AT_GATE(name, slow) {NULL, name##_malloc, slow##_calloc, slow##_realloc, name##_free}

/* By `locked`, or where sampled by `leaf`, and mode; the last ones are above an allocator without a context. */
static const memkit_allocator_t hooked[3][MEMKIT_STRETCHES] = {
    {HOOKED(unlocked_lines), HOOKED(unlocked_paths), HOOKED(unlocked_pairs), HOOKED(sampled), HOOKED(unlocked_spans),
        HOOKED(unlocked_stretches)},
    {HOOKED(locked_lines), HOOKED(locked_paths), HOOKED(locked_pairs), HOOKED(sampled_leaf), HOOKED(locked_spans),
        HOOKED(locked_stretches)},
    {AT_GATE(gated_lines, locked_lines), AT_GATE(gated_paths, locked_paths), AT_GATE(gated_pairs, locked_pairs),
        HOOKED(sampled_leaf), HOOKED(locked_spans), HOOKED(locked_stretches)},
};

static int is_hook(memkit_allocator_t *allocator)
{
    for (int locked = 0; locked < 3; locked++)
        for (int mode = MEMKIT_LINES; mode <= MEMKIT_STRETCHES; mode++)
            if (allocator->malloc == hooked[locked][mode - 1].malloc)
                return 1;
    return 0;
}

/* A copy of an allocator that is never given back: another thread may be in a hook above it at any time. NULL: no memory. */
static const memkit_allocator_t *kept(const memkit_allocator_t *allocator)
{
    enum { MOST = 4096 / sizeof *allocator };
    static memkit_allocator_t *copies;
    static size_t count = MOST;
    for (size_t i = 0; copies && i < count; i++)
        if (!memcmp(&copies[i], allocator, sizeof *allocator))
            return &copies[i];
    if (count == MOST) {
        memkit_allocator_t *made = pages(sizeof *made * MOST);
        if (!made)
            return NULL;
        copies = made, count = 0;
    }
    copies[count] = *allocator;
    return &copies[count++];
}

static int memkit_heap_unhook(memkit_allocator_t *allocator)
{
    if (!is_hook(allocator))
        return 0;
    *allocator = *(const memkit_allocator_t *)allocator->ctx;
    return 1;
}

/* Replace the three domains, raw first, by hooks of the mode; each has the allocator before it as its context. 0; -1: no memory.

Where another tool has been hooked above one of ours, the new one goes above both: the outermost counts. Another thread may be
in a hook of the mode before, or call one: what one has booked another takes.

`interpreters` says whether more than one may have a GIL of its own; NULL: there is no GIL. */
static int memkit_heap_hook(memkit_allocator_t allocators[3], int (*interpreters)(void))
{
    for (int i = 0, which; i < 3; i++) {
        const memkit_allocator_t *before = is_hook(&allocators[i]) ? allocators[i].ctx : kept(&allocators[i]);
        if (!before)
            return -1;
        which = memkit_heap.mode == MEMKIT_SAMPLED ? i > 0 && is_leaf(before) : interpreters && i > 0;
        which += which && !before->ctx;
        allocators[i] = hooked[which][memkit_heap.mode - 1];
        allocators[i].ctx = (void *)before;
    }
    memkit_heap.interpreters = interpreters;
    let_count_with_gil(interpreters && !interpreters() ? memkit_heap.mode : 0);
    return 0;
}
