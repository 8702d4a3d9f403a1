/* Where blocks are booked: which depends on their size when they are allocated. Included by counting.c alone.

A small block has its place in a shadow, 4 bytes for 16. A larger one is an entry of a table. */

/* -- small blocks: the shadow -------------------------------------------------------------------------------------------

A block of more than 16 bytes has two places: 2 bits mark it, 9 are its size less 1, 20 the site, 16 each serial. One of 16
bytes or less has one: 2 bits mark it, 5 are its size, 15 the site, 5 or 10 the serials; where the site does not fit, or is one
of spans, whose serials must, it is in the table. A place is cleared before its block is freed, and the next owner of the address writes it anew. */

enum { SEGMENT = 18, HALF = 15, SMALL = 512, TINY = 16, ONE = 1, TWO = 2, TINY_SITES = 1 << 15 };
typedef struct {
    uint64_t size;
    uint32_t site, serial;
    int tiny;                   /* the serial is that of `tiny_serial` */
} block_t;

enum { LAST_PLACE = (1 << (SEGMENT - 4)) - 1, SHADOW = sizeof(uint32_t) << (SEGMENT - 4), RECENT = 1 << 10 };

static uint32_t **leaves[1 << HALF];

static struct {                 /* segments whose places are found at once, by who holds the GIL */
    uintptr_t start;            /* UINTPTR_MAX: none */
    uintptr_t shadow;           /* of a block, less a quarter of its address */
} recent[RECENT];

