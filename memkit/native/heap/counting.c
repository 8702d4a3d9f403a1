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

static memkit_heap_t memkit_heap = {.floor = INT64_MIN, .gates = {UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX}};

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
    static memkit_path_t *no_path, some_path;
    static uint32_t no_line;
    memkit_thread_t *thread = memkit_heap_thread();
    if (thread->joined != (uint32_t)memkit_heap.generation) {
        thread->path = &no_path, thread->line = &no_line;
        thread->last_path = &some_path, thread->last_line = UINT32_MAX;
        thread->pair_path = thread->pair_line = thread->pair = thread->span = 0;
        thread->context_version = UINT64_MAX;
        thread->joined = (uint32_t)memkit_heap.generation;
    }
    return thread;
}

/* Let who holds the GIL count in a mode without looking for others, or with 0 no longer. */
static void let_count_with_gil(int mode)
{
    memkit_thread_t joined = {.joined = (uint32_t)memkit_heap.generation};
    for (int each = 0; each <= MEMKIT_PAIRS; each++)
        __atomic_store_n(&memkit_heap.gates[each], mode && each == mode && !memkit_heap.labelled ? joined.gate : UINT64_MAX,
            __ATOMIC_RELEASE);
    __atomic_store_n(&memkit_heap.on_with_gil, mode, __ATOMIC_RELEASE);
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

/* Pairs of a path and a line, where both are traced or a span is open: in `pairs` is the number of the site, which is the place
in `parts`. */

static uint64_t *parts;         /* label << 52 | path << 32 | line */
static uint32_t *pairs, pair_count, labelled_count;
enum { LABEL_AT = 20,          /* bits of a path */
    PAIR_PLACES = 2 * MEMKIT_SITES };
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

/* Of a path or a line in a span. */
static ALWAYS_INLINE int is_labelled(uint32_t site)
{
    return site >= MEMKIT_LABELLED && site < LAST;
}

/* The number of a site that is new, or 0. */
static uint32_t new_pair(int labelled)
{
    if (labelled)
        return MEMKIT_LABELLED + labelled_count < LAST ? MEMKIT_LABELLED + labelled_count++ : 0;
    return pair_count < MEMKIT_LABELLED - 1 ? ++pair_count : 0;
}

/* The site after one, of those that are in use. */
static ALWAYS_INLINE uint32_t site_after(uint32_t site)
{
    return site == memkit_heap.most && site < MEMKIT_LABELLED ? MEMKIT_LABELLED : site + 1;
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
        if (!site && (site = new_pair(path >> LABEL_AT))) {
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

/* Of a site that is in no span. */
static ALWAYS_INLINE uint64_t parts_of(uint32_t site, int mode)
{
    return mode == MEMKIT_PAIRS ? parts[site] : mode == MEMKIT_PATHS ? (uint64_t)site << 32 : site;
}

static void memkit_heap_parts(uint32_t site, uint32_t *label, uint32_t *path, uint32_t *line)
{
    uint64_t key = is_labelled(site) ? parts[site] : parts_of(site, memkit_heap.mode);
    *label = is_labelled(site) ? key >> (32 + LABEL_AT) : 0;
    *path = (uint32_t)(key >> 32) & (is_labelled(site) ? (1 << LABEL_AT) - 1 : UINT32_MAX), *line = (uint32_t)key;
}

/* The number of the label of the span that runs in a thread; 0: there is none. */
static NOINLINE uint32_t label_of(memkit_thread_t *thread)
{
    memkit_heap.find_span(thread);
    return memkit_heap.spans[thread->span].node;
}

static ALWAYS_INLINE uint32_t site_of(memkit_thread_t *thread, int mode)
{
    uint32_t path = 0, line = 0;
    if (mode == MEMKIT_SPANS) {
        memkit_heap.find_span(thread);
        return thread->span;
    }
    if (UNLIKELY(thread->joined != (uint32_t)memkit_heap.generation)) {
        if (!memkit_heap.labelled)
            return 0;
        memkit_heap_join();     /* it has run nothing that is traced, but may be in a span */
    }
    if (mode & MEMKIT_PATHS && *thread->path)
        path = (uint32_t)(*thread->path)->id + 1;
    if (mode & MEMKIT_LINES)
        line = *thread->line;
    if (UNLIKELY(memkit_heap.labelled))
        path |= label_of(thread) << LABEL_AT;
    if (mode != MEMKIT_PAIRS && !(path >> LABEL_AT))
        return path + line < MEMKIT_LABELLED ? path + line : LAST;
    if (LIKELY(path == thread->pair_path && line == thread->pair_line))
        return thread->pair;
    return pair_of(thread, path, line);
}

/* How often calls of a site's path began and ended so far, or its line did; of a pair 16 bits of each, the path's above; or that
of a span. There are none of labels where it is not `labelled`. */
static ALWAYS_INLINE uint32_t serial_of(uint32_t site, int mode, int labelled)
{
    uint64_t key = labelled && is_labelled(site) ? parts[site] & ~(UINT64_MAX << (32 + LABEL_AT)) : parts_of(site, mode);
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
#include "stretches.h"
#include "booking.h"
#include "maps.h"

/* -- opening and closing ------------------------------------------------------------------------------------------ */

static void forget(int mode)
{
    for (size_t leaf = 0; leaf < (size_t)1 << HALF; leaf++)
        for (size_t segment = 0; leaves[leaf] && segment < (size_t)1 << HALF; segment++)
            clear_shadow(&leaves[leaf][segment]);
    memset(recent, -1, sizeof recent);
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
    memkit_heap.on = 0;
    let_count_with_gil(0);
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
    if (mode == MEMKIT_SAMPLED ? !make_samples() : mode == MEMKIT_STRETCHES ? 0
            : !made_once((void **)&heap->path_serials, MEMKIT_SITES * sizeof(uint32_t))
            || !made_once((void **)&heap->line_serials, MEMKIT_SITES * sizeof(uint32_t))
            || !made_once((void **)&heap->at_peak, MEMKIT_SITES * sizeof(int64_t))
            || !made_once((void **)&parts, MEMKIT_SITES * sizeof(uint64_t))
            || !made_once((void **)&pairs, PAIR_PLACES * sizeof(uint32_t))
            || !made_once((void **)&heap->labels, MEMKIT_LABELS * sizeof(memkit_label_t))
            || !made_once((void **)&heap->spans, MEMKIT_SITES * sizeof(memkit_span_t)))
        return -1;
    forget(mode);
    clear(heap->spans, MEMKIT_SITES * sizeof(memkit_span_t));
    for (int shard = 0; shard < MEMKIT_SHARDS; shard++) {
        for (int chunk = 0; chunk < CHUNKS; chunk++)
            clear(chunks[shard][chunk], CHUNK * sizeof(site_t));
        totals[shard].alive = totals[shard].next = 0;
    }
    clear(heap->labels, MEMKIT_LABELS * sizeof(memkit_label_t));
    clear(heap->path_serials, MEMKIT_SITES * sizeof(uint32_t));
    clear(heap->line_serials, MEMKIT_SITES * sizeof(uint32_t));
    clear(heap->at_peak, MEMKIT_SITES * sizeof(int64_t));
    clear(parts, MEMKIT_SITES * sizeof(uint64_t));
    clear(pairs, PAIR_PLACES * sizeof(uint32_t));
    pair_count = labelled_count = heap->most = heap->most_labelled = 0;
    heap->labelled = 0;
    heap->peak = heap->copies = heap->unbooked = heap->mapped = 0;
    heap->stretch_state = MEMKIT_STRETCH_NONE, heap->stretch_serial = 0;
    heap->mode = mode;
    heap->generation++;
    heap->floor = INT64_MAX;
    if (mode == MEMKIT_SAMPLED)
        begin_samples();
    __atomic_store_n(&heap->on, mode, __ATOMIC_RELEASE);
    return 0;
}

/* Nothing is booked of the stretches before. */
static void forget_stretches(void)
{
    for (int i = 0; i < TABLES; i++) {
        table_t *table = &tables[i];
        if (!__atomic_load_n(&table->used, __ATOMIC_RELAXED))
            continue;
        if (table->size > FIRST) {
            empty(table);
            continue;
        }
        lock(&table->lock);
        memset(table->entries, 0, table->size * sizeof(entry_t));
        table->used = 0;
        unlock(&table->lock);
    }
    lock(&maps_lock);
    map_count = 0;
    unlock(&maps_lock);
}

/* A stretch begins. To be called with the GIL. */
static void memkit_heap_begin(void)
{
    memkit_heap_t *heap = &memkit_heap;
    __atomic_store_n(&heap->stretch_state, MEMKIT_STRETCH_NONE, __ATOMIC_RELEASE);
    if (heap->stretch_serial == SERIALS - 1)
        forget(0), heap->stretch_serial = 0;
    else
        forget_stretches();
    begin_sums_of_stretch(++heap->stretch_serial);
    __atomic_store_n(&heap->stretch_state, MEMKIT_STRETCH_RUNS, __ATOMIC_RELEASE);
}

/* The books keep their memory until they are forgotten, or opened anew. */
static void memkit_heap_close(void)
{
    let_count_with_gil(0);
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
    .unhook = memkit_heap_unhook,
    .begin = memkit_heap_begin,
    .alive = memkit_heap_alive,
    .sums = memkit_heap_sums,
    .parts = memkit_heap_parts,
    .disown = memkit_heap_disown,
    .disown_all = memkit_heap_disown_all,
    .stack = memkit_heap_stack,
    .function = memkit_heap_function,
};
