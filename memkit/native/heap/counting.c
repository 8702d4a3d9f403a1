/* Booking blocks: see counting.h. Functions are made for each mode, which is a constant in them. */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "counting.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>

#ifdef __GLIBC__                /* keeps room for modules that are loaded late; musl has none for the faster model */
#define TLS static __thread __attribute__((tls_model("initial-exec")))
#else
#define TLS static __thread
#endif
#define ALWAYS_INLINE inline __attribute__((always_inline))
#define NOINLINE __attribute__((noinline))
#define LIKELY(condition) __builtin_expect(!!(condition), 1)
#define UNLIKELY(condition) __builtin_expect(!!(condition), 0)

static memkit_heap_t memkit_heap = {.floor = INT64_MIN};

TLS memkit_thread_t this_thread;
static int threads;

static void *pages(size_t size)
{
    int before = errno;         /* of the program: it may have asked for memory and got it */
    void *found = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (found != MAP_FAILED)
        return found;
    errno = before;
    return NULL;
}

static void clear(void *place, size_t size)
{
    if (place)
        madvise(place, size, MADV_DONTNEED);    /* not unmapped: a thread may be looking at it */
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
        thread->pair_path = thread->pair_line = thread->pair = thread->span = 0;
        thread->context_version = UINT64_MAX;
        thread->last = NULL;
        thread->generation = memkit_heap.generation;
    }
    return thread;
}

/* -- sites -------------------------------------------------------------------------------------------------------- */

typedef struct {
    int64_t bytes, blocks;
} count_t;

typedef struct {
    count_t allocated;
    int64_t sure;               /* alive, see memkit_sums_t */
    count_t freed[4];           /* by where: MEMKIT_LINES in the line, MEMKIT_PATHS in the call that allocated it, both, 0 neither */
} site_t;

enum { CHUNK = 4096, CHUNKS = MEMKIT_SITES / CHUNK, LAST = MEMKIT_SITES - 1 };

static site_t *chunks[MEMKIT_SHARDS][CHUNKS];