static void *made_once(void **slot, size_t size)
{
    void *there = __atomic_load_n(slot, __ATOMIC_ACQUIRE), *made;
    if (there)
        return there;
    made = pages(size);
    if (made && !__atomic_compare_exchange_n(slot, &there, made, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
        munmap(made, size);
        return there;
    }
    return made;
}

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23  /* Linux 5.14; before that it is refused */
#endif

/* Memory of the books that is resident, all of it, so that it is known how much that is: it is no memory of the program. */
static void make_resident(void *place, size_t size)
{
    int before = errno;
    size = (size + 4095) & ~(size_t)4095;
    madvise(place, size, MADV_NOHUGEPAGE);
    if (madvise(place, size, MADV_POPULATE_WRITE))
        for (size_t at = 0; at < size; at += 4096)
            __atomic_fetch_or((char *)place + at, 0, __ATOMIC_RELAXED);
    __atomic_fetch_add(&memkit_heap.books, (int64_t)size, __ATOMIC_RELAXED);
    errno = before;
}

static void no_longer_resident(size_t size)
{
    __atomic_fetch_sub(&memkit_heap.books, (int64_t)((size + 4095) & ~(size_t)4095), __ATOMIC_RELAXED);
}

/* The shadow of a segment as it is kept: its address, and 1 as long as it is resident. */
static NOINLINE uint32_t *make_shadow(uint32_t **slot)
{
    uint32_t *there = __atomic_load_n(slot, __ATOMIC_ACQUIRE), *made = there;
    while (!((uintptr_t)there & 1)) {
        if (!made && !(made = pages(SHADOW)))
            return NULL;
        make_resident(made, SHADOW);
        if (__atomic_compare_exchange_n(slot, &there, (uint32_t *)((uintptr_t)made | 1), 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
            return (uint32_t *)((uintptr_t)made | 1);
        no_longer_resident(SHADOW);     /* another thread has made it meanwhile */
        if ((uintptr_t)made != ((uintptr_t)there & ~(uintptr_t)1))
            munmap(made, SHADOW), made = there;
    }
    return there;
}

static void clear_shadow(uint32_t **slot)
{
    uintptr_t shadow = (uintptr_t)*slot;
    if (!(shadow & 1))
        return;
    __atomic_store_n(slot, (uint32_t *)(shadow - 1), __ATOMIC_RELEASE);
    clear((void *)(shadow - 1), SHADOW);
    no_longer_resident(SHADOW);
}

static ALWAYS_INLINE uint32_t *place_of(void *address, int make)
{
    uintptr_t at = (uintptr_t)address, leaf = at >> (SEGMENT + HALF), segment = at >> SEGMENT & ((1 << HALF) - 1);
    uint32_t **segments, *shadow;
    if (UNLIKELY(at & 15 || leaf >> HALF))
        return NULL;
    segments = __atomic_load_n(&leaves[leaf], __ATOMIC_ACQUIRE);
    if (UNLIKELY(!segments)) {
        if (!make || !(segments = made_once((void **)&leaves[leaf], sizeof(uint32_t *) << HALF)))
            return NULL;
    }
    shadow = __atomic_load_n(&segments[segment], __ATOMIC_ACQUIRE);
    if (UNLIKELY(!((uintptr_t)shadow & 1))) {
        if (!make || !(shadow = make_shadow(&segments[segment])))
            return NULL;
    }
    shadow = (uint32_t *)((uintptr_t)shadow - 1) + (at >> 4 & LAST_PLACE);
    if (!shadow)
        __builtin_unreachable();
    return shadow;
}

/* Whether a second place would be in another segment's shadow. */
static ALWAYS_INLINE int is_in_last_place(void *address)
{
    return ((uintptr_t)address >> 4 & LAST_PLACE) == LAST_PLACE;
}

/* The place of a block in a segment that is remembered; NULL: it is in none. */
static ALWAYS_INLINE uint32_t *recent_place_of(void *address)
{
    uintptr_t at = (uintptr_t)address, start = at & ~((uintptr_t)LAST_PLACE << 4), which = at >> SEGMENT & (RECENT - 1);
    if (UNLIKELY(start != recent[which].start))         /* as it is where the address is no multiple of 16 */
        return NULL;
    uint32_t *place = (uint32_t *)(recent[which].shadow + (at >> 2));
    if (!place)
        __builtin_unreachable();
    return place;
}

static void remember_segment_of(void *address)
{
    uintptr_t at = (uintptr_t)address, start = at & ~((uintptr_t)LAST_PLACE << 4), which = at >> SEGMENT & (RECENT - 1);
    uint32_t *place = recent[which].start == start ? NULL : place_of(address, 0);
    if (place)
        recent[which].start = start, recent[which].shadow = (uintptr_t)place - (at >> 2);
}

/* What of a serial fits beside the site of a block of 16 bytes or less. */
static ALWAYS_INLINE uint32_t tiny_serial(uint32_t serial, int mode)
{
    return mode == MEMKIT_PAIRS ? (serial >> 16 & 31) << 5 | (serial & 31) : serial & 1023;
}

/* Book a block. 1; 0: it cannot be booked so; -1: one is booked there, that was freed without our knowing. */
static ALWAYS_INLINE int put_small(void *address, uint32_t size, uint32_t site, uint32_t serial, int mode)
{
    uint32_t *place;
    if (size <= TINY ? mode == MEMKIT_SPANS || site >= TINY_SITES : is_in_last_place(address))
        return 0;
    if (UNLIKELY(!(place = place_of(address, 1))))
        return 0;
    if (UNLIKELY(*place >> 30))
        return -1;
    if (size <= TINY) {
        *place = (uint32_t)ONE << 30 | size << 25 | site << 10 | tiny_serial(serial, mode);
        return 1;
    }
    place[0] = (uint32_t)TWO << 30 | (size - 1) << 20 | site;
    place[1] = serial;
    return 1;
}

static ALWAYS_INLINE int take_small(void *address, block_t *block)
{
    uint32_t *place = place_of(address, 0), first;
    if (!place || !((first = *place) >> 30))
        return 0;
    *place = 0;
    block->tiny = first >> 30 == ONE;
    if (UNLIKELY(block->tiny)) {
        block->size = first >> 25 & 31;
        block->site = first >> 10 & (TINY_SITES - 1);
        block->serial = first & 1023;
    } else {
        block->size = (first >> 20 & 511) + 1;
        block->site = first & LAST;
        block->serial = place[1];
        place[1] = 0;           /* or another block there, whose place it is, would seem to be booked */
    }
    return 1;
}

/* -- large blocks: the table -------------------------------------------------------------------------------------- */

typedef struct {
    uintptr_t address;          /* 0: free */
    uint64_t size;
    uint32_t site, serial;
} entry_t;

typedef struct {
    volatile int lock;
    entry_t *entries;
    size_t size, used;          /* a power of two; at most two thirds of it are used */
} __attribute__((aligned(64))) table_t;

enum { TABLES = 64, FIRST = 128 };

static table_t tables[TABLES];

static inline uint64_t hash(uintptr_t address)
{
    return (address >> 3) * 0x9E3779B97F4A7C15;
}

static inline size_t place_in(table_t *table, uintptr_t address)
{
    size_t place = (hash(address) >> 20) & (table->size - 1);
    while (table->entries[place].address && table->entries[place].address != address)
        place = (place + 1) & (table->size - 1);
    return place;
}

static int grow(table_t *table)
{
    table_t larger = {.size = table->size ? 2 * table->size : FIRST}, former = *table;
    if (!(larger.entries = pages(larger.size * sizeof(entry_t))))
        return 0;
    make_resident(larger.entries, larger.size * sizeof(entry_t));
    for (size_t i = 0; i < table->size; i++)
        if (table->entries[i].address)
            larger.entries[place_in(&larger, table->entries[i].address)] = table->entries[i];
    table->entries = larger.entries;            /* in this order: a fork may come between any two */
    __atomic_store_n(&table->size, larger.size, __ATOMIC_RELEASE);
    if (former.entries) {
        munmap(former.entries, former.size * sizeof(entry_t));
        no_longer_resident(former.size * sizeof(entry_t));
    }
    return 1;
}

static void empty(table_t *table)
{
    table_t former;
    lock(&table->lock);
    former = *table;
    table->used = 0;
    __atomic_store_n(&table->size, 0, __ATOMIC_RELEASE);
    table->entries = NULL;
    if (former.entries) {
        munmap(former.entries, former.size * sizeof(entry_t));
        no_longer_resident(former.size * sizeof(entry_t));
    }
    unlock(&table->lock);
}

static NOINLINE int put_large(void *address, uint64_t size, uint32_t site, uint32_t serial)
{
    table_t *table = &tables[hash((uintptr_t)address) >> 58];
    int booked;
    lock(&table->lock);
    booked = table->used * 3 < table->size * 2 || grow(table);
    if (booked) {
        entry_t *entry = &table->entries[place_in(table, (uintptr_t)address)];
        if (entry->address)
            booked = -1;
        else
            *entry = (entry_t){(uintptr_t)address, size, site, serial}, table->used++;
    }
    unlock(&table->lock);
    return booked;
}

static void remove_from(table_t *table, size_t gap)
{
    size_t mask = table->size - 1, next = gap;
    for (;;) {
        next = (next + 1) & mask;
        if (!table->entries[next].address)
            break;
        size_t home = (hash(table->entries[next].address) >> 20) & mask;
        if (((next - home) & mask) >= ((next - gap) & mask)) {
            table->entries[gap] = table->entries[next];
            gap = next;
        }
    }
    table->entries[gap].address = 0;
    table->used--;
}

static NOINLINE int take_large(void *address, block_t *block)
{
    table_t *table = &tables[hash((uintptr_t)address) >> 58];
    entry_t entry = {0};
    if (!__atomic_load_n(&table->used, __ATOMIC_RELAXED))
        return 0;
    lock(&table->lock);
    if (table->used) {
        size_t place = place_in(table, (uintptr_t)address);
        entry = table->entries[place];
        if (entry.address)
            remove_from(table, place);
    }
    unlock(&table->lock);
    *block = (block_t){entry.size, entry.site, entry.serial, 0};
    return entry.address != 0;
}

static ALWAYS_INLINE int book(void *address, uint64_t size, uint32_t site, uint32_t serial, int mode)
{
    int booked = size <= SMALL ? put_small(address, size, site, serial, mode) : 0;
    return booked ? booked : put_large(address, size, site, serial);
}
