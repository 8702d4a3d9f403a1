/* Booking blocks, and the hooks of Python's allocators: see counting.h. */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "counting.h"

#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

#ifdef __GLIBC__                /* keeps room for modules that are loaded late; musl has none for the faster model */
#define TLS static __thread __attribute__((tls_model("initial-exec")))
#else
#define TLS static __thread
#endif
#define ALWAYS_INLINE inline __attribute__((always_inline))
#define LIKELY(condition) __builtin_expect(!!(condition), 1)
#define UNLIKELY(condition) __builtin_expect(!!(condition), 0)

static memkit_heap_t memkit_heap;

TLS memkit_thread_t this_thread;
static int threads;

static void *pages(size_t size)
{
    void *found = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return found == MAP_FAILED ? NULL : found;
}

static inline memkit_thread_t *memkit_heap_thread(void)
{
    memkit_thread_t *thread = &this_thread;
    if (UNLIKELY(thread->shard == 0))
        thread->shard = 1 + __atomic_fetch_add(&threads, 1, __ATOMIC_RELAXED) % (MEMKIT_SHARDS - 1);
    return thread;
}

/* The thread, whose path and line are those of this heap from now on. */
static memkit_thread_t *memkit_heap_join(void)
{
    memkit_thread_t *thread = memkit_heap_thread();
    if (thread->generation != memkit_heap.generation) {
        thread->path = NULL, thread->line = NULL;
        thread->pair_path = thread->pair_line = thread->pair = 0;
        thread->generation = memkit_heap.generation;
    }
    return thread;
}

/* -- sites -------------------------------------------------------------------------------------------------------- */

enum { CHUNK = 4096, CHUNKS = MEMKIT_SITES / CHUNK, LAST = MEMKIT_SITES - 1 };

static memkit_sums_t *chunks[MEMKIT_SHARDS][CHUNKS];

