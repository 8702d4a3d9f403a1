/* Booking blocks as allocated and as freed: the sums of their sites, what is alive, and its peak. Included by counting.c alone. */

typedef struct {
    int64_t alive, next;        /* bytes of this shard; the peak is looked at again when they have passed `next` */
} __attribute__((aligned(64))) total_t;

static total_t totals[MEMKIT_SHARDS];
static volatile int copying;

enum { PEAK_SHARE = 100, LEAST_STEP = 4096 };

static int64_t memkit_heap_alive(void)
{
    int64_t alive = 0;
    for (int shard = 0; shard < MEMKIT_SHARDS; shard++)
        alive += __atomic_load_n(&totals[shard].alive, __ATOMIC_RELAXED);
    return alive;
}

static ALWAYS_INLINE int64_t alive_of(uint32_t number)
{
    int64_t alive = 0;
    for (int shard = 0; shard < MEMKIT_SHARDS; shard++) {
        site_t *chunk = __atomic_load_n(&chunks[shard][number / CHUNK], __ATOMIC_ACQUIRE), *site = chunk + number % CHUNK;
        if (!chunk)
            continue;
        alive += __atomic_load_n(&site->allocated.bytes, __ATOMIC_RELAXED);
        for (int where = 0; where < 4; where++)
            alive -= __atomic_load_n(&site->freed[where].bytes, __ATOMIC_RELAXED);
    }
    return alive;
}

static NOINLINE void look_at_peak(int shard)
{
    int64_t alive = memkit_heap_alive(), step = alive / (4 * PEAK_SHARE);
    totals[shard].next = totals[shard].alive + (step > LEAST_STEP ? step : LEAST_STEP);
    if (alive <= memkit_heap.peak + memkit_heap.peak / PEAK_SHARE || __atomic_exchange_n(&copying, 1, __ATOMIC_ACQUIRE))
        return;
    memkit_heap.peak = alive;
    uint32_t most = memkit_heap.most_labelled > memkit_heap.most ? memkit_heap.most_labelled : memkit_heap.most;
    for (uint32_t site = 0; site <= most; site = site_after(site))
        memkit_heap.at_peak[site] = alive_of(site);
    memkit_heap.copies++;
    unlock(&copying);
}

static ALWAYS_INLINE void count(count_t *which, int64_t size, int64_t blocks, int locked)
{
    add(&which->bytes, size, locked);
    add(&which->blocks, blocks, locked);
}

