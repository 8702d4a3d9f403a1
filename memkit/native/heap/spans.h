/* What open spans have allocated, freed and have alive. Included by counting.c alone.

A block is booked to the site of the innermost span in whose context it is allocated, with the serial of the site then. So
when it is freed, wherever that is, it is known whether the same span is still open: if not, but the span around that one is,
it counts for that. Each open span has the sums of those inside it too. */

static ALWAYS_INLINE uint32_t parent_of(uint32_t site)
{
    memkit_span_t *span = memkit_heap.spans + site;
    uint32_t parent = span->parent;
    return parent && memkit_heap.spans[parent].serial == span->parent_serial ? parent : 0;
}

/* Bytes of a block, if no free list of Python's has blocks of its size; else 0.

An object that is taken from a free list counts for the span that allocated it, perhaps long ago: no allocator is called. The
types that have one, up to Python 3.15, are of multiples of 8 bytes, tuples of 20 the largest, and small integers. */
static ALWAYS_INLINE int64_t sure_of(size_t size, int64_t bytes)
{
    enum { MOST = 240, INTEGER = 28 };
    return size <= MOST && (!(size & 7) || size == INTEGER) ? 0 : bytes;
}

/* Count bytes for a span and for those around it. */
static NOINLINE void count_in_spans(uint32_t site, int64_t allocated, int64_t alive, int64_t sure)
{
    for (; site; site = parent_of(site)) {
        memkit_span_t *span = memkit_heap.spans + site;
        int64_t now = __atomic_add_fetch(&span->alive, alive, __ATOMIC_RELAXED), peak = span->peak;
        if (sure)
            __atomic_fetch_add(&span->sure, sure, __ATOMIC_RELAXED);
        if (allocated)
            __atomic_fetch_add(&span->allocated, allocated, __ATOMIC_RELAXED);
        while (now > peak && !__atomic_compare_exchange_n(&span->peak, &peak, now, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
            ;
    }
}

/* Count bytes of a block as alive of the label of its site, which has one, or as no longer alive. */
static ALWAYS_INLINE void count_in_label(uint32_t site, size_t size, int64_t bytes)
{
    memkit_label_t *label = memkit_heap.labels + (parts[site] >> (32 + LABEL_AT));
    int64_t sure = sure_of(size, bytes);
    __atomic_fetch_add(&label->alive, bytes, __ATOMIC_RELAXED);
    if (sure)
        __atomic_fetch_add(&label->sure, sure, __ATOMIC_RELAXED);
}

/* The same for bytes that are freed; `where` is what `where_freed` says. */
static ALWAYS_INLINE void free_in_spans(uint32_t site, int where, int64_t size, int64_t sure)
{
    if (where)
        count_in_spans(where == MEMKIT_PAIRS ? site : parent_of(site), 0, -size, -sure);
}