static memkit_sums_t *new_chunk(memkit_sums_t **place)
{
    memkit_sums_t *made = pages(CHUNK * sizeof(memkit_sums_t)), *there = NULL;
    if (made && !__atomic_compare_exchange_n(place, &there, made, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
        munmap(made, CHUNK * sizeof(memkit_sums_t));
        return there;
    }
    return made;
}

static inline memkit_sums_t *sums_of(int shard, uint32_t site)
{
    memkit_sums_t **place = &chunks[shard][site / CHUNK];
    memkit_sums_t *chunk = __atomic_load_n(place, __ATOMIC_ACQUIRE);
    if (UNLIKELY(!chunk) && !(chunk = new_chunk(place)))
        return NULL;
    return chunk + site % CHUNK;
}

static inline void add(int64_t *sum, int64_t value, int locked)
{
    if (locked)
        *sum += value;
    else
        __atomic_fetch_add(sum, value, __ATOMIC_RELAXED);
}

static void memkit_heap_sums(uint32_t site, memkit_sums_t *into)
{
    memset(into, 0, sizeof *into);
    for (int shard = 0; shard < MEMKIT_SHARDS; shard++) {
        memkit_sums_t *chunk = __atomic_load_n(&chunks[shard][site / CHUNK], __ATOMIC_ACQUIRE);
        if (chunk) {
            int64_t *from = (int64_t *)(chunk + site % CHUNK), *to = (int64_t *)into;
            for (size_t i = 0; i < sizeof *into / sizeof *to; i++)
                to[i] += __atomic_load_n(from + i, __ATOMIC_RELAXED);
        }
    }
}

/* Pairs of a path and a line, where both are traced: in `pairs` is the number of the site, which is the place in `parts`. */

static uint64_t *parts;         /* path << 32 | line */
static uint32_t *pairs, pair_count;
enum { PAIR_PLACES = 2 * MEMKIT_SITES };
static volatile int pair_lock;

static void lock(volatile int *one)
{
    while (__atomic_exchange_n(one, 1, __ATOMIC_ACQUIRE))
        while (*one)
            __builtin_ia32_pause();
}

static void unlock(volatile int *one)
{
    __atomic_store_n(one, 0, __ATOMIC_RELEASE);
}

static uint32_t pair_of(memkit_thread_t *thread, uint32_t path, uint32_t line)
{
    uint64_t key = (uint64_t)path << 32 | line;
    uint32_t place = key * 0x9E3779B97F4A7C15 >> 43, site;
    if (!key)
        return 0;
    lock(&pair_lock);
    for (;; place = (place + 1) % PAIR_PLACES) {
        site = pairs[place];
        if (!site && pair_count < LAST) {
            site = ++pair_count;
            parts[site] = key;
            pairs[place] = site;
        }
        if (!site || parts[site] == key)
            break;
    }
    unlock(&pair_lock);
    if (!site)
        site = LAST;
    thread->pair_path = path, thread->pair_line = line, thread->pair = site;
    return site;
}

static inline void memkit_heap_parts(uint32_t site, uint32_t *path, uint32_t *line)
{
    uint64_t key = memkit_heap.paths && memkit_heap.lines ? parts[site] : memkit_heap.paths ? (uint64_t)site << 32 : site;
    *path = key >> 32, *line = (uint32_t)key;
}

static inline uint32_t site_of(memkit_thread_t *thread)
{
    uint32_t path = 0, line = 0;
    if (UNLIKELY(thread->generation != memkit_heap.generation))
        return 0;
    if (thread->path && *thread->path)
        path = (uint32_t)(*thread->path)->id + 1;
    if (thread->line)
        line = *thread->line;
    if (!memkit_heap.lines)
        return path < LAST ? path : LAST;
    if (!memkit_heap.paths)
        return line < LAST ? line : LAST;
    if (LIKELY(path == thread->pair_path && line == thread->pair_line))
        return thread->pair;
    return pair_of(thread, path, line);
}

/* How often calls of a site's path began and ended so far in the upper half, the same of its line in the lower one. */
static inline uint32_t serial_of(uint32_t site)
{
    uint32_t path, line;
    memkit_heap_parts(site, &path, &line);
    return (path < MEMKIT_SITES ? memkit_heap.path_serials[path] : 0) << 16
        | ((line < MEMKIT_SITES ? memkit_heap.line_serials[line] : 0) & 0xFFFF);
}

#include "blocks.h"

/* -- booking ------------------------------------------------------------------------------------------------------ */

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

static __attribute__((noinline)) void look_at_peak(int shard)
{
    int64_t alive = memkit_heap_alive(), step = alive / (4 * PEAK_SHARE);
    totals[shard].next = totals[shard].alive + (step > LEAST_STEP ? step : LEAST_STEP);
    if (alive <= memkit_heap.peak + memkit_heap.peak / PEAK_SHARE || __atomic_exchange_n(&copying, 1, __ATOMIC_ACQUIRE))
        return;
    memkit_heap.peak = alive;
    for (uint32_t site = 0; site <= memkit_heap.most; site++) {
        memkit_sums_t sums;
        memkit_heap_sums(site, &sums);
        memkit_heap.at_peak[site] = sums.allocated - sums.freed;
    }
    memkit_heap.copies++;
    unlock(&copying);
}

static inline void count(memkit_thread_t *thread, int locked, int64_t size, uint32_t site, int sign)
{
    int shard = locked ? 0 : thread->shard;
    memkit_sums_t *sums = sums_of(shard, site);
    if (UNLIKELY(!sums))
        return;
    add(&sums->allocated, sign * size, locked);
    add(&sums->blocks, sign, locked);
    add(&totals[shard].alive, sign * size, locked);
}

static ALWAYS_INLINE void memkit_heap_put(memkit_thread_t *thread, int locked, void *address, size_t size)
{
    uint32_t site = site_of(thread), serial = serial_of(site);
    int shard = locked ? 0 : thread->shard;
    if (!(size <= SMALL && put_small(address, size, site, serial)) && !put_large(address, size, site, serial)) {
        __atomic_fetch_add(&memkit_heap.unbooked, 1, __ATOMIC_RELAXED);
        return;
    }
    if (UNLIKELY(site > memkit_heap.most))
        memkit_heap.most = site;
    count(thread, locked, size, site, 1);
    if (UNLIKELY(totals[shard].alive > totals[shard].next))
        look_at_peak(shard);
}

/* Count a block as freed, or no longer as that. */
static void count_freed(memkit_thread_t *thread, int locked, memkit_block_t *block, int sign)
{
    int shard = locked ? 0 : thread->shard;
    int64_t size = sign * (int64_t)block->size;
    memkit_sums_t *sums = sums_of(shard, block->site);
    if (UNLIKELY(!sums))
        return;
    add(&sums->freed, size, locked);
    add(&sums->blocks_freed, sign, locked);
    add(&totals[shard].alive, -size, locked);
    if (block->in_call)
        add(&sums->temporary, size, locked);
    if (block->in_line)
        add(&sums->temporary_line, size, locked);
}

static ALWAYS_INLINE memkit_block_t memkit_heap_take(memkit_thread_t *thread, int locked, void *address)
{
    memkit_block_t block = {0};
    uint32_t now, differs, low = 0xFFFF;
    int small = take_small(address, &block);
    if (!small && !take_large(address, &block))
        return block;
    block.booked = 1;
    now = serial_of(block.site);
    if (UNLIKELY(small && block.size <= TINY)) {
        differs = tiny_serial(now) ^ block.serial;
        low = memkit_heap.paths && memkit_heap.lines ? 31 : memkit_heap.paths ? 0 : 1023;
    } else {
        differs = now ^ block.serial;
    }
    block.in_call = memkit_heap.paths && !(differs & ~low);
    block.in_line = memkit_heap.lines && !(differs & low);
    count_freed(thread, locked, &block, 1);
    return block;
}

/* A block is memkit's own: it does not count. Returns its size, 0 if it is not booked. */
static size_t memkit_heap_disown(memkit_thread_t *thread, int locked, void *address)
{
    memkit_block_t block = {0};
    if (!memkit_heap.on || !address || !(take_small(address, &block) || take_large(address, &block)))
        return 0;
    count(thread, locked, block.size, block.site, -1);
    return block.size;
}

/* The same of a block and of those that it points to. */
static void memkit_heap_disown_all(memkit_thread_t *thread, int locked, void **address)
{
    size_t size = memkit_heap_disown(thread, locked, address);
    for (size_t i = 0; i < size / sizeof *address; i++)
        memkit_heap_disown(thread, locked, address[i]);
}

static void memkit_heap_restore(memkit_thread_t *thread, int locked, void *address, memkit_block_t block)
{
    if (!block.booked)
        return;
    if (!(block.size <= SMALL && put_small(address, block.size, block.site, block.serial)))
        put_large(address, block.size, block.site, block.serial);
    count_freed(thread, locked, &block, -1);
}

/* -- opening and closing ------------------------------------------------------------------------------------------ */

static void clear(void *place, size_t size)
{
    if (place)
        madvise(place, size, MADV_DONTNEED);    /* not unmapped: a thread may be looking at it */
}

static void forget(void)
{
    for (size_t leaf = 0; leaf < (size_t)1 << HALF; leaf++)
        for (size_t segment = 0; leaves[leaf] && segment < (size_t)1 << HALF; segment++)
            clear(leaves[leaf][segment], sizeof(uint32_t) << (SEGMENT - 4));
    for (int i = 0; i < TABLES; i++) {
        lock(&tables[i].lock);
        clear(tables[i].entries, tables[i].size * sizeof(entry_t));
        tables[i].used = 0;
        unlock(&tables[i].lock);
    }
}

/* A forked child counts nothing until it is opened there. */
static void in_forked_child(void)
{
    memkit_heap.on = 0;
    pair_lock = copying = 0;
    for (int i = 0; i < TABLES; i++)
        tables[i].lock = 0;
}

static int memkit_heap_open(int paths, int lines)
{
    memkit_heap_t *heap = &memkit_heap;
    if (!heap->path_serials) {
        pthread_atfork(NULL, NULL, in_forked_child);
        heap->path_serials = pages(MEMKIT_SITES * sizeof(uint32_t));
        heap->line_serials = pages(MEMKIT_SITES * sizeof(uint32_t));
        heap->at_peak = pages(MEMKIT_SITES * sizeof(int64_t));
        parts = pages(MEMKIT_SITES * sizeof(uint64_t));
        pairs = pages(PAIR_PLACES * sizeof(uint32_t));
    }
    if (!heap->path_serials || !heap->line_serials || !heap->at_peak || !parts || !pairs)
        return -1;
    forget();
    for (int shard = 0; shard < MEMKIT_SHARDS; shard++) {
        for (int chunk = 0; chunk < CHUNKS; chunk++)
            clear(chunks[shard][chunk], CHUNK * sizeof(memkit_sums_t));
        totals[shard].alive = totals[shard].next = 0;
    }
    clear(heap->path_serials, MEMKIT_SITES * sizeof(uint32_t));
    clear(heap->line_serials, MEMKIT_SITES * sizeof(uint32_t));
    clear(heap->at_peak, MEMKIT_SITES * sizeof(int64_t));
    clear(parts, MEMKIT_SITES * sizeof(uint64_t));
    clear(pairs, PAIR_PLACES * sizeof(uint32_t));
    pair_count = heap->most = 0;
    heap->peak = heap->copies = heap->unbooked = 0;
    heap->paths = paths, heap->lines = lines;
    heap->generation++;
    __atomic_store_n(&heap->on, 1, __ATOMIC_RELEASE);
    return 0;
}

static void memkit_heap_close(void)
{
    __atomic_store_n(&memkit_heap.on, 0, __ATOMIC_RELEASE);
    forget();
}

/* -- Python's allocators -------------------------------------------------------------------------------------------------

A request that falls through to another domain, or to the C library, counts in the domain where it was made. */

typedef struct {
    memkit_allocator_t before;
} domain_t;

static domain_t domains[3];

static inline int counts(memkit_thread_t *thread)
{
    return LIKELY(memkit_heap.on && !thread->inside && !thread->muted);
}

static ALWAYS_INLINE void *counted_malloc(domain_t *domain, size_t size, int locked)
{
    memkit_thread_t *thread = memkit_heap_thread();
    void *made;
    if (!counts(thread))
        return domain->before.malloc(domain->before.ctx, size);
    thread->inside = 1;
    made = domain->before.malloc(domain->before.ctx, size);
    if (LIKELY(made != NULL))
        memkit_heap_put(thread, locked, made, size);
    thread->inside = 0;
    return made;
}

static ALWAYS_INLINE void *counted_calloc(domain_t *domain, size_t count, size_t size, int locked)
{
    memkit_thread_t *thread = memkit_heap_thread();
    void *made;
    if (!counts(thread))
        return domain->before.calloc(domain->before.ctx, count, size);
    thread->inside = 1;
    made = domain->before.calloc(domain->before.ctx, count, size);
    if (LIKELY(made != NULL))
        memkit_heap_put(thread, locked, made, count * size);
    thread->inside = 0;
    return made;
}

static ALWAYS_INLINE void *counted_realloc(domain_t *domain, void *block, size_t size, int locked)
{
    memkit_thread_t *thread = memkit_heap_thread();
    memkit_block_t former = {0};
    void *made;
    if (!memkit_heap.on || thread->inside)
        return domain->before.realloc(domain->before.ctx, block, size);
    thread->inside = 1;
    if (block)
        former = memkit_heap_take(thread, locked, block);
    made = domain->before.realloc(domain->before.ctx, block, size);
    if (UNLIKELY(made == NULL))
        memkit_heap_restore(thread, locked, block, former);
    else if (!thread->muted)
        memkit_heap_put(thread, locked, made, size);
    thread->inside = 0;
    return made;
}

static ALWAYS_INLINE void counted_free(domain_t *domain, void *block, int locked)
{
    memkit_thread_t *thread = memkit_heap_thread();
    if (!memkit_heap.on || thread->inside || !block) {
        domain->before.free(domain->before.ctx, block);
        return;
    }
    memkit_heap_take(thread, locked, block);
    thread->inside = 1;
    domain->before.free(domain->before.ctx, block);
    thread->inside = 0;
}

#define HOOKS(name, locked) \
    static void *name##_malloc(void *ctx, size_t size) { return counted_malloc(ctx, size, locked); } \
    static void *name##_calloc(void *ctx, size_t count, size_t size) { return counted_calloc(ctx, count, size, locked); } \
    static void *name##_realloc(void *ctx, void *block, size_t size) { return counted_realloc(ctx, block, size, locked); } \
    static void name##_free(void *ctx, void *block) { counted_free(ctx, block, locked); }

HOOKS(locked, 1)                /* who uses it holds the GIL */
HOOKS(unlocked, 0)

static void memkit_heap_hook(memkit_allocator_t allocators[3], int has_gil)
{
    for (int i = 0; i < 3; i++) {
        if (allocators[i].malloc == locked_malloc || allocators[i].malloc == unlocked_malloc)
            continue;
        domains[i].before = allocators[i];
        if (has_gil && i > 0)
            allocators[i] = (memkit_allocator_t){&domains[i], locked_malloc, locked_calloc, locked_realloc, locked_free};
        else
            allocators[i] =
                (memkit_allocator_t){&domains[i], unlocked_malloc, unlocked_calloc, unlocked_realloc, unlocked_free};
    }
}
