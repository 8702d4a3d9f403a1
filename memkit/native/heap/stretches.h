/* What is allocated in a stretch of time, and what of that is alive. Included by counting.c alone.

A small block has one place of the shadow, with its size and the stretch that allocated it, another one has an entry of the
table. Between two stretches nothing is booked, neither as allocated nor as freed: what is there of a stretch before is none of
this one's, and is written anew by the next owner of the address. */

enum { SERIAL_BITS = 23, SERIALS = 1 << SERIAL_BITS };

/* A thread without the GIL may be on its way through a hook while one stretch ends and others begin. So its sums are words that
have the serial of their stretch above the bytes, and what is of another is not added. Who holds the GIL needs no such thing. */

static ALWAYS_INLINE uint64_t stretch_word(uint32_t serial, int64_t bytes)
{
    return (uint64_t)serial << MEMKIT_STRETCH_BITS | ((uint64_t)bytes & (((uint64_t)1 << MEMKIT_STRETCH_BITS) - 1));
}

/* Add to such a word, or raise it to `bytes`: what it is then. 0: it is of another stretch. */
static NOINLINE int64_t change_word(int64_t *word, uint32_t serial, int64_t bytes, int raise)
{
    int64_t before = __atomic_load_n(word, __ATOMIC_RELAXED), now;
    do {
        if ((uint64_t)before >> MEMKIT_STRETCH_BITS != stretch_word(serial, 0) >> MEMKIT_STRETCH_BITS)
            return 0;
        now = MEMKIT_STRETCH_BYTES(before);
        if (raise && now >= bytes)
            return now;
        now = raise ? bytes : now + bytes;
    } while (!__atomic_compare_exchange_n(word, &before, stretch_word(serial, now), 0, __ATOMIC_RELEASE, __ATOMIC_RELAXED));
    return now;
}

static void begin_sums_of_stretch(uint32_t serial)
{
    memkit_stretch_t *others = &memkit_heap.stretch[1];
    memkit_heap.stretch[0] = (memkit_stretch_t){0, 0, 0};
    __atomic_store_n(&others->allocated, stretch_word(serial, 0), __ATOMIC_RELAXED);
    __atomic_store_n(&others->alive, stretch_word(serial, 0), __ATOMIC_RELAXED);
    __atomic_store_n(&others->peak, stretch_word(serial, 0), __ATOMIC_RELAXED);
}

/* `allocated` first: who reads them the other way round finds no block alive that was not allocated. */
static ALWAYS_INLINE void count_in_stretch(int locked, uint32_t serial, int64_t allocated, int64_t alive)
{
    memkit_stretch_t *sums = memkit_heap.stretch;
    int64_t now;
    if (!locked) {
        if (allocated)
            change_word(&sums[1].allocated, serial, allocated, 0);
        now = change_word(&sums[1].alive, serial, alive, 0) + __atomic_load_n(&sums[0].alive, __ATOMIC_RELAXED);
        if (alive > 0)
            change_word(&sums[1].peak, serial, now, 1);
        return;
    }
    sums->allocated += allocated;       /* who holds the GIL alone writes these */
    now = sums->alive + alive, __atomic_store_n(&sums->alive, now, __ATOMIC_RELAXED);
    if (alive <= 0)
        return;
    now += MEMKIT_STRETCH_BYTES(__atomic_load_n(&sums[1].alive, __ATOMIC_RELAXED));
    if (now > sums->peak)
        sums->peak = now;
}

static ALWAYS_INLINE uint32_t *place_in_stretch(void *address, int locked, int make)
{
    uint32_t *place = locked ? recent_place_of(address) : NULL;
    if (LIKELY(place != NULL) || !(place = place_of(address, make)))
        return place;
    if (locked)
        remember_segment_of(address);
    return place;
}

/* What is booked at an address that the program has anew was freed by who looked the C library's own `free` up. */
static NOINLINE void drop_in_stretch(int locked, uint32_t serial, size_t size)
{
    count_in_stretch(locked, serial, 0, -(int64_t)size);
}

static NOINLINE int put_large_in_stretch(void *address, size_t size, uint32_t serial)
{
    block_t former;
    int booked;
    while ((booked = put_large(address, size, 0, serial)) < 0)
        drop_in_stretch(0, serial, take_large(address, &former) && former.serial == serial ? former.size : 0);
    return booked;
}

static ALWAYS_INLINE void put_in_stretch(int locked, void *address, size_t size)
{
    uint32_t serial = memkit_heap.stretch_serial, *place;
    if (memkit_heap.stretch_state != MEMKIT_STRETCH_RUNS)
        return;
    if (LIKELY(size - 1 < SMALL) && LIKELY((place = place_in_stretch(address, locked, 1)) != NULL)) {
        if (UNLIKELY((*place & (SERIALS - 1)) == serial))
            drop_in_stretch(locked, serial, (*place >> SERIAL_BITS) + 1);
        *place = (uint32_t)(size - 1) << SERIAL_BITS | serial;
    } else if (!put_large_in_stretch(address, size, serial)) {
        __atomic_fetch_add(&memkit_heap.unbooked, 1, __ATOMIC_RELAXED);
        return;
    }
    count_in_stretch(locked, serial, size, size);
}

/* 0: it is not booked, or to a stretch before. */
static ALWAYS_INLINE int take_in_stretch(int locked, void *address, block_t *block)
{
    uint32_t serial = memkit_heap.stretch_serial, *place;
    if (memkit_heap.stretch_state == MEMKIT_STRETCH_NONE)
        return 0;
    if (LIKELY((place = place_in_stretch(address, locked, 0)) != NULL) && (*place & (SERIALS - 1)) == serial) {
        *block = (block_t){(*place >> SERIAL_BITS) + 1, 0, serial, 0};
        *place = 0;
    } else if (!take_large(address, block) || block->serial != serial) {
        return 0;
    }
    count_in_stretch(locked, serial, 0, -(int64_t)block->size);
    return 1;
}

static void restore_in_stretch(int locked, void *address, block_t *block)
{
    if (memkit_heap.stretch_state == MEMKIT_STRETCH_NONE || block->serial != memkit_heap.stretch_serial)
        return;
    if (put_large_in_stretch(address, block->size, block->serial))
        count_in_stretch(locked, block->serial, 0, block->size);
}
