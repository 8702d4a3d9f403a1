/* What is allocated in a stretch of time, and what of that is alive. Included by counting.c alone.

A small block has one place of the shadow, with its size and the stretch that allocated it, another one has an entry of the
table. Between two stretches nothing is booked, neither as allocated nor as freed: what is there of a stretch before is none of
this one's, and is written anew by the next owner of the address. */

enum { SERIAL_BITS = 23, SERIALS = 1 << SERIAL_BITS };

static ALWAYS_INLINE void count_in_stretch(int locked, int64_t allocated, int64_t alive)
{
    memkit_stretch_t *own = &memkit_heap.stretch[!locked], *others = &memkit_heap.stretch[locked];
    int64_t now, peak;
    add(&own->allocated, allocated, locked);
    if (locked)                 /* who holds the GIL alone writes the first */
        now = own->alive + alive, __atomic_store_n(&own->alive, now, __ATOMIC_RELAXED);
    else
        now = __atomic_add_fetch(&own->alive, alive, __ATOMIC_RELAXED);
    if (alive <= 0)
        return;
    now += __atomic_load_n(&others->alive, __ATOMIC_RELAXED);
    if (locked) {
        if (now > own->peak)
            own->peak = now;
        return;
    }
    peak = own->peak;
    while (now > peak && !__atomic_compare_exchange_n(&own->peak, &peak, now, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        ;
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
static NOINLINE void drop_in_stretch(int locked, size_t size)
{
    count_in_stretch(locked, 0, -(int64_t)size);
}

static NOINLINE int put_large_in_stretch(void *address, size_t size, uint32_t serial)
{
    block_t former;
    int booked;
    while ((booked = put_large(address, size, 0, serial)) < 0)
        drop_in_stretch(0, take_large(address, &former) && former.serial == serial ? former.size : 0);
    return booked;
}

static ALWAYS_INLINE void put_in_stretch(int locked, void *address, size_t size)
{
    uint32_t serial = memkit_heap.stretch_serial, *place;
    if (memkit_heap.stretch_state != MEMKIT_STRETCH_RUNS)
        return;
    if (LIKELY(size - 1 < SMALL) && LIKELY((place = place_in_stretch(address, locked, 1)) != NULL)) {
        if (UNLIKELY((*place & (SERIALS - 1)) == serial))
            drop_in_stretch(locked, (*place >> SERIAL_BITS) + 1);
        *place = (uint32_t)(size - 1) << SERIAL_BITS | serial;
    } else if (!put_large_in_stretch(address, size, serial)) {
        __atomic_fetch_add(&memkit_heap.unbooked, 1, __ATOMIC_RELAXED);
        return;
    }
    count_in_stretch(locked, size, size);
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
    count_in_stretch(locked, 0, -(int64_t)block->size);
    return 1;
}

static void restore_in_stretch(int locked, void *address, block_t *block)
{
    if (memkit_heap.stretch_state == MEMKIT_STRETCH_NONE || block->serial != memkit_heap.stretch_serial)
        return;
    if (put_large_in_stretch(address, block->size, block->serial))
        count_in_stretch(locked, 0, block->size);
}