static NOINLINE void raise_most(uint32_t site)
{
    uint32_t *place = is_labelled(site) ? &memkit_heap.most_labelled : &memkit_heap.most, most = *place;
    while (most < site && !__atomic_compare_exchange_n(place, &most, site, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        ;                       /* another thread has raised it meanwhile */
}

static ALWAYS_INLINE void count_allocated(
    memkit_thread_t *thread, int locked, int mode, site_t *sums, uint32_t site, int64_t size)
{
    int shard = locked ? 0 : thread->shard;
    if (UNLIKELY(site > memkit_heap.most))
        raise_most(site);
    count(&sums->allocated, size, 1, locked);
    if (mode == MEMKIT_SPANS) {
        int64_t sure = sure_of(size, size);
        add(&sums->sure, sure, locked);
        count_in_spans(site, size, size, sure);
    } else if (UNLIKELY(is_labelled(site))) {
        count_in_spans(thread->span, size, 0, 0);
        count_in_label(site, size, size);
    }
    add(&totals[shard].alive, size, locked);
    if (UNLIKELY(totals[shard].alive > totals[shard].next))
        look_at_peak(shard);
}

/* Where a block is freed, as an index of `freed`. */
static ALWAYS_INLINE int where_freed(block_t *block, int mode, int labelled)
{
    uint32_t now = serial_of(block->site, mode, labelled), differs;
    if (UNLIKELY(block->tiny))
        differs = tiny_serial(now, mode) ^ block->serial;
    else
        differs = now ^ block->serial;
    if (mode == MEMKIT_SPANS)   /* in the same span, or below the same parent */
        return !differs ? MEMKIT_PAIRS : differs >> 16 ? 0 : MEMKIT_PATHS;
    if (mode != MEMKIT_PAIRS)
        return differs ? 0 : mode;
    if (UNLIKELY(block->tiny))
        return (differs >> 5 ? 0 : MEMKIT_PATHS) | (differs & 31 ? 0 : MEMKIT_LINES);
    return (differs >> 16 ? 0 : MEMKIT_PATHS) | (differs & 0xFFFF ? 0 : MEMKIT_LINES);
}

/* Count bytes of a block as freed, and blocks; or no longer as that. */
static ALWAYS_INLINE void count_freed(
    memkit_thread_t *thread, int locked, int mode, block_t *block, int where, int64_t size, int64_t blocks)
{
    int shard = locked ? 0 : thread->shard;
    site_t *sums = site_at(shard, block->site);
    if (UNLIKELY(!sums))
        return;
    count(&sums->freed[where], size, blocks, locked);
    if (mode == MEMKIT_SPANS) {
        int64_t sure = sure_of(block->size, size);
        add(&sums->sure, -sure, locked);
        free_in_spans(block->site, where, size, sure);
    } else if (UNLIKELY(is_labelled(block->site))) {
        count_in_label(block->site, block->size, -size);
    }
    add(&totals[shard].alive, -size, locked);
}

/* Book a block as freed. 0: it was not booked. */
static ALWAYS_INLINE int take(memkit_thread_t *thread, int locked, int mode, void *address, block_t *block, int *where)
{
    block_t large;              /* apart, so that a small one need not be in memory */
    if (mode == MEMKIT_STRETCHES) {
        *where = 0;
        return take_in_stretch(locked, address, block);
    }
    if (take_small(address, block)) {
        if (locked && mode <= MEMKIT_PAIRS)
            remember_segment_of(address);
    } else if (take_large(address, &large)) {
        *block = large;
    } else {
        return 0;
    }
    *where = where_freed(block, mode, 1);
    count_freed(thread, locked, mode, block, *where, block->size, 1);
    return 1;
}

/* The program has the address anew: what is booked there was freed by who looked the C library's own `free` up. */
static NOINLINE void drop(memkit_thread_t *thread, int locked, int mode, void *address)
{
    block_t block;
    int where;
    take(thread, locked, mode, address, &block, &where);
}

/* Book a small block to the site of the last one in few instructions. 0: it cannot be done so; -1: it is booked, and the peak
is to be looked at.

To be called with the GIL, by a thread that has joined. The sums and totals of the first shard are written under it alone. */
static ALWAYS_INLINE int put_to_last(memkit_thread_t *thread, int mode, void *address, size_t size)
{
    site_t *sums = thread->last_sums;
    uint32_t *place, serial;
    if (UNLIKELY(size - TINY - 1 >= SMALL - TINY) || UNLIKELY(is_in_last_place(address)))
        return 0;
    if (!(place = recent_place_of(address)) || UNLIKELY(*place))
        return 0;
    if (mode == MEMKIT_PAIRS)
        serial = *thread->last_path_serial << 16 | (*thread->last_line_serial & 0xFFFF);
    else
        serial = mode == MEMKIT_PATHS ? *thread->last_path_serial : *thread->last_line_serial;
    place[0] = ((uint32_t)size << 20) + thread->last_place;
    place[1] = serial;
    count(&sums->allocated, size, 1, 1);
    return UNLIKELY((totals[0].alive += size) > totals[0].next) ? -1 : 1;
}

/* The same where that is still the site that runs, as for most. */
static ALWAYS_INLINE int put_as_last(memkit_thread_t *thread, int mode, void *address, size_t size)
{
    if ((mode & MEMKIT_PATHS && UNLIKELY(*thread->path != thread->last_path))
            || (mode & MEMKIT_LINES && UNLIKELY(*thread->line != thread->last_line)))
        return 0;
    return put_to_last(thread, mode, address, size);
}

/* Have `put_to_last` book to the site that runs now. 0: it cannot. */
static ALWAYS_INLINE int aim(memkit_thread_t *thread, int mode)
{
    uint32_t site = site_of(thread, mode), path, line;
    site_t *sums = site_at(0, site);
    path = parts_of(site, mode) >> 32, line = (uint32_t)parts_of(site, mode);
    if (!site || !sums || path >= MEMKIT_SITES || line >= MEMKIT_SITES)
        return 0;
    if (UNLIKELY(site > memkit_heap.most))
        raise_most(site);
    thread->last_path = *thread->path, thread->last_line = *thread->line;
    thread->last_place = ((uint32_t)TWO << 30 | site) - (1 << 20), thread->last_sums = sums;
    thread->last_path_serial = &memkit_heap.path_serials[path];
    thread->last_line_serial = &memkit_heap.line_serials[line];
    return 1;
}

static ALWAYS_INLINE void put_anew(memkit_thread_t *thread, int locked, int mode, void *address, size_t size)
{
    uint32_t site = site_of(thread, mode), serial = serial_of(site, mode, 1);
    site_t *sums = site_at(locked ? 0 : thread->shard, site);
    int booked = 0;
    while (sums && UNLIKELY((booked = book(address, size, site, serial, mode)) < 0))
        drop(thread, locked, mode, address);
    if (LIKELY(booked))
        count_allocated(thread, locked, mode, sums, site, size);
    else
        __atomic_fetch_add(&memkit_heap.unbooked, 1, __ATOMIC_RELAXED);
}

static NOINLINE void put_otherwise(memkit_thread_t *thread, int mode, void *address, size_t size)
{
    if (mode == MEMKIT_PATHS)
        put_anew(thread, 1, MEMKIT_PATHS, address, size);
    else if (mode == MEMKIT_LINES)
        put_anew(thread, 1, MEMKIT_LINES, address, size);
    else
        put_anew(thread, 1, MEMKIT_PAIRS, address, size);
    remember_segment_of(address);
}

static ALWAYS_INLINE void put_as_now(memkit_thread_t *thread, int mode, void *address, size_t size)
{
    int booked = aim(thread, mode) ? put_to_last(thread, mode, address, size) : 0;
    if (UNLIKELY(!booked))
        put_otherwise(thread, mode, address, size);
    else if (UNLIKELY(booked < 0))
        look_at_peak(0);
}

static NOINLINE void put_with_gil(memkit_thread_t *thread, int mode, void *address, size_t size)
{
    if (mode == MEMKIT_PATHS)
        put_as_now(thread, MEMKIT_PATHS, address, size);
    else if (mode == MEMKIT_LINES)
        put_as_now(thread, MEMKIT_LINES, address, size);
    else
        put_as_now(thread, MEMKIT_PAIRS, address, size);
}

static ALWAYS_INLINE void put(memkit_thread_t *thread, int locked, int mode, void *address, size_t size)
{
    if (mode == MEMKIT_SAMPLED) {
        if (!is_passed(thread, size) && is_drawn(thread, size))
            put_sample(address, size);
    } else if (mode == MEMKIT_STRETCHES) {
        put_in_stretch(locked, address, size);
    } else if (!locked || mode == MEMKIT_SPANS || memkit_heap.labelled) {
        put_anew(thread, locked, mode, address, size);
    } else {
        put_with_gil(thread, mode, address, size);
    }
}

/* Book a small block as freed where few instructions do, as for most. To be called as `put_as_last`. */
static ALWAYS_INLINE int take_recent(int mode, void *address)
{
    uint32_t *place = recent_place_of(address), less_one;
    block_t block;
    site_t *sums;
    if (!place || UNLIKELY((less_one = (*place >> 20) - (TWO << 10)) >= SMALL))
        return 0;
    block = (block_t){(uint64_t)less_one + 1, *place & LAST, place[1], 0};
    sums = chunks[0][block.site / CHUNK];
    if (UNLIKELY(!sums))
        return 0;
    sums += block.site % CHUNK;
    place[0] = place[1] = 0;    /* in the preloaded library memset would be a call */
    count(&sums->freed[where_freed(&block, mode, 0)], block.size, 1, 1);
    totals[0].alive -= block.size;
    return 1;
}

/* A block that `take` has taken is not freed after all. A serial of few bits serves as well as the whole one does. */
static void restore(memkit_thread_t *thread, int locked, int mode, void *address, block_t *block, int where)
{
    if (mode == MEMKIT_STRETCHES) {
        restore_in_stretch(locked, address, block);
        return;
    }
    uint32_t serial = !block->tiny || mode != MEMKIT_PAIRS ? block->serial : (block->serial >> 5) << 16 | (block->serial & 31);
    book(address, block->size, block->site, serial, mode);
    count_freed(thread, locked, mode, block, where, -(int64_t)block->size, -1);
}

/* A block is memkit's own: it does not count. Returns its size, 0 if it is not booked. */
static size_t memkit_heap_disown(memkit_thread_t *thread, int locked, void *address)
{
    int shard = locked ? 0 : thread->shard;
    block_t block;
    site_t *sums;
    if (!(memkit_heap.on & MEMKIT_PAIRS) || memkit_heap.on == MEMKIT_STRETCHES || !address
            || !(take_small(address, &block) || take_large(address, &block)))
        return 0;
    if ((sums = site_at(shard, block.site))) {
        count(&sums->allocated, -(int64_t)block.size, -1, locked);
        if (memkit_heap.on == MEMKIT_SPANS) {
            int64_t sure = sure_of(block.size, block.size);
            add(&sums->sure, -sure, locked);
            if (where_freed(&block, MEMKIT_SPANS, 0) == MEMKIT_PAIRS)
                count_in_spans(block.site, -(int64_t)block.size, -(int64_t)block.size, -sure);
        } else if (is_labelled(block.site)) {   /* it was made just now */
            count_in_spans(thread->span, -(int64_t)block.size, 0, 0);
            count_in_label(block.site, block.size, -(int64_t)block.size);
        }
        add(&totals[shard].alive, -(int64_t)block.size, locked);
    }
    return block.size;
}

/* The same of a block and of those that it points to. */
static void memkit_heap_disown_all(memkit_thread_t *thread, int locked, void **address)
{
    size_t size = memkit_heap_disown(thread, locked, address);
    for (size_t i = 0; i < size / sizeof *address; i++)
        memkit_heap_disown(thread, locked, address[i]);
}