static NOINLINE site_t *new_chunk(site_t **place)
{
    site_t *made = pages(CHUNK * sizeof(site_t)), *there = NULL;
    if (made && !__atomic_compare_exchange_n(place, &there, made, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
        munmap(made, CHUNK * sizeof(site_t));
        return there;
    }
    return made;
}

static ALWAYS_INLINE site_t *site_at(int shard, uint32_t site)
{
    site_t **place = &chunks[shard][site / CHUNK];
    site_t *chunk = __atomic_load_n(place, __ATOMIC_ACQUIRE);
    if (UNLIKELY(!chunk) && !(chunk = new_chunk(place)))
        return NULL;
    return chunk + site % CHUNK;
}

static ALWAYS_INLINE void add(int64_t *sum, int64_t value, int locked)
{
    if (locked)
        *sum += value;
    else
        __atomic_fetch_add(sum, value, __ATOMIC_RELAXED);
}

static void memkit_heap_sums(uint32_t number, memkit_sums_t *into)
{
    memset(into, 0, sizeof *into);
    for (int shard = 0; shard < MEMKIT_SHARDS; shard++) {
        site_t *chunk = __atomic_load_n(&chunks[shard][number / CHUNK], __ATOMIC_ACQUIRE), *site = chunk + number % CHUNK;
        if (!chunk)
            continue;
        into->allocated += __atomic_load_n(&site->allocated.bytes, __ATOMIC_RELAXED);
        into->blocks += __atomic_load_n(&site->allocated.blocks, __ATOMIC_RELAXED);
        into->sure += __atomic_load_n(&site->sure, __ATOMIC_RELAXED);
        for (int where = 0; where < 4; where++) {
            int64_t bytes = __atomic_load_n(&site->freed[where].bytes, __ATOMIC_RELAXED);
            into->freed += bytes;
            into->blocks_freed += __atomic_load_n(&site->freed[where].blocks, __ATOMIC_RELAXED);
            into->temporary += where & MEMKIT_PATHS ? bytes : 0;
            into->temporary_line += where & MEMKIT_LINES ? bytes : 0;
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
        for (int tries = 0; *one; tries++)
            if (tries > 100)
                sched_yield();  /* who has it may be waiting for a processor */
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

static ALWAYS_INLINE uint64_t parts_of(uint32_t site, int mode)
{
    return mode == MEMKIT_PAIRS ? parts[site] : mode == MEMKIT_PATHS ? (uint64_t)site << 32 : site;
}

static void memkit_heap_parts(uint32_t site, uint32_t *path, uint32_t *line)
{
    uint64_t key = parts_of(site, memkit_heap.mode);
    *path = key >> 32, *line = (uint32_t)key;
}

static ALWAYS_INLINE uint32_t site_of(memkit_thread_t *thread, int mode)
{
    uint32_t path = 0, line = 0;
    if (mode == MEMKIT_SPANS) {
        memkit_heap.find_span(thread);
        return thread->span;
    }
    if (UNLIKELY(thread->generation != memkit_heap.generation))
        return 0;
    if (mode & MEMKIT_PATHS && LIKELY(thread->path != NULL) && *thread->path)
        path = (uint32_t)(*thread->path)->id + 1;
    if (mode & MEMKIT_LINES && LIKELY(thread->line != NULL))
        line = *thread->line;
    if (mode != MEMKIT_PAIRS)
        return path + line < LAST ? path + line : LAST;
    if (LIKELY(path == thread->pair_path && line == thread->pair_line))
        return thread->pair;
    return pair_of(thread, path, line);
}

/* How often calls of a site's path began and ended so far, or its line did; of a pair 16 bits of each, the path's above; or that
of a span. */
static ALWAYS_INLINE uint32_t serial_of(uint32_t site, int mode)
{
    uint64_t key = parts_of(site, mode);
    uint32_t path = key >> 32, line = (uint32_t)key;
    if (mode == MEMKIT_SPANS)
        return __atomic_load_n(&memkit_heap.spans[site].serial, __ATOMIC_RELAXED);
    if (mode == MEMKIT_PATHS)
        return memkit_heap.path_serials[path];
    if (mode == MEMKIT_LINES)
        return memkit_heap.line_serials[line];
    return (path < MEMKIT_SITES ? memkit_heap.path_serials[path] : 0) << 16
        | ((line < MEMKIT_SITES ? memkit_heap.line_serials[line] : 0) & 0xFFFF);
}

#include "blocks.h"
#include "sampled.h"
#include "spans.h"

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

static NOINLINE void look_at_peak(int shard)
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

static ALWAYS_INLINE void count(count_t *which, int64_t size, int64_t blocks, int locked)
{
    add(&which->bytes, size, locked);
    add(&which->blocks, blocks, locked);
}

static NOINLINE void raise_most(uint32_t site)
{
    uint32_t *place = &memkit_heap.most, most = *place;
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
    }
    add(&totals[shard].alive, size, locked);
    if (UNLIKELY(totals[shard].alive > totals[shard].next))
        look_at_peak(shard);
}

/* Where a block is freed, as an index of `freed`. */
static ALWAYS_INLINE int where_freed(block_t *block, int mode)
{
    uint32_t now = serial_of(block->site, mode), differs;
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
    }
    add(&totals[shard].alive, -size, locked);
}

/* Book a block as freed. 0: it was not booked. */
static ALWAYS_INLINE int take(memkit_thread_t *thread, int locked, int mode, void *address, block_t *block, int *where)
{
    block_t large;              /* apart, so that a small one need not be in memory */
    if (!take_small(address, block)) {
        if (!take_large(address, &large))
            return 0;
        *block = large;
    }
    *where = where_freed(block, mode);
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

/* Book a small block of the path that the last one was of, as most are, in few instructions. 0: it is another. */
static ALWAYS_INLINE int put_as_last(memkit_thread_t *thread, void *address, size_t size)
{
    site_t *sums = thread->last_sums;
    uint32_t *place;
    if (thread->generation != memkit_heap.generation || !thread->path || !*thread->path || *thread->path != thread->last)
        return 0;
    if (size - TINY - 1 >= SMALL - TINY || ((uintptr_t)address >> 4 & LAST_PLACE) == LAST_PLACE)
        return 0;
    if (!(place = place_of(address, 0)) || *place >> 30)
        return 0;
    place[0] = (uint32_t)TWO << 30 | (uint32_t)(size - 1) << 20 | thread->last_site;
    place[1] = *thread->last_serial;
    count(&sums->allocated, size, 1, 1);
    if (UNLIKELY((totals[0].alive += size) > totals[0].next))
        look_at_peak(0);
    return 1;
}

static ALWAYS_INLINE void put_anew(memkit_thread_t *thread, int locked, int mode, void *address, size_t size)
{
    uint32_t site = site_of(thread, mode), serial = serial_of(site, mode);
    site_t *sums = site_at(locked ? 0 : thread->shard, site);
    int booked = 0;
    if (locked && mode == MEMKIT_PATHS && sums && site) {
        thread->last = *thread->path, thread->last_site = site, thread->last_sums = sums;
        thread->last_serial = &memkit_heap.path_serials[site];
    }
    while (sums && UNLIKELY((booked = book(address, size, site, serial, mode)) < 0))
        drop(thread, locked, mode, address);
    if (LIKELY(booked))
        count_allocated(thread, locked, mode, sums, site, size);
    else
        __atomic_fetch_add(&memkit_heap.unbooked, 1, __ATOMIC_RELAXED);
}

static NOINLINE void put_of_path(memkit_thread_t *thread, void *address, size_t size)
{
    put_anew(thread, 1, MEMKIT_PATHS, address, size);
}

static ALWAYS_INLINE void put(memkit_thread_t *thread, int locked, int mode, void *address, size_t size)
{
    if (mode == MEMKIT_SAMPLED) {
        if (!is_passed(thread, size) && is_drawn(thread, size))
            put_sample(address, size);
    } else if (!locked || mode != MEMKIT_PATHS) {
        put_anew(thread, locked, mode, address, size);
    } else if (!put_as_last(thread, address, size)) {
        put_of_path(thread, address, size);
    }
}

/* A block that `take` has taken is not freed after all. A serial of few bits serves as well as the whole one does. */
static void restore(memkit_thread_t *thread, int locked, int mode, void *address, block_t *block, int where)
{
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
    if (!(memkit_heap.on & MEMKIT_PAIRS) || !address || !(take_small(address, &block) || take_large(address, &block)))
        return 0;
    if ((sums = site_at(shard, block.site))) {
        count(&sums->allocated, -(int64_t)block.size, -1, locked);
        if (memkit_heap.on == MEMKIT_SPANS) {
            int64_t sure = sure_of(block.size, block.size);
            add(&sums->sure, -sure, locked);
            if (where_freed(&block, MEMKIT_SPANS) == MEMKIT_PAIRS)
                count_in_spans(block.site, -(int64_t)block.size, -(int64_t)block.size, -sure);
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

#include "maps.h"

/* -- opening and closing ------------------------------------------------------------------------------------------ */

static void forget(int mode)
{
    for (size_t leaf = 0; leaf < (size_t)1 << HALF; leaf++)
        for (size_t segment = 0; leaves[leaf] && segment < (size_t)1 << HALF; segment++)
            clear_shadow(&leaves[leaf][segment]);
    for (int i = 0; i < TABLES; i++)
        empty(&tables[i]);
    lock(&maps_lock);
    map_count = 0;
    unlock(&maps_lock);
    forget_samples(mode);
}

/* What the handlers of others do at a fork does not count: in the child nobody lets go of a lock that another thread had. */
static void before_fork(void)
{
    memkit_heap_thread()->inside++;
}

static void after_fork(void)
{
    memkit_heap_thread()->inside--;
}

/* A forked child counts nothing until it is opened there. */
static void in_forked_child(void)
{
    after_fork();
    memkit_heap.on = memkit_heap.on_with_gil = 0;
    memkit_heap.floor = INT64_MIN;
    pair_lock = copying = maps_lock = samples_lock = 0;
    for (int i = 0; i < TABLES; i++)
        tables[i].lock = 0;
}

/* Count from now on, in this MEMKIT_… mode. 0; -1: no memory. */
static int memkit_heap_open(int mode)
{
    memkit_heap_t *heap = &memkit_heap;
    static int at_forks;
    if (!at_forks)
        at_forks = !pthread_atfork(before_fork, after_fork, in_forked_child);
    if (mode == MEMKIT_SAMPLED ? !make_samples()
            : !made_once((void **)&heap->path_serials, MEMKIT_SITES * sizeof(uint32_t))
            || !made_once((void **)&heap->line_serials, MEMKIT_SITES * sizeof(uint32_t))
            || !made_once((void **)&heap->at_peak, MEMKIT_SITES * sizeof(int64_t))
            || !made_once((void **)&parts, MEMKIT_SITES * sizeof(uint64_t))
            || !made_once((void **)&pairs, PAIR_PLACES * sizeof(uint32_t)))
        return -1;
    if (mode == MEMKIT_SPANS && !made_once((void **)&heap->spans, MEMKIT_SITES * sizeof(memkit_span_t)))
        return -1;
    forget(mode);
    clear(heap->spans, MEMKIT_SITES * sizeof(memkit_span_t));
    for (int shard = 0; shard < MEMKIT_SHARDS; shard++) {
        for (int chunk = 0; chunk < CHUNKS; chunk++)
            clear(chunks[shard][chunk], CHUNK * sizeof(site_t));
        totals[shard].alive = totals[shard].next = 0;
    }
    clear(heap->path_serials, MEMKIT_SITES * sizeof(uint32_t));
    clear(heap->line_serials, MEMKIT_SITES * sizeof(uint32_t));
    clear(heap->at_peak, MEMKIT_SITES * sizeof(int64_t));
    clear(parts, MEMKIT_SITES * sizeof(uint64_t));
    clear(pairs, PAIR_PLACES * sizeof(uint32_t));
    pair_count = heap->most = 0;
    heap->peak = heap->copies = heap->unbooked = heap->mapped = 0;
    heap->mode = mode;
    heap->generation++;
    heap->floor = INT64_MAX;
    if (mode == MEMKIT_SAMPLED)
        begin_samples();
    __atomic_store_n(&heap->on, mode, __ATOMIC_RELEASE);
    return 0;
}

/* The books keep their memory until they are forgotten, or opened anew. */
static void memkit_heap_close(void)
{
    __atomic_store_n(&memkit_heap.on_with_gil, 0, __ATOMIC_RELEASE);
    __atomic_store_n(&memkit_heap.on, 0, __ATOMIC_RELEASE);
    __atomic_store_n(&memkit_heap.floor, INT64_MIN, __ATOMIC_RELEASE);
}

static void memkit_heap_forget(void)
{
    forget(0);
}

#include "hooks.h"

/* -- the books, as others use them ---------------------------------------------------------------------------------- */

static const memkit_books_t memkit_books = {
    .size = MEMKIT_BOOKS_SIZE,
    .counts_c = MEMKIT_COUNTS_C,
    .heap = &memkit_heap,
    .thread = memkit_heap_thread,
    .join = memkit_heap_join,
    .open = memkit_heap_open,
    .close = memkit_heap_close,
    .forget = memkit_heap_forget,
    .hook = memkit_heap_hook,
    .alive = memkit_heap_alive,
    .sums = memkit_heap_sums,
    .parts = memkit_heap_parts,
    .disown = memkit_heap_disown,
    .disown_all = memkit_heap_disown_all,
    .stack = memkit_heap_stack,
    .function = memkit_heap_function,
};
