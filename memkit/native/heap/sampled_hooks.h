/* The hooks where blocks are sampled. Included by hooks.h alone.

A request that falls through to another domain, or to the C library, must not be drawn there again. `leaf`: those of a small
block do not, as with Python's own allocator of small objects. */

static NOINLINE void *malloc_drawn(const memkit_allocator_t *before, size_t size)
{
    memkit_thread_t *thread = memkit_heap_thread();
    int inside = thread->inside, drawn;
    void *made;
    if (UNLIKELY(memkit_heap.on & MEMKIT_PAIRS))
        return malloc_any(before, size, 0);
    drawn = is_drawn(thread, size) && !inside && !thread->muted;
    thread->inside = 1;
    made = before->malloc(before->ctx, size);
    if (made && drawn)
        put_sample(made, size);
    thread->inside = inside;
    return made;
}

/* What it falls through to does not count. Apart from the rest, which needs no registers to be saved. */
static NOINLINE void *malloc_inside(const memkit_allocator_t *before, size_t size)
{
    memkit_thread_t *thread = &this_thread;
    int inside = thread->inside;
    void *made;
    if (UNLIKELY(!is_passed(thread, size)))
        return malloc_drawn(before, size);
    thread->inside = 1;
    made = before->malloc(before->ctx, size);
    thread->inside = inside;
    return made;
}

static ALWAYS_INLINE void *malloc_by_chance(const memkit_allocator_t *before, size_t size, int leaf)
{
    if (leaf && LIKELY(size <= SMALL))
        return LIKELY(is_passed(&this_thread, size)) ? before->malloc(before->ctx, size) : malloc_drawn(before, size);
    return malloc_inside(before, size);
}

static NOINLINE void *calloc_drawn(const memkit_allocator_t *before, size_t count, size_t size)
{
    memkit_thread_t *thread = memkit_heap_thread();
    int inside = thread->inside, drawn;
    void *made;
    if (UNLIKELY(memkit_heap.on & MEMKIT_PAIRS))
        return calloc_any(before, count, size, 0);
    drawn = is_drawn(thread, count * size) && !inside && !thread->muted;
    thread->inside = 1;
    made = before->calloc(before->ctx, count, size);
    if (made && drawn)
        put_sample(made, count * size);
    thread->inside = inside;
    return made;
}

static ALWAYS_INLINE void *calloc_by_chance(const memkit_allocator_t *before, size_t count, size_t size, int leaf)
{
    memkit_thread_t *thread = &this_thread;
    int inside;
    void *made;
    if (UNLIKELY(!is_passed(thread, count * size)))
        return calloc_drawn(before, count, size);
    if (leaf && LIKELY(count * size <= SMALL))
        return before->calloc(before->ctx, count, size);
    inside = thread->inside;
    thread->inside = 1;
    made = before->calloc(before->ctx, count, size);
    thread->inside = inside;
    return made;
}

static NOINLINE void *realloc_drawn(const memkit_allocator_t *before, void *address, size_t size, int passed)
{
    memkit_thread_t *thread = memkit_heap_thread();
    int inside = thread->inside, drawn, taken;
    block_t former;
    void *made;
    if (UNLIKELY(memkit_heap.on & MEMKIT_PAIRS))
        return realloc_any(before, address, size, 0);
    drawn = !passed && is_drawn(thread, size) && !inside && !thread->muted;
    thread->inside = 1;
    taken = address && !inside && may_be_sample(address) && take_sample(address, &former);
    made = before->realloc(before->ctx, address, size);
    if (made && drawn)
        put_sample(made, size);
    else if (!made && taken && size)    /* of no bytes it is freed: the C library's */
        restore_sample(address, &former);
    thread->inside = inside;
    return made;
}

static ALWAYS_INLINE void *realloc_by_chance(const memkit_allocator_t *before, void *address, size_t size, int leaf)
{
    memkit_thread_t *thread = &this_thread;
    int passed = is_passed(thread, size), inside = thread->inside;
    void *made;
    (void)leaf;                 /* what is small now may have been large */
    if (UNLIKELY(!passed || may_be_sample(address)))
        return realloc_drawn(before, address, size, passed);
    thread->inside = 1;
    made = before->realloc(before->ctx, address, size);
    thread->inside = inside;
    return made;
}

static NOINLINE void free_drawn(const memkit_allocator_t *before, void *address)
{
    memkit_thread_t *thread = memkit_heap_thread();
    block_t block;
    if (UNLIKELY(memkit_heap.on & MEMKIT_PAIRS)) {
        free_any(before, address, 0);
        return;
    }
    if (!thread->inside && address) {
        thread->inside = 1;
        take_sample(address, &block);
        thread->inside = 0;
    }
    before->free(before->ctx, address);
}

static ALWAYS_INLINE void free_by_chance(const memkit_allocator_t *before, void *address)
{
    if (UNLIKELY(may_be_sample(address)))
        free_drawn(before, address);
    else
        before->free(before->ctx, address);
}

/* Where another mode counts, the floor and the filter lead all blocks to where that is found out. */
#define HOOKS_BY_CHANCE(name, leaf) \
    static void *name##_malloc(void *ctx, size_t size) { return malloc_by_chance(ctx, size, leaf); } \
    static void *name##_calloc(void *ctx, size_t count, size_t size) { return calloc_by_chance(ctx, count, size, leaf); } \
    static void *name##_realloc(void *ctx, void *address, size_t size) \
    { return realloc_by_chance(ctx, address, size, leaf); } \
    static void name##_free(void *ctx, void *address) { free_by_chance(ctx, address); }

HOOKS_BY_CHANCE(sampled, 0)
HOOKS_BY_CHANCE(sampled_leaf, 1)

/* Whether an allocator takes small blocks from no other that counts them. */
static int is_leaf(const memkit_allocator_t *before)
{
    int64_t until = memkit_heap_thread()->until;
    void *made = before->malloc(before->ctx, 2 * TINY);
    int leaf = memkit_heap_thread()->until == until;
    before->free(before->ctx, made);
    return leaf;
}
